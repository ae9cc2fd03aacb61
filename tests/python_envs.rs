//! Runs on Python environments. Needs a Python with Gymnasium in `SAC_TEST_PYTHON`, as `cargo xtask test` sets it.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::processes::{assert_all_end, group, marked};
use crate::support::{Said, checkpoints, command, folder, metrics, python, sac, timeless, train_arguments};

/// `sac train` of an environment with small networks, without evaluations unless `more` sets them.
fn arguments<'a>(env: &'a str, run: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let common = [
        "--config",
        "none",
        "--set",
        "eval.every='never'",
        "--seed",
        "3",
        "--quiet",
    ];
    let mut all = train_arguments(run, steps, &[&common, more].concat());
    all[2] = env;
    all
}

/// The policy of the newest checkpoint.
fn policy(run: &Path) -> Vec<u8> {
    let last = *checkpoints(run).last().expect("a checkpoint");
    let path = run
        .join("checkpoints")
        .join(last.to_string())
        .join("policy.safetensors");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn assert_same_run(one: &Path, other: &Path, claim: &str) {
    assert_eq!(timeless(one), timeless(other), "{claim}: metrics");
    assert!(!timeless(one).is_empty(), "{claim}: no metrics");
    assert!(policy(one) == policy(other), "{claim}: the policies differ");
}

#[test]
fn a_task_from_python_trains_to_the_same_bits_as_ours() {
    let Some(python) = python() else { return };
    let here = folder();
    let interpreter = format!("env.python={python}");
    let mut cases: Vec<(&str, &[&str])> = vec![
        ("Pendulum-v1", &["--set", "eval.every={env_steps=150}"]),
        ("CartPole-v1", &["--algo", "sac-discrete"]),
    ];
    if cfg!(feature = "mujoco") {
        cases.push(("Hopper-v5", &["--num-envs", "3"]));
        cases.push(("HalfCheetah-v5", &["--set", "train.pipelined=true"]));
    }
    for (id, more) in cases {
        let more = [&["--set", "log.every={env_steps=50}"], more].concat();
        sac(here.path(), &arguments(id, id, "300", &more)).ok();
        let theirs = format!("py:{id}");
        let more = [&more[..], &["--set", &interpreter]].concat();
        sac(here.path(), &arguments(&theirs, "python", "300", &more)).ok();
        let run = here.path().join("python");
        assert_same_run(&here.path().join(id), &run, id);
        fs::remove_dir_all(run).expect("there");
    }
}

#[test]
fn a_killed_run_leaves_no_worker_behind_and_is_resumed_exactly() {
    let Some(python) = python() else { return };
    let here = folder();
    let interpreter = format!("env.python={python}");
    let common = ["--num-envs", "2", "--set", "checkpoint.every={env_steps=70}"];
    sac(here.path(), &arguments("Pendulum-v1", "whole", "3000", &common)).ok();

    let more = [&common[..], &["--set", &interpreter, "--set", "env.workers=2"]].concat();
    let mark = format!("SAC_TEST_MARK={}", here.path().display());
    let mut command = command(here.path(), &arguments("py:Pendulum-v1", "cut", "3000", &more));
    let mut trainer = command.env("SAC_TEST_MARK", here.path()).spawn().expect("starts");
    let run = here.path().join("cut");
    let began = Instant::now();
    while checkpoints(&run).len() < 2 {
        assert!(
            trainer.try_wait().expect("a child").is_none(),
            "it ended before its second checkpoint"
        );
        assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint");
        sleep(Duration::from_millis(5));
    }
    let workers = marked(&mark, trainer.id());
    assert!(
        workers.len() >= 4,
        "two workers with a guardian each, found {workers:?}"
    );
    let own = group(Path::new(&format!("/proc/{}", trainer.id())));
    assert!(
        workers.iter().all(|worker| group(worker) != own),
        "Ctrl-C in a terminal would reach a worker"
    );
    trainer.kill().expect("alive");
    trainer.wait().expect("ends");
    assert_all_end(&mark);

    let said = sac(here.path(), &["train", "--resume", "cut", "--quiet"]).ok();
    assert!(!said.stderr.contains("cannot be continued"), "{said}");
    assert!(
        policy(&run) == policy(&here.path().join("whole")),
        "the policies differ"
    );
}

/// As a terminal does it, the signal is sent to the trainer's whole process group.
#[test]
fn ctrl_c_reaches_the_trainer_alone_which_writes_one_checkpoint() {
    let Some(python) = python() else { return };
    let here = folder();
    let interpreter = format!("env.python={python}");
    let common = ["--num-envs", "2", "--set", "env.time_limit=50"];
    let more = [
        &common[..],
        &["--set", &interpreter, "--set", "checkpoint.every='never'"],
    ]
    .concat();
    sac(here.path(), &arguments("py:Pendulum-v1", "whole", "3000", &more)).ok();

    let mark = format!("SAC_TEST_MARK={}", here.path().display());
    let mut command = command(here.path(), &arguments("py:Pendulum-v1", "cut", "3000", &more));
    let trainer = command
        .env("SAC_TEST_MARK", here.path())
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let (run, began) = (here.path().join("cut"), Instant::now());
    while fs::metadata(run.join("metrics.jsonl")).map_or(0, |file| file.len()) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "no row of metrics");
        sleep(Duration::from_millis(5));
    }
    let interrupt = format!("kill -INT -{}", trainer.id());
    let sent = Command::new("sh").args(["-c", &interrupt]).status().expect("sh starts");
    assert!(sent.success(), "the group is there");
    let output = trainer.wait_with_output().expect("ends");
    let said = Said::from_output(output, interrupt).code(130);
    for word in ["KeyboardInterrupt", "Traceback", "ended by signal"] {
        assert!(!said.stderr.contains(word), "a worker was interrupted: {said}");
    }
    assert_all_end(&mark);
    assert_eq!(checkpoints(&run).len(), 1, "{said}");
    assert!(checkpoints(&run)[0] < 3000, "it was interrupted: {said}");

    // The checkpoint holds the episodes that were running, which their workers know.
    let said = sac(here.path(), &["train", "--resume", "cut", "--quiet"]).ok();
    assert!(!said.stderr.contains("cannot be continued"), "{said}");
    assert_same_run(&here.path().join("whole"), &run, "resumed");
}

