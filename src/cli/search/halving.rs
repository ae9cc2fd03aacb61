//! Which trial is trained next, and how far: asynchronous successive halving (ASHA; Li et al. 2020, *A System for Massively
//! Parallel Hyperparameter Tuning*, algorithm 2), with as many trials as were asked for.
//!
//! Trials pause at *rungs*. Of those that have reached a rung, one in `reduction_factor` goes on to the next, the best first, as
//! soon as it is known to be among them. Where none may go on, a new trial begins. Where none is left to begin either, and no
//! trial has come to the end, the best goes on alone.

use super::{
    file::Prune,
    journal::{Ended, Trial},
};

/// The env steps at which trials pause, in their order; the last are the end. Each is an evaluation.
///
/// Counted from the end: the end itself, the end divided by the reduction factor, and so on, not below `min_env_steps`; then
/// rounded up to the next multiple of `every`, the period of evaluations.
pub fn rungs(env_steps: u64, prune: Option<Prune>, every: u64) -> Vec<u64> {
    let mut rungs = vec![env_steps];
    if let Some(Prune {
        min_env_steps,
        reduction_factor,
    }) = prune
    {
        let mut steps = env_steps as f64;
        loop {
            steps /= reduction_factor as f64;
            let rung = (steps.ceil() as u64).div_ceil(every) * every;
            if steps < min_env_steps as f64 {
                break;
            }
            if rung < rungs[rungs.len() - 1] {
                rungs.push(rung);
            }
        }
    }
    rungs.reverse();
    rungs
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A trial has not reached what it is to reach; perhaps a process trains it.
    GoOn(u64),
    /// A trial goes on to these env steps.
    Promote(u64, u64),
    /// A new trial begins.
    Begin,
}

/// All that may be done now, the most urgent first.
pub fn steps(trials: &[Trial], wanted: u64, rungs: &[u64], prune: Option<Prune>) -> Vec<Step> {
    let under_way = trials.iter().filter(|trial| trial.is_under_way());
    let mut steps: Vec<Step> = under_way.map(|trial| Step::GoOn(trial.number)).collect();
    for pair in rungs.windows(2).rev() {
        let factor = prune.map_or(u64::MAX, |prune| prune.reduction_factor) as usize;
        let promoted = best(trials, pair[0], factor).into_iter();
        let paused = promoted.filter(|trial| trial.ended.is_none() && trial.until == Some(pair[0]));
        steps.extend(paused.map(|trial| Step::Promote(trial.number, pair[1])));
    }
    if (trials.len() as u64) < wanted {
        steps.push(Step::Begin);
    }
    if steps.is_empty() {
        steps.extend(to_the_end(trials, rungs));
    }
    steps
}

/// The next step of the best trial, if none has come to the end.
fn to_the_end(trials: &[Trial], rungs: &[u64]) -> Option<Step> {
    let best = ranked(trials).into_iter().find(|trial| trial.ended.is_none())?;
    let (reached, _) = best.newest()?;
    let is_first = trials.iter().all(|trial| trial.ended != Some(Ended::Complete));
    let next = rungs.iter().find(|rung| **rung > reached)?;
    is_first.then_some(Step::Promote(best.number, *next))
}

/// The best of the trials that have reached a rung, one in `factor` of them; of equal ones, the earlier.
fn best(trials: &[Trial], rung: u64, factor: usize) -> Vec<&Trial> {
    let mut reached: Vec<(&Trial, f64)> = trials
        .iter()
        .filter_map(|trial| Some((trial, *trial.reports.get(&rung)?)))
        .collect();
    reached.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    reached.truncate(reached.len() / factor);
    reached.into_iter().map(|(trial, _)| trial).collect()
}

