//! The folder of several runs that differ in their seeds: [`SeedsFolder`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sac_agents::regular_file;
use sac_cli::args::MOST_SEEDS;
use serde::{Deserialize, Serialize};

use crate::{
    config::Config,
    error::{Error, Result},
    registry::Registry,
    run::{self, Changes, MOST_CONFIG_BYTES, RunFolder, SEEDS_FILE},
};

/// The seeds to train, and on how many threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// Root seeds, no two alike.
    pub seeds: Vec<u64>,
    /// Runs that are trained at the same time, each on a thread of its own.
    pub threads: u64,
}

impl Seeds {
    fn check(&self) -> Result<()> {
        let refused = |problem: String| Err(Error::Usage(format!("seeds: {problem}")));
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.seeds.iter().find(|seed| !seen.insert(**seed)) {
            return refused(format!("{twice} is there twice; runs of one seed are all alike"));
        }
        if let Some(large) = self.seeds.iter().find(|seed| i64::try_from(**seed).is_err()) {
            return refused(format!("{large} is too large, expected at most {}", i64::MAX));
        }
        if self.seeds.is_empty() || self.seeds.len() > MOST_SEEDS {
            let count = self.seeds.len();
            return refused(format!("there are {count}, expected between 1 and {MOST_SEEDS}"));
        }
        if self.threads == 0 {
            return refused("0 threads, expected at least 1".to_string());
        }
        Ok(())
    }

    /// For the name of a folder.
    fn name(&self) -> String {
        const LONGEST: usize = 48;
        let numbers: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let name = format!("seeds-{}", numbers.join("-"));
        if name.len() > LONGEST {
            format!("{}-seeds", self.seeds.len())
        } else {
            name
        }
    }
}

/// The folder of several runs that differ in their seeds.
#[derive(Clone, Debug)]
pub struct SeedsFolder {
    path: PathBuf,
    seeds: Seeds,
}

impl SeedsFolder {
    /// Makes a new folder, its parents included.
    ///
    /// # Errors
    /// As [`RunFolder::create`]; [`Error::Usage`] when there is no seed, or one twice.
    pub fn create(path: &Path, seeds: Seeds) -> Result<Self> {
        seeds.check()?;
        SeedsFolder::write_seeds(RunFolder::create(path)?, seeds)
    }

    /// Makes `runs/<env>/<algo>/<utc>-seeds-<seed>-<seed>…` below the current folder.
    ///
    /// # Errors
    /// As [`SeedsFolder::create`].
    pub fn create_default(config: &Config, seeds: Seeds) -> Result<Self> {
        seeds.check()?;
        SeedsFolder::write_seeds(RunFolder::create_stamped(config, &seeds.name())?, seeds)
    }

    fn write_seeds(folder: RunFolder, seeds: Seeds) -> Result<Self> {
        let path = folder.path().to_path_buf();
        let text = toml::to_string(&seeds).map_err(|error| Error::Usage(error.to_string()))?;
        run::write(&path.join(SEEDS_FILE), text.as_bytes())?;
        Ok(SeedsFolder { path, seeds })
    }

    /// Whether a folder holds the runs of several seeds.
    pub fn is_one(path: &Path) -> bool {
        path.join(SEEDS_FILE).is_file()
    }

    /// Opens an existing folder.
    ///
    /// # Errors
    /// [`Error::NotARun`] when it is none, or its list of seeds is not valid.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(SEEDS_FILE);
        let text = regular_file::read_text(&file, MOST_CONFIG_BYTES).map_err(Error::io(&file))?;
        let seeds: Result<Seeds> = toml::from_str(&text).map_err(|error| Error::Usage(error.message().to_string()));
        let seeds = seeds.and_then(|seeds| seeds.check().map(|()| seeds));
        match seeds {
            Ok(seeds) => Ok(SeedsFolder {
                path: path.to_path_buf(),
                seeds,
            }),
            Err(error) => Err(Error::NotARun {
                path: file,
                problem: error.to_string(),
            }),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder, which is new and holds no step of training.
    pub(crate) fn remove(&self) {
        // If it cannot be removed, the error before it is still the one to report.
        let _ = fs::remove_dir_all(&self.path);
    }

    /// The seeds, and the number of threads.
    pub fn seeds(&self) -> &Seeds {
        &self.seeds
    }

    /// The same folder, with another number of runs that are trained at the same time, at least 1.
    #[must_use]
    pub fn with_threads(mut self, threads: u64) -> Self {
        self.seeds.threads = threads.max(1);
        self
    }

    /// The folder of one run.
    pub(super) fn run_path(&self, seed: u64) -> PathBuf {
        self.path.join(format!("seed-{seed}"))
    }

    /// The configurations of its runs, in the order of the seeds, with changes over them. A run whose folder is gone is
    /// left out, with a warning, unless all are.
    ///
    /// # Errors
    /// When one cannot be read, does not resolve with this registry, or belongs to another seed; when all are gone.
    pub fn configs(&self, registry: &Registry, changes: &Changes) -> Result<Vec<Config>> {
        let is_there = |seed: &&u64| self.run_path(**seed).exists();
        let (there, gone): (Vec<u64>, Vec<u64>) = self.seeds.seeds.iter().partition(is_there);
        for seed in &gone {
            tracing::warn!("the folder of seed {seed} is gone; the other seeds go on without it");
        }
        if there.is_empty() {
            return Err(Error::NotARun {
                path: self.path.clone(),
                problem: "the folders of all seeds are gone".to_string(),
            });
        }
        let config_of = |seed: &u64| {
            let folder = RunFolder::open(self.run_path(*seed))?;
            let config = folder.config_with(changes, registry)?;
            if config.train.seed != *seed {
                return Err(Error::NotARun {
                    path: folder.path().to_path_buf(),
                    problem: format!("is a run of seed {}, expected {seed}", config.train.seed),
                });
            }
            Ok(config)
        };
        there.iter().map(config_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_named_after_its_seeds_as_long_as_they_are_few() {
        let name = |seeds: &[u64]| {
            let seeds = seeds.to_vec();
            Seeds { seeds, threads: 1 }.name()
        };
        assert_eq!(name(&[1, 2, 30]), "seeds-1-2-30");
        assert_eq!(name(&(1..=100).collect::<Vec<_>>()), "100-seeds");
    }
}
