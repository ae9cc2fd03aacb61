//! Where the module finds libtorch and MuJoCo when it is imported: in the packages torch and mujoco beside it.

fn main() {
    for folder in ["torch/lib", "mujoco"] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/../{folder}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
