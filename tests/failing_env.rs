//! Environments that fail, and spaces that no agent can serve: named, after a checkpoint.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{checkpoints, folder, metrics};
use sac::{Error, agents, config::Config, envs::Simulated, prelude::*, run};
use serde::{Deserialize, Serialize};

/// A task that does something wrong at step 30 of an episode, until it is mended.
#[derive(Clone)]
struct Faulty {
    fault: Fault,
    is_mended: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    RewardNaN,
    RewardBeyondSinglePrecision,
    ObservationInfinite,
    ObservationTooShort,
    ObservationOfAnotherShape,
    Panic,
    /// Fails at step 30 and cannot even be reset afterwards.
    Dies,
}

const FAULT_AT: u64 = 30;

#[derive(Clone, Serialize, Deserialize)]
struct Count {
    step: u64,
    sum: f64,
}

impl Dynamics for Faulty {
    type State = Count;
    fn observation_space(&self) -> Space {
        Space::unbounded(2)
    }
    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }
    fn initial(&self, rng: &mut NumpyRng) -> Count {
        Count {
            step: 0,
            sum: rng.uniform(-1.0, 1.0),
        }
    }
    fn step(&self, state: &mut Count, action: &[f32], _: &mut NumpyRng) -> Transition {
        state.step += 1;
        state.sum += f64::from(action[0]);
        let is_faulty = !self.is_mended.load(Ordering::Relaxed) && state.step == FAULT_AT;
        if is_faulty && self.fault == Fault::Panic {
            panic!("index out of bounds");
        }
        let reward = match self.fault {
            Fault::RewardNaN if is_faulty => f64::NAN,
            Fault::RewardBeyondSinglePrecision if is_faulty => -1e39,
            _ => -state.sum * state.sum,
        };
        Transition {
            reward,
            terminated: false,
        }
    }
    fn observe(&self, state: &Count, obs: &mut [f32]) {
        let is_faulty = !self.is_mended.load(Ordering::Relaxed) && state.step == FAULT_AT;
        let numbers = [state.step as f32 / 50.0, state.sum as f32];
        match self.fault {
            Fault::ObservationInfinite if is_faulty => obs.copy_from_slice(&[numbers[0], f32::INFINITY]),
            Fault::ObservationTooShort if is_faulty => obs[0] = numbers[0],
            Fault::ObservationOfAnotherShape if is_faulty => obs.copy_from_slice(&[numbers[0], numbers[1], 0.0]),
            _ => obs.copy_from_slice(&numbers),
        }
    }
}

/// Dies for good: after its fault even a reset fails, until it is mended.
struct Mortal {
    env: Simulated<Faulty>,
    is_mended: Arc<AtomicBool>,
    is_dead: bool,
}

impl Env for Mortal {
    fn describe(&self) -> String {
        self.env.describe()
    }
    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }
    fn action_space(&self) -> &Space {
        self.env.action_space()
    }
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        if self.is_dead {
            return Err(self.death());
        }
        self.env.reset(seed, obs)
    }
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        let outcome = self.env.step(action, obs)?;
        let step = self.env.state().map_or(0, |state| state.step);
        self.is_dead = step == FAULT_AT && !self.is_mended.load(Ordering::Relaxed);
        if self.is_dead { Err(self.death()) } else { Ok(outcome) }
    }
    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        if self.is_dead {
            Err(self.death())
        } else {
            self.env.snapshot()
        }
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.env.restore(snapshot)
    }
}

impl Mortal {
    fn death(&self) -> EnvError {
        EnvError::Failed {
            env: self.env.describe(),
            problem: "the simulator has gone away".to_string(),
        }
    }
}

