//! What of a finished run is of no more use, and removing it: [`Surplus`].

use std::{fs, path::Path};

use sac_agents::EnvSteps;
use sac_report::listing::bytes_on_disk;

use super::{folder::RunFolder, lock::FolderLock};
use crate::error::Result;

/// What only resuming needs of a finished run: the replay, and all checkpoints but the newest. The policies stay, in
/// `best` and in the newest checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surplus {
    newest: EnvSteps,
    /// Checkpoints besides the newest.
    pub checkpoints: usize,
    /// The space that is won, bytes.
    pub bytes: u64,
}

impl Surplus {
    /// That of a run; `None` where there is none.
    pub fn of(run: &RunFolder) -> Option<Surplus> {
        let store = run.checkpoints(1);
        let newest = store.latest()?;
        let folder = store.path(newest);
        let files = fs::read_dir(&folder).into_iter().flatten().flatten();
        let (replay, kept): (Vec<_>, Vec<_>) = files.partition(|file| is_of_replay(&file.path()));
        let kept: u64 = kept.iter().map(|file| bytes_on_disk_of_file(&file.path())).sum();
        let checkpoints = store.steps().len().saturating_sub(1);
        let all = folder.parent().map_or(0, bytes_on_disk);
        (checkpoints > 0 || !replay.is_empty()).then(|| Surplus {
            newest,
            checkpoints,
            bytes: all.saturating_sub(kept),
        })
    }

    /// Removes it.
    ///
    /// # Errors
    /// [`Error::InUse`](crate::Error::InUse) when a process trains in the folder; when something cannot be removed.
    pub fn remove(&self, run: &RunFolder) -> Result<()> {
        let _lock = FolderLock::acquire(run.path())?;
        run.check_links()?;
        let store = run.checkpoints(1);
        store.keep_only(self.newest)?;
        store.leave_out_of(self.newest, "replay")?;
        Ok(())
    }
}

fn is_of_replay(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("replay."))
}

fn bytes_on_disk_of_file(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
}
