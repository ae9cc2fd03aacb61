//! SIGKILL at any moment, resume, and nothing shows that it happened.
//!
//! Three kills by default; `SAC_KILLS=20 cargo test --test all kill_resume`, or `cargo xtask kills 20`, for more.
#![cfg(unix)]

use std::{
    env, fs,
    path::Path,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{
    assert_same_checkpoint, checkpoints, contents, evaluations, folder, sac, timeless, train_arguments,
};
use sac::agents::noise::Stream;
use serde_json::Value;

const TOTAL: u64 = 2400;
/// The kinds of runs that are killed, in turn.
const KINDS: [&[&str]; 3] = [
    &["--num-envs", "3", "--set", "replay.n_step=3"],
    &[
        "--set",
        "train.pipelined=true",
        "--set",
        "replay.sampler={kind='prioritized'}",
        "--num-envs",
        "2",
    ],
    &["--set", "eval.beside_training=true", "--set", "checkpoint.replay=last"],
];
const EVERY: &[&str] = &[
    "--quiet",
    "--set",
    "checkpoint.every={env_steps=150}",
    "--set",
    "eval.every={env_steps=400}",
    "--set",
    "log.every={env_steps=50}",
];

/// When to strike.
#[derive(Debug)]
enum Moment {
    /// So long after the first checkpoint.
    After(Duration),
    /// So long after so many checkpoints were seen being written: the half-written folder is there.
    WhileSaving { which: u64, after: Duration },
}

fn arguments<'a>(run: &'a str, total: &'a str, kind: usize) -> Vec<&'a str> {
    train_arguments(run, total, &[EVERY, KINDS[kind]].concat())
}

fn start(folder: &Path, kind: usize) -> Child {
    let total = TOTAL.to_string();
    let mut command = crate::support::command(folder, &arguments("cut", &total, kind));
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts")
}

fn is_saving(checkpoints: &Path) -> bool {
    let entries = fs::read_dir(checkpoints).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with('.') && entry.path().is_dir()
    })
}

/// Kills the run at its moment; false when it ended before.
fn kill_at(child: &mut Child, run: &Path, moment: &Moment) -> bool {
    let folder = run.join("checkpoints");
    while !folder.join("latest").exists() {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended before its first checkpoint"
        );
        sleep(Duration::from_millis(1));
    }
    let mut is_alive = || child.try_wait().expect("a child").is_none();
    match moment {
        Moment::After(delay) => {
            let struck = Instant::now() + *delay;
            while Instant::now() < struck && is_alive() {
                sleep(Duration::from_micros(500));
            }
        }
        Moment::WhileSaving { which, after } => {
            let (mut seen, mut before) = (0, false);
            while seen < *which && is_alive() {
                let now = is_saving(&folder);
                seen += u64::from(now && !before);
                before = now;
            }
            sleep(*after);
        }
    }
    let was_alive = is_alive();
    let _ = child.kill();
    child.wait().expect("ends");
    was_alive
}

#[test]
fn a_run_killed_at_any_moment_and_resumed_ends_as_if_it_had_never_been() {
    let kills: u64 = env::var("SAC_KILLS").map_or(3, |kills| kills.parse().expect("SAC_KILLS is a number"));
    let seed = env::var("SAC_KILLS_SEED").map_or(1, |seed| seed.parse().expect("SAC_KILLS_SEED is a number"));
    let mut stream = Stream::derive(seed, "kills", 0);
    let mut draw = |below: u64| stream.index(below as usize) as u64;

    let here = folder();
    let total = TOTAL.to_string();
    let whole_runs: Vec<_> = (0..KINDS.len().min(kills as usize))
        .map(|kind| {
            let name = format!("whole {kind}");
            let began = Instant::now();
            sac(here.path(), &arguments(&name, &total, kind)).ok();
            (here.path().join(name), began.elapsed())
        })
        .collect();

    let (mut struck, mut in_the_midst) = (0, 0);
    while struck < kills {
        // Of each kind, every third kill falls while a checkpoint is being written.
        let kind = struck as usize % KINDS.len();
        let (whole, took) = &whole_runs[kind];
        let moment = if struck / 3 % 3 == 2 - struck % 3 {
            let after = Duration::from_micros(draw(600));
            Moment::WhileSaving {
                which: 1 + draw(TOTAL / 150 - 3),
                after,
            }
        } else {
            Moment::After(took.mul_f64(draw(1000) as f64 / 1000.0))
        };
        let cut = here.path().join("cut");
        let mut child = start(here.path(), kind);
        let was_struck = kill_at(&mut child, &cut, &moment);
        if !was_struck {
            // The machine was faster this time; another moment.
            fs::remove_dir_all(&cut).expect("there");
            continue;
        }
        struck += 1;
        in_the_midst += u64::from(is_saving(&cut.join("checkpoints")));
        let left = checkpoints(&cut);
        let rows = metrics_even_torn(&cut);
        sac(here.path(), &["train", "--resume", "cut", "--quiet"]).ok();
        let claim = format!("kill {struck}, kind {kind}, {moment:?}, with checkpoints {left:?} and {rows} rows left");
        eprintln!("{claim}");
        let last = format!("checkpoints/{TOTAL}");
        assert_same_checkpoint(&whole.join(&last), &cut.join(&last), &claim);
        assert_same_checkpoint(&whole.join("best"), &cut.join("best"), &claim);
        assert_eq!(
            checkpoints(whole),
            checkpoints(&cut),
            "{claim}: which checkpoints are there"
        );
        assert!(
            sorted_rows(whole) == sorted_rows(&cut),
            "{claim}: rows of metrics.jsonl"
        );
        assert_eq!(evaluations(whole), evaluations(&cut), "{claim}: lines of eval.csv");
        let hidden: Vec<String> = contents(&cut.join("checkpoints"))
            .into_keys()
            .filter(|name| name.starts_with('.'))
            .collect();
        assert!(hidden.is_empty(), "{claim}: left behind: {hidden:?}");
        fs::remove_dir_all(&cut).expect("there");
    }
    eprintln!(
        "{struck} kills, {in_the_midst} of them while a checkpoint was being written; every resumed run equals the whole one"
    );
}

/// Rows without times. When a score is taken that was made beside training depends on the machine; the order of rows too.
fn sorted_rows(run: &Path) -> Vec<Value> {
    let mut rows = timeless(run);
    rows.sort_by_key(|row| (row["env_steps"].as_u64(), row.get("eval/mean_reward").is_some()));
    rows
}

/// How many whole rows a killed run left.
fn metrics_even_torn(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.matches('\n').count())
}
