//! Which run comes next.

use sac_report::experiment::Experiment;

use super::experiment::{Run, runs_of};

/// Seed by seed, so that every group has a run before any has two.
pub(super) fn by_seed<'a>(experiments: &[&'a Experiment]) -> Vec<Run<'a>> {
    let mut runs = Vec::new();
    for experiment in experiments {
        let mut all: Vec<Run> = runs_of(experiment).collect();
        all.sort_by_key(|run| run.seed);
        runs.extend(all);
    }
    runs
}

/// The order that completes tables soonest: stage by stage; within a stage the task that lacks fewest runs, with all its
/// algorithms, before the next. A run that has begun comes before the others of its stage.
///
/// `begun` says how far a run got, 0 to 1; the runs are those that are left.
pub(super) fn by_stage<'a>(left: Vec<Run<'a>>, begun: impl Fn(&Run) -> f64) -> Vec<Run<'a>> {
    let stage = |run: &Run| {
        let stages = run.experiment.seeds_by_stage();
        stages.iter().position(|seeds| seeds.contains(&run.seed))
    };
    let task = |run: &Run| (stage(run), run.experiment.name.clone(), run.group.env.clone());
    let lacking = |run: &Run| left.iter().filter(|other| task(other) == task(run)).count();
    let mut keyed: Vec<_> = left
        .iter()
        .enumerate()
        .map(|(place, run)| {
            let remaining = ((1.0 - begun(run)) * 1e6) as u64;
            // Groups stand together by task, so the place keeps tasks apart that lack as many.
            let first = left.iter().position(|other| task(other) == task(run));
            let has_begun = remaining < 1_000_000;
            let key = (
                stage(run),
                !has_begun,
                if has_begun { remaining } else { 0 },
                lacking(run),
                first,
                run.seed,
                place,
            );
            (key, *run)
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    keyed.into_iter().map(|(_, run)| run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::curves::experiment::tests::read_text;

    #[test]
    fn a_stage_is_completed_task_by_task_before_the_next_one_begins() {
        let text = "title = 'T'\nseeds = 3\nstages = [2, 3]\n\
                    [[group]]\nlabel = 'A'\nenv = ['E', 'F']\nalgo = 'sac'\nenv_steps = 10\n\
                    [[group]]\nlabel = 'B'\nenv = ['E', 'F']\nalgo = 'tqc'\nenv_steps = 10\n";
        let experiment = read_text(text).unwrap_or_else(|e| panic!("{e}"));
        let order = |without: &[&str], begun: &str| {
            let name = |run: &Run| format!("{}{}{}", run.group.env, run.group.label, run.seed);
            let left = runs_of(&experiment)
                .filter(|run| !without.contains(&name(run).as_str()))
                .collect();
            let runs = by_stage(left, |run| if name(run) == begun { 0.5 } else { 0.0 });
            runs.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order(&[], ""), "EA1 EB1 EA2 EB2 FA1 FB1 FA2 FB2 EA3 EB3 FA3 FB3");
        // F lacks one run of its first stage, and E four.
        assert!(order(&["FA1", "FB1", "FA2"], "").starts_with("FB2 EA1 EB1 EA2 EB2 EA3"));
        assert!(
            order(&[], "FB2").starts_with("FB2 EA1"),
            "what has begun is completed first"
        );
        assert!(
            order(&[], "EB3").starts_with("EA1 EB1 EA2 EB2 FA1 FB1 FA2 FB2 EB3"),
            "within its stage"
        );
    }
}
