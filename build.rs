//! Run-time paths of libtorch and libmujoco, facts about the build, and the experiments that the binary carries.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

#[path = "src/libtorch_version.rs"]
mod libtorch_version;

fn main() {
    // torch-sys is a direct dependency so that this variable reaches us; Cargo does not pass link arguments on.
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=src/libtorch_version.rs");
    let lib = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from);
    println!("cargo:rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let mujoco = env::var_os("MUJOCO_DYNAMIC_LINK_DIR").map(PathBuf::from);
    let folders: Vec<String> = [&lib, &mujoco]
        .into_iter()
        .flatten()
        .map(|folder| folder.display().to_string())
        .collect();
    for folder in &folders {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    // A program that depends on this package sets the same paths in its build script, which reads DEP_SAC_RL_RPATH.
    println!("cargo::metadata=RPATH={}", folders.join(":"));
    // For `sac new`.
    let shown = |folder: Option<&Path>| folder.map_or(String::new(), |folder| folder.display().to_string());
    println!(
        "cargo:rustc-env=SAC_LIBTORCH={}",
        shown(lib.as_deref().and_then(Path::parent))
    );
    println!("cargo:rustc-env=SAC_MUJOCO={}", shown(mujoco.as_deref()));
    let version = lib
        .as_deref()
        .and_then(libtorch_version::beside)
        .unwrap_or_else(|| "unknown".to_string());
    println!("cargo:rustc-env=SAC_LIBTORCH_VERSION={version}");
    println!("cargo:rustc-env=SAC_COMMIT={}", commit());
    println!(
        "cargo:rustc-env=SAC_PROFILE={}",
        env::var("PROFILE").unwrap_or_default()
    );
    embed_configs();
}

/// What the program is made of; other files of a checkout, such as results of experiments, do not change it.
const SOURCES: &[&str] = &[
    "src",
    "agents",
    "cli",
    "envs",
    "kernels",
    "report",
    "configs",
    ":!configs/experiments",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
];

const STATUS: &[&str] = &[
    "--no-optional-locks",
    "status",
    "--porcelain",
    "--untracked-files=no",
    "--",
];

/// The commit that is being built, with a mark if its sources differ from it; "unknown" outside a checkout.
fn commit() -> String {
    if !Path::new(".git").exists() {
        return "unknown".to_string();
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    // In a second worktree, `.git` is a file that points elsewhere. The index is not watched: `git status` writes it.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]).filter(|path| Path::new(path).exists()) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    // What is built again when it changes anyway.
    for sources in ["src", "agents/src", "cli/src", "envs/src", "kernels/src", "report/src"] {
        println!("cargo:rerun-if-changed={sources}");
    }
    match git(&["rev-parse", "--short=12", "HEAD"]) {
        None => "unknown".to_string(),
        Some(commit) => match git(&[STATUS, SOURCES].concat()) {
            Some(changes) if changes.is_empty() => commit,
            _ => format!("{commit}-modified"),
        },
    }
}

/// Writes a list of all `configs/<env>/<algo>.toml`.
fn embed_configs() {
    println!("cargo:rerun-if-changed=configs");
    let mut files = Vec::new();
    let is_task = |path: &PathBuf| path.is_dir() && !path.ends_with("experiments");
    for folder in entries(Path::new("configs")).into_iter().filter(is_task) {
        files.extend(
            entries(&folder)
                .into_iter()
                .filter(|path| path.extension().is_some_and(|ext| ext == "toml")),
        );
    }
    files.sort();
    let mut code = "/// All of them.\npub const SHIPPED: &[Shipped] = &[\n".to_string();
    for file in files {
        println!("cargo:rerun-if-changed={}", file.display());
        let absolute = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
        code += &format!(
            "    Shipped {{ path: {:?}, toml: include_str!({absolute:?}) }},\n",
            file.display().to_string()
        );
    }
    code += "];\n";
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    fs::write(out.join("shipped.rs"), code).expect("OUT_DIR is writable");
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}
