//! [`Verified`]: the parts whose files this checkout has hashed, with the modification times that they had then.
//!
//! `.native/verified.txt` has a line `<key> <hash of the times>` for each part.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::manifest;
use crate::workspace::Workspace;

#[derive(Debug)]
pub struct Verified(BTreeMap<String, String>);

impl Verified {
    /// What is noted. A file that is missing or damaged means that nothing was verified.
    pub fn read(workspace: &Workspace) -> Self {
        let text = fs::read_to_string(path(workspace)).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        Verified(lines.map(|(key, times)| (key.to_owned(), times.to_owned())).collect())
    }

    /// Whether the files of a part are as they were when they were hashed.
    pub fn holds(&self, key: &str, home: &Path) -> bool {
        self.0
            .get(key)
            .is_some_and(|then| manifest::times(home).as_ref() == Some(then))
    }

    /// Notes parts, by key and folder, whose files are right now.
    pub fn note<'a>(&self, workspace: &Workspace, parts: impl Iterator<Item = (&'a str, &'a Path)>) -> Result<()> {
        let mut now = self.0.clone();
        for (key, home) in parts {
            if let Some(times) = manifest::times(home) {
                now.insert(key.to_owned(), times);
            }
        }
        if now == self.0 {
            return Ok(());
        }
        let text: String = now.iter().map(|(key, times)| format!("{key} {times}\n")).collect();
        let path = path(workspace);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.native().join("verified.txt")
}
