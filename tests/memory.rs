//! What a run of ordinary size takes of the machine's memory.
#![cfg(target_os = "linux")]

use std::{
    fs,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use sac::{config::Config, prelude::*};

use crate::support::folder;

/// At most so much may be resident at any time, MiB. Stable-Baselines3 takes about 750 for the same replay.
const PEAK_MIB: u64 = 450;
/// How much the resident size may grow between two stretches of 500 steps after the warm-up, KiB. Everything of our own
/// is allocated before the first step, and what the allocator keeps from an evaluation it gives back. Measured: 0.5 MiB
/// at most. One tensor leaked per update (4 KiB at least) would make 2.8 MiB of pixels, whose updates are half as many
/// as steps.
const GROWTH_KIB: u64 = 2048;

/// `VmRSS` or `VmHWM` of a process, KiB.
fn status_kib(process: u32, key: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[test]
fn a_million_transitions_stay_below_450_mib_and_nothing_grows_after_the_warm_up() {
    let peak = watch(&[
        "--set",
        "replay.capacity=1_000_000",
        "--set",
        "train.warmup_env_steps=200",
    ]);
    assert!(
        peak < PEAK_MIB * 1024,
        "peak of {} MiB, expected below {PEAK_MIB}",
        peak / 1024
    );
}

/// The ring of frames is full after 400 steps and goes round from then on.
#[test]
fn nothing_grows_while_frames_of_pixels_give_way() {
    watch(&[
        "--algo",
        "sac-pixels",
        "--set",
        "env.wrappers=[{kind='pixels', width=36, height=36}, {kind='frame_stack', frames=3}]",
        "--set",
        "train.batch_size=16",
        "--set",
        "replay.capacity=400",
        "--set",
        "train.warmup_env_steps=200",
    ]);
}

/// A point whose observation is 100,000 numbers, all but one of them zero.
#[derive(Clone)]
struct Wide;

const WIDTH: usize = 100_000;

impl Dynamics for Wide {
    type State = f64;
    fn observation_space(&self) -> Space {
        Space::unbounded(WIDTH)
    }
    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }
    fn initial(&self, rng: &mut NumpyRng) -> f64 {
        rng.uniform(-1.0, 1.0)
    }
    fn step(&self, position: &mut f64, action: &[f32], _: &mut NumpyRng) -> Transition {
        *position += f64::from(action[0]) / 10.0;
        Transition {
            reward: -position.abs(),
            terminated: false,
        }
    }
    fn observe(&self, position: &f64, obs: &mut [f32]) {
        obs.fill(0.0);
        obs[0] = *position as f32;
    }
}

/// A replay of 2 GB, full: 2700 transitions of twice 100,000 numbers.
fn wide(total_env_steps: u64) -> (Registry, Config) {
    let mut registry = Registry::builtin();
    registry.register(EnvEntry::new("Wide-v0", "A point seen in 100,000 numbers", || Wide).with_time_limit(50));
    let mut settings = Settings::new(Algo::Sac, "Wide-v0");
    settings.train.total_env_steps = total_env_steps;
    settings.train.warmup_env_steps = 2710;
    settings.train.batch_size = 8;
    settings.train.threads = Threads::Count(1);
    settings.agent.body = BodySpec::mlp(&[4]);
    settings.replay.capacity = 2700;
    settings.eval.every = Every::Never;
    settings.checkpoint.every = Every::EnvSteps(2720);
    let config = settings.resolve(&registry).expect("valid settings");
    (registry, config)
}

/// Set for the process of a child: where it trains.
const WIDE_RUN: &str = "SAC_TEST_WIDE_RUN";

/// Trains, or goes on with the run that is there; prints the peak of the resident size. For the test below.
#[test]
#[ignore = "run by `a_resume_takes_no_more_memory_than_training` in a process of its own"]
fn wide_run_in_a_process_of_its_own() {
    let Some(path) = std::env::var_os(WIDE_RUN) else { return };
    match RunFolder::open(&path) {
        Err(_) => {
            let (registry, config) = wide(2720);
            let run = RunFolder::create(&path).expect("a new folder");
            train_into(&config, &registry, &run, Session::default()).expect("it trains");
        }
        Ok(run) => {
            let (registry, config) = wide(2725);
            sac::run::resume_with(&config, &registry, &run, Session::default()).expect("it goes on");
        }
    }
    let peak = status_kib(std::process::id(), "VmHWM").expect("this is Linux");
    eprintln!("peak={peak} KiB");
}

#[test]
fn a_resume_takes_no_more_memory_than_training() {
    let here = folder();
    let peak_kib = || {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        let child = [
            "--exact",
            "memory::wide_run_in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ];
        let output = command
            .args(child)
            .env(WIDE_RUN, here.path().join("run"))
            .output()
            .expect("starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let peak = text
            .split("peak=")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        peak.unwrap_or_else(|| panic!("{text}"))
    };
    let (training, resumed) = (peak_kib(), peak_kib());
    eprintln!("training {} MiB, resumed {} MiB", training / 1024, resumed / 1024);
    assert!(training > 2000 * 1024, "a replay of 2 GB is in memory");
    assert!(
        resumed <= training + 64 * 1024,
        "resumed with {} MiB, trained with {} MiB",
        resumed / 1024,
        training / 1024
    );
}

/// Trains for 2000 steps of Pendulum, the first 200 of which are the warm-up. Nothing may grow after 500. The peak of
/// the resident size, KiB.
fn watch(settings: &[&str]) -> u64 {
    let here = folder();
    let arguments = [
        &[
            "train",
            "--env",
            "Pendulum-v1",
            "--run-dir",
            "run",
            "--steps",
            "2000",
            "--threads",
            "1",
            "--quiet",
            "--set",
            "eval.every={env_steps=250}",
            "--set",
            "eval.episodes=2",
            "--set",
            "checkpoint.every={env_steps=250}",
            "--set",
            "log.every={env_steps=50}",
        ],
        settings,
    ]
    .concat();
    let mut command = crate::support::command(here.path(), &arguments);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let log = here.path().join("run/metrics.jsonl");
    // Seen 300 to 800 steps after a warm-up of 200, and in as many steps near the end. The lower quartile of each
    // counts: an evaluation takes a little for itself, and for a moment gives back more than it took. Nobody looks when
    // the process frees what it has.
    let (mut peak, mut early, mut late) = (0, Vec::new(), Vec::new());
    loop {
        let status = child.try_wait().expect("a child");
        if let Some(status) = status {
            assert!(status.success(), "{status}");
            break;
        }
        let rows = fs::read_to_string(&log).map_or(0, |text| {
            text.lines().filter(|line| line.contains("replay/size")).count()
        });
        let seen = match rows {
            10..=19 => Some(&mut early),
            30..=39 => Some(&mut late),
            _ => None,
        };
        if let (Some(seen), Some(resident)) = (seen, status_kib(child.id(), "VmRSS")) {
            seen.push(resident);
        }
        peak = status_kib(child.id(), "VmHWM").map_or(peak, |kib| kib.max(peak));
        sleep(Duration::from_millis(5));
    }
    let quartile = |mut seen: Vec<u64>| {
        seen.sort_unstable();
        *seen.get(seen.len() / 4).expect("the run was seen early and late")
    };
    let (first, last) = (quartile(early), quartile(late));
    eprintln!(
        "peak {} MiB; resident {first} KiB after 500 steps, {last} KiB near the end",
        peak / 1024
    );
    assert!(
        last <= first + GROWTH_KIB,
        "resident size grew from {first} to {last} KiB after the warm-up, expected at most {GROWTH_KIB} KiB more"
    );
    peak
}
