//! `sac search`: the same trials whatever interrupts it, each once, in Optuna's storage, and all that is wrong before anything
//! starts.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::support::{assert_same_checkpoint, command, folder, python, sac, until};

/// Small networks on Pendulum, eight trials, a third of which go on.
const SEARCH: &str = "env = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = 900\ntrials = 8\nobjective = 'area'\n\
    set = ['agent.body.hidden=[16,16]', 'train.warmup_env_steps=50', 'replay.capacity=2000', 'eval.episodes=1', \
    'eval.every={env_steps=100}', 'checkpoint.every={env_steps=50}', 'log.every={env_steps=20}']\n\
    prune = { min_env_steps = 100, reduction_factor = 3 }\n\
    [space]\n\
    agent.learning_rate = { min = 1e-4, max = 1e-2, log = true }\n\
    train.batch_size = { choice = [16, 32] }\n";

fn start(here: &Path, out: &str) -> Child {
    let mut command = command(here, &["search", "x.toml", "--out", out, "--jobs", "1"]);
    let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
    silent.spawn().expect("starts")
}

fn status(here: &Path, out: &str) -> Value {
    sac(here, &["search", "x.toml", "--out", out, "--status", "--json"])
        .ok()
        .json()
}

#[test]
fn a_search_that_is_stopped_and_killed_ends_as_one_that_never_was() {
    let here = folder();
    let here = here.path();
    fs::write(here.join("x.toml"), SEARCH).expect("written");
    let said = sac(here, &["search", "x.toml", "--out", "whole", "--jobs", "1"]).ok();
    assert!(said.stdout.contains("8 of 8 trials: "), "{said}");
    assert!(said.stderr.contains("goes on from 100 to 300 env steps"), "{said}");

    let cut = here.join("cut");
    let has_run = |number: u64| {
        cut.join(format!("trial-000{number}/seed-1/checkpoints/latest"))
            .exists()
    };
    let mut first = start(here, "cut");
    until("second trial", || has_run(1));
    let told = Command::new("kill").args(["-TERM", &first.id().to_string()]).status();
    assert!(told.expect("kill runs").success());
    assert_eq!(first.wait().expect("a child").code(), Some(130));
    let mut second = start(here, "cut");
    until("fourth trial", || has_run(3));
    second.kill().expect("it runs");
    second.wait().expect("a child");
    sac(here, &["search", "x.toml", "--out", "cut", "--jobs", "1"]).ok();

    let (whole, again) = (status(here, "whole"), status(here, "cut"));
    assert_eq!(whole["trials"], again["trials"]);
    let trials = whole["trials"].as_array().expect("a list");
    let steps: u64 = trials
        .iter()
        .map(|trial| trial["env_steps"].as_u64().expect("a count"))
        .sum();
    assert_eq!(whole["env_steps"], steps);
    assert!(steps < 8 * 900 / 2, "{steps}: pruning saves at least half");
    for trial in trials {
        let last = format!(
            "trial-{:04}/seed-1/checkpoints/{}",
            trial["number"].as_u64().expect("one"),
            trial["env_steps"]
        );
        assert_same_checkpoint(&here.join("whole").join(&last), &cut.join(&last), &last);
    }
    // The best settings are a configuration.
    let best = fs::read_to_string(here.join("whole/best.toml")).expect("written");
    let rate = &trials[0]["settings"]["agent.learning_rate"];
    assert!(best.contains(&format!("{rate}")), "{rate}: {best}");
    sac(here, &["config", "--config", "whole/best.toml"]).ok();
    // What is done stays as it is, and more trials may be asked for.
    let said = sac(here, &["search", "x.toml", "--out", "whole"]).ok();
    assert!(!said.stderr.contains("begins"), "{said}");
    fs::write(here.join("x.toml"), SEARCH.replace("trials = 8", "trials = 9")).expect("written");
    let said = sac(here, &["search", "x.toml", "--out", "whole"]).ok();
    assert!(said.stdout.contains("9 of 9 trials"), "{said}");
}

