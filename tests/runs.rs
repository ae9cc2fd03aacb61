//! `sac runs`: what runs are, how far they got, how they ended; two of them compared; and room made.

use std::{
    fs,
    path::Path,
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{checkpoints, command, folder, sac, train, train_arguments};

const EVERY_40: &str = "eval.every={env_steps=40}";

fn listed(here: &Path, arguments: &[&str]) -> Vec<Value> {
    let said = sac(here, &[&["runs", "--json"], arguments].concat()).ok();
    said.json().as_array().expect("a list").clone()
}

/// The state of the only run.
fn state(here: &Path, run: &str) -> String {
    let runs = listed(here, &[run]);
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0]["state"].as_str().expect("text").to_string()
}

#[test]
fn runs_are_listed_with_their_differences_and_chosen_and_ordered_by_any_setting() {
    let here = folder();
    let here = here.path();
    for (run, gamma, seed) in [
        ("runs/a", "0.9", "1"),
        ("runs/b", "0.99", "1"),
        ("runs/c/d", "0.99", "12"),
    ] {
        let gamma = format!("agent.gamma={gamma}");
        train(here, run, "120", &["--seed", seed, "--set", &gamma, "--set", EVERY_40]);
    }
    let runs = listed(here, &[]);
    assert_eq!(runs.len(), 3, "in the folder `runs`");
    let evaluations = crate::support::evaluations(&here.join("runs/a"));
    let best = evaluations.iter().map(|(_, value)| *value).fold(f64::MIN, f64::max);
    assert_eq!(runs[0]["best"].as_f64(), Some(best));
    assert_eq!(runs[0]["last"].as_f64(), evaluations.last().map(|(_, value)| *value));
    assert_eq!(
        (&runs[0]["env_steps"], &runs[0]["total_env_steps"]),
        (&120.into(), &120.into())
    );
    assert!(
        runs[0]["bytes"].as_u64() > Some(10_000) && runs[0]["peak_memory_mib"].as_f64() > Some(10.0),
        "{}",
        runs[0]
    );

    let text = sac(here, &["runs"]).ok().stdout;
    let of = |run: &str| {
        text.lines()
            .find(|line| line.ends_with(run))
            .unwrap_or_else(|| panic!("{run}: {text}"))
    };
    for word in ["Pendulum-v1", "sac", "120/120", "finished", " gamma=0.9"] {
        assert!(of("a").contains(word), "{word}: {text}");
    }
    assert!(
        !text.contains("train.seed") && text.contains("3 runs: 3 finished"),
        "{text}"
    );

    let paths = |arguments: &[&str]| -> Vec<String> {
        let name = |run: &Value| {
            run["path"]
                .as_str()
                .expect("text")
                .trim_start_matches("runs/")
                .to_string()
        };
        listed(here, arguments).iter().map(name).collect()
    };
    assert_eq!(paths(&["--where", "agent.gamma=9.9e-1"]), ["b", "c/d"]);
    assert_eq!(paths(&["--where", "agent.gamma=0.99", "--where", "seed=1"]), ["b"]);
    assert_eq!(paths(&["--sort", "seed", "--reverse"])[0], "c/d", "as numbers");
    assert!(paths(&["--where", "state=failed"]).is_empty());
    sac(here, &["runs", "--where", "agent.gama=1"])
        .code(2)
        .says(&["no run has a setting `agent.gama`", "did you mean `agent.gamma`"]);
    sac(here, &["runs", "--where", "seed"]).code(2).says(&["KEY=VALUE"]);
    sac(here, &["runs", "none"]).code(2).says(&["none: No such file"]);

    let diff = sac(here, &["runs", "--diff", "runs/a", "runs/c/d", "--json"])
        .ok()
        .json();
    let keys: Vec<_> = diff["settings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["key"])
        .collect();
    assert_eq!(keys, ["agent.gamma", "train.seed"]);
    let first = &diff["settings"][0];
    assert_eq!((&first["a"], &first["b"]), (&"0.9".into(), &"0.99".into()));
    let text = sac(here, &["runs", "--diff", "runs/a", "runs/a"]).ok().stdout;
    assert_eq!(text, "settings: no difference\n\nprovenance: no difference\n");
    sac(here, &["runs", "--diff", "runs/a", "none"])
        .code(2)
        .says(&["none/config.toml"]);
}

#[test]
fn a_run_is_running_then_interrupted_and_finished_when_it_has_gone_on() {
    let here = folder();
    let here = here.path();
    let more = ["--quiet", "--set", "checkpoint.every={env_steps=100}"];
    let mut child = command(here, &train_arguments("run", "1000000", &more))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let began = Instant::now();
    while checkpoints(&here.join("run")).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint");
        sleep(Duration::from_millis(20));
    }
    let running = state(here, "run");
    child.kill().expect("it runs");
    child.wait().expect("a child");
    assert_eq!(running, "running");
    assert_eq!(state(here, "run"), "interrupted", "killed without a word");
    let at = *checkpoints(&here.join("run")).last().expect("some");
    sac(
        here,
        &["train", "--resume", "run", "--steps", &(at + 50).to_string(), "--quiet"],
    )
    .ok();
    assert_eq!(state(here, "run"), "finished");
}

#[test]
fn a_run_that_fails_says_why_until_it_goes_on() {
    let here = folder();
    let here = here.path();
    let more = [
        "--quiet",
        "--set",
        "agent.learning_rate=1000",
        "--set",
        "log.every={env_steps=10}",
    ];
    let said = sac(here, &train_arguments("run", "300", &more)).code(1);
    let runs = listed(here, &["run"]);
    assert_eq!(runs[0]["state"], "failed");
    let reason = runs[0]["reason"].as_str().expect("a reason");
    assert!(said.stderr.contains(reason), "{reason} is not what was said: {said}");
    assert!(
        sac(here, &["runs", "run"])
            .ok()
            .stdout
            .contains(&format!("failed: {reason}"))
    );
}

#[test]
fn finished_runs_are_pruned_and_keep_their_policies() {
    let here = folder();
    let here = here.path();
    let every = ["--quiet", "--set", "checkpoint.every={env_steps=40}", "--set", EVERY_40];
    train(here, "runs/a", "120", &every);
    train(here, "runs/b", "120", &every);
    // Longer than it was trained: not finished.
    let config = here.join("runs/b/config.toml");
    let text = fs::read_to_string(&config).expect("there");
    fs::write(&config, text.replace("total_env_steps = 120", "total_env_steps = 500")).expect("writable");
    assert!(checkpoints(&here.join("runs/a")).len() > 1);

    sac(here, &["runs", "--prune"]).code(2).says(&["--yes"]);
    assert!(
        checkpoints(&here.join("runs/a")).len() > 1,
        "nothing happens without an answer"
    );
    let before = checkpoints(&here.join("runs/b"));
    let score = || {
        sac(
            here,
            &["eval", "runs/a", "--checkpoint", "last", "--episodes", "2", "--json"],
        )
        .ok()
        .json()
    };
    let scored = score();
    let said = sac(here, &["runs", "--prune", "--yes"]).ok();
    assert!(said.stdout.contains("replays of 1 finished runs"), "{said}");
    assert_eq!(checkpoints(&here.join("runs/a")), [120]);
    assert!(!here.join("runs/a/checkpoints/120/replay.safetensors").exists());
    assert_eq!(checkpoints(&here.join("runs/b")), before, "not at its end");
    assert_eq!(score(), scored);
    assert_eq!(state(here, "runs/a"), "finished");
    let said = sac(here, &["runs", "--prune", "--yes"]).ok();
    assert_eq!(said.stdout, "no finished run has anything to remove\n");
}
