//! Many seeds at once: each is what it would be alone, one that fails takes no other with it.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::support::{
    assert_has, assert_same_checkpoint, checkpoints, command, contents, evaluations, folder, sac, timeless,
};
use sac::{
    Error,
    agents::{
        self,
        log::{Row, Sink},
    },
    config::Config,
    prelude::*,
    replicates::{self, Seeds, SeedsFolder, Together},
    run::Changes,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `sac train` on Pendulum with small networks; the thread is the caller's to choose.
fn arguments<'a>(run: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = crate::support::train_arguments(run, steps, more);
    let at = arguments.iter().position(|word| *word == "--threads").expect("there");
    if more.contains(&"--threads") {
        arguments.drain(at..at + 2);
    }
    arguments
}

const OFTEN: &[&str] = &[
    "--num-envs",
    "3",
    "--set",
    "replay.n_step=3",
    "--set",
    "log.every={env_steps=50}",
    "--set",
    "eval.every={env_steps=150}",
    "--set",
    "checkpoint.every={env_steps=100}",
];

fn often<'a>(more: &[&'a str]) -> Vec<&'a str> {
    OFTEN.iter().chain(more).copied().collect()
}

/// Asserts that two runs went the same way to the last bit.
fn assert_same_run(alone: &Path, replicate: &Path, claim: &str) {
    assert_eq!(checkpoints(alone), checkpoints(replicate), "{claim}: which checkpoints");
    for steps in checkpoints(alone) {
        let [one, other] = [alone, replicate].map(|run| run.join(format!("checkpoints/{steps}")));
        assert_same_checkpoint(&one, &other, &format!("{claim}, at {steps}"));
    }
    assert_eq!(timeless(alone), timeless(replicate), "{claim}: rows of metrics.jsonl");
    assert_eq!(evaluations(alone), evaluations(replicate), "{claim}: lines of eval.csv");
    let [one, other] = [alone, replicate].map(|run| fs::read_to_string(run.join("config.toml")).expect("there"));
    assert_eq!(one, other, "{claim}: config.toml");
}

#[test]
fn each_of_more_seeds_than_threads_is_to_the_bit_the_run_of_that_seed_alone() {
    let here = folder();
    let together = often(&["--seeds", "3,1,20", "--threads", "2", "--json"]);
    let said = sac(here.path(), &arguments("all", "450", &together)).ok();
    said_together(&said.stderr);
    let summary = said.json();
    assert_has(
        &summary,
        &[
            "env",
            "algo",
            "seeds",
            "threads",
            "env_steps",
            "grad_steps",
            "seconds",
            "env_steps_per_second",
            "updates_per_second",
            "run_dir",
            "interrupted",
            "failed",
            "replicates",
        ],
    );
    assert_eq!(
        (&summary["seeds"], &summary["threads"], &summary["run_dir"]),
        (&serde_json::json!([3, 1, 20]), &2.into(), &"all".into())
    );
    assert_eq!(
        (&summary["env_steps"], &summary["grad_steps"]),
        (&(3 * 450).into(), &(3 * 400).into())
    );
    let rate = summary["updates_per_second"].as_f64().expect("a number");
    let seconds = summary["seconds"].as_f64().expect("a number");
    assert!((rate * seconds - 1200.0).abs() < 1e-6, "{summary}");
    let replicates = summary["replicates"].as_array().expect("a list");
    for (replicate, seed) in replicates.iter().zip([3, 1, 20]) {
        assert_has(
            replicate,
            &[
                "seed",
                "env_steps",
                "grad_steps",
                "seconds",
                "best_mean_return",
                "error",
            ],
        );
        assert_eq!((&replicate["seed"], &replicate["error"]), (&seed.into(), &Value::Null));
        let name = seed.to_string();
        let alone = format!("alone-{seed}");
        sac(
            here.path(),
            &arguments(&alone, "450", &often(&["--seed", &name, "--quiet"])),
        )
        .ok();
        let run = replicate["run_dir"].as_str().expect("text");
        assert_eq!(run, format!("all/seed-{seed}"));
        assert_same_run(
            &here.path().join(&alone),
            &here.path().join(run),
            &format!("seed {seed}"),
        );
        sac(here.path(), &["eval", run, "--episodes", "1"]).ok();
    }
    sac(here.path(), &["eval", "all"])
        .code(2)
        .says(&["all: holds a run for every seed; name one of them"]);
}