/// A task that prints, draws, and fails at a step of its third episode if it is told to.
const TOY: &str = r#"
import gymnasium, numpy as np
from gymnasium import spaces

print("toys are imported")

class Toy(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"]}
    render_mode = "rgb_array"
    observation_space = spaces.Dict({"where": spaces.Box(-1, 1, (2,)), "kind": spaces.Discrete(2)})
    action_space = spaces.Box(-2, 2, (1,))

    def __init__(self, fails=False):
        self.fails, self.episodes = fails, 0

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.where = 0, self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.episodes += 1
        return {"where": self.where, "kind": 1}, {}

    def step(self, action):
        self.t += 1
        print("a step")
        if self.fails and self.episodes == 3:
            raise RuntimeError("the simulator lost its licence")
        return {"where": self.where, "kind": 0}, -abs(float(action[0])), False, self.t == 20, {}

    def render(self):
        return np.full((30, 40, 3), 10 * self.t, np.uint8)
"#;

#[test]
fn every_command_takes_a_task_of_the_working_directory() {
    let Some(python) = python() else { return };
    let here = folder();
    fs::write(here.path().join("toys.py"), TOY).expect("writable");
    let interpreter = format!("env.python={python}");

    let page = sac(here.path(), &["envs", "py:toys:Toy", "--set", &interpreter]).ok();
    for words in [
        "observation.kind == 1",
        "observation.where[1]",
        "Box[4]",
        "Box[1] in [-2, 2]",
        "step_timeout_s",
    ] {
        assert!(page.stdout.contains(words), "`{words}` is missing: {page}");
    }
    let rollout = sac(
        here.path(),
        &[
            "rollout",
            "--env",
            "py:toys:Toy",
            "--steps",
            "25",
            "--set",
            &interpreter,
        ],
    )
    .ok();
    assert_eq!(rollout.stdout.lines().count(), 27, "25 steps and two resets: {rollout}");
    assert!(
        rollout.stdout.lines().all(|line| line.starts_with("{\"t\":")),
        "{rollout}"
    );
    assert_eq!(
        rollout.stderr.matches("a step").count(),
        1,
        "prints are shown once: {rollout}"
    );

    sac(
        here.path(),
        &arguments("py:toys:Toy", "run", "100", &["--set", &interpreter]),
    )
    .ok();
    sac(here.path(), &["play", "run", "--out", "film.png", "--episodes", "1"]).ok();
    assert!(here.path().join("film.png").is_file());

    let failing = ["--set", &interpreter, "--set", "env.kwargs={fails=true}"];
    let said = sac(here.path(), &arguments("py:toys:Toy", "failed", "100", &failing)).code(1);
    let said = said.says(&[
        "RuntimeError: the simulator lost its licence",
        "toys.py",
        "py:toys:Toy (environment 0)",
        "step 1 of episode 3",
        "checkpoint",
    ]);
    assert_eq!(checkpoints(&here.path().join("failed")), [40], "{said}");
    assert!(metrics(&here.path().join("failed")).len() <= 1);
}

#[test]
fn a_wrong_python_task_is_refused_before_anything_starts() {
    let Some(python) = python() else { return };
    let here = folder();
    let interpreter = format!("env.python={python}");
    let more = ["--set", &interpreter, "--set", "env.kwargs={gravity=9.81}"];
    let said = sac(here.path(), &arguments("py:Pendulum-v1", "run", "100", &more)).code(2);
    said.says(&["env.kwargs", "the constructor refuses them", "gravity"]);
    let absent = sac(
        here.path(),
        &arguments("py:Pendulum-v1", "run", "100", &["--set", "env.python=./no-python"]),
    );
    absent.code(2).says(&["env.python", "there is no interpreter"]);
    assert!(!here.path().join("run").exists());
}

#[test]
fn check_runs_the_conformance_suite_on_any_id() {
    let here = folder();
    let ours = sac(here.path(), &["check", "--env", "CartPole-v1"]).ok();
    assert!(ours.stdout.contains("passes 12 checks"), "{ours}");
    let Some(python) = python() else { return };
    let interpreter = format!("env.python={python}");
    let theirs = sac(
        here.path(),
        &["check", "--env", "py:CartPole-v1", "--set", &interpreter],
    )
    .ok();
    assert!(theirs.stdout.contains("a snapshot restores every bit"), "{theirs}");
}