#[test]
fn two_processes_share_a_search_and_optuna_opens_it() {
    let here = folder();
    let here = here.path();
    let text = SEARCH.replace("objective", "seeds = [3, 4]\nsampler = 'quasi_random'\nobjective");
    fs::write(here.join("x.toml"), text).expect("written");
    for mut process in [start(here, "both"), start(here, "both")] {
        assert_eq!(
            process.wait().expect("a child").code(),
            Some(0),
            "each waits for all trials"
        );
    }
    let status = status(here, "both");
    let trials = status["trials"].as_array().expect("a list");
    assert_eq!(trials.len(), 8);
    for trial in trials {
        for seed in [3, 4] {
            let run = here.join(format!(
                "both/trial-{:04}/seed-{seed}",
                trial["number"].as_u64().expect("one")
            ));
            let evaluations = fs::read_to_string(run.join("eval.csv")).expect("there").lines().count() as u64;
            assert_eq!(
                (evaluations - 1) * 100,
                trial["env_steps"].as_u64().expect("a count"),
                "{}",
                run.display()
            );
        }
    }
    let Some(python) = python() else { return };
    let script = "import json\n\
        from optuna import load_study\n\
        from optuna.storages import JournalStorage\n\
        from optuna.storages.journal import JournalFileBackend\n\
        study = load_study(study_name='both', storage=JournalStorage(JournalFileBackend('both/journal.log')))\n\
        best = study.best_trial\n\
        print(json.dumps({'number': best.number, 'value': best.value, 'settings': best.params,\n\
                          'states': sorted(trial.state.name.lower() for trial in study.trials)}))\n";
    let output = Command::new(python)
        .args(["-c", script])
        .current_dir(here)
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    let best = trials
        .iter()
        .find(|trial| trial["number"] == found["number"])
        .expect("the same trial");
    assert_eq!(
        (&found["value"], &found["settings"]),
        (&best["value"], &best["settings"])
    );
    let mut states: Vec<&str> = trials.iter().filter_map(|trial| trial["state"].as_str()).collect();
    states.sort_unstable();
    assert_eq!(found["states"], Value::from(states));
}

#[test]
fn all_that_is_wrong_with_a_search_is_said_before_anything_starts() {
    let here = folder();
    let here = here.path();
    let refused = |text: &str, words: &[&str]| {
        fs::write(here.join("x.toml"), text).expect("written");
        let said = sac(here, &["search", "x.toml", "--out", "x"]).code(2).says(words);
        assert!(!here.join("x").exists(), "nothing is left behind: {said}");
    };
    let wide = "agent.gamma = { min = 0.5, max = 1.5 }\nagent.targets.tau = { min = 0.0, max = 0.1 }\n";
    refused(
        &format!("{SEARCH}{wide}"),
        &["2 problems, nothing was started", "agent.gamma", "agent.targets.tau"],
    );
    refused(
        &SEARCH.replace("'sac'", "'sacc'"),
        &["unknown algorithm `sacc`", "did you mean `sac`?"],
    );
    refused(
        &SEARCH.replace("trials", "trails"),
        &["no such key: `trails`; did you mean `trials`?", "`trials` is missing"],
    );
    refused(
        &SEARCH.replace("warmup_env_steps=50", "warmup_env_steps=100"),
        &[
            "after 100 env steps, but learn nothing in the first 100",
            "raise prune.min_env_steps",
        ],
    );
    refused(
        &SEARCH.replace("{env_steps=100}", "\"never\""),
        &["trials are compared by their evaluations"],
    );

    fs::write(here.join("x.toml"), SEARCH).expect("written");
    let said = sac(here, &["search", "x.toml", "--out", "x", "--dry-run"]).ok();
    assert!(said.stdout.contains("at least 1800 env steps, 25 % of 7200"), "{said}");
    assert!(!here.join("x").exists());
    sac(here, &["search", "x.toml", "--slurm"])
        .code(2)
        .says(&["--jobs <N>"]);
}

#[test]
fn trials_that_fail_are_said_and_a_search_in_which_all_fail_ends() {
    let here = folder();
    let here = here.path();
    // A replay that no machine holds.
    let text = SEARCH.replace("'replay.capacity=2000'", "'replay.capacity=1_000_000_000_000'");
    fs::write(here.join("x.toml"), text).expect("written");
    let said = sac(here, &["search", "x.toml", "--out", "x", "--jobs", "1"]).code(2);
    said.says(&["trial 0 failed: ", "the first 3 trials all failed: "]);
    let trials = &status(here, "x")["trials"];
    assert_eq!(
        (&trials[0]["state"], trials.as_array().map(Vec::len)),
        (&"failed".into(), Some(3)),
        "{trials}"
    );
}