fn registry(fault: Fault, is_mended: &Arc<AtomicBool>) -> Registry {
    let task = Faulty {
        fault,
        is_mended: is_mended.clone(),
    };
    let mut registry = Registry::builtin();
    registry.register(if fault == Fault::Dies {
        EnvEntry::from_env("Faulty-v0", "Fails at step 30", move || {
            let env = Simulated::new("Faulty-v0", task.clone());
            Box::new(Mortal {
                env,
                is_mended: task.is_mended.clone(),
                is_dead: false,
            })
        })
        .with_time_limit(50)
    } else {
        EnvEntry::new("Faulty-v0", "Fails at step 30", move || task.clone()).with_time_limit(50)
    });
    registry
}

const SETTINGS: &[&str] = &[
    "train.total_env_steps=400",
    "train.warmup_env_steps=10",
    "train.batch_size=8",
    "train.threads=1",
    "train.device=cpu",
    "agent.body.hidden=[8, 8]",
    "replay.capacity=500",
    "replay.n_step=3",
    "eval.episodes=2",
    "checkpoint.every=\"never\"",
];

fn configured(registry: &Registry, more: &[&str]) -> Config {
    let settings: Vec<&str> = SETTINGS.iter().chain(more).copied().collect();
    sac::configure(registry, "Faulty-v0", "sac", &settings).expect("valid")
}

/// Trains until the fault, expects `words` in the message, mends the task and resumes to the end.
fn assert_saved_and_resumable(fault: Fault, more: &[&str], env_steps: u64, words: &[&str]) {
    let here = folder();
    let is_mended = Arc::new(AtomicBool::new(false));
    let registry = registry(fault, &is_mended);
    let config = configured(&registry, more);
    let folder = RunFolder::create(here.path().join("run")).expect("new");
    let error = run::train_into(&config, &registry, &folder, Session::default()).expect_err("the task is faulty");
    let message = error.to_string();
    for word in [
        "Faulty-v0",
        &format!("at env step {env_steps}"),
        "checkpoint written to",
    ]
    .iter()
    .chain(words)
    {
        assert!(message.contains(word), "{fault:?}: `{word}` is missing in: {message}");
    }
    assert!(!error.is_users(), "exit code 1");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("--resume")),
        "the hint says what to do"
    );
    let path = match error {
        Error::Agents(agents::Error::EnvDuringTraining {
            checkpoint: Some(path), ..
        }) => path,
        other => panic!("{fault:?}: no checkpoint: {other:?}"),
    };
    assert!(
        path.ends_with(format!("run/checkpoints/{env_steps}")),
        "{}",
        path.display()
    );

    is_mended.store(true, Ordering::Relaxed);
    let summary = run::resume_with(&config, &registry, &folder, Session::default()).expect("mended");
    assert_eq!(summary.env_steps, 400, "{fault:?}");
    assert_eq!(checkpoints(&here.path().join("run")).last(), Some(&400), "{fault:?}");
    assert!(metrics(&here.path().join("run")).len() > 1, "{fault:?}");
}

#[test]
fn a_reward_that_is_no_number_names_env_step_and_value_after_a_checkpoint() {
    let words = ["reward is NaN at step 30 of episode 1", "environment 0"];
    assert_saved_and_resumable(Fault::RewardNaN, &[], 29, &words);
    // Three side by side: ring by ring, so the thirtieth round fails.
    assert_saved_and_resumable(Fault::RewardNaN, &["env.num_envs=3"], 87, &words);
    assert_saved_and_resumable(Fault::RewardNaN, &["env.num_envs=3", "env.step_threads=2"], 87, &words);
    let pipelined = ["env.num_envs=3", "env.step_threads=2", "train.pipelined=true"];
    assert_saved_and_resumable(Fault::RewardNaN, &pipelined, 87, &words);
}

#[test]
fn a_reward_that_single_precision_cannot_hold_names_env_step_and_value_after_a_checkpoint() {
    let words = ["reward is -1e39 at step 30 of an episode", "environment 0"];
    assert_saved_and_resumable(Fault::RewardBeyondSinglePrecision, &[], 29, &words);
    let pipelined = ["env.num_envs=3", "env.step_threads=2", "train.pipelined=true"];
    assert_saved_and_resumable(Fault::RewardBeyondSinglePrecision, &pipelined, 87, &words);
}

