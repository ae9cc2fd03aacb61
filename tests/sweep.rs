//! `sac sweep`: every run once, whatever interrupts it, and all that is wrong before anything starts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::support::{assert_same_checkpoint, checkpoints, command, folder, sac, until};

/// Small networks, as a file has them.
const SET: &str = "set = ['agent.body.hidden=[16,16]', 'train.batch_size=16', 'train.warmup_env_steps=50', \
                   'replay.capacity=2000', 'eval.episodes=2', 'eval.every={env_steps=200}', \
                   'checkpoint.every={env_steps=100}', 'log.every={env_steps=20}']";
const STEPS: u64 = 800;

/// A file with two settings and two seeds on Pendulum.
fn write_sweep(here: &Path) {
    let text = format!(
        "seeds = [1, 2]\n[[group]]\nenv = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = {STEPS}\n{SET}\n\
         grid = {{ agent.gamma = [0.9, 0.98] }}\n"
    );
    fs::write(here.join("x.toml"), text).expect("written");
}

fn runs(out: &Path) -> Vec<PathBuf> {
    let settings = ["sac,gamma=0.9", "sac,gamma=0.98"];
    let seeds = |setting| [1, 2].map(|seed| out.join(format!("Pendulum-v1/{setting}/seed-{seed}")));
    settings.into_iter().flat_map(seeds).collect()
}

fn start(here: &Path, out: &str, jobs: &str) -> Child {
    let mut command = command(here, &["sweep", "x.toml", "--out", out, "--jobs", jobs]);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

fn has_checkpoint(run: &Path) -> bool {
    run.join("checkpoints/latest").exists()
}

#[test]
fn a_sweep_that_is_stopped_and_killed_ends_with_the_runs_of_one_that_never_was() {
    let here = folder();
    let here = here.path();
    write_sweep(here);
    let said = sac(here, &["sweep", "x.toml", "--out", "whole", "--jobs", "2"]).ok();
    assert!(said.stdout.contains("4 runs: 4 finished"), "{said}");
    let events = said.stderr.lines().filter(|line| line.starts_with("started ")).count();
    assert_eq!(events, 4, "a line for each event: {said}");

    let cut = runs(&here.join("cut"));
    // Stopped: the runs save and end, and the sweep with them.
    let mut first = start(here, "cut", "1");
    until("checkpoint", || has_checkpoint(&cut[0]));
    let id = first.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill runs")
            .success()
    );
    assert_eq!(first.wait().expect("a child").code(), Some(130));
    let status = sac(here, &["sweep", "x.toml", "--out", "cut", "--status", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&status["interrupted"], &status["waiting"]),
        (&1.into(), &3.into()),
        "{status}"
    );
    // Killed: its runs outlive it, and the next sweep waits for them.
    let mut second = start(here, "cut", "2");
    until("second run", || {
        cut.iter().filter(|run| has_checkpoint(run)).count() >= 2
    });
    second.kill().expect("it runs");
    second.wait().expect("a child");
    let said = sac(here, &["sweep", "x.toml", "--out", "cut", "--jobs", "2"]).ok();
    assert!(said.stdout.contains("4 runs: 4 finished"), "{said}");
    for (whole, cut) in runs(&here.join("whole")).iter().zip(&cut) {
        let last = |run: &Path| run.join(format!("checkpoints/{STEPS}"));
        assert_same_checkpoint(&last(whole), &last(cut), &cut.display().to_string());
    }
    // What is finished stays as it is.
    let said = sac(here, &["sweep", "x.toml", "--out", "cut"]).ok();
    assert!(!said.stderr.contains("started"), "{said}");
    sac(here, &["report", "cut"]).ok();
}

