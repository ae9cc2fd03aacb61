//! Checkpoints: folders of safetensors and JSON files with the whole state of a run: [`Checkpoint`],
//! [`CheckpointStore`].
//!
//! ```text
//! <folder>/manifest.json                            format, version, and a digest of every file
//!          state.json                               small values, by section
//!          <section>.safetensors                    tensors, by section
//!          <section>.<tensor>.<number>.safetensors  a block of a large tensor, such as the rows of a replay
//! ```
//!
//! A folder is written under a temporary name, synced and then renamed, so it is either complete or absent. Equal
//! states give equal bytes: there are no time stamps. When reading, every digest is checked before the data is used.
//!
//! A block that the previous checkpoint has too is not written again: both folders hold the same file (a hard link). Each
//! folder is complete on its own, whatever happens to the others.

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

use files::Earlier;
pub use files::FileDigest;
pub(crate) use files::{remove_dir, replace_dir};
pub use section::{Number, Section};

use crate::{
    error::{Error, Result},
    regular_file,
    schedule::{EnvSteps, GradSteps},
};

/// Version of the format described above. A program reads only its own version.
pub const FORMAT: u32 = 2;

const MANIFEST: &str = "manifest.json";
const STATE: &str = "state.json";

/// Far more than the list of a checkpoint's files takes.
const MOST_MANIFEST_BYTES: u64 = 64 << 20;

/// What a file of a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content<'a> {
    State,
    /// Tensors of a section.
    Section(&'a str),
    /// A block of a tensor of a section, with its number.
    Block(&'a str, &'a str, usize),
}

impl<'a> Content<'a> {
    /// What the file of this name holds; `None` if no checkpoint has such a file.
    fn of(name: &'a str) -> Option<Self> {
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

    fn section(self) -> Option<&'a str> {
        match self {
            Content::State => None,
            Content::Section(section) | Content::Block(section, ..) => Some(section),
        }
    }
}