/// A header; and at every count a line for the two seeds that are trained at the same time, and for the one after them.
fn said_together(stderr: &str) {
    for words in ["on each: 3, 1, 20", "for each seed,", "MiB together"] {
        assert!(stderr.contains(words), "`{words}` is missing: {stderr}");
    }
    let counts = stderr.lines().filter_map(|line| line.split_whitespace().next());
    let counts: Vec<u64> = counts.filter_map(|word| word.parse().ok()).collect();
    for count in (1..=9).map(|number| 50 * number) {
        // At some counts there is an evaluation as well.
        let lines_each = 1 + usize::from(count % 150 == 0);
        let lines = counts.iter().filter(|line| **line == count).count();
        // The third seed begins when either of the first two has ended, so its lines may wait for the other's.
        assert!(
            (lines_each..=2 * lines_each).contains(&lines),
            "{lines} lines at {count}: {stderr}"
        );
    }
}

#[cfg(unix)]
/// What a run prints that is interrupted now.
#[cfg(unix)]
fn interrupted(child: std::process::Child, command: &std::process::Command) -> Value {
    let kill = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    crate::support::Said::from_output(output, format!("{command:?}"))
        .code(130)
        .json()
}

#[cfg(unix)]
#[test]
fn interrupted_together_and_resumed_alone_or_together_all_end_as_if_nothing_had_been() {
    use std::{process::Stdio, thread::sleep, time::Duration};
    let here = folder();
    let settings = ["--num-envs", "3", "--set", "log.every={env_steps=100}", "--quiet"];
    let with = |more: &[&'static str]| settings.iter().chain(more).copied().collect::<Vec<_>>();
    let flags = with(&["--seeds", "1,2,3", "--threads", "2", "--json"]);
    let mut command = command(here.path(), &arguments("all", "3000", &flags));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let log = here.path().join("all/seed-2/metrics.jsonl");
    while fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(child.try_wait().expect("a child").is_none(), "it ended early");
        sleep(Duration::from_millis(2));
    }
    let summary = interrupted(child, &command);
    assert_eq!(summary["interrupted"], true);
    for replicate in summary["replicates"].as_array().expect("a list") {
        let run = here.path().join(replicate["run_dir"].as_str().expect("text"));
        let at = replicate["env_steps"].as_u64().expect("a count");
        assert_eq!(
            checkpoints(&run).last(),
            Some(&at),
            "saved where it stopped: {replicate}"
        );
    }
    let waited = &summary["replicates"][2];
    assert_eq!(
        (&waited["seed"], &waited["env_steps"], &waited["interrupted"]),
        (&3.into(), &0.into(), &true.into()),
        "the one in the queue can be resumed as well"
    );

    let alone = sac(here.path(), &["train", "--resume", "all/seed-2", "--json"])
        .ok()
        .json();
    assert_eq!((&alone["seed"], &alone["env_steps"]), (&2.into(), &3000.into()));
    let others = |before: bool| {
        let [one, three] = [1, 3].map(|seed| checkpoints(&here.path().join(format!("all/seed-{seed}"))));
        assert_eq!(one.last() == Some(&3000) && three.last() == Some(&3000), !before);
    };
    others(true);
    let resumed = sac(here.path(), &["train", "--resume", "all", "--json", "--quiet"])
        .ok()
        .json();
    others(false);
    assert_eq!(
        (&resumed["env_steps"], &resumed["interrupted"], &resumed["failed"]),
        (&9000.into(), &false.into(), &0.into())
    );
    for seed in ["1", "2", "3"] {
        let whole = format!("whole-{seed}");
        let more = with(&[]).into_iter().chain(["--seed", seed]).collect::<Vec<_>>();
        sac(here.path(), &arguments(&whole, "3000", &more)).ok();
        let [whole, cut] = [whole, format!("all/seed-{seed}")].map(|run| here.path().join(run));
        assert_same_checkpoint(
            &whole.join("checkpoints/3000"),
            &cut.join("checkpoints/3000"),
            &format!("seed {seed}"),
        );
        assert_eq!(timeless(&whole), timeless(&cut), "seed {seed}: rows of metrics.jsonl");
    }

    let before = contents(here.path());
    sac(here.path(), &["train", "--resume", "all", "--steps", "2000"])
        .code(2)
        .says(&["all/seed-1: has taken 3000 env steps already"]);
    assert!(before == contents(here.path()), "a refused resume changes nothing");
}

