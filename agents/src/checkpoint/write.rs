//! Writing a checkpoint: [`write()`].

use std::{collections::BTreeMap, fs, io::BufReader, path::Path};

use super::{
    files::{self, Earlier, FileDigest},
    manifest::{Content, FORMAT, MANIFEST, Manifest, STATE, block_name, pretty},
    section::Section,
};
use crate::{
    error::{Error, Result},
    regular_file,
    schedule::{EnvSteps, GradSteps},
};

impl Earlier {
    /// The checkpoint in a folder, if it can be read.
    pub(super) fn open(folder: &Path) -> Option<Self> {
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
pub(super) fn write_sharing(
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
pub(super) fn leave_out(folder: &Path, section: &str) -> Result<()> {
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
