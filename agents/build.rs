//! Sets the run-time library paths of this package's tests and examples, and compiles the shim for CUDA graphs if the
//! feature `cuda-graphs` is on.
//!
//! The paths are those of libtorch and, because a build of the whole workspace links it, libmujoco.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo passes this variable only to packages that depend on torch-sys directly, and never passes link arguments
    // on.
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.to_string_lossy());
    }
    println!("cargo:rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    if let Some(lib) = std::env::var_os("MUJOCO_DYNAMIC_LINK_DIR") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.to_string_lossy());
    }
    #[cfg(feature = "cuda-graphs")]
    cuda_graphs::build();
}

#[cfg(feature = "cuda-graphs")]
mod cuda_graphs {
    use std::{
        env,
        path::{Path, PathBuf},
    };

    const SHIM: &str = "cuda/graphs.cpp";

    pub fn build() {
        println!("cargo:rerun-if-changed={SHIM}");
        println!("cargo:rerun-if-env-changed=CUDA_HOME");
        // Where torch-sys found libtorch.
        let libraries = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
        let Some(libraries) = libraries else {
            panic!("the feature `cuda-graphs` cannot find libtorch: set LIBTORCH, or run `cargo xtask setup --cuda`");
        };
        let root = libraries.parent().unwrap_or(Path::new(".")).to_owned();
        let Some(cuda) = headers_of_cuda(&root) else {
            panic!(
                "the feature `cuda-graphs` needs the headers of CUDA 13, but they are neither in $CUDA_HOME/include nor \
                 in {}/../cuda-headers/include: run `cargo xtask setup`",
                root.display()
            )
        };
        let mut shim = cc::Build::new();
        shim.cpp(true).std("c++17").file(SHIM);
        for folder in [root.join("include"), root.join("include/torch/csrc/api/include"), cuda] {
            shim.flag("-isystem").flag(folder.display().to_string());
        }
        shim.compile("sac_cuda_graphs");
        println!("cargo:rustc-link-search=native={}", libraries.display());
        println!("cargo:rustc-link-lib=dylib=torch_cuda");
        println!("cargo:rustc-link-lib=dylib=c10_cuda");
    }

    fn headers_of_cuda(root: &Path) -> Option<PathBuf> {
        let own = env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("include"));
        let fetched = root.parent().map(|folder| folder.join("cuda-headers/include")); // downloaded by `cargo xtask setup`
        let has_all = |folder: &PathBuf| {
            let files = ["cuda_runtime.h", "crt/host_config.h"];
            files.iter().all(|file| folder.join(file).exists())
        };
        own.into_iter().chain(fetched).find(has_all)
    }
}