#[test]
fn one_that_cannot_be_resumed_is_named_and_the_others_go_on() {
    let here = folder();
    sac(here.path(), &arguments("all", "60", &["--seeds", "1,2"])).ok();
    fs::remove_dir_all(here.path().join("all/seed-1/checkpoints")).expect("there");
    let said = sac(here.path(), &["train", "--resume", "all", "--steps", "90", "--json"])
        .code(1)
        .says(&["seed 1:\nerror: all/seed-1: no checkpoint was written yet"]);
    let summary = said.json();
    assert_eq!(
        (&summary["failed"], &summary["env_steps"]),
        (&1.into(), &90.into()),
        "{summary}"
    );
    let error = summary["replicates"][0]["error"].as_str().expect("a message");
    assert!(error.contains("no checkpoint"), "{error}");
    fs::remove_dir_all(here.path().join("all/seed-2/checkpoints")).expect("there");
    sac(here.path(), &["train", "--resume", "all"])
        .code(2)
        .says(&["error: all/seed-1: no checkpoint was written yet"]);
    fs::remove_dir_all(here.path().join("all/seed-2")).expect("there");
    sac(here.path(), &["train", "--resume", "all"]).code(2).says(&[
        "the folder of seed 2 is gone",
        "error: all/seed-1: no checkpoint was written yet",
    ]);
    fs::write(here.path().join("all/seeds.toml"), "seeds = [1, 1]\nthreads = 1\n").expect("writable");
    sac(here.path(), &["train", "--resume", "all"])
        .code(2)
        .says(&["all/seeds.toml: seeds: 1 is there twice"]);
    fs::write(here.path().join("all/seeds.toml"), "seeds = 1\n").expect("writable");
    sac(here.path(), &["train", "--resume", "all"])
        .code(2)
        .says(&["all/seeds.toml: "]);
}

#[test]
fn seeds_that_make_no_sense_are_refused_before_anything_is_made() {
    let here = folder();
    for (flags, words) in [
        (
            &["--seeds", "1,2", "--seed", "3"][..],
            &["--seeds", "--seed", "cannot be used with"][..],
        ),
        (
            &["--seeds", "1,2", "--resume", "run"],
            &["--resume", "cannot be used with"],
        ),
        (&["--seeds", ""], &["invalid value ''", "--seeds"]),
        (&["--seeds", "1,,2"], &["invalid value ''", "--seeds"]),
        (&["--seeds", "1..=4"], &["invalid value '1..=4'", "--seeds"]),
        (&["--seeds", "1,-2"], &["invalid value '-2'", "--seeds"]),
        (&["--seeds", "4,1,4"], &["error: seeds: 4 is there twice"]),
        (&["--seeds", "1,2", "--threads", "0"], &["train.threads = 0", "above 0"]),
        (
            &["--seeds", "1,2", "--set", "replay.capacity=1_000_000_000_000"],
            &["seeds need", "replay.capacity"],
        ),
    ] {
        let mut all = vec!["train", "--set", "env.id=Pendulum-v1"];
        if flags.contains(&"--resume") {
            all.truncate(1);
        }
        all.extend(flags);
        sac(here.path(), &all).code(2).says(words);
    }
    let left: Vec<String> = contents(here.path()).into_keys().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    sac(here.path(), &arguments("all", "20", &["--seeds", "7", "--quiet"])).ok();
    sac(here.path(), &arguments("all", "20", &["--seeds", "7", "--quiet"]))
        .code(2)
        .says(&["all exists already", "--resume all"]);
}

