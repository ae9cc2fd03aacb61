//! Runs of different length or cadence, compared at the evaluations that all of them have: [`Curves`], [`Common`].

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    data::Record,
    error::{Error, Result},
    print::thousands,
};

/// The runs of a row with their curves.
pub(crate) struct Curves<'a> {
    pub(crate) label: &'a str,
    pub(crate) runs: &'a [&'a Record],
    /// Mean return by env steps, of each run.
    pub(crate) curves: Vec<BTreeMap<u64, f64>>,
}

impl<'a> Curves<'a> {
    pub(crate) fn of(env: &str, label: &'a str, runs: &'a [&'a Record]) -> Result<Self> {
        let mut seeds = BTreeMap::new();
        for run in runs {
            let Some(seed) = run.seed else { continue };
            if let Some(other) = seeds.insert(seed, run) {
                return Err(Error::Rows(format!(
                    "{label} on {env}: seed {seed} is there twice, in {} and {}; give runs with other settings another \
                     label, LABEL=PATH",
                    other.source.display(),
                    run.source.display()
                )));
            }
        }
        let curves = runs.iter().map(|run| Ok(run.curve()?.into_iter().collect()));
        Ok(Curves {
            label,
            runs,
            curves: curves.collect::<Result<_>>()?,
        })
    }
}

/// The evaluations that all runs of a task have.
pub(crate) struct Common {
    pub(crate) env_steps: BTreeSet<u64>,
    /// That some runs have others, in a sentence.
    pub(crate) note: Option<String>,
}

impl Common {
    pub(crate) fn of(env: &str, rows: &[Curves]) -> Result<Common> {
        let all = || rows.iter().flat_map(|row| &row.curves);
        let steps = |curve: &BTreeMap<u64, f64>| curve.keys().copied().collect::<BTreeSet<u64>>();
        let env_steps = all()
            .map(steps)
            .reduce(|common, other| &common & &other)
            .unwrap_or_default();
        let Some(last) = env_steps.last().copied() else {
            return Err(Error::Rows(format!("the runs on {env} have no evaluation in common")));
        };
        let is_same = all().all(|curve| curve.len() == env_steps.len());
        let longest = all().filter_map(|curve| curve.keys().last()).max();
        let note = (!is_same).then(|| {
            let until = match longest {
                Some(longest) if *longest > last => format!("; the longest run has {} env steps", thousands(*longest)),
                _ => String::new(),
            };
            format!(
                "Runs of different length or with evaluations at different env steps: final returns and comparisons are at \
                 the {} evaluations that all of them have, up to {} env steps{until}.",
                env_steps.len(),
                thousands(last)
            )
        });
        Ok(Common { env_steps, note })
    }
}
