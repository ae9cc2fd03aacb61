//! The folder of a search: [`SearchFolder`].
//!
//! ```text
//! search.json                    what is searched, and how
//! journal.log                    the trials, as Optuna's journal storage has them
//! trial-<number>/seed-<n>/       a run like any other
//! best.toml                      the configuration of the best trial so far
//! .search/trial-<number>.log     what its processes said
//! .search/trial-<number>.claim   locked by the process that trains it
//! .search/turn                   locked by the process that decides what is next
//! .search/slurm.sh, slurm.job    the batch script and the number of its job, if there is one
//! ```

use std::path::{Path, PathBuf};

use sac_agents::regular_file;
use serde_json::Value;

use super::{
    file::{Search, trial_folder},
    journal::Journal,
};
use crate::{
    cli::many::{claim::Claim, is_unused, planned::Planned},
    error::{Error, Result},
    run,
};

const INDEX: &str = "search.json";
const JOURNAL: &str = "journal.log";
const OWN: &str = ".search";
const MOST_INDEX_BYTES: u64 = 16 << 20;

/// The folder of a search.
#[derive(Clone, Debug)]
pub struct SearchFolder {
    path: PathBuf,
}

impl SearchFolder {
    /// A folder as it is, without a look into it.
    pub fn new(path: &Path) -> SearchFolder {
        SearchFolder {
            path: path.to_path_buf(),
        }
    }

    /// The folder for a search: a new one, or one that holds this search already.
    ///
    /// # Errors
    /// When it holds another search, or something else; when it cannot be written.
    pub fn open(path: &Path, search: &Search, attributes: &[(&str, String)]) -> Result<SearchFolder> {
        let folder = SearchFolder::new(path);
        // Before anything is made.
        folder.check(search)?;
        let _turn = folder.turn()?;
        folder.check(search)?;
        let mut json =
            serde_json::to_vec_pretty(&described(search)?).map_err(|error| Error::Usage(error.to_string()))?;
        json.push(b'\n');
        run::write(&path.join(INDEX), &json)?;
        if !folder.journal().exists() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            folder.journal().create(&name, attributes)?;
        }
        Ok(folder)
    }

    /// Refuses a folder that holds another search, or something else.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self, search: &Search) -> Result<()> {
        let refused = |problem: String| Err(Error::Usage(format!("{}: {problem}", self.path.display())));
        let index = self.path.join(INDEX);
        if !index.exists() {
            return match is_unused(&self.path, OWN, INDEX) {
                true => Ok(()),
                false => refused("is no search and not empty; choose another --out".to_string()),
            };
        }
        let text = regular_file::read_text(&index, MOST_INDEX_BYTES).map_err(Error::io(&index))?;
        let found: Value = serde_json::from_str(&text).map_err(|error| Error::NotARun {
            path: index.clone(),
            problem: format!("is no search: {error}"),
        })?;
        let asked = described(search)?;
        let keys = |value: &Value| {
            value
                .as_object()
                .map(|object| object.keys().cloned().collect::<Vec<_>>())
        };
        let keys = [keys(&found), keys(&asked)].into_iter().flatten().flatten();
        let differing = keys.into_iter().find(|key| found[key] != asked[key]);
        match differing {
            None => Ok(()),
            Some(key) => refused(format!(
                "holds another search: `{key}` differs; only `trials` may; choose another --out"
            )),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of what is not a run.
    pub fn own(&self) -> PathBuf {
        self.path.join(OWN)
    }

    pub fn journal(&self) -> Journal {
        Journal::new(self.path.join(JOURNAL))
    }

    /// The turn of this process to read the journal and to write what follows from it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn turn(&self) -> Result<Claim> {
        Claim::wait_for(&self.own().join("turn"))
    }

    /// Takes a trial for this process; `None` while another has it.
    ///
    /// # Errors
    /// When the claim cannot be written.
    pub fn claim(&self, number: u64) -> Result<Option<Claim>> {
        Claim::take(&self.own().join(format!("{}.claim", trial_folder(number))))
    }

    /// The folder of a run.
    pub fn run(&self, run: &Planned) -> PathBuf {
        self.path.join(&run.folder)
    }

    /// What the processes of a trial said.
    pub fn log(&self, number: u64) -> PathBuf {
        self.own().join(format!("{}.log", trial_folder(number)))
    }

    /// The configuration of the best trial.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.toml")
    }
}

fn described(search: &Search) -> Result<Value> {
    serde_json::to_value(search).map_err(|error| Error::Usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::search::{
        file::Objective,
        sampler::Sampler,
        space::{Parameter, Range, Space},
    };

    fn search(trials: u64, objective: Objective) -> Search {
        let gamma = Parameter {
            key: "agent.gamma".to_string(),
            range: Range::Float {
                min: 0.9,
                max: 0.99,
                log: false,
                step: None,
            },
            when: Default::default(),
        };
        Search {
            env: "E".to_string(),
            algo: "sac".to_string(),
            env_steps: 10,
            config: None,
            set: Vec::new(),
            seeds: vec![1],
            threads: 1,
            objective,
            sampler: Sampler::Tpe,
            seed: 1,
            prune: None,
            space: Space(vec![gamma]),
            trials,
        }
    }

    #[test]
    fn a_folder_takes_its_search_again_and_a_longer_one_but_no_other() {
        let here = tempfile::tempdir().expect("a temporary folder");
        let path = here.path().join("x");
        for trials in [5, 5, 8, 3] {
            SearchFolder::open(&path, &search(trials, Objective::Last), &[]).expect("the same");
        }
        let error = SearchFolder::open(&path, &search(5, Objective::Best), &[])
            .expect_err("another")
            .to_string();
        assert!(error.contains("holds another search: `objective` differs"), "{error}");
        fs::write(here.path().join("file"), "").expect("written");
        let error = SearchFolder::open(here.path(), &search(5, Objective::Last), &[])
            .expect_err("not empty")
            .to_string();
        assert!(error.contains("is no search and not empty"), "{error}");
    }
}
