//! The library from the outside: typed settings, a run, its policy; and what it refuses.

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::support::{folder, sac};
use sac::{
    Error,
    agents::checkpoint::{Checkpoint, CheckpointStore},
    prelude::*,
};

/// A point that moves by (action − 3) / 10; actions lie in [1, 5].
#[derive(Clone)]
struct Shift {
    /// Numbers per observation; all but the first are zero.
    width: usize,
}

impl Dynamics for Shift {
    type State = f64;
    fn observation_space(&self) -> Space {
        Space::unbounded(self.width)
    }
    fn action_space(&self) -> Space {
        Space::boxed(1, 1.0, 5.0)
    }
    fn initial(&self, rng: &mut NumpyRng) -> f64 {
        rng.uniform(-1.0, 1.0)
    }
    fn step(&self, position: &mut f64, action: &[f32], _: &mut NumpyRng) -> Transition {
        *position += (f64::from(action[0]) - 3.0) / 10.0;
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

fn registry(width: usize) -> Registry {
    let mut registry = Registry::builtin();
    let entry = EnvEntry::new("Shift-v0", "A point to move", move || Shift { width });
    registry.register(entry.with_time_limit(20));
    registry
}

fn settings() -> Settings {
    let mut settings = Settings::new(Algo::Sac, "Shift-v0");
    settings.train.total_env_steps = 120;
    settings.train.warmup_env_steps = 40;
    settings.train.batch_size = 16;
    settings.train.threads = Threads::Count(1);
    settings.train.device = DeviceChoice::Cpu;
    settings.agent.body = BodySpec::mlp(&[8, 8]);
    settings.replay.capacity = 200;
    settings.eval.every = Every::EnvSteps(60);
    settings.eval.episodes = 2;
    settings.checkpoint.every = Every::EnvSteps(60);
    settings
}

fn trained(settings: &Settings, path: &Path) -> Summary {
    let config = settings.resolve(&registry(1)).expect("valid settings");
    let run = RunFolder::create(path).expect("a new folder");
    train_into(&config, &registry(1), &run, Session::default()).expect("it trains")
}

#[test]
fn a_policy_acts_in_the_units_of_the_task_one_by_one_in_rows_and_at_random() {
    let here = folder();
    let run = trained(&settings(), &here.path().join("run"));
    let mut policy = Policy::load_with(&run.run_dir, &registry(1)).expect("there");
    assert_eq!((policy.saved_as(), policy.spaces().action.len()), ("best", 1));
    assert_eq!(policy.spaces().observation, Space::unbounded(1));

    let observations = [-1.0, -0.2, 0.0, 0.7];
    let one_by_one: Vec<f32> = observations
        .iter()
        .flat_map(|x| policy.act(&[*x]).expect("an observation"))
        .collect();
    assert!(
        one_by_one.iter().all(|action| (1.0..=5.0).contains(action)),
        "{one_by_one:?}"
    );
    let mut rows = policy
        .act_batch(&observations, ActMode::Evaluate)
        .expect("four observations");
    for (row, alone) in rows.drain(..).zip(&one_by_one) {
        assert!(
            (row - alone).abs() < 1e-5,
            "{row} {alone}: products of more rows may round in another order"
        );
    }
    assert!(
        policy
            .act_batch(&[], ActMode::Evaluate)
            .expect("no observation")
            .is_empty()
    );
    let mut into = [0.0];
    policy.act_into(&[0.7], &mut into).expect("an observation");
    assert_eq!(into[0], one_by_one[3]);

    let mut draw = |seed| {
        policy.reseed(seed);
        (0..5)
            .map(|_| policy.act_stochastic(&[0.0]).expect("an observation")[0])
            .collect::<Vec<f32>>()
    };
    let (first, again, other) = (draw(1), draw(1), draw(2));
    assert!(first == again && first != other, "{first:?} {again:?} {other:?}");
    assert!(first.windows(2).any(|pair| pair[0] != pair[1]), "draws: {first:?}");
}

#[test]
fn any_saved_policy_can_be_loaded_and_scored_as_the_command_line_scores_it() {
    let here = folder();
    let mut pendulum = settings();
    pendulum.env.id = "Pendulum-v1".to_string();
    let run = trained(&pendulum, &here.path().join("run"));
    let load = |which| Policy::load_checkpoint(&run.run_dir, which, &Registry::builtin());
    let steps = |which| load(which).expect("there").env_steps().0;
    assert_eq!((steps(Which::Last), steps(Which::At(EnvSteps(60)))), (120, 60));

    let options = EvaluateOptions {
        episodes: 3,
        seed: 5,
        ..EvaluateOptions::default()
    };
    let scored = load(Which::Last)
        .expect("there")
        .evaluate_with(&options)
        .expect("scored");
    let said = sac(
        here.path(),
        &[
            "eval",
            "run",
            "--checkpoint",
            "last",
            "--episodes",
            "3",
            "--seed",
            "5",
            "--json",
        ],
    );
    let returns: Vec<f64> = serde_json::from_value(said.ok().json()["returns"].clone()).expect("numbers");
    assert_eq!(scored.returns, returns);

    let mut policy = Policy::load(&run.run_dir).expect("there");
    let mut env = policy.env().expect("there");
    let mut obs = vec![0.0; 3];
    env.reset(Some(1), &mut obs).expect("resets");
    env.step(&policy.act(&obs).expect("an observation"), &mut obs)
        .expect("takes its actions");
    let error = load(Which::At(EnvSteps(7))).err().expect("no such checkpoint");
    assert!(
        error.to_string().contains("no checkpoint at 7; there are 60, 120"),
        "{error}"
    );
}

#[test]
fn wrong_observations_are_refused_with_both_lengths() {
    let here = folder();
    let run = trained(&settings(), &here.path().join("run"));
    let mut policy = Policy::load_with(&run.run_dir, &registry(1)).expect("there");
    let said = |outcome: sac::Result<Vec<f32>>| outcome.expect_err("refused").to_string();
    assert_eq!(
        said(policy.act(&[0.0, 1.0])),
        "Shift-v0: observation has 2 numbers, expected 1"
    );
    assert_eq!(
        said(policy.act_stochastic(&[])),
        "Shift-v0: observation has 0 numbers, expected 1"
    );
    assert!(said(policy.act(&[f32::NAN])).contains("observation is NaN at index 0"));
    let error = policy.act_into(&[0.0], &mut [0.0; 2]).expect_err("refused");
    assert_eq!(error.to_string(), "Shift-v0: action has 2 numbers, expected 1");
    let error = policy.evaluate(0).expect_err("refused");
    assert_eq!(error.to_string(), "0 episodes, expected at least 1");
}

#[test]
fn a_policy_of_other_spaces_is_refused_with_both_lengths() {
    let here = folder();
    let run = trained(&settings(), &here.path().join("run"));
    let error = Policy::load_with(&run.run_dir, &registry(3)).err().expect("refused");
    let expected = format!(
        "{}: its policy takes observations of 1 number (Box[1]), but Shift-v0 has observations of 3 numbers (Box[3])",
        run.run_dir.display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.is_users(), "exit code 2");
    assert_eq!(
        format!("{error:?}"),
        expected,
        "so that it reads as a sentence from main"
    );
    let error = resume(&run.run_dir, &registry(3)).expect_err("refused");
    assert!(error.to_string().contains("of 1 number (Box[1])"), "{error}");

    let mut policy = Policy::load_with(&run.run_dir, &registry(1)).expect("there");
    let options = EvaluateOptions {
        env: "wrappers = [{ kind = 'frame_stack', frames = 2 }]"
            .parse()
            .expect("TOML"),
        ..EvaluateOptions::default()
    };
    let error = policy.evaluate_with(&options).expect_err("refused");
    assert!(
        error.to_string().contains("of 1 number (Box[1]), but Shift-v0 has"),
        "{error}"
    );
}

#[test]
fn a_run_is_resumed_to_the_bit_from_typed_settings() {
    let here = folder();
    let whole = trained(&settings(), &here.path().join("whole"));
    let mut short = settings();
    short.train.total_env_steps = 60;
    let cut = trained(&short, &here.path().join("cut"));
    let config = settings().resolve(&registry(1)).expect("valid settings");
    let folder = RunFolder::open(&cut.run_dir).expect("there");
    sac::run::resume_with(&config, &registry(1), &folder, Session::default()).expect("goes on");
    let [whole, cut] = [whole, cut].map(|run| run.run_dir.join("checkpoints/120"));
    crate::support::assert_same_checkpoint(&whole, &cut, "resumed against never stopped");
}

#[test]
fn a_policy_is_loaded_while_another_process_replaces_the_checkpoint() {
    let here = tempfile::tempdir().expect("a temporary folder");
    let path = here.path().join("run");
    trained(&settings(), &path);
    let run = RunFolder::open(&path).expect("a run");
    let whole = Checkpoint::read(&run.saved(Which::Last).expect("saved"), &[]).expect("whole");
    // Sections of the first checkpoint, written again and again.
    let names = whole.section_names();
    let sections: Vec<_> = names.iter().map(|name| whole.section(name).expect("there")).collect();
    let store = CheckpointStore::new(path.join("checkpoints"), 1);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut outcomes = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                outcomes.push(Policy::load_checkpoint(&path, Which::Last, &registry(1)).map(drop));
            }
            outcomes
        });
        for at in 1000..1020 {
            let saved = store.save(EnvSteps(at), whole.manifest.grad_steps, &sections);
            saved.expect("there is room");
            thread::sleep(Duration::from_millis(30));
        }
        is_done.store(true, Ordering::Relaxed);
        for outcome in load.join().expect("it loads") {
            outcome.expect("the next checkpoint is taken");
        }
    });
}