#[test]
fn an_observation_that_is_no_number_or_not_whole_names_env_step_and_place_after_a_checkpoint() {
    assert_saved_and_resumable(
        Fault::ObservationInfinite,
        &[],
        29,
        &["observation[1] is inf at step 30 of episode 1"],
    );
    assert_saved_and_resumable(
        Fault::ObservationTooShort,
        &[],
        29,
        &["observation[1] is not written at step 30"],
    );
    let words = ["panicked at step 30 of episode 1", "3", "2"];
    assert_saved_and_resumable(Fault::ObservationOfAnotherShape, &[], 29, &words);
}

#[test]
fn an_environment_that_panics_ends_the_run_with_its_message_after_a_checkpoint() {
    let words = ["panicked at step 30 of episode 1: index out of bounds"];
    assert_saved_and_resumable(Fault::Panic, &[], 29, &words);
    assert_saved_and_resumable(Fault::Panic, &["env.num_envs=2", "env.step_threads=2"], 58, &words);
}

#[test]
fn an_environment_that_cannot_even_be_reset_loses_nothing_that_was_learned() {
    let words = ["the simulator has gone away"];
    assert_saved_and_resumable(Fault::Dies, &[], 29, &words);
    assert_saved_and_resumable(Fault::Dies, &["env.num_envs=2"], 58, &words);
    assert_saved_and_resumable(Fault::Dies, &["env.num_envs=2", "train.pipelined=true"], 58, &words);
}

#[test]
fn an_environment_that_fails_in_an_evaluation_ends_the_run_after_a_checkpoint() {
    // Episodes of the first evaluation pass step 30 before those of training do.
    let words = ["reward is NaN at step 30 of episode 1"];
    assert_saved_and_resumable(Fault::RewardNaN, &["eval.every={env_steps=20}"], 20, &words);
}

/// A task with an action space that Soft Actor-Critic as shipped cannot serve.
struct Odd(Space);

impl Dynamics for Odd {
    type State = ();
    fn observation_space(&self) -> Space {
        Space::unbounded(1)
    }
    fn action_space(&self) -> Space {
        self.0.clone()
    }
    fn initial(&self, _: &mut NumpyRng) {}
    fn step(&self, _: &mut (), _: &[f32], _: &mut NumpyRng) -> Transition {
        Transition {
            reward: 0.0,
            terminated: false,
        }
    }
    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 0.0;
    }
}

#[test]
fn a_space_that_the_algorithm_cannot_serve_is_the_users_to_change() {
    let train = |space: Space| {
        let here = folder();
        let mut registry = Registry::builtin();
        registry.register(EnvEntry::new("Odd-v0", "An odd space", move || Odd(space.clone())).with_time_limit(5));
        let config = sac::configure(&registry, "Odd-v0", "sac", SETTINGS).map_err(Error::from);
        let error = config.and_then(|config| {
            let path = here.path().join("run");
            let folder = RunFolder::create(&path)?;
            let outcome = run::train_into(&config, &registry, &folder, Session::default());
            assert!(!path.exists(), "no half-made run is left");
            outcome
        });
        error.expect_err("refused")
    };
    let error = train(Space::Discrete { n: 3 });
    assert!(matches!(error, Error::Config(_)), "before anything is built: {error:?}");
    assert!(error.is_users(), "exit code 2");
    let message = error.to_string();
    for word in [
        "agent.policy.kind",
        "agent.temperature.target_entropy",
        "Discrete",
        "squashed Gaussian",
    ] {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
    let error = train(Space::unbounded(1));
    assert!(error.is_users(), "exit code 2: {error:?}");
    assert!(error.to_string().contains("no finite bounds"), "{error}");
}
