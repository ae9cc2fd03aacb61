//! SIGKILL to the trainer or to one of its Python processes at any moment: no process stays, and the run goes on.
//!
//! Four kills by default; `cargo xtask kills 50 --python` for more. Needs a Python with Gymnasium in `SAC_TEST_PYTHON`.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::processes::{assert_all_end, marked};
use crate::support::{assert_same_checkpoint, checkpoints, command, folder, metrics, python, sac, train_arguments};
use sac::agents::noise::Stream;

const TOTAL: &str = "2000";
/// The kinds of runs that are killed, in turn.
const KINDS: [&[&str]; 3] = [
    &["--num-envs", "2", "--set", "env.workers=2"],
    &[
        "--num-envs",
        "3",
        "--set",
        "env.workers=1",
        "--set",
        "train.pipelined=true",
    ],
    &["--set", "eval.beside_training=true"],
];
const EVERY: &[&str] = &[
    "--quiet",
    "--set",
    "env.time_limit=40",
    "--set",
    "checkpoint.every={env_steps=150}",
    "--set",
    "eval.every={env_steps=400}",
    "--set",
    "log.every={env_steps=50}",
];

fn arguments<'a>(run: &'a str, kind: usize, interpreter: &'a str) -> Vec<&'a str> {
    let more = [EVERY, KINDS[kind], &["--set", interpreter]].concat();
    let mut all = train_arguments(run, TOTAL, &more);
    all[2] = "py:Pendulum-v1";
    all
}

fn start(folder: &Path, mark: &str, arguments: &[&str]) -> Child {
    let mut command = command(folder, arguments);
    command
        .env("SAC_TEST_MARK", mark)
        .stdout(Stdio::null())
        .stderr(fs::File::create(folder.join("stderr")).expect("writable"))
        .spawn()
        .expect("starts")
}

/// Waits for the first checkpoint and then for `delay`; false when the run has ended before.
fn wait(trainer: &mut Child, run: &Path, delay: Duration) -> bool {
    let mut is_alive = || trainer.try_wait().expect("a child").is_none();
    while is_alive() && !run.join("checkpoints/latest").exists() {
        sleep(Duration::from_millis(1));
    }
    let struck = Instant::now() + delay;
    while is_alive() && Instant::now() < struck {
        sleep(Duration::from_micros(500));
    }
    is_alive()
}

#[test]
fn a_run_on_a_python_task_survives_the_death_of_any_of_its_processes() {
    let Some(python) = python() else { return };
    let kills: u64 = env::var("SAC_KILLS").map_or(4, |kills| kills.parse().expect("SAC_KILLS is a number"));
    let seed = env::var("SAC_KILLS_SEED").map_or(1, |seed| seed.parse().expect("SAC_KILLS_SEED is a number"));
    let mut stream = Stream::derive(seed, "python kills", 0);
    let mut draw = |below: u64| stream.index(below as usize) as u64;

    let here = folder();
    let interpreter = format!("env.python={python}");
    let wholes: Vec<_> = (0..KINDS.len())
        .map(|kind| {
            let (name, began) = (format!("whole {kind}"), Instant::now());
            sac(here.path(), &arguments(&name, kind, &interpreter)).ok();
            (here.path().join(name), began.elapsed())
        })
        .collect();

    let (mut struck, mut of_trainers, mut unnoticed) = (0, 0, 0);
    while struck < kills {
        let kind = (struck / 2) as usize % KINDS.len();
        let (whole, took) = &wholes[kind];
        let run = here.path().join("cut");
        let value = format!("{}/{struck}", here.path().display());
        let mark = format!("SAC_TEST_MARK={value}");
        let delay = took.mul_f64(draw(700) as f64 / 1000.0);
        let mut trainer = start(here.path(), &value, &arguments("cut", kind, &interpreter));
        let is_alive = wait(&mut trainer, &run, delay);
        // Workers and their guardians.
        let others = marked(&mark, trainer.id());
        if !is_alive || others.is_empty() {
            // The machine was faster this time; another moment.
            trainer.wait().expect("ends");
            fs::remove_dir_all(&run).expect("there");
            continue;
        }
        let is_trainer = struck % 2 == 0;
        let claim = if is_trainer {
            trainer.kill().expect("ours");
            trainer.wait().expect("ends");
            of_trainers += 1;
            format!("kill {struck}, kind {kind}, the trainer after {delay:?}")
        } else {
            let victim = others[draw(others.len() as u64) as usize]
                .file_name()
                .expect("a number");
            let kill = format!("kill -KILL {}", victim.display());
            // It may have ended since.
            Command::new("sh")
                .args(["-c", &kill])
                .stderr(Stdio::null())
                .status()
                .expect("sh starts");
            let status = trainer.wait().expect("ends");
            let said = fs::read_to_string(here.path().join("stderr")).expect("there");
            // A worker that has no more to do dies unnoticed.
            unnoticed += u64::from(status.success());
            assert!(
                status.success() || status.code() == Some(1) && said.contains("its Python process ended"),
                "{kill}: {status}: {said}"
            );
            format!(
                "kill {struck}, kind {kind}, one of {} Python processes after {delay:?}",
                others.len()
            )
        };
        assert_all_end(&mark);
        let left = checkpoints(&run);
        eprintln!("{claim}, with checkpoints {left:?} left");
        let total: u64 = TOTAL.parse().expect("a number");
        if left.last() != Some(&total) {
            let mut resumed = start(here.path(), &value, &["train", "--resume", "cut", "--quiet"]);
            let status = resumed.wait().expect("ends");
            let said = fs::read_to_string(here.path().join("stderr")).expect("there");
            assert!(status.success(), "{claim}: {said}");
            assert!(!said.contains("cannot be continued"), "{claim}: {said}");
            assert_all_end(&mark);
        }
        assert_eq!(checkpoints(&run).last(), Some(&total), "{claim}");
        let steps: Vec<_> = metrics(&run).iter().map(|row| row["env_steps"].as_u64()).collect();
        assert!(steps.last() == Some(&Some(total)), "{claim}: rows of {steps:?}");
        // After the death of a worker, new episodes begin, and the run is another one.
        if is_trainer {
            let last = format!("checkpoints/{TOTAL}");
            assert_same_checkpoint(&whole.join(&last), &run.join(&last), &claim);
        }
        fs::remove_dir_all(&run).expect("there");
        struck += 1;
    }
    eprintln!(
        "{struck} kills, {of_trainers} of trainers, {unnoticed} unnoticed; no process stayed, and every run was resumed"
    );
}
