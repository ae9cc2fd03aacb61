//! Statistics against those of the Python package rliable: `golden_statistics.json`, which `golden_statistics.py` writes.

use sac_report::{
    resamples::Resamples,
    statistics::{
        RESAMPLES, Scores, estimate, interquartile_mean, mean_score, median_of_tasks, optimality_gap,
        probability_of_improvement,
    },
};
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
            ("median_x", median_of_tasks(&x)),
            ("mean_x", mean_score(&x)),
            ("optimality_gap_x", optimality_gap(&x)),
            ("share_of_x_above_1", share_above_1(&case["x"])),
            ("probability_of_improvement", probability_of_improvement(&x, &y)),
        ] {
            let expected = case[name].as_f64().expect("a number");
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(error < 1e-9, "{}, {name}: {found} is not {expected}", case["name"]);
        }
    }
}

fn share_above_1(tasks: &Value) -> f64 {
    let runs = |task: &Value| {
        task.as_array()
            .expect("runs")
            .iter()
            .filter_map(Value::as_f64)
            .collect::<Vec<_>>()
    };
    let tasks: Vec<Vec<f64>> = tasks.as_array().expect("tasks").iter().map(runs).collect();
    let lengths: Vec<usize> = tasks.iter().map(Vec::len).collect();
    Resamples::new(&lengths, 1).share_above(&tasks.concat(), 1.0).value
}

#[test]
fn intervals_are_those_of_rliable_to_the_error_of_resampling() {
    let cases: Value = serde_json::from_str(include_str!("golden_statistics.json")).expect("JSON");
    for case in cases.as_array().expect("a list") {
        let found = estimate(&scores(&case["x"]), RESAMPLES, interquartile_mean);
        let [low, high] = [0, 1].map(|end| case["iqm_x_interval"][end].as_f64().expect("a number"));
        let tolerance = 0.06 * (high - low);
        let is_near = (found.low - low).abs() < tolerance && (found.high - high).abs() < tolerance;
        assert!(is_near, "{}: {found:?} is not [{low}, {high}]", case["name"]);
    }
}
