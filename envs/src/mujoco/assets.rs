//! The search for model files.

use std::path::{Path, PathBuf};

/// A set of model files that a Python package brings and set-up fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelFiles {
    /// Those of Gymnasium.
    Gymnasium,
    /// Those of Gymnasium-Robotics.
    Robotics,
}

impl ModelFiles {
    /// Name of the package.
    fn package(self) -> &'static str {
        match self {
            ModelFiles::Gymnasium => "Gymnasium",
            ModelFiles::Robotics => "Gymnasium-Robotics",
        }
    }

    /// Environment variable with the folder of the files. If it is set, no other folder is searched.
    fn variable(self) -> &'static str {
        match self {
            ModelFiles::Gymnasium => "SAC_MUJOCO_ASSETS",
            ModelFiles::Robotics => "SAC_ROBOTICS_ASSETS",
        }
    }

    /// The folder in the workspace in which set-up puts them.
    fn folder(self) -> &'static str {
        match self {
            ModelFiles::Gymnasium => ".native/gymnasium/envs/mujoco/assets",
            ModelFiles::Robotics => ".native/gymnasium-robotics/envs/assets",
        }
    }

    /// One of the files.
    fn example(self) -> &'static str {
        match self {
            ModelFiles::Gymnasium => "half_cheetah.xml",
            ModelFiles::Robotics => "fetch/reach.xml",
        }
    }

    /// The path of `xml_file`. As in Gymnasium, a name that begins with `.` or `/` is a path, one that begins with `~/`
    /// is a path in the home folder, and any other is one of these files.
    ///
    /// # Errors
    /// What is missing, and how to provide it.
    pub(super) fn locate(self, xml_file: &str) -> Result<PathBuf, String> {
        if xml_file.is_empty() {
            return Err("expected the name of a model file".to_string());
        }
        let path = if xml_file.starts_with(['.', '/']) {
            PathBuf::from(xml_file)
        } else if let Some(rest) = xml_file.strip_prefix("~/") {
            let home = std::env::var_os("HOME").ok_or("`~` cannot be expanded: HOME is not set")?;
            Path::new(&home).join(rest)
        } else {
            return self.among(&self.folders(self.named()), xml_file);
        };
        if path.is_file() {
            Ok(path)
        } else {
            Err(format!("there is no file {}", path.display()))
        }
    }

    /// The folder of the files that the tasks use.
    ///
    /// # Errors
    /// Where it was expected, and how to provide it.
    pub fn path(self) -> Result<PathBuf, String> {
        let example = self.example();
        let one_of_them = self.among(&self.folders(self.named()), example)?;
        let depth = Path::new(example).components().count();
        Ok(one_of_them
            .ancestors()
            .nth(depth)
            .map(Path::to_path_buf)
            .unwrap_or_default())
    }

    /// The folder that the environment variable names.
    fn named(self) -> Option<PathBuf> {
        std::env::var_os(self.variable()).map(PathBuf::from)
    }

    /// The folders to search, in order.
    fn folders(self, named: Option<PathBuf>) -> Vec<PathBuf> {
        if let Some(named) = named {
            return vec![named];
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
        let current = std::env::current_dir().unwrap_or_default();
        workspace
            .into_iter()
            .chain(current.ancestors().map(Path::to_path_buf))
            .map(|folder| folder.join(self.folder()))
            .collect()
    }

    fn among(self, folders: &[PathBuf], name: &str) -> Result<PathBuf, String> {
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
                "{}'s model files are missing: {} does not exist; run `cargo xtask setup`, or set {} to their folder",
                self.package(),
                folders
                    .first()
                    .map(|folder| folder.display().to_string())
                    .unwrap_or_default(),
                self.variable()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ModelFiles; 2] = [ModelFiles::Gymnasium, ModelFiles::Robotics];

    #[test]
    fn the_folder_of_the_model_files_is_the_one_that_tasks_use() {
        for files in ALL {
            let used = files.locate(files.example()).expect("set-up has run");
            assert_eq!(used, files.path().expect("set-up has run").join(files.example()));
        }
    }

    #[test]
    fn a_missing_folder_and_a_missing_file_are_told_apart() {
        for (files, package, variable) in [
            (ModelFiles::Gymnasium, "Gymnasium", "SAC_MUJOCO_ASSETS"),
            (ModelFiles::Robotics, "Gymnasium-Robotics", "SAC_ROBOTICS_ASSETS"),
        ] {
            let nowhere = files.among(&files.folders(Some("/nowhere".into())), "ant.xml");
            assert_eq!(
                nowhere.expect_err("no such folder"),
                format!(
                    "{package}'s model files are missing: /nowhere does not exist; run `cargo xtask setup`, or set \
                     {variable} to their folder"
                )
            );
            let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
            let absent = files.among(std::slice::from_ref(&here), "ant.xml");
            let absent = absent.expect_err("no model there");
            assert!(
                absent.starts_with(&format!("there is no model `ant.xml` in {}", here.display())),
                "{absent}"
            );
            assert!(files.among(std::slice::from_ref(&here), "Cargo.toml").is_ok());
            assert_eq!(
                files.locate("./ant.xml").expect_err("not here"),
                "there is no file ./ant.xml"
            );
        }
    }
}
