//! The commit, and run-time paths of libtorch and (a build of the whole workspace links it) libmujoco. A packed binary
//! gets no paths: it finds the libraries of the other machine through `LD_LIBRARY_PATH`.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    if env::var_os("CARGO_FEATURE_CUDA_GRAPHS").is_none() {
        let folders = ["DEP_TCH_LIBTORCH_LIB", "MUJOCO_DYNAMIC_LINK_DIR"];
        for folder in folders.into_iter().filter_map(env::var_os) {
            println!("cargo:rustc-link-arg=-Wl,-rpath,{}", folder.to_string_lossy());
        }
    }
    println!("cargo:rerun-if-changed=../../.git/HEAD");
    println!("cargo:rerun-if-changed=../../.git/index");
    println!("cargo:rustc-env=SAC_COMMIT={}", commit());
}

/// The commit that is being built, with a mark if the tree differs from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
        output.status.success().then_some(text)
    };
    let changes = git(&["status", "--porcelain", "--untracked-files=no"]);
    match (git(&["rev-parse", "--short=12", "HEAD"]), changes.as_deref()) {
        (None, _) => "unknown".to_string(),
        (Some(commit), Some("")) => commit,
        (Some(commit), _) => format!("{commit}-modified"),
    }
}
