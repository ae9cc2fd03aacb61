//! Statistics against those of the Python package rliable: `golden_statistics.json`, which `golden_statistics.py` writes.

use sac_report::statistics::{Scores, interquartile_mean, probability_of_improvement};
use serde_json::Value;

fn scores(tasks: &Value) -> Scores {
    let numbers = |runs: &Value| {
        runs.as_array()
            .expect("runs")
            .iter()
            .map(|run| run.as_f64().expect("a score"))
            .collect()
    };
    let tasks = tasks.as_array().expect("tasks").iter().map(numbers).collect();
    Scores::new(tasks).expect("whole")
}

#[test]
fn point_estimates_are_those_of_rliable() {
    let cases: Value = serde_json::from_str(include_str!("golden_statistics.json")).expect("JSON");
    let cases = cases.as_array().expect("a list");
    assert!(cases.len() >= 8);
    for case in cases {
        let (x, y) = (scores(&case["x"]), scores(&case["y"]));
        for (name, found) in [
            ("iqm_x", interquartile_mean(&x)),
            ("iqm_y", interquartile_mean(&y)),
            ("probability_of_improvement", probability_of_improvement(&x, &y)),
        ] {
            let expected = case[name].as_f64().expect("a number");
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-9, "{}, {name}: {found} is not {expected}", case["name"]);
        }
    }
}
