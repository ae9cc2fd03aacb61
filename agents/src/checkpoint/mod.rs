//! Checkpoints: folders of safetensors and JSON files with the whole state of a run: [`Checkpoint`],
//! [`CheckpointStore`].
//!
//! ```text
//! <folder>/manifest.json           format, version, and a digest of every file
//!          state.json              small values, by section
//!          <section>.safetensors   tensors, by section
//! ```
//!
//! A folder is written under a temporary name, synced and then renamed, so it is either complete or absent. Equal
//! states give equal bytes: there are no time stamps. When reading, every digest is checked before the data is used.

mod files;
mod section;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{BufReader, Seek},
    path::{Path, PathBuf},
};

use sac_envs::EnvError;
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

pub use files::FileDigest;
pub use section::{Number, Section};

use crate::{
    error::{Error, Result},
    regular_file,
    schedule::{EnvSteps, GradSteps},
};

/// Version of the format described above. A program reads only its own version.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.json";

/// Far more than the list of a checkpoint's files takes.
const MOST_MANIFEST_BYTES: u64 = 1 << 20;

/// Whether a checkpoint can have a file of this name: `state.json`, or `<section>.safetensors`.
fn is_name_of_a_file(name: &str) -> bool {
    let section = name.strip_suffix(".safetensors").unwrap_or_default();
    let is_section = !section.is_empty() && section.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    name == STATE || is_section
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

/// Writes `sections` to `folder`. An existing folder is replaced only when the new one is complete.
///
/// # Errors
/// When a file cannot be written. An existing folder is then unchanged.
pub fn write(folder: &Path, env_steps: EnvSteps, grad_steps: GradSteps, sections: &[Section<'_>]) -> Result<()> {
    let temporary = files::sibling(folder, "tmp");
    files::remove_dir(&temporary)?;
    let outcome =
        write_files(&temporary, env_steps, grad_steps, sections).and_then(|()| files::replace_dir(&temporary, folder));
    if outcome.is_err() {
        // An incomplete temporary folder does no harm, so failing to remove it is not an error.
        let _ = fs::remove_dir_all(&temporary);
    }
    outcome
}

fn write_files(folder: &Path, env_steps: EnvSteps, grad_steps: GradSteps, sections: &[Section<'_>]) -> Result<()> {
    files::create_in_place(folder)?;
    let mut digests = BTreeMap::new();
    let mut states = BTreeMap::new();
    for section in sections {
        states.insert(section.name.as_str(), &section.state);
        if section.tensors.is_empty() {
            continue;
        }
        let name = format!("{}.safetensors", section.name);
        let mut entries: Vec<_> = section.tensors.iter().collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let digest = files::write_safetensors(&folder.join(&name), &entries)?;
        digests.insert(name, digest);
    }
    let json = |value: &dyn erased::Json| value.pretty();
    let state = json(&states);
    digests.insert(
        STATE.to_string(),
        files::write_synced(&folder.join(STATE), |out| out.write_all(&state))?,
    );
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_string(),
        env_steps,
        grad_steps,
        files: digests,
    };
    let manifest = json(&manifest);
    files::write_synced(&folder.join(MANIFEST), |out| out.write_all(&manifest))?;
    files::sync_dir(folder)
}

mod erased {
    /// Values that can be formatted as indented JSON: keys must be strings, and numbers finite.
    pub(super) trait Json {
        fn pretty(&self) -> Vec<u8>;
    }
    impl<T: serde::Serialize> Json for T {
        fn pretty(&self) -> Vec<u8> {
            let mut bytes =
                serde_json::to_vec_pretty(self).expect("keys are text: every section's state is a JSON value");
            bytes.push(b'\n');
            bytes
        }
    }
}

/// The tensors of a section.
enum Tensors {
    /// In safetensors format.
    Memory(Vec<u8>),
    /// In a file whose digest was right.
    File(File),
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
    /// Reads and checks the sections in `wanted`, or all sections if it is empty.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when a file is missing, truncated, altered or of another format.
    pub fn read(folder: &Path, wanted: &[&str]) -> Result<Checkpoint> {
        let path = folder.join(MANIFEST);
        let bad_manifest = |problem: String| Error::Checkpoint {
            path: path.clone(),
            section: "manifest".into(),
            problem,
        };
        let text =
            regular_file::read_text(&path, MOST_MANIFEST_BYTES).map_err(|error| bad_manifest(error.to_string()))?;
        let text = text.into_bytes();
        let format = serde_json::from_slice::<serde_json::Value>(&text)
            .map_err(|error| bad_manifest(format!("not JSON ({error}); the file is damaged")))?;
        let written = format.get("format").and_then(serde_json::Value::as_u64);
        if written != Some(u64::from(FORMAT)) {
            let by = format.get("version").and_then(serde_json::Value::as_str).unwrap_or("?");
            let written = written.map_or("?".to_string(), |number| number.to_string());
            return Err(bad_manifest(format!(
                "written in format {written} by sac {by}; this is sac {}, which reads format {FORMAT}",
                env!("CARGO_PKG_VERSION")
            )));
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| bad_manifest(error.to_string()))?;
        // A name from a file must not lead out of the folder.
        if let Some(name) = manifest.files.keys().find(|name| !is_name_of_a_file(name)) {
            return Err(bad_manifest(format!("lists `{name}`, which no checkpoint has")));
        }
        if erased::Json::pretty(&manifest) != text {
            return Err(bad_manifest("the file is truncated or altered".to_string()));
        }

        let mut files = BTreeMap::new();
        for (name, expected) in &manifest.files {
            let section = name.strip_suffix(".safetensors").unwrap_or("state");
            if !wanted.is_empty() && name != STATE && !wanted.contains(&section) {
                continue;
            }
            let path = folder.join(name);
            let file = files::open_checked(&path, expected).map_err(|problem| Error::Checkpoint {
                path,
                section: section.to_string(),
                problem,
            })?;
            files.insert(name.clone(), Tensors::File(file));
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
        let tensors = format!("{section}.safetensors");
        let file = if self.files.contains_key(&tensors) {
            &tensors
        } else {
            STATE
        };
        Error::Checkpoint {
            path: self.folder.join(file),
            section,
            problem,
        }
    }

    /// Names of all sections.
    pub fn section_names(&self) -> BTreeSet<&str> {
        let of_files = self.files.keys().filter_map(|file| file.strip_suffix(".safetensors"));
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
            None => {}
            Some(Tensors::File(file)) => section.tensors = files::tensors_of(file).map_err(bad)?,
            Some(Tensors::Memory(bytes)) => {
                let tensors = SafeTensors::deserialize(bytes).map_err(|error| bad(error.to_string()))?;
                let entry = |(name, view): (String, TensorView<'a>)| section::Entry {
                    name,
                    dtype: view.dtype(),
                    shape: view.shape().to_vec(),
                    bytes: section::Bytes::Memory(Cow::Borrowed(view.data())),
                };
                section.tensors = tensors.tensors().into_iter().map(entry).collect();
            }
        }
        Ok(section)
    }
}

/// The folder with the checkpoints of a run: a subfolder `<env_steps>` for each, and a file `latest` with the newest
/// one.
pub struct CheckpointStore {
    folder: PathBuf,
    keep: usize,
}

impl CheckpointStore {
    /// A store that keeps the `keep` newest checkpoints, at least 1.
    pub fn new(folder: impl Into<PathBuf>, keep: usize) -> Self {
        CheckpointStore {
            folder: folder.into(),
            keep: keep.max(1),
        }
    }

    /// The folder of the checkpoint at `env_steps`.
    pub fn path(&self, env_steps: EnvSteps) -> PathBuf {
        self.folder.join(env_steps.to_string())
    }

    /// Writes a checkpoint, updates `latest`, and removes the oldest checkpoints beyond the number to keep. If the
    /// device is full, old checkpoints make room, except the newest, which stays until the new one is complete.
    ///
    /// # Errors
    /// When the checkpoint cannot be written. The newest of the others and `latest` are then unchanged.
    pub fn save(&self, env_steps: EnvSteps, grad_steps: GradSteps, sections: &[Section<'_>]) -> Result<PathBuf> {
        let path = self.path(env_steps);
        self.make_room(env_steps, || {
            write(&path, env_steps, grad_steps, sections)?;
            files::replace_file(&self.folder.join("latest"), format!("{env_steps}\n").as_bytes())
        })?;
        let mut others = self.others(env_steps);
        // The oldest are removed first.
        while others.len() >= self.keep {
            files::remove_atomically(&self.path(others.remove(0)))?;
        }
        Ok(path)
    }

    /// Calls `write` again, each time with one checkpoint less, for as long as the device is full and there is one
    /// besides the newest.
    fn make_room(&self, env_steps: EnvSteps, mut write: impl FnMut() -> Result<()>) -> Result<()> {
        loop {
            match (write(), self.others(env_steps).as_slice()) {
                (Err(error), [oldest, _, ..]) if error.is_full() => {
                    tracing::warn!("{error}; the checkpoint at {oldest} is removed to make room");
                    files::remove_atomically(&self.path(*oldest))?;
                }
                (outcome, _) => return outcome,
            }
        }
    }

    /// Env steps of the complete checkpoints before `env_steps`, in ascending order.
    fn others(&self, env_steps: EnvSteps) -> Vec<EnvSteps> {
        let mut steps = self.steps();
        steps.retain(|other| *other != env_steps);
        steps
    }

    /// Env steps of all complete checkpoints, in ascending order.
    pub fn steps(&self) -> Vec<EnvSteps> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut steps: Vec<_> = entries
            .filter(|entry| entry.path().join(MANIFEST).is_file())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(EnvSteps))
            .collect();
        steps.sort_unstable();
        steps
    }

    /// Env steps of the checkpoint in `latest`, or of the newest complete one if that is missing.
    pub fn latest(&self) -> Option<EnvSteps> {
        let named = regular_file::read_text(&self.folder.join("latest"), 64).ok();
        let named = named.and_then(|text| text.trim().parse().ok().map(EnvSteps));
        named
            .filter(|steps| self.path(*steps).is_dir())
            .or_else(|| self.steps().pop())
    }

    /// Removes checkpoints later than `env_steps`, which a run resumed there will write again, and temporary folders
    /// left by a killed process.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn forget_after(&self, env_steps: EnvSteps) -> Result<()> {
        self.steps()
            .into_iter()
            .filter(|steps| *steps > env_steps)
            .try_for_each(|steps| files::remove_atomically(&self.path(steps)))?;
        files::remove_temporaries(&self.folder)
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io};

    use super::*;

    fn store(folder: &Path, steps: &[u64]) -> CheckpointStore {
        let store = CheckpointStore::new(folder.join("checkpoints"), 5);
        for at in steps {
            store.save(EnvSteps(*at), GradSteps(0), &[]).expect("there is room");
        }
        store
    }

    fn full() -> Result<()> {
        Err(Error::io("x")(io::ErrorKind::StorageFull.into()))
    }

    #[test]
    fn a_full_device_costs_old_checkpoints_but_never_the_newest() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = store(folder.path(), &[1, 2, 3, 4]);
        let left = Cell::new(2);
        let outcome = store.make_room(EnvSteps(5), || match left.replace(left.get() - 1) {
            0 => Ok(()),
            _ => full(),
        });
        assert!(outcome.is_ok(), "there is room once two are gone");
        assert_eq!(store.steps(), [3, 4].map(EnvSteps));
        assert!(store.make_room(EnvSteps(5), full).is_err());
        assert_eq!(store.steps(), [EnvSteps(4)]);
    }

    #[test]
    fn other_failures_cost_no_checkpoint() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = store(folder.path(), &[1, 2]);
        let refused = || Err(Error::io("x")(io::ErrorKind::PermissionDenied.into()));
        assert!(store.make_room(EnvSteps(3), refused).is_err());
        assert_eq!(store.steps(), [1, 2].map(EnvSteps));
    }

    #[test]
    fn a_run_that_is_gone_does_not_come_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = folder.path().join("run");
        fs::create_dir(&run).expect("new");
        let store = store(&run, &[1]);
        fs::remove_dir_all(&run).expect("there");
        assert!(store.save(EnvSteps(2), GradSteps(0), &[]).is_err());
        assert!(!run.exists());
    }
}
