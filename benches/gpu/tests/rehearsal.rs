//! The program as it is run, on the CPU.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

/// Runs the program with these arguments; its report, if it wrote one, and what it said.
fn run(arguments: &[&str]) -> (Output, Option<Value>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_sac-gpu-rehearsal"))
        .args(arguments)
        .arg("--out")
        .arg(&path)
        .output()
        .expect("the program can be started");
    (output, read(&path))
}

fn read(path: &Path) -> Option<Value> {
    let text = fs::read_to_string(path).ok()?;
    Some(serde_json::from_str(&text).expect("a report is JSON"))
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
#[ignore = "takes over a minute; `cargo test -p sac-gpu-rehearsal -- --ignored`"]
fn everything_passes_on_a_cpu_and_every_number_is_there() {
    let (output, report) = run(&["--rehearse-on-cpu"]);
    let report = report.expect("a report");
    assert!(output.status.success(), "{}\n{report:#}", words(&output));
    assert_eq!(
        [&report["passed"], &report["complete"], &report["failures"]],
        [&json!(true), &json!(true), &json!([])]
    );
    let numbers = [
        "/parts/correctness~1sac/after_10/part_of_the_way",
        "/parts/correctness~1dsac-t-hybrid/after_1/relative",
        "/parts/correctness~1sac-pixels/after_10/relative",
        "/parts/graphs~1sac/captures/made",
        "/parts/graphs~1dsac-t-hybrid/with_graphs/after_20/relative",
        "/parts/graphs~1sac-pixels/with_graphs/reports/relative",
        "/parts/pendulum~1plain/mean_return",
        "/parts/speed~1sac/plain_16/updates_per_second",
        "/parts/speed~1dsac-t-hybrid/graphs_32/updates_per_second",
        "/parts/speed~1sac-pixels/graphs_16/updates_per_second",
    ];
    for pointer in numbers {
        let number = report.pointer(pointer);
        assert!(number.is_some_and(Value::is_number), "{pointer}\n{report:#}");
    }
    assert_eq!(report["parts"]["pendulum/graphs"]["outcome"], "skipped");
    assert_eq!(report["parts"]["capture"]["a product"], "passed");
}

#[test]
fn without_a_cuda_device_it_says_so_and_ends_with_2() {
    if tch::Cuda::is_available() {
        return; // this machine has one
    }
    let (output, report) = run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(words(&output).contains("no CUDA device"), "{}", words(&output));
    let report = report.expect("a report");
    assert_eq!((&report["passed"], &report["complete"]), (&json!(false), &json!(true)));
    assert_eq!(report["parts"]["environment"]["devices"], 0);
    assert_eq!(report["parts"].as_object().map(|parts| parts.len()), Some(1));
}

#[test]
fn without_time_nothing_runs_and_nothing_passes() {
    let (output, report) = run(&["--rehearse-on-cpu", "--minutes", "0", "--only", "speed"]);
    assert_eq!(output.status.code(), Some(1));
    let report = report.expect("a report");
    assert_eq!((&report["passed"], &report["complete"]), (&json!(false), &json!(true)));
    assert_eq!(report["parts"]["speed/sac"]["outcome"], "out of time");
    assert_eq!(report["failures"].as_array().map(Vec::len), Some(4), "{report:#}");
}

/// A limit on processor time, which every process has for itself, ends the run of the one part that takes long.
#[test]
fn a_part_that_dies_is_noted_and_the_others_have_their_turn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("report.json");
    let output = Command::new("sh")
        .args([
            "-c",
            "ulimit -t 4; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_sac-gpu-rehearsal"),
        ])
        .args(["--rehearse-on-cpu", "--only", "pendulum", "--out"])
        .arg(&path)
        .output()
        .expect("sh is there");
    let report = read(&path).expect("a report");
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    let parts = &report["parts"];
    assert_eq!(parts["pendulum/plain"]["outcome"], "died", "{report:#}");
    assert!(
        parts["pendulum/plain"]["died_of"]
            .as_str()
            .is_some_and(|how| how.starts_with("signal"))
    );
    assert_eq!(parts["pendulum/plain"]["env_steps"], 6000, "what it told before stays");
    assert_eq!(
        parts["pendulum/graphs"]["outcome"], "skipped",
        "the last part had its turn"
    );
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    for arguments in [&["--only", "nothing"][..], &["--minutes", "-1"], &["--part", "nothing"]] {
        let (output, report) = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(report.is_none(), "{arguments:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error_at_the_start() {
    let output = Command::new(env!("CARGO_BIN_EXE_sac-gpu-rehearsal"))
        .args(["--rehearse-on-cpu", "--out", "/nowhere/at-all/report.json"])
        .output()
        .expect("the program can be started");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words(&output).contains("/nowhere/at-all/report.json"),
        "{}",
        words(&output)
    );
}