#[test]
fn two_processes_on_one_sweep_do_each_run_once() {
    let here = folder();
    let here = here.path();
    write_sweep(here);
    let both = [start(here, "both", "1"), start(here, "both", "1")];
    for mut process in both {
        assert_eq!(
            process.wait().expect("a child").code(),
            Some(0),
            "each waits for all runs"
        );
    }
    for run in runs(&here.join("both")) {
        assert_eq!(checkpoints(&run).last(), Some(&STEPS));
        let provenance = fs::read_to_string(run.join("provenance.json")).expect("there");
        assert!(!provenance.contains("resumed"), "trained twice: {provenance}");
        let names = fs::read_dir(&run)
            .expect("there")
            .flatten()
            .map(|entry| entry.file_name());
        let events = names.filter(|name| name.to_string_lossy().starts_with("events."));
        assert_eq!(events.count(), 1, "{}", run.display());
    }
}

#[test]
fn a_run_that_fails_does_not_stop_the_others() {
    let here = folder();
    let here = here.path();
    let text = format!(
        "seeds = 1\n[[group]]\nenv = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = 200\n{SET}\n\
         list = [{{ agent.learning_rate = 1000.0 }}, {{ agent.learning_rate = 1e-3 }}]\n"
    );
    fs::write(here.join("x.toml"), text).expect("written");
    let said = sac(here, &["sweep", "x.toml", "--jobs", "1"]).code(1);
    assert!(
        said.stdout
            .contains("2 runs: 1 finished, 0 running, 0 interrupted, 1 failed"),
        "{said}"
    );
    let status = sac(here, &["sweep", "x.toml", "--status", "--json"]).ok().json();
    let failed = &status["runs"][0];
    assert_eq!(failed["state"], "failed");
    let reason = failed["reason"].as_str().expect("a reason");
    assert!(said.stderr.contains(reason), "{reason}: {said}");
    assert_eq!(status["runs"][1]["state"], "finished");
    // It is tried once more, and fails again.
    let again = sac(here, &["sweep", "x.toml"]).code(1);
    assert_eq!(
        again.stderr.lines().filter(|line| line.starts_with("started ")).count(),
        1,
        "{again}"
    );
}

#[test]
fn a_dry_run_says_what_would_be_trained_and_makes_nothing() {
    let here = folder();
    let here = here.path();
    write_sweep(here);
    let said = sac(here, &["sweep", "x.toml", "--dry-run", "--jobs", "1"]).ok();
    for text in [
        "sac, gamma=0.98",
        "4 of 4 runs are left: about 0:00:0",
        "KiB on disk, in runs/x",
    ] {
        assert!(said.stdout.contains(text), "`{text}` is missing: {said}");
    }
    assert!(!here.join("runs").exists());
}

#[test]
fn all_that_is_wrong_with_a_sweep_is_said_before_anything_starts() {
    let here = folder();
    let here = here.path();
    let text = format!(
        "seeds = 2\n[[group]]\nenv = 'Pendulum-v1'\nalgo = ['sac', 'sac-discrete']\nenv_steps = 200\n{SET}\n\
         [[group]]\nenv = 'Pendulun-v1'\nalgo = 'tqc'\nenv_steps = 200\n\
         [[group]]\nenv = 'CartPole-v1'\nalgo = 'sac-discrete'\nenv_steps = 200\ngrid = {{ agent.gamma = [2.0, 0.9], agent.gama = [1] }}\n"
    );
    fs::write(here.join("x.toml"), text).expect("written");
    sac(here, &["sweep", "x.toml"]).code(2).says(&[
        "x.toml: 4 problems, nothing was started",
        "sac-discrete on Pendulum-v1: ",
        "tqc on Pendulun-v1: ",
        "agent.gamma = 2:",
        "agent.gama",
    ]);
    assert!(!here.join("runs").exists());

    write_sweep(here);
    fs::create_dir_all(here.join("full/of")).expect("made");
    sac(here, &["sweep", "x.toml", "--out", "full"])
        .code(2)
        .says(&["full: is no sweep and not empty"]);
    sac(here, &["sweep", "none.toml"])
        .code(2)
        .says(&["cannot read none.toml"]);
    fs::write(here.join("x.toml"), "seeds = ").expect("written");
    sac(here, &["sweep", "x.toml"])
        .code(2)
        .says(&["x.toml: 1 problem, nothing was started"]);
}