/// Trials in the order of what is known of them, the best first: those that got further, and of those that got as far, the ones
/// with higher values. Trials that failed come last; those without a value yet are left out.
pub fn ranked(trials: &[Trial]) -> Vec<&Trial> {
    let mut known: Vec<&Trial> = trials
        .iter()
        .filter(|trial| trial.failure().is_some() || trial.newest().is_some())
        .collect();
    let key = |trial: &Trial| match trial.newest() {
        Some((steps, value)) if trial.failure().is_none() => (steps, value),
        _ => (0, f64::NEG_INFINITY),
    };
    known.sort_by(|a, b| {
        let ((a_steps, a_value), (b_steps, b_value)) = (key(a), key(b));
        b_steps.cmp(&a_steps).then(b_value.total_cmp(&a_value))
    });
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRUNE: Option<Prune> = Some(Prune {
        min_env_steps: 1000,
        reduction_factor: 3,
    });

    #[test]
    fn rungs_are_evaluations_at_fractions_of_the_end() {
        assert_eq!(rungs(10_000, None, 1000), [10_000]);
        assert_eq!(rungs(9000, PRUNE, 1000), [1000, 3000, 9000]);
        assert_eq!(
            rungs(10_000, PRUNE, 1000),
            [2000, 4000, 10_000],
            "1111 and 3333, rounded up"
        );
        assert_eq!(rungs(10_000, PRUNE, 5000), [5000, 10_000], "no rung twice");
        assert_eq!(rungs(2000, PRUNE, 100), [2000], "666 are below the least");
    }

    /// Trains one step after another, where a trial's value is its number's remainder, and counts the env steps.
    fn worked(wanted: u64, value: impl Fn(u64) -> f64) -> (Vec<Trial>, u64) {
        let rungs = rungs(9000, PRUNE, 1000);
        let (mut trials, mut env_steps) = (Vec::<Trial>::new(), 0);
        while let Some(step) = steps(&trials, wanted, &rungs, PRUNE).first() {
            let (number, until) = match *step {
                Step::GoOn(number) => panic!("trial {number} was left"),
                Step::Promote(number, until) => (number, until),
                Step::Begin => (trials.len() as u64, rungs[0]),
            };
            if *step == Step::Begin {
                trials.push(Trial {
                    number,
                    ..Trial::default()
                });
            }
            let trial = &mut trials[number as usize];
            env_steps += until - trial.newest().map_or(0, |(steps, _)| steps);
            trial.until = Some(until);
            trial.reports.insert(until, value(number));
            trial.ended = (until == 9000).then_some(Ended::Complete);
        }
        (trials, env_steps)
    }

    #[test]
    fn one_in_three_goes_on_from_every_rung_and_the_best_to_the_end() {
        let value = |number: u64| ((number * 7) % 27) as f64;
        let (trials, env_steps) = worked(27, value);
        let reached = |steps: u64| trials.iter().filter(|trial| trial.reports.contains_key(&steps)).count();
        assert_eq!(reached(1000), 27);
        // Early ones may have gone on before better ones were known.
        assert!((9..=15).contains(&reached(3000)), "{}", reached(3000));
        assert!((3..=6).contains(&reached(9000)), "{}", reached(9000));
        let best = ranked(&trials)[0];
        assert_eq!((best.newest(), value(best.number)), (Some((9000, 26.0)), 26.0));
        assert!(env_steps < 27 * 9000 / 2, "{env_steps}: less than half of all");
    }

    #[test]
    fn of_few_trials_the_best_still_comes_to_the_end() {
        let (trials, _) = worked(2, |number| number as f64);
        let newest: Vec<_> = trials.iter().map(Trial::newest).collect();
        assert_eq!(newest, [Some((1000, 0.0)), Some((9000, 1.0))]);
    }

    #[test]
    fn what_was_cut_off_comes_first_and_what_failed_does_not_go_on() {
        let trial = |number, report: Option<f64>| Trial {
            number,
            until: Some(1000),
            reports: report.into_iter().map(|value| (1000, value)).collect(),
            ..Trial::default()
        };
        let mut trials = vec![
            trial(0, Some(1.0)),
            trial(1, Some(2.0)),
            trial(2, Some(3.0)),
            trial(3, None),
        ];
        let steps = |trials: &[Trial]| super::steps(trials, 5, &[1000, 3000, 9000], PRUNE);
        assert_eq!(steps(&trials), [Step::GoOn(3), Step::Promote(2, 3000), Step::Begin]);
        trials[2].ended = Some(Ended::Failed("why".to_string()));
        assert_eq!(steps(&trials), [Step::GoOn(3), Step::Begin]);
        let numbers: Vec<u64> = ranked(&trials).iter().map(|trial| trial.number).collect();
        assert_eq!(numbers, [1, 0, 2]);
    }
}
