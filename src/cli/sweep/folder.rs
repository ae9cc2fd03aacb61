//! The folder of a sweep: [`SweepFolder`].
//!
//! ```text
//! sweep.json                        the runs, in the order in which they begin, and the threads of each
//! <env>/<label>/seed-<n>/           a run like any other
//! .sweep/<env>/<label>/seed-<n>.log what its processes said
//! .sweep/<env>/<label>/seed-<n>.claim  locked by the process whose turn the run is
//! .sweep/slurm.sh, slurm.job        the batch script and the number of its job, if there is one
//! ```

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use sac_agents::regular_file;
use serde::{Deserialize, Serialize};

use super::file::Sweep;
use crate::{
    cli::many::{claim::Claim, is_unused, planned::Planned},
    error::{Error, Result},
    run,
};

const INDEX: &str = "sweep.json";
const OWN: &str = ".sweep";

/// A hundred thousand runs with long settings.
const MOST_INDEX_BYTES: u64 = 256 << 20;

/// What the folder holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    threads: u64,
    runs: Vec<Planned>,
}

/// The folder of a sweep.
#[derive(Clone, Debug)]
pub struct SweepFolder {
    path: PathBuf,
}

impl SweepFolder {
    /// The folder for a sweep: a new one, or one that holds this sweep, or a part of it, already.
    ///
    /// # Errors
    /// When it holds another sweep, or something else; when it cannot be written.
    pub fn open(path: &Path, sweep: &Sweep) -> Result<SweepFolder> {
        let folder = SweepFolder {
            path: path.to_path_buf(),
        };
        // Before anything is made.
        folder.check(sweep)?;
        let own = folder.own();
        fs::create_dir_all(&own).map_err(Error::io(&own))?;
        // Held while the index is compared and written, against another process that starts the same sweep.
        let lock = File::open(&own).and_then(|own| own.lock().map(|()| own));
        let _lock = lock.map_err(Error::io(&own))?;
        folder.check(sweep)?;
        let index = Index {
            threads: sweep.threads,
            runs: sweep.runs.clone(),
        };
        let mut json = serde_json::to_vec_pretty(&index).map_err(|error| Error::Usage(error.to_string()))?;
        json.push(b'\n');
        run::write(&path.join(INDEX), &json)?;
        Ok(folder)
    }

    /// Refuses a folder that holds another sweep, or something else.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self, sweep: &Sweep) -> Result<()> {
        let refused = |problem: String| Err(Error::Usage(format!("{}: {problem}", self.path.display())));
        let index = self.path.join(INDEX);
        if !index.exists() {
            return match is_unused(&self.path, OWN, INDEX) {
                true => Ok(()),
                false => refused("is no sweep and not empty; choose another --out".to_string()),
            };
        }
        let text = regular_file::read_text(&index, MOST_INDEX_BYTES).map_err(Error::io(&index))?;
        let found: Index = serde_json::from_str(&text).map_err(|error| Error::NotARun {
            path: index.clone(),
            problem: format!("is no list of runs: {error}"),
        })?;
        if found.threads != sweep.threads {
            return refused(format!(
                "holds a sweep with threads = {}; choose another --out",
                found.threads
            ));
        }
        let missing: Vec<&Planned> = found.runs.iter().filter(|run| !sweep.runs.contains(run)).collect();
        match missing.first() {
            None => Ok(()),
            Some(run) => refused(format!(
                "holds another sweep: the file does not ask for {} of its {} runs, such as {}; choose another --out",
                missing.len(),
                found.runs.len(),
                run.folder
            )),
        }
    }

    /// A folder as it is, without a look into it.
    pub fn new(path: &Path) -> Self {
        SweepFolder {
            path: path.to_path_buf(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a run.
    pub fn run(&self, run: &Planned) -> PathBuf {
        self.path.join(&run.folder)
    }

    /// The folder of what is not a run.
    pub fn own(&self) -> PathBuf {
        self.path.join(OWN)
    }

    /// What the processes of a run said.
    pub fn log(&self, run: &Planned) -> PathBuf {
        self.own().join(format!("{}.log", run.folder))
    }

    /// Takes a run for this process; `None` while another has it.
    ///
    /// # Errors
    /// When the claim cannot be written.
    pub fn claim(&self, run: &Planned) -> Result<Option<Claim>> {
        Claim::take(&self.own().join(format!("{}.claim", run.folder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(seeds: &[u64]) -> Sweep {
        let run = |seed: &u64| Planned {
            folder: format!("E/A/seed-{seed}"),
            label: "A".to_string(),
            env: "E".to_string(),
            algo: "sac".to_string(),
            env_steps: 10,
            seed: *seed,
            config: None,
            set: Vec::new(),
        };
        Sweep {
            threads: 1,
            runs: seeds.iter().map(run).collect(),
        }
    }

    #[test]
    fn a_folder_takes_its_sweep_again_and_a_larger_one_but_no_other() {
        let here = tempfile::tempdir().expect("a temporary folder");
        let path = here.path().join("x");
        SweepFolder::open(&path, &sweep(&[1, 2])).expect("new");
        SweepFolder::open(&path, &sweep(&[1, 2])).expect("the same");
        SweepFolder::open(&path, &sweep(&[1, 2, 3])).expect("larger");
        let error = SweepFolder::open(&path, &sweep(&[1, 2]))
            .expect_err("smaller")
            .to_string();
        assert!(
            error.contains("does not ask for 1 of its 3 runs, such as E/A/seed-3"),
            "{error}"
        );
        let other = Sweep {
            threads: 2,
            ..sweep(&[1, 2, 3])
        };
        assert!(SweepFolder::open(&path, &other).is_err(), "other numbers");
        fs::write(here.path().join("file"), "").expect("written");
        let error = SweepFolder::open(here.path(), &sweep(&[1]))
            .expect_err("not empty")
            .to_string();
        assert!(error.contains("is no sweep and not empty"), "{error}");
    }
}
