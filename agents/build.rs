//! Passes the run-time paths of libtorch and (a build of the whole workspace links it) libmujoco to this package's tests and
//! examples; compiles the shim for CUDA graphs, where the feature `cuda-graphs` asks for it.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // torch-sys is a direct dependency so that this variable reaches us; Cargo does not hand link arguments on.
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
            panic!(
                "the feature `cuda-graphs` needs to know where libtorch is: set LIBTORCH, or run `cargo xtask setup --cuda`"
            );
        };
        let root = libraries.parent().unwrap_or(Path::new(".")).to_owned();
        let Some(cuda) = headers_of_cuda(&root) else {
            panic!(
                "the feature `cuda-graphs` needs the headers of CUDA 13, and neither $CUDA_HOME/include nor \
                 {}/../cuda-headers/include has them: run `cargo xtask setup`",
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
        let fetched = root.parent().map(|beside| beside.join("cuda-headers/include")); // where set-up puts them
        let has_all = |folder: &PathBuf| {
            let files = ["cuda_runtime.h", "crt/host_config.h"];
            files.iter().all(|file| folder.join(file).exists())
        };
        own.into_iter().chain(fetched).find(has_all)
    }
}
