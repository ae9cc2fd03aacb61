//! `sac new`: a crate with a task of its own, ready to build and train.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sac_cli::args::NewArgs;

use super::output::print;
use crate::{
    error::{Error, Result},
    run::is_empty_folder,
    shell,
};

/// Files of the new crate. `{name}`, `{library}` and `{dependency}` are filled in.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("new/template/Cargo.toml.txt")),
    ("build.rs", include_str!("new/template/build.rs.txt")),
    (".gitignore", include_str!("new/template/gitignore.txt")),
    ("src/lib.rs", include_str!("new/template/src/lib.rs.txt")),
    ("src/main.rs", include_str!("new/template/src/main.rs.txt")),
    ("tests/puck.rs", include_str!("new/template/tests/puck.rs.txt")),
];

pub fn run(args: &NewArgs) -> Result<()> {
    let name = crate_name(&args.dir)?;
    let checkout = match &args.sac {
        Some(path) => Some(checkout(path)?),
        None => own_checkout(),
    };
    if let Some(parent) = args.dir.parent() {
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    match fs::create_dir(&args.dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(&args.dir)(error)),
        Err(_) if !is_empty_folder(&args.dir) => {
            let problem = format!("{} exists already; choose another folder", args.dir.display());
            return Err(Error::Usage(problem));
        }
        _ => {}
    }
    fill(&args.dir, &name, checkout.as_deref())?;
    print(&format!(
        "{dir}: a new crate with the task Puck-v0\n\n  cd {word}\n  cargo run --release -- train --env Puck-v0 --steps 3000\n  \
         cargo test\n\n{}",
        match library_folders().is_empty() {
            true => "LIBTORCH and MUJOCO_DYNAMIC_LINK_DIR have to name the folders of libtorch and MuJoCo\n",
            false => "the first build compiles libtorch's bindings, which takes minutes\n",
        },
        dir = args.dir.display(),
        word = shell::word(&args.dir),
    ))
}

/// The last part of the folder's name, if it can be the name of a crate.
fn crate_name(dir: &Path) -> Result<String> {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    // Names that would hide this library, the standard library, or a crate that the new one depends on.
    let is_taken = [
        "sac",
        "sac-rl",
        "sac_rl",
        "std",
        "core",
        "alloc",
        "test",
        "proc_macro",
        "serde",
    ]
    .contains(&name.as_str());
    match is_name && !is_taken {
        true => Ok(name),
        false => Err(Error::Usage(format!(
            "{}: `{name}` cannot be the name of a crate; expected letters, digits, - and _, a letter first, and no name of \
             another crate",
            dir.display()
        ))),
    }
}

/// The checkout that this program was built in, if it is still there. The sources of a published package are none.
fn own_checkout() -> Option<PathBuf> {
    checkout(Path::new(env!("CARGO_MANIFEST_DIR"))).ok()
}

/// The absolute path of a checkout of sac.
fn checkout(path: &Path) -> Result<PathBuf> {
    let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap_or_default();
    let is_sac = manifest.contains(concat!("name = \"", env!("CARGO_PKG_NAME"), "\""));
    // The published package has no set-up.
    if !is_sac || !path.join("xtask").is_dir() {
        let problem = format!("{} is no checkout of sac", path.display());
        return Err(Error::Usage(problem));
    }
    fs::canonicalize(path).map_err(Error::io(path))
}

fn fill(dir: &Path, name: &str, checkout: Option<&Path>) -> Result<()> {
    let dependency = match checkout {
        Some(path) => format!("package = \"{}\", path = {}", env!("CARGO_PKG_NAME"), quoted(path)),
        None => format!(
            "package = \"{}\", version = \"{}\"",
            env!("CARGO_PKG_NAME"),
            env!("CARGO_PKG_VERSION")
        ),
    };
    // A program without the MuJoCo tasks does not ask for MuJoCo.
    let features = match cfg!(feature = "mujoco") {
        true => "",
        false => ", default-features = false",
    };
    for (file, template) in FILES {
        let text = template
            .replace("{name}", name)
            .replace("{library}", &name.replace('-', "_"))
            .replace("{dependency}", &format!("{dependency}{features}"));
        write(&dir.join(file), &text)?;
    }
    if let Some(lock) = checkout
        .map(|path| path.join("Cargo.lock"))
        .filter(|path| path.is_file())
    {
        // The versions that sac is tested with.
        let text = fs::read_to_string(&lock).map_err(Error::io(&lock))?;
        write(&dir.join("Cargo.lock"), &text)?;
    }
    let folders = library_folders();
    if folders.is_empty() {
        return Ok(());
    }
    let mut text =
        "# Where this machine has libtorch and MuJoCo. A value that is set in the environment wins.\n[env]\n"
            .to_string();
    for (variable, folder) in folders {
        text += &format!("{variable} = {}\n", quoted(&folder));
    }
    write(&dir.join(".cargo/config.toml"), &text)
}

/// The folders of libtorch and MuJoCo that this program was built with, as far as they are still there.
fn library_folders() -> Vec<(&'static str, PathBuf)> {
    [
        ("LIBTORCH", env!("SAC_LIBTORCH")),
        ("MUJOCO_DYNAMIC_LINK_DIR", env!("SAC_MUJOCO")),
    ]
    .into_iter()
    .map(|(variable, folder)| (variable, PathBuf::from(folder)))
    .filter(|(_, folder)| folder.is_absolute() && folder.is_dir())
    .collect()
}

fn quoted(path: &Path) -> String {
    toml::Value::from(path.to_string_lossy().into_owned()).to_string()
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::io(parent))?;
    }
    fs::write(path, text).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_whose_name_is_no_crate_is_refused() {
        assert_eq!(crate_name(Path::new("a/my-task")).expect("a name"), "my-task");
        for name in ["9lives", "my task", "sac", "x/..", "größe"] {
            let error = crate_name(Path::new(name)).expect_err("no name");
            assert!(error.to_string().contains("cannot be the name of a crate"), "{error}");
        }
    }
}
