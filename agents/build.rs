//! Passes the run-time paths of libtorch and (a build of the whole workspace links it) libmujoco to this package's tests and examples.

fn main() {
    // torch-sys is a direct dependency so that this variable reaches us; Cargo does not hand link arguments on.
    if let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.to_string_lossy());
    }
    println!("cargo:rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    if let Some(lib) = std::env::var_os("MUJOCO_DYNAMIC_LINK_DIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.to_string_lossy());
    }
}
