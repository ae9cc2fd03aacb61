//! What a checkpoint says of itself: [`Manifest`], and the names of its files: [`Content`].

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use super::files::FileDigest;
use crate::{
    error::{Error, Result},
    regular_file,
    schedule::{EnvSteps, GradSteps},
};

/// Version of the format that the page of [`crate::checkpoint`] describes. A program reads only its own version.
pub const FORMAT: u32 = 3;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const STATE: &str = "state.json";

/// Far more than the list of a checkpoint's files takes.
pub(super) const MOST_MANIFEST_BYTES: u64 = 64 << 20;

/// What a file of a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    State,
    /// Tensors of a section.
    Section(&'a str),
    /// A block of a tensor of a section, with its number.
    Block(&'a str, &'a str, usize),
}

impl<'a> Content<'a> {
    /// What the file of this name holds; `None` if no checkpoint has such a file.
    pub fn of(name: &'a str) -> Option<Self> {
        if name == STATE {
            return Some(Content::State);
        }
        let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let mut parts = name.strip_suffix(".safetensors")?.split('.');
        let section = parts.next().filter(is_word)?;
        let Some(tensor) = parts.next() else {
            return Some(Content::Section(section));
        };
        let number = parts.next()?.parse().ok()?;
        let is_whole = parts.next().is_none() && name == block_name(section, tensor, number);
        (is_word(&tensor) && is_whole).then_some(Content::Block(section, tensor, number))
    }

    pub fn section(self) -> Option<&'a str> {
        match self {
            Content::State => None,
            Content::Section(section) | Content::Block(section, ..) => Some(section),
        }
    }
}

pub(super) fn block_name(section: &str, tensor: &str, number: usize) -> String {
    format!("{section}.{tensor}.{number:06}.safetensors")
}

/// The manifest of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format, [`FORMAT`].
    pub format: u32,
    /// Version of the crate that wrote the checkpoint.
    pub version: String,
    /// Env steps at the time of the checkpoint.
    pub env_steps: EnvSteps,
    /// Gradient steps at the time of the checkpoint.
    pub grad_steps: GradSteps,
    /// Size and digest of every file.
    pub files: BTreeMap<String, FileDigest>,
}

impl Manifest {
    /// The manifest of a checkpoint, in which nothing is left to check but the files it lists.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MANIFEST);
        let bad = |problem: String| Error::Checkpoint {
            path: path.clone(),
            section: "manifest".into(),
            problem,
        };
        let text = regular_file::read_text(&path, MOST_MANIFEST_BYTES).map_err(|error| bad(error.to_string()))?;
        let text = text.into_bytes();
        let format = serde_json::from_slice::<serde_json::Value>(&text)
            .map_err(|error| bad(format!("not JSON ({error}); the file is damaged")))?;
        let written = format.get("format").and_then(serde_json::Value::as_u64);
        if written != Some(u64::from(FORMAT)) {
            let by = format.get("version").and_then(serde_json::Value::as_str).unwrap_or("?");
            let written = written.map_or("?".to_string(), |number| number.to_string());
            return Err(bad(format!(
                "written in format {written} by sac {by}; this is sac {}, which reads format {FORMAT}",
                env!("CARGO_PKG_VERSION")
            )));
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        // A name from a file must not lead out of the folder.
        if let Some(name) = manifest.files.keys().find(|name| Content::of(name).is_none()) {
            return Err(bad(format!("lists `{name}`, which no checkpoint has")));
        }
        match pretty(&manifest) == text {
            true => Ok(manifest),
            false => Err(bad("the file is truncated or altered".to_string())),
        }
    }
}

/// A value as indented JSON with a line break at the end. Its keys are text, and its numbers finite.
pub(super) fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("keys are text: every section's state is a JSON value");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_are_files_of_a_checkpoint() {
        for name in [
            "state.json",
            "replay.safetensors",
            "replay.rows.000012.safetensors",
            "a.b.1234567.safetensors",
        ] {
            assert!(Content::of(name).is_some(), "{name}");
        }
        for name in [
            "",
            "x.json",
            ".safetensors",
            "../replay.safetensors",
            "replay.rows.safetensors",
            "replay.rows.12.safetensors",
            "replay.rows.+00012.safetensors",
            "replay.rows.000012.x.safetensors",
            "replay..000012.safetensors",
            "/etc/passwd",
        ] {
            assert!(Content::of(name).is_none(), "{name}");
        }
    }
}
