//! Reading a checkpoint: [`Checkpoint`].

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{BufReader, Seek},
    path::{Path, PathBuf},
};

use sac_envs::EnvError;
use safetensors::{SafeTensors, tensor::TensorView};

use super::{
    files,
    manifest::{Content, FORMAT, MANIFEST, MOST_MANIFEST_BYTES, Manifest, STATE},
    section::{self, Section},
};
use crate::{
    error::{Error, Result},
    regular_file,
    schedule::{EnvSteps, GradSteps},
};

/// The tensors of a section.
enum Tensors {
    /// In safetensors format.
    Memory(Vec<u8>),
    /// In a file whose digest was right.
    File(File),
    /// A block of one of them, in such a file. It is opened again when it is needed: there may be more of them than a
    /// process can hold open.
    Block(PathBuf),
}

/// A checkpoint with all digests checked. Tensors stay in their files until they are asked for, so that a large replay is
/// never in memory twice.
pub struct Checkpoint {
    folder: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    state: BTreeMap<String, serde_json::Value>,
    files: BTreeMap<String, Tensors>,
}

impl Checkpoint {
    /// The text of a checkpoint's manifest, which no two different checkpoints share; `None` if there is none.
    pub fn manifest_text(folder: &Path) -> Option<String> {
        regular_file::read_text(&folder.join(MANIFEST), MOST_MANIFEST_BYTES).ok()
    }

    /// Reads and checks the sections in `wanted`, or all sections if it is empty.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when a file is missing, truncated, altered or of another format.
    pub fn read(folder: &Path, wanted: &[&str]) -> Result<Checkpoint> {
        let manifest = Manifest::read(folder)?;
        let mut files = BTreeMap::new();
        for (name, expected) in &manifest.files {
            let content = Content::of(name);
            let section = content.and_then(Content::section).unwrap_or("state");
            if !wanted.is_empty() && name != STATE && !wanted.contains(&section) {
                continue;
            }
            let path = folder.join(name);
            let file = files::open_checked(&path, expected).map_err(|problem| Error::Checkpoint {
                path: path.clone(),
                section: section.to_string(),
                problem,
            })?;
            let tensors = match content {
                Some(Content::Block(..)) => Tensors::Block(path),
                _ => Tensors::File(file),
            };
            files.insert(name.clone(), tensors);
        }
        let path = folder.join(STATE);
        let state = match files.remove(STATE) {
            Some(Tensors::File(mut file)) => file
                .rewind()
                .map_err(|error| error.to_string())
                .and_then(|()| serde_json::from_reader(BufReader::new(file)).map_err(|error| error.to_string())),
            _ => Err("not listed in the manifest".to_string()),
        };
        let state = state.map_err(|problem| Error::Checkpoint {
            path,
            section: "state".into(),
            problem,
        })?;
        Ok(Checkpoint {
            folder: folder.to_path_buf(),
            manifest,
            state,
            files,
        })
    }

    /// The checkpoint that would be read after writing `sections`.
    ///
    /// # Errors
    /// When a section cannot be serialised.
    pub fn in_memory(env_steps: EnvSteps, grad_steps: GradSteps, sections: &[Section<'_>]) -> Result<Checkpoint> {
        let mut state = BTreeMap::new();
        let mut files = BTreeMap::new();
        for section in sections {
            state.insert(section.name.clone(), section.state.clone());
            if section.tensors.is_empty() {
                continue;
            }
            let entries = section.tensors.iter().map(|entry| (entry.name.as_str(), entry));
            let bytes = safetensors::serialize(entries, None)
                .map_err(|error| Error::section(&section.name, error.to_string()))?;
            files.insert(format!("{}.safetensors", section.name), Tensors::Memory(bytes));
        }
        Ok(Checkpoint {
            folder: PathBuf::from("(in memory)"),
            manifest: Manifest {
                format: FORMAT,
                version: env!("CARGO_PKG_VERSION").to_string(),
                env_steps,
                grad_steps,
                files: BTreeMap::new(),
            },
            state,
            files,
        })
    }

    /// Adds the path of the file to an error that loading a section returned.
    pub fn locate(&self, error: Error) -> Error {
        let (section, problem) = match error {
            Error::Section { section, problem } => (section, problem),
            Error::Env(error @ EnvError::Snapshot { .. }) => ("envs".to_string(), error.to_string()),
            other => return other,
        };
        let of_section = |name: &&String| Content::of(name).is_some_and(|content| content.section() == Some(&section));
        let file = self.files.keys().find(of_section).map_or(STATE, String::as_str);
        Error::Checkpoint {
            path: self.folder.join(file),
            section,
            problem,
        }
    }

    /// Names of all sections.
    pub fn section_names(&self) -> BTreeSet<&str> {
        let of_files = self.files.keys().filter_map(|file| Content::of(file)?.section());
        self.state.keys().map(String::as_str).chain(of_files).collect()
    }

    /// The section `name`.
    ///
    /// # Errors
    /// When the checkpoint has no such section, or its tensors cannot be parsed.
    pub fn section<'a>(&'a self, name: &str) -> Result<Section<'a>> {
        let file = format!("{name}.safetensors");
        let bad = |problem: String| Error::Checkpoint {
            path: self.folder.join(&file),
            section: name.to_string(),
            problem,
        };
        let state = self
            .state
            .get(name)
            .ok_or_else(|| bad("the checkpoint has no such section".to_string()))?;
        let mut section = Section::new(name);
        section.state = state.clone();
        match self.files.get(&file) {
            None | Some(Tensors::Block(_)) => {}
            Some(Tensors::File(file)) => section.tensors = files::tensors_of(file).map_err(bad)?,
            Some(Tensors::Memory(bytes)) => {
                let tensors = SafeTensors::deserialize(bytes).map_err(|error| bad(error.to_string()))?;
                let entry = |(name, view): (String, TensorView<'a>)| section::Entry {
                    name,
                    dtype: view.dtype(),
                    shape: view.shape().to_vec(),
                    bytes: section::Bytes::Memory(Cow::Borrowed(view.data())),
                    in_blocks: false,
                };
                section.tensors = tensors.tensors().into_iter().map(entry).collect();
            }
        }
        self.add_blocks(&mut section)?;
        Ok(section)
    }

    /// Adds the tensors of a section that are in blocks.
    fn add_blocks(&self, section: &mut Section<'_>) -> Result<()> {
        for (name, file) in &self.files {
            let (Some(Content::Block(of, tensor, number)), Tensors::Block(path)) = (Content::of(name), file) else {
                continue;
            };
            if of != section.name {
                continue;
            }
            let added = files::block(path).and_then(|block| section.add_block(tensor, number, block));
            added.map_err(|problem| Error::Checkpoint {
                path: path.clone(),
                section: of.to_string(),
                problem,
            })?;
        }
        Ok(())
    }
}
