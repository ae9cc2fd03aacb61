//! Recorded updates against the same updates made one by one, both on the device.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    compare::{Apart, Tensors},
    learner::{Algo, Batches, How, Learner, on},
    part::{Place, correctness::Tolerance},
    tell::{newest_panic, tell},
};

/// After so many updates agents are compared. By the first look each kind of update is repeated already.
fn looks(place: Place) -> [usize; 2] {
    match place {
        Place::Gpu => [20, 100],
        Place::Cpu => [10, 20],
    }
}

/// Of the numbers that updates report, relative to 1 or their size.
const REPORT_TOLERANCE: f64 = 1e-3;
/// Where two runs without graphs differ, as libraries may choose, so many times as much is allowed.
const TIMES_RUN_TO_RUN: f64 = 3.0;

/// Rows of a batch.
fn rows(place: Place) -> i64 {
    match place {
        Place::Gpu => 256,
        Place::Cpu => 16,
    }
}

/// What an agent learned.
struct Learned {
    start: Tensors,
    /// At each look.
    tensors: [Tensors; 2],
    /// Of each update.
    reports: Vec<Vec<(&'static str, f64)>>,
    captures: Vec<Result<(), String>>,
}

fn learn(algo: Algo, place: Place, how: How) -> Result<Learned> {
    let device = place.device();
    let mut learner = Learner::new(algo, &[], device, how)?;
    let start = learner.tensors()?;
    let mut batches = Batches::new(algo, rows(place));
    let mut reports = Vec::new();
    let mut until = |updates: usize| {
        while reports.len() < updates {
            reports.push(learner.update_and_read(&on(&batches.draw(), device)));
        }
        learner.tensors()
    };
    let [first, last] = looks(place);
    let tensors = [until(first)?, until(last)?];
    Ok(Learned {
        start,
        tensors,
        reports,
        captures: learner.captures.so_far(),
    })
}

/// How far two agents are apart at each look, and in what they report.
struct Difference {
    looks: [Apart; 2],
    reports: f64,
    reports_in: &'static str,
}

impl Difference {
    fn between(found: &Learned, expected: &Learned) -> Result<Self> {
        let look = |index: usize| Apart::of(&found.tensors[index], &expected.tensors[index], &expected.start);
        let (reports, reports_in) = reports_apart(&found.reports, &expected.reports)?;
        Ok(Difference {
            looks: [look(0)?, look(1)?],
            reports,
            reports_in,
        })
    }

    fn to_json(&self, place: Place) -> Value {
        let [first, last] = looks(place);
        json!({
            format!("after_{first}"): self.looks[0].to_json(),
            format!("after_{last}"): self.looks[1].to_json(),
            "reports": { "relative": self.reports, "relative_in": self.reports_in },
        })
    }
}

pub fn run(algo: Algo, place: Place) -> Result<()> {
    let tolerance = Tolerance::of(algo);
    tell("rows", json!(rows(place)));
    tell("tolerance", tolerance.to_json());
    tell("tolerance_of_reports", json!(REPORT_TOLERANCE));
    let plain = learn(algo, place, How::Reference)?;
    let run_to_run = Difference::between(&learn(algo, place, How::Reference)?, &plain)?;
    tell("from_run_to_run", run_to_run.to_json(place));

    let recorded = learn(algo, place, How::Recorded)?;
    tell("captures", captures_as_json(&recorded.captures));
    if let Some(problem) = recorded.captures.iter().find_map(|capture| capture.as_ref().err()) {
        // A panic within a capture is caught there; it knows more than the message that was made of it.
        if let Some(panic) = newest_panic() {
            tell("refused_at", panic);
        }
        bail!("an update cannot be captured: {problem}");
    }
    ensure!(!recorded.captures.is_empty(), "no update was captured");

    let difference = Difference::between(&recorded, &plain)?;
    tell("with_graphs", difference.to_json(place));
    for ((updates, apart), chance) in looks(place).into_iter().zip(&difference.looks).zip(&run_to_run.looks) {
        let allowed = Tolerance {
            of_way: tolerance.of_way.max(TIMES_RUN_TO_RUN * chance.of_way),
            relative: tolerance.relative.max(TIMES_RUN_TO_RUN * chance.relative),
        };
        ensure!(
            allowed.holds(apart),
            "recorded updates learn something else than the same updates one by one, after {updates}: {apart}"
        );
    }
    ensure!(
        difference.reports <= REPORT_TOLERANCE.max(TIMES_RUN_TO_RUN * run_to_run.reports),
        "recorded updates report another {} than the same updates one by one: {:.1e} of it",
        difference.reports_in,
        difference.reports
    );
    Ok(())
}

fn captures_as_json(captures: &[Result<(), String>]) -> Value {
    let made = captures.iter().filter(|capture| capture.is_ok()).count();
    json!({ "made": made, "refused": captures.len() - made })
}

/// The largest difference between numbers that two agents report, relative to their size or 1, and the name of that
/// number.
fn reports_apart(
    found: &[Vec<(&'static str, f64)>],
    expected: &[Vec<(&'static str, f64)>],
) -> Result<(f64, &'static str)> {
    let mut worst = (0.0, "number");
    for (found, expected) in found.iter().zip(expected) {
        let names = |report: &[(&'static str, f64)]| report.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        ensure!(names(found) == names(expected), "updates report different things");
        for ((name, found), (_, expected)) in found.iter().zip(expected) {
            let apart = (found - expected).abs() / expected.abs().max(1.0);
            ensure!(!apart.is_nan(), "{name} is not a number");
            if apart > worst.0 {
                worst = (apart, name);
            }
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_differs_most_is_named() {
        let expected = vec![vec![("a", 1.0), ("b", 100.0)], vec![("a", 1.0), ("b", 100.0)]];
        let mut found = expected.clone();
        assert_eq!(reports_apart(&found, &expected).expect("comparable").0, 0.0);
        found[1][1].1 = 110.0;
        found[0][0].1 = 1.05;
        let (apart, name) = reports_apart(&found, &expected).expect("comparable");
        assert!((apart - 0.1).abs() < 1e-12 && name == "b");
        found[0][0].1 = f64::NAN;
        assert!(reports_apart(&found, &expected).is_err());
    }
}