#[test]
fn a_request_to_stop_ends_a_run_with_a_checkpoint() {
    let here = folder();
    let session = Session::default();
    session.stop.request();
    let config = settings().resolve(&registry(1)).expect("valid settings");
    let run = RunFolder::create(here.path().join("run")).expect("new");
    let summary = train_into(&config, &registry(1), &run, session).expect("stops");
    assert!(summary.interrupted && summary.env_steps == 0, "{summary:?}");
    assert_eq!(resume(run.path(), &registry(1)).expect("goes on").env_steps, 120);
}

#[test]
fn settings_that_are_not_valid_come_all_at_once() {
    let mut settings = settings();
    settings.env.id = "Shift-v1".to_string();
    let error = Error::from(settings.resolve(&registry(1)).expect_err("unknown"));
    assert!(error.to_string().contains("did you mean `Shift-v0`?"), "{error}");
    settings.env.id = "Shift-v0".to_string();
    settings.agent.gamma = 2.0;
    settings.train.batch_size = 0;
    settings.eval.every = Every::EnvSteps(0);
    let error = train(&settings, &registry(1)).expect_err("refused");
    for word in [
        "3 problems",
        "agent.gamma = 2",
        "train.batch_size = 0",
        "eval.every = 0",
    ] {
        assert!(error.to_string().contains(word), "`{word}` is missing: {error}");
    }
}

#[test]
fn an_error_from_main_is_a_sentence() {
    // What a program with `fn main() -> sac::Result<()>` prints is `Error: {error:?}`.
    let error = Policy::load("runs/none").err().expect("no such run");
    assert_eq!(format!("{error:?}"), "runs/none: no such folder");
}
