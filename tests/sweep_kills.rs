//! SIGKILL to a sweep or to its trainings at any moment: started again, it ends with the bits of one that was never killed.
//!
//! Two kills of a small sweep by default; `cargo xtask kills 10 --sweep` for a sweep of 24 runs.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::processes::{assert_all_end, marked};
use crate::support::{assert_same_checkpoint, command, folder, sac};
use sac::agents::noise::Stream;

const STEPS: u64 = 600;

/// A file with four settings and so many seeds.
fn write_sweep(here: &Path, seeds: u64) {
    let text = format!(
        "seeds = {seeds}\n[[group]]\nenv = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = {STEPS}\n\
         set = ['agent.body.hidden=[16,16]', 'train.batch_size=16', 'train.warmup_env_steps=50', 'replay.capacity=2000', \
         'eval.episodes=1', 'eval.every={{env_steps=200}}', 'checkpoint.every={{env_steps=100}}']\n\
         grid = {{ agent.gamma = [0.9, 0.98], agent.targets.tau = [0.005, 0.01] }}\n"
    );
    fs::write(here.join("x.toml"), text).expect("written");
}

fn start(here: &Path, mark: &str) -> Child {
    let mut command = command(here, &["sweep", "x.toml", "--out", "cut", "--jobs", "2"]);
    command
        .env("SAC_TEST_MARK", mark)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

fn kill(processes: &[String]) {
    // Some may have ended since.
    let mut command = Command::new("kill");
    let killed = command.arg("-KILL").args(processes).stderr(Stdio::null()).status();
    killed.expect("kill runs");
}

#[test]
fn a_sweep_that_is_killed_at_any_moment_ends_with_the_bits_of_one_that_never_was() {
    let asked: Option<u64> = env::var("SAC_KILLS")
        .ok()
        .map(|kills| kills.parse().expect("SAC_KILLS is a number"));
    let (kills, seeds) = (asked.unwrap_or(2), if asked.is_some() { 6 } else { 1 });
    let seed = env::var("SAC_KILLS_SEED").map_or(1, |seed| seed.parse().expect("SAC_KILLS_SEED is a number"));
    let mut stream = Stream::derive(seed, "sweep kills", 0);
    let here = folder();
    let here = here.path();
    write_sweep(here, seeds);
    let began = Instant::now();
    sac(here, &["sweep", "x.toml", "--out", "whole", "--jobs", "2"]).ok();
    // Every kill strikes within its share of the time of all.
    let share = began.elapsed().mul_f64(0.9 / kills as f64);

    let value = here.display().to_string();
    let mark = format!("SAC_TEST_MARK={value}");
    let mut struck = 0;
    for kind in 0.. {
        if struck == kills {
            break;
        }
        let mut sweep = start(here, &value);
        sleep(
            share
                .mul_f64(0.2 + 0.8 * stream.index(1000) as f64 / 1000.0)
                .max(Duration::from_millis(50)),
        );
        if sweep.try_wait().expect("a child").is_some() {
            break;
        }
        let trainings: Vec<String> = marked(&mark, sweep.id())
            .iter()
            .filter_map(|process| Some(process.file_name()?.to_string_lossy().into_owned()))
            .collect();
        // The sweep alone, which its trainings outlive; all of it; one training, which the sweep notes.
        let victims: Vec<String> = match kind % 3 {
            0 => vec![sweep.id().to_string()],
            1 => trainings.into_iter().chain([sweep.id().to_string()]).collect(),
            _ => trainings.into_iter().take(1).collect(),
        };
        if !victims.is_empty() {
            kill(&victims);
            struck += 1;
        }
        if kind % 3 == 2 {
            sleep(Duration::from_millis(200));
            sweep.kill().expect("ours");
        }
        sweep.wait().expect("ends");
    }
    assert!(struck > 0, "the sweep was faster than the first kill");
    sac(here, &["sweep", "x.toml", "--out", "cut", "--jobs", "2"]).ok();
    assert_all_end(&mark);

    let mut compared = 0;
    for setting in fs::read_dir(here.join("whole/Pendulum-v1")).expect("there").flatten() {
        for run in fs::read_dir(setting.path()).expect("there").flatten() {
            let whole = run.path();
            let cut = here
                .join("cut")
                .join(whole.strip_prefix(here.join("whole")).expect("below"));
            let last = format!("checkpoints/{STEPS}");
            assert_same_checkpoint(&whole.join(&last), &cut.join(&last), &whole.display().to_string());
            compared += 1;
        }
    }
    assert_eq!(compared, 4 * seeds);
    eprintln!("{compared} runs, {struck} kills: every run ends with the same bits");
}
