//! The checkpoints of a run: [`CheckpointStore`].

use std::{fs, path::PathBuf};

use super::{
    files::{self, Earlier},
    manifest::MANIFEST,
    section::Section,
    write::{leave_out, write_sharing},
};
use crate::{
    error::Result,
    regular_file,
    schedule::{EnvSteps, GradSteps},
};

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

    /// Removes all checkpoints but the one at `env_steps`.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn keep_only(&self, env_steps: EnvSteps) -> Result<()> {
        let mut others = self.others(env_steps).into_iter();
        others.try_for_each(|steps| files::remove_atomically(&self.path(steps)))
    }

    /// Takes the content of a section out of the checkpoint at `env_steps`.
    ///
    /// # Errors
    /// When it cannot be written anew; it is unchanged then.
    pub fn leave_out_of(&self, env_steps: EnvSteps, section: &str) -> Result<()> {
        leave_out(&self.path(env_steps), section)
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
    use std::{cell::Cell, io, path::Path};

    use super::*;
    use crate::{
        checkpoint::{Checkpoint, Manifest, manifest::pretty, write},
        error::Error,
    };

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