#[test]
fn without_a_run_dir_the_folder_is_named_after_the_seeds() {
    let here = folder();
    let mut arguments = arguments("unused", "20", &["--seeds", "7,8", "--json", "--quiet"]);
    arguments.drain(3..5);
    let summary = sac(here.path(), &arguments).ok().json();
    let name = summary["run_dir"].as_str().expect("text");
    assert!(
        name.starts_with("runs/Pendulum-v1/sac/2") && name.ends_with("-seeds-7-8"),
        "{name}"
    );
    assert!(here.path().join(name).join("seed-8/config.toml").is_file(), "{name}");
}

/// Of each seed's one episode, about half fail at step 30, until they are mended.
#[derive(Clone)]
struct Lottery {
    is_mended: Arc<AtomicBool>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Ticket {
    step: u64,
    fails: bool,
    sum: f64,
}

impl Dynamics for Lottery {
    type State = Ticket;
    fn observation_space(&self) -> Space {
        Space::unbounded(1)
    }
    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }
    fn initial(&self, rng: &mut NumpyRng) -> Ticket {
        let sum = rng.uniform(-1.0, 1.0);
        Ticket {
            step: 0,
            fails: sum < 0.0,
            sum,
        }
    }
    fn step(&self, state: &mut Ticket, action: &[f32], _: &mut NumpyRng) -> Transition {
        state.step += 1;
        state.sum += f64::from(action[0]);
        let fails = state.fails && state.step == 30 && !self.is_mended.load(Ordering::Relaxed);
        Transition {
            reward: if fails { f64::NAN } else { -state.sum * state.sum },
            terminated: false,
        }
    }
    fn observe(&self, state: &Ticket, obs: &mut [f32]) {
        obs[0] = state.sum as f32;
    }
}

fn lottery(is_mended: &Arc<AtomicBool>) -> (Registry, Config) {
    let task = Lottery {
        is_mended: is_mended.clone(),
    };
    let mut registry = Registry::builtin();
    registry.register(EnvEntry::new("Lottery-v0", "May fail", move || task.clone()).with_time_limit(1000));
    let settings = [
        "train.total_env_steps=100",
        "train.warmup_env_steps=10",
        "train.batch_size=8",
        "train.threads=1",
        "train.device=cpu",
        "agent.body.hidden=[8, 8]",
        "replay.capacity=500",
        "eval.every=\"never\"",
        "checkpoint.every=\"never\"",
        "log.every={env_steps=20}",
    ];
    let config = sac::configure(&registry, "Lottery-v0", "sac", &settings).expect("valid");
    (registry, config)
}

const LOTS: [u64; 6] = [1, 2, 3, 4, 5, 6];

fn seeds_where(together: &Together, has_failed: bool) -> Vec<u64> {
    let outcomes = together.replicates.iter();
    let chosen = outcomes.filter(|outcome| outcome.error.is_some() == has_failed);
    chosen.map(|outcome| outcome.summary.seed).collect()
}