fn block_name(section: &str, tensor: &str, number: usize) -> String {
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
    fn read(folder: &Path) -> Result<Self> {
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

impl Earlier {
    /// The checkpoint in a folder, if it can be read.
    fn open(folder: &Path) -> Option<Self> {
        let manifest = Manifest::read(folder).ok()?;
        Some(Earlier {
            folder: folder.to_path_buf(),
            files: manifest.files,
        })
    }
}

/// Writes `sections` to `folder`. An existing folder is replaced only when the new one is complete.
///
/// # Errors
/// When a file cannot be written. An existing folder is then unchanged.
pub fn write(folder: &Path, env_steps: EnvSteps, grad_steps: GradSteps, sections: &[Section<'_>]) -> Result<()> {
    write_sharing(folder, env_steps, grad_steps, sections, None)
}

/// [`write`]; blocks that `earlier` has are not written again.
fn write_sharing(
    folder: &Path,
    env_steps: EnvSteps,
    grad_steps: GradSteps,
    sections: &[Section<'_>],
    earlier: Option<&Earlier>,
) -> Result<()> {
    replace(folder, |temporary| {
        let mut files = BTreeMap::new();
        for section in sections {
            write_section(temporary, section, earlier, &mut files)?;
        }
        let states = sections
            .iter()
            .map(|section| (section.name.clone(), section.state.clone()));
        write_state(temporary, &states.collect(), &mut files)?;
        Ok(Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_string(),
            env_steps,
            grad_steps,
            files,
        })
    })
}

/// Puts a complete folder in the place of `folder`. `fill` writes its files, but not the manifest, which it returns.
fn replace(folder: &Path, fill: impl FnOnce(&Path) -> Result<Manifest>) -> Result<()> {
    let temporary = files::sibling(folder, "tmp");
    files::remove_dir(&temporary)?;
    let attempt = || {
        files::create_in_place(&temporary)?;
        let manifest = pretty(&fill(&temporary)?);
        files::write_synced(&temporary.join(MANIFEST), |out| out.write_all(&manifest))?;
        files::sync_dir(&temporary)?;
        files::replace_dir(&temporary, folder)
    };
    attempt().inspect_err(|_| {
        // An incomplete temporary folder does no harm, so failing to remove it is not an error.
        let _ = fs::remove_dir_all(&temporary);
    })
}

fn write_section(
    folder: &Path,
    section: &Section<'_>,
    earlier: Option<&Earlier>,
    digests: &mut BTreeMap<String, FileDigest>,
) -> Result<()> {
    let mut whole = Vec::new();
    for entry in &section.tensors {
        let blocks = entry.blocks();
        if blocks.is_empty() {
            whole.push(entry);
        }
        for (number, block) in blocks.iter().enumerate() {
            let name = block_name(&section.name, &entry.name, number);
            let digest = files::write_block(folder, &name, block, earlier)?;
            digests.insert(name, digest);
        }
    }
    if !whole.is_empty() {
        whole.sort_by(|a, b| a.name.cmp(&b.name));
        let name = format!("{}.safetensors", section.name);
        let digest = files::write_safetensors(&folder.join(&name), &whole)?;
        digests.insert(name, digest);
    }
    Ok(())
}

fn write_state(
    folder: &Path,
    states: &BTreeMap<String, serde_json::Value>,
    digests: &mut BTreeMap<String, FileDigest>,
) -> Result<()> {
    let state = pretty(states);
    let digest = files::write_synced(&folder.join(STATE), |out| out.write_all(&state))?;
    digests.insert(STATE.to_string(), digest);
    Ok(())
}

/// Takes the content of a section out of a checkpoint. The other files stay the same.
fn leave_out(folder: &Path, section: &str) -> Result<()> {
    let manifest = Manifest::read(folder)?;
    let holds_it = |name: &str| Content::of(name).is_some_and(|content| content.section() == Some(section));
    if !manifest.files.keys().any(|name| holds_it(name)) {
        return Ok(());
    }
    let path = folder.join(STATE);
    let mut states: BTreeMap<String, serde_json::Value> = regular_file::open(&path)
        .and_then(|file| serde_json::from_reader(BufReader::new(file)).map_err(Into::into))
        .map_err(Error::io(&path))?;
    states.insert(section.to_string(), serde_json::Value::Null);
    replace(folder, |temporary| {
        let mut files = manifest.files.clone();
        files.retain(|name, _| !holds_it(name) && name != STATE);
        for name in files.keys() {
            files::link_or_copy(&folder.join(name), &temporary.join(name))?;
        }
        write_state(temporary, &states, &mut files)?;
        Ok(Manifest { files, ..manifest })
    })
}

/// A value as indented JSON with a line break at the end. Its keys are text, and its numbers finite.
fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("keys are text: every section's state is a JSON value");
    bytes.push(b'\n');
    bytes
}

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
            let earlier = self.latest().and_then(|steps| Earlier::open(&self.path(steps)));
            write_sharing(&path, env_steps, grad_steps, sections, earlier.as_ref())?;
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

    /// Takes the content of a section out of all checkpoints but the one at `env_steps`.
    ///
    /// # Errors
    /// When one cannot be written anew; it is unchanged then.
    pub fn leave_out_before(&self, env_steps: EnvSteps, section: &str) -> Result<()> {
        let mut others = self.others(env_steps).into_iter();
        others.try_for_each(|steps| leave_out(&self.path(steps), section))
    }

    /// Env steps of the complete checkpoints besides the one at `env_steps`, in ascending order.
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

    /// Rows of 1000 numbers, 20 MB in five blocks.
    fn section(rows: &[f32]) -> Section<'_> {
        let mut section = Section::new("replay");
        section.put_rows("rows", &[rows.len() / 1000, 1000], rows);
        section.put_slice("few", &[3], &rows[..3]);
        section
    }

    fn blocks(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("there").flatten();
        let mut blocks: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().contains("replay.rows."))
            .collect();
        blocks.sort();
        blocks
    }

    #[test]
    fn blocks_that_did_not_change_are_shared_with_the_checkpoint_before_and_outlive_it() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = CheckpointStore::new(folder.path().join("checkpoints"), 1);
        let mut rows: Vec<f32> = (0..5_000_000).map(|number| number as f32).collect();
        let save = |at: u64, rows: &[f32]| {
            let at = EnvSteps(at);
            store.save(at, GradSteps(0), &[section(rows)]).expect("there is room")
        };
        let first = save(1, &rows);
        let inodes = |folder: &Path| {
            blocks(folder)
                .iter()
                .map(|path| fs::metadata(path).map(|of| of.ino()).expect("there"))
                .collect::<Vec<_>>()
        };
        let before = inodes(&first);
        assert_eq!(before.len(), 5);
        rows[2_500_000] = -1.0;
        rows.extend([7.0; 3000]);
        let second = save(2, &rows);
        assert!(!first.exists(), "only one is kept");
        let after = inodes(&second);
        let shared: Vec<bool> = before
            .iter()
            .zip(&after)
            .map(|(before, after)| before == after)
            .collect();
        assert_eq!(shared, [true, true, false, true, false]);

        let checkpoint = Checkpoint::read(&second, &[]).expect("whole");
        let read = checkpoint.section("replay").expect("there");
        section(&rows).check_tensors_of(&read).expect("the same shapes");
        let mut copy = vec![0.0f32; rows.len()];
        assert_eq!(read.copy_to("rows", &mut copy).expect("readable"), rows.len());
        assert!(copy == rows);
        // The same state in an empty folder gives the same bytes.
        let other = folder.path().join("other");
        write(&other, EnvSteps(2), GradSteps(0), &[section(&rows)]).expect("there is room");
        assert_eq!(
            fs::read(other.join(MANIFEST)).expect("there"),
            fs::read(second.join(MANIFEST)).expect("there")
        );
    }

    #[test]
    fn blocks_that_are_missing_or_damaged_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let rows = vec![1.0; 5_000_000];
        let at = folder.path().join("1");
        write(&at, EnvSteps(1), GradSteps(0), &[section(&rows)]).expect("there is room");
        let all = blocks(&at);
        let mut bytes = fs::read(&all[1]).expect("there");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&all[1], bytes).expect("writable");
        let error = Checkpoint::read(&at, &[]).err().expect("damaged").to_string();
        assert!(
            error.contains("replay.rows.000001.safetensors") && error.contains("digest"),
            "{error}"
        );
        // Without the block in the manifest, its number is missing.
        let mut manifest: Manifest =
            serde_json::from_slice(&fs::read(at.join(MANIFEST)).expect("there")).expect("JSON");
        manifest.files.remove("replay.rows.000001.safetensors");
        fs::write(at.join(MANIFEST), pretty(&manifest)).expect("writable");
        let checkpoint = Checkpoint::read(&at, &[]).expect("what it lists is whole");
        let error = checkpoint.section("replay").err().expect("a gap").to_string();
        assert!(error.contains("does not fit"), "{error}");
    }

    #[test]
    fn a_section_is_left_out_of_the_checkpoints_before() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = CheckpointStore::new(folder.path().join("checkpoints"), 3);
        let rows = vec![1.0; 2_000_000];
        for at in 1..=3 {
            let mut other = Section::new("critic");
            other.put_slice("weights", &[2], &rows[..2]);
            let sections = [section(&rows), other];
            store
                .save(EnvSteps(at), GradSteps(0), &sections)
                .expect("there is room");
        }
        store.leave_out_before(EnvSteps(3), "replay").expect("writable");
        for at in 1..=3 {
            let checkpoint = Checkpoint::read(&store.path(EnvSteps(at)), &[]).expect("whole");
            let replay = checkpoint.section("replay").expect("there");
            assert_eq!(replay.is_empty(), at < 3);
            assert_eq!(checkpoint.section("critic").expect("there").tensor_names().count(), 1);
        }
    }

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
