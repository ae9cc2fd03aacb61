//! Parts that the user provides: `LIBTORCH`, `MUJOCO_DYNAMIC_LINK_DIR`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::pins::Part;
use crate::workspace::Workspace;

/// Location of the user's own copy of a part.
pub enum Own {
    /// A folder: the environment variable and its value.
    Folder(String, PathBuf),
    /// `LIBTORCH_USE_PYTORCH`: torch-sys uses the torch of Python.
    Python,
}

/// The user's own copy of `part`, if there is one.
pub fn find(workspace: &Workspace, part: &Part) -> Option<Own> {
    let name = part.replaced_by.as_deref()?;
    if name == "LIBTORCH" && std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Some(Own::Python);
    }
    let mut ours = workspace.native().join(&part.name);
    if let Some(inside) = &part.replaced_inside {
        ours.push(inside);
    }
    workspace
        .users_own(name, &ours)
        .map(|path| Own::Folder(name.to_owned(), path))
}

impl Own {
    pub fn announce(&self, part: &Part) {
        match self {
            Self::Folder(name, path) => say!(
                "{}: your own, because {name}={}; nothing fetched",
                part.name,
                path.display()
            ),
            Self::Python => say!(
                "{}: Python's torch, because LIBTORCH_USE_PYTORCH is set; nothing fetched",
                part.name
            ),
        }
    }

    /// Fails if the build could not use this copy.
    pub fn check(&self, part: &Part) -> Result<()> {
        let Self::Folder(name, path) = self else { return Ok(()) };
        let looked_for = match part.name.as_str() {
            "libtorch" => path.join("lib/libtorch_cpu.so"),
            _ => path.join("libmujoco.so"),
        };
        if cfg!(target_os = "linux") && !looked_for.exists() {
            bail!(
                "{name}={} has no {}\ncorrect the path, or unset {name} so that set-up fetches the files",
                path.display(),
                looked_for.strip_prefix(path).unwrap_or(&looked_for).display()
            );
        }
        if part.name == "libtorch"
            && let Ok(text) = fs::read_to_string(path.join("include/torch/headeronly/version.h"))
            && let Some(version) = header_version(&text)
            && version != "2.11"
        {
            say!(
                "warning: {name} has libtorch {version}; tch 0.24 is for 2.11 and may not compile with another version"
            );
        }
        Ok(())
    }
}

/// `major.minor` from libtorch's version header.
fn header_version(text: &str) -> Option<String> {
    let value = |name: &str| {
        text.lines().find_map(|line| {
            line.strip_prefix("#define ")?
                .strip_prefix(name)?
                .trim()
                .parse::<u32>()
                .ok()
        })
    };
    Some(format!(
        "{}.{}",
        value("TORCH_VERSION_MAJOR")?,
        value("TORCH_VERSION_MINOR")?
    ))
}

#[cfg(test)]
mod tests {
    use super::header_version;

    #[test]
    fn the_version_is_read_from_the_header() {
        let text = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n";
        assert_eq!(header_version(text).as_deref(), Some("2.11"));
        assert_eq!(header_version("#define OTHER 2"), None);
    }
}