#[test]
fn a_seed_whose_environment_fails_takes_no_other_with_it_and_can_be_resumed() {
    let here = folder();
    let is_mended = Arc::new(AtomicBool::new(false));
    let (registry, config) = lottery(&is_mended);
    let never = Stop::default();
    let seeds = Seeds {
        seeds: LOTS.to_vec(),
        threads: 2,
    };
    let path = here.path().join("all");
    let all = SeedsFolder::create(&path, seeds).expect("new");
    let together = replicates::train(&config, &registry, &all, &mut |_| Vec::new(), &never).expect("begins");
    let (failed, finished) = (seeds_where(&together, true), seeds_where(&together, false));
    assert!(!failed.is_empty() && !finished.is_empty(), "{failed:?} {finished:?}");
    assert_eq!(together.failed, failed.len() as u64);
    for outcome in &together.replicates {
        let expected = if outcome.error.is_some() { 29 } else { 100 };
        assert_eq!(outcome.summary.env_steps, expected, "{outcome:?}");
        if let Some(error) = &outcome.error {
            let is_expected = matches!(error, Error::Agents(agents::Error::EnvDuringTraining { .. }));
            assert!(is_expected && error.to_string().contains("reward is NaN"), "{error}");
        }
    }
    for seed in finished {
        let alone = RunFolder::create(here.path().join(format!("alone-{seed}"))).expect("new");
        let config = config.clone().with_seed(seed);
        train_into(&config, &registry, &alone, Session::default()).expect("does not fail");
        let [alone, replicate] =
            [alone.path(), &path.join(format!("seed-{seed}"))].map(|run| run.join("checkpoints/100"));
        assert_same_checkpoint(&alone, &replicate, &format!("seed {seed} among failures"));
    }

    is_mended.store(true, Ordering::Relaxed);
    let all = SeedsFolder::open(&path).expect("there");
    let configs = all.configs(&registry, &Changes::default()).expect("there");
    let together = replicates::resume(&configs, &registry, &all, &mut |_| Vec::new(), &never).expect("goes on");
    assert_eq!((together.failed, together.env_steps), (0, 600));
}

struct Bomb;

impl Sink for Bomb {
    fn name(&self) -> &'static str {
        "bomb"
    }
    fn row(&mut self, row: &Row) -> io::Result<()> {
        assert!(row.env_steps < EnvSteps(40), "a bug on purpose");
        Ok(())
    }
}

#[test]
fn a_panic_in_one_replicate_is_its_own_and_named() {
    let here = folder();
    let (registry, config) = lottery(&Arc::new(AtomicBool::new(true)));
    let seeds = Seeds {
        seeds: vec![1, 2, 3],
        threads: 2,
    };
    let all = SeedsFolder::create(&here.path().join("all"), seeds).expect("new");
    let mut sinks = |config: &Config| -> Vec<Box<dyn Sink>> {
        match config.train.seed {
            2 => vec![Box::new(Bomb)],
            _ => Vec::new(),
        }
    };
    let together = replicates::train(&config, &registry, &all, &mut sinks, &Stop::default()).expect("begins");
    assert_eq!(seeds_where(&together, true), [2]);
    let error = together.replicates[1].error.as_ref().expect("failed");
    assert!(matches!(error, Error::Panicked(_)), "{error:?}");
    assert!(error.to_string().contains("a bug on purpose"), "{error}");
    assert!(
        !error.is_users() && error.hint().is_some(),
        "exit code 1, and what to do"
    );
    assert_eq!(together.env_steps, 100 + 40 + 100);
}

#[test]
fn seeds_that_diverge_end_with_exit_code_1_and_a_message_each() {
    let here = folder();
    let more = [
        "--seeds",
        "1,2",
        "--set",
        "env.wrappers=[{kind='reward_scale', factor=1e30}]",
        "--set",
        "log.every={env_steps=20}",
        "--quiet",
        "--json",
    ];
    let said = sac(here.path(), &arguments("all", "200", &more)).code(1).says(&[
        "seed 1:\nerror: ",
        "seed 2:\nerror: ",
        "is not finite",
    ]);
    let summary = said.json();
    assert_eq!(
        (&summary["failed"], &summary["interrupted"]),
        (&2.into(), &false.into())
    );
}
