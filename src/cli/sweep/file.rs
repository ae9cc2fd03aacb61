//! The file of a sweep: which runs it asks for ([`Sweep::read`]).

use std::path::Path;

use sac_report::experiment::{Experiment, Group, check_folders};

use crate::{cli::many::planned::Planned, error::Result};

/// What a file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// Threads of an update in every run: it is a part of what a run is, and does not depend on the machine.
    pub threads: u64,
    /// Every run, those with the same seed together, so that all settings get one seed before any gets two.
    pub runs: Vec<Planned>,
}

impl Sweep {
    /// Reads a file. What concerns tables of results alone is of no account.
    ///
    /// # Errors
    /// All that is wrong with it, at once.
    pub fn read(path: &Path) -> Result<Sweep> {
        let experiment = Experiment::read_for(path, |experiment, problems| {
            check_folders(experiment.groups.iter(), folder, problems);
        })?;
        let runs_with = |seed: u64| experiment.groups.iter().map(move |group| planned(group, seed));
        Ok(Sweep {
            threads: experiment.threads,
            runs: experiment.seeds.iter().flat_map(|seed| runs_with(*seed)).collect(),
        })
    }
}

fn planned(group: &Group, seed: u64) -> Planned {
    Planned {
        folder: format!("{}/seed-{seed}", folder(group)),
        label: group.label.clone(),
        env: group.env.clone(),
        algo: group.algo.clone(),
        env_steps: group.env_steps,
        seed,
        config: group.config.clone(),
        set: group.set.clone(),
    }
}

/// The folder of a group's runs.
fn folder(group: &Group) -> String {
    format!("{}/{}", plain(&group.env), plain(&group.label))
}

/// A name as part of a path.
fn plain(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "-.=,".contains(c) => c,
        _ => '_',
    };
    name.replace(", ", ",").chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sweep> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).expect("written");
        Sweep::read(&path)
    }

    #[test]
    fn a_sweep_is_every_environment_algorithm_combination_and_seed_with_the_seeds_outermost() {
        let sweep = read(
            "seeds = [3, 7]\n[[group]]\nenv = ['E-v1', 'py:F']\nalgo = ['sac', 'tqc']\nenv_steps = 10\n\
             set = ['train.batch_size=8']\ngrid = { agent.gamma = [0.9, 0.99] }\n",
        )
        .expect("a sweep");
        assert_eq!(sweep.runs.len(), 2 * 2 * 2 * 2);
        assert!(sweep.runs[..8].iter().all(|run| run.seed == 3));
        let last = &sweep.runs[15];
        assert_eq!(last.folder, "py_F/tqc,gamma=0.99/seed-7");
        assert_eq!(last.label, "tqc, gamma=0.99");
        assert_eq!(last.set, ["train.batch_size=8", "agent.gamma=0.99"]);
        assert!(last.is_replicate_of(&sweep.runs[7]) && !last.is_replicate_of(&sweep.runs[6]));
    }

    #[test]
    fn learning_experiments_are_sweeps_too() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/experiments");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).expect("there").flatten() {
            let sweep = Sweep::read(&entry.path()).unwrap_or_else(|error| panic!("{error}"));
            assert!(!sweep.runs.is_empty());
            count += 1;
        }
        assert!(count > 20, "only {count} files");
    }

    #[test]
    fn two_groups_never_train_into_one_folder() {
        let group = |label: &str| format!("[[group]]\nlabel = '{label}'\nenv = 'E'\nalgo = 'sac'\nenv_steps = 5\n");
        let error = read(&format!("seed = 1\n{}{}", group("A b"), group("A:b"))).expect_err("one folder");
        let text = error.to_string();
        for problem in [
            "3 problems, nothing was started",
            "no such key: `seed`; did you mean `seeds`?",
            "`A b` on E and `A:b` on E have the same folder",
        ] {
            assert!(text.contains(problem), "{problem}: {text}");
        }
        assert!(error.is_users());
    }
}
