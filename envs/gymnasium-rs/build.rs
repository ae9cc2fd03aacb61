//! The run-time path of libtorch for the example, which trains.

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(libtorch) = std::env::var_os("LIBTORCH") {
        let libtorch = libtorch.to_string_lossy();
        println!("cargo:rustc-link-arg-examples=-Wl,-rpath,{libtorch}/lib");
    }
}
