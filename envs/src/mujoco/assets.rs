//! The search for model files.

use std::path::{Path, PathBuf};

/// Environment variable with the folder of Gymnasium's model files. If it is set, no other folder is searched.
const VARIABLE: &str = "SAC_MUJOCO_ASSETS";
/// The folder in the workspace in which set-up puts them.
const FOLDER: &str = ".native/gymnasium/envs/mujoco/assets";

/// The path of `xml_file`. As in Gymnasium, a name that begins with `.` or `/` is a path, one that begins with `~/` is
/// a path in the home folder, and any other is one of Gymnasium's model files.
///
/// # Errors
/// What is missing, and how to provide it.
pub(super) fn locate(xml_file: &str) -> Result<PathBuf, String> {
    if xml_file.is_empty() {
        return Err("expected the name of a model file".to_string());
    }
    let path = if xml_file.starts_with(['.', '/']) {
        PathBuf::from(xml_file)
    } else if let Some(rest) = xml_file.strip_prefix("~/") {
        let home = std::env::var_os("HOME").ok_or("`~` cannot be expanded: HOME is not set")?;
        Path::new(&home).join(rest)
    } else {
        return among(&folders(std::env::var_os(VARIABLE).map(PathBuf::from)), xml_file);
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("there is no file {}", path.display()))
    }
}

/// The folder of Gymnasium's model files that the tasks use.
///
/// # Errors
/// Where it was expected, and how to provide it.
pub fn model_files() -> Result<PathBuf, String> {
    let one_of_them = among(
        &folders(std::env::var_os(VARIABLE).map(PathBuf::from)),
        "half_cheetah.xml",
    )?;
    Ok(one_of_them.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// The folders to search, in order.
fn folders(named: Option<PathBuf>) -> Vec<PathBuf> {
    if let Some(named) = named {
        return vec![named];
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    let current = std::env::current_dir().unwrap_or_default();
    workspace
        .into_iter()
        .chain(current.ancestors().map(Path::to_path_buf))
        .map(|folder| folder.join(FOLDER))
        .collect()
}

fn among(folders: &[PathBuf], name: &str) -> Result<PathBuf, String> {
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| match folders.iter().find(|folder| folder.is_dir()) {
        Some(folder) => format!(
            "there is no model `{name}` in {}; for another file give a path such as ./{name}",
            folder.display()
        ),
        None => format!(
            "Gymnasium's model files are missing: {} does not exist; run `cargo xtask setup`, or set {VARIABLE} to their \
             folder",
            folders
                .first()
                .map(|folder| folder.display().to_string())
                .unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_the_model_files_is_the_one_that_tasks_use() {
        let used = locate("ant.xml").expect("set-up has run");
        assert_eq!(used.parent().map(Path::to_path_buf), model_files().ok());
    }

    #[test]
    fn a_missing_folder_and_a_missing_file_are_told_apart() {
        let nowhere = among(&folders(Some("/nowhere".into())), "ant.xml").expect_err("no such folder");
        assert_eq!(
            nowhere,
            "Gymnasium's model files are missing: /nowhere does not exist; run `cargo xtask setup`, or set \
             SAC_MUJOCO_ASSETS to their folder"
        );
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let absent = among(std::slice::from_ref(&here), "ant.xml").expect_err("no model there");
        assert!(
            absent.starts_with(&format!("there is no model `ant.xml` in {}", here.display())),
            "{absent}"
        );
        assert!(among(std::slice::from_ref(&here), "Cargo.toml").is_ok());
        assert_eq!(locate("./ant.xml").expect_err("not here"), "there is no file ./ant.xml");
    }
}
