//! Recorded updates against the same updates made one by one, both on the device and with the same optimiser.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    compare::{Apart, Tensors},
    learner::{Algo, Batches, How, Learner, on},
    part::Place,
    tell::{newest_panic, tell},
};

const UPDATES: u64 = 100;
/// As between the device and the CPU after as many updates.
const TOLERANCE: f64 = 0.02;
/// Of the numbers that updates report, relative to 1 or their size.
const REPORT_TOLERANCE: f64 = 1e-3;

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
    end: Tensors,
    /// Of each update.
    reports: Vec<Vec<(&'static str, f64)>>,
    captures: Vec<Result<(), String>>,
}

fn learn(algo: Algo, place: Place, how: How) -> Result<Learned> {
    let device = place.device();
    let mut learner = Learner::new(algo, &[], device, how)?;
    let start = learner.tensors()?;
    let mut batches = Batches::new(algo, rows(place));
    let reports = (0..UPDATES)
        .map(|_| learner.update_and_read(&on(&batches.draw(), device)))
        .collect();
    Ok(Learned {
        start,
        end: learner.tensors()?,
        reports,
        captures: learner.captures.so_far(),
    })
}

pub fn run(algo: Algo, place: Place) -> Result<()> {
    tell("rows", json!(rows(place)));
    tell("tolerance", json!({ "part_of_the_way": TOLERANCE, "reports": REPORT_TOLERANCE }));
    let plain = learn(algo, place, How::NeverRecorded)?;
    let again = learn(algo, place, How::NeverRecorded)?;
    let from_run_to_run = Apart::of(&again.end, &plain.end, &plain.start)?;
    tell("from_run_to_run", from_run_to_run.to_json());

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

    let apart = Apart::of(&recorded.end, &plain.end, &plain.start)?;
    tell("parameters", apart.to_json());
    let (reports_apart, name) = reports_apart(&recorded.reports, &plain.reports)?;
    tell("reports", json!({ "largest_difference": reports_apart, "of": name }));
    ensure!(
        apart.of_way <= TOLERANCE,
        "recorded updates learn something else than the same updates one by one"
    );
    ensure!(
        reports_apart <= REPORT_TOLERANCE,
        "recorded updates report another {name} than the same updates one by one"
    );
    Ok(())
}

fn captures_as_json(captures: &[Result<(), String>]) -> Value {
    let made = captures.iter().filter(|capture| capture.is_ok()).count();
    json!({ "made": made, "refused": captures.len() - made })
}

/// The largest difference between numbers that two agents report, relative to their size or 1, and the name of that number.
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
