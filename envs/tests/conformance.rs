//! The conformance suite on every environment, and on environments that break the contract.

use sac_envs::{
    Checked, Dynamics, Env, EnvError, GoalBatch, GoalLayout, NumpyRng, Outcome, Registry, Simulated, Space, TimeLimit,
    Transition, check_env,
};

#[test]
fn every_registered_environment_keeps_the_contract() {
    let registry = Registry::builtin();
    let none = toml::Table::new();
    for entry in registry.entries() {
        let id = &entry.id;
        let make = [Registry::make, Registry::make_normalised];
        // The Fetch robot takes long to step, and its actions are normalised already.
        for env in make.iter().skip(usize::from(entry.family == "fetch")) {
            let report = check_env(|| env(&registry, id, &none).expect("registered")).unwrap_or_else(|e| panic!("{e}"));
            assert!(
                report.saw_an_end,
                "{id}: no episode ended, so a part of the suite did not run"
            );
        }
    }
}

#[test]
fn goals_of_a_wrapped_task_earn_its_reward_and_a_sum_over_several_goals_has_none() {
    let registry = Registry::builtin();
    let with = |wrapper: &str| {
        let options = format!("obstacles = true\nwrappers = [{wrapper}]")
            .parse()
            .expect("TOML");
        registry.make_normalised("PointReach-v0", &options).expect("wrapped")
    };
    for wrapper in [
        "{ kind = 'reward_scale', factor = -3.0 }",
        "{ kind = 'action_delay', steps = 2 }",
    ] {
        assert!(with(wrapper).goals().is_some(), "{wrapper}");
        check_env(|| with(wrapper)).unwrap_or_else(|e| panic!("{e}"));
    }
    for kind in ["action_repeat", "frame_stack", "observation_noise", "pixels"] {
        assert_eq!(with(&format!("{{ kind = '{kind}' }}")).goals(), None, "{kind}");
    }
}

#[test]
fn every_registered_environment_has_a_manual_that_fits_its_spaces() {
    for entry in Registry::builtin().entries() {
        let env = entry.make(&toml::Table::new()).expect("registered");
        for (space, rows) in [
            (env.observation_space(), &entry.manual.observation),
            (env.action_space(), &entry.manual.action),
        ] {
            let Space::Box { low, high, .. } = space else { continue };
            assert_eq!(rows.len(), space.len(), "{}", entry.id);
            for (i, row) in rows.iter().enumerate() {
                assert_eq!(
                    (row.low as f32, row.high as f32),
                    (low[i], high[i]),
                    "{}: {}",
                    entry.id,
                    row.name
                );
            }
        }
        for (what, text) in [
            ("description", &entry.manual.description),
            ("reward", &entry.manual.reward),
            ("end", &entry.manual.end),
        ] {
            assert!(!text.is_empty(), "{}: the manual has no {what}", entry.id);
        }
        for option in entry.options.keys() {
            assert!(
                entry.manual.description.contains(&format!("`{option}`")),
                "{}: {option}",
                entry.id
            );
        }
    }
}

/// A walk on a line that starts at random and ends after seven steps.
#[derive(Clone)]
struct Walk;

impl Dynamics for Walk {
    type State = (f64, u32);

    fn observation_space(&self) -> Space {
        Space::boxed(2, -20.0, 20.0)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, rng: &mut NumpyRng) -> (f64, u32) {
        (rng.uniform(-1.0, 1.0), 0)
    }

    fn step(&self, state: &mut (f64, u32), action: &[f32], rng: &mut NumpyRng) -> Transition {
        state.0 += f64::from(action[0]) + rng.uniform(-0.1, 0.1);
        state.1 += 1;
        Transition {
            reward: state.0,
            terminated: state.1 == 7,
        }
    }

    fn observe(&self, state: &(f64, u32), obs: &mut [f32]) {
        obs.copy_from_slice(&[state.0 as f32, state.1 as f32]);
    }
}

/// The way in which [`Broken`] breaks the contract.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    CrossedBounds,
    HalfWritten,
    NanReward,
    LeavesItsSpace,
    ClaimsAStack,
    MisjudgesGoals,
    HiddenRandomness,
    IgnoresTheSeed,
    ReseedsItself,
    ForgetsTheGenerator,
    TakesAnySnapshot,
    PanicsAtGarbage,
    StepsBeforeReset,
    TakesAnyLength,
    GoesOnAfterTheEnd,
}

struct Broken {
    fault: Fault,
    inner: Simulated<Walk>,
    space: Space,
    goals: GoalLayout,
    last_seed: Option<u64>,
    begun: bool,
    calls: u32,
}

impl Broken {
    fn boxed(fault: Fault) -> Box<dyn Env> {
        let inner = Simulated::new("Broken-v0", Walk);
        let mut space = inner.observation_space().clone();
        if fault == Fault::CrossedBounds {
            space = Space::vector(vec![1.0, 0.0], vec![-1.0, 7.0]);
        }
        Box::new(Broken {
            fault,
            inner,
            space,
            goals: GoalLayout::sorted(1, 0),
            last_seed: None,
            begun: false,
            calls: 0,
        })
    }

    fn spoil(&mut self, obs: &mut [f32]) {
        match self.fault {
            Fault::HalfWritten => obs[1] = f32::NAN,
            Fault::LeavesItsSpace => obs[0] = 21.0,
            _ => {}
        }
    }
}

impl Env for Broken {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn observation_space(&self) -> &Space {
        &self.space
    }

    fn action_space(&self) -> &Space {
        self.inner.action_space()
    }

    fn stacked_frames(&self) -> usize {
        if self.fault == Fault::ClaimsAStack { 2 } else { 1 }
    }

    fn goals(&self) -> Option<&GoalLayout> {
        (self.fault == Fault::MisjudgesGoals).then_some(&self.goals)
    }

    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        for ((achieved, ..), outcome) in batch.rows(&self.goals).zip(outcomes) {
            *outcome = Transition {
                reward: f64::from(achieved[0]) + 0.01,
                terminated: false,
            };
        }
        Ok(())
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.begun = true;
        self.last_seed = seed.or(self.last_seed);
        let seed = match self.fault {
            Fault::IgnoresTheSeed if self.calls > 0 => None,
            Fault::ReseedsItself => self.last_seed,
            _ => seed,
        };
        self.calls += 1;
        if self.fault == Fault::TakesAnyLength {
            let mut right = [0.0; 2];
            self.inner.reset(seed, &mut right)?;
            obs.iter_mut().zip(right).for_each(|(to, from)| *to = from);
            return Ok(());
        }
        self.inner.reset(seed, obs)?;
        self.spoil(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        if self.fault == Fault::StepsBeforeReset && !self.begun {
            self.inner.reset(None, obs)?;
        }
        if self.fault == Fault::TakesAnyLength && action.len() != 1 {
            return self.inner.step(&[0.0], obs);
        }
        let mut outcome = match self.inner.step(action, obs) {
            Err(EnvError::ResetNeeded { .. }) if self.fault == Fault::GoesOnAfterTheEnd => {
                return Ok(Outcome {
                    reward: 0.0,
                    terminated: true,
                    truncated: false,
                    success: None,
                });
            }
            other => other?,
        };
        self.spoil(obs);
        match self.fault {
            Fault::NanReward => outcome.reward = f64::NAN,
            Fault::HiddenRandomness => outcome.reward += f64::from(std::ptr::from_ref(self).addr() as u32),
            _ => {}
        }
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        self.inner.snapshot()
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        match self.fault {
            Fault::TakesAnySnapshot => {
                let _ = self.inner.restore(bytes);
                Ok(())
            }
            Fault::PanicsAtGarbage => {
                self.inner.restore(bytes).expect("bytes are always fine");
                Ok(())
            }
            Fault::ForgetsTheGenerator => {
                self.inner.restore(bytes)?;
                let (position, steps) = *self.inner.state().expect("restored within an episode");
                // Keeps the state and restarts the generator.
                let mut obs = [0.0; 2];
                self.inner.reset(Some(77), &mut obs)?;
                let fresh = self.inner.snapshot()?;
                let state = |x: &(f64, u32)| sac_envs::snapshot::encode("", x).expect("plain data")[1..].to_vec();
                let own = state(self.inner.state().expect("just reset"));
                let kept = fresh[..fresh.len() - own.len()].to_vec();
                self.inner.restore(&[kept, state(&(position, steps))].concat())
            }
            _ => self.inner.restore(bytes),
        }
    }
}

#[test]
fn the_suite_finds_every_fault_and_says_so() {
    let expected = [
        (Fault::CrossedBounds, "spaces are sound"),
        (Fault::HalfWritten, "everything is written and finite"),
        (Fault::NanReward, "everything is written and finite"),
        (Fault::LeavesItsSpace, "observations lie in their space"),
        (Fault::ClaimsAStack, "a stack advances by one frame"),
        (Fault::MisjudgesGoals, "goals earn the reward of the step"),
        (Fault::HiddenRandomness, "the same seed gives the same trajectory"),
        (Fault::IgnoresTheSeed, "the same seed gives the same trajectory"),
        (Fault::ReseedsItself, "an unseeded reset continues the stream"),
        (Fault::ForgetsTheGenerator, "a snapshot restores every bit"),
        (Fault::TakesAnySnapshot, "a wrong snapshot is refused"),
        (Fault::PanicsAtGarbage, "a wrong snapshot is refused"),
        (Fault::StepsBeforeReset, "stepping needs a reset first"),
        (Fault::TakesAnyLength, "wrong lengths are refused"),
        (Fault::GoesOnAfterTheEnd, "an ended episode stays ended"),
    ];
    let whole =
        check_env(|| Broken::boxed(Fault::None)).unwrap_or_else(|e| panic!("the copy without a fault failed: {e}"));
    for (fault, check) in expected {
        let failure = check_env(|| Broken::boxed(fault)).expect_err("a fault");
        assert!(
            failure.problems.iter().any(|problem| problem.check == check),
            "{fault:?} was not found: {failure}"
        );
    }
    for check in whole.checks {
        assert!(
            expected.iter().any(|(_, name)| *name == check),
            "no fault makes `{check}` fail"
        );
    }
}

#[test]
fn the_suite_reports_all_problems_at_once() {
    let failure = check_env(|| Broken::boxed(Fault::TakesAnySnapshot))
        .expect_err("a fault")
        .problems
        .len();
    assert_eq!(failure, 1);
    let failure = check_env(|| Broken::boxed(Fault::ReseedsItself)).expect_err("a fault");
    let checks: Vec<&str> = failure.problems.iter().map(|problem| problem.check).collect();
    let expected = [
        "an unseeded reset continues the stream",
        "a snapshot restores every bit",
    ];
    assert_eq!(
        checks, expected,
        "a copy restored from a snapshot does not know the seed to repeat"
    );
    assert!(
        failure
            .to_string()
            .starts_with("Broken-v0 fails 2 of 12 checks:\n  an unseeded"),
        "{failure}"
    );
}

/// Makes a mistake in `observe` from the third step on.
struct Silly(fn(&mut [f32]));

impl Dynamics for Silly {
    type State = u32;

    fn observation_space(&self) -> Space {
        Space::unbounded(3)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, _rng: &mut NumpyRng) -> u32 {
        0
    }

    fn step(&self, steps: &mut u32, _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        *steps += 1;
        Transition {
            reward: 0.0,
            terminated: false,
        }
    }

    fn observe(&self, steps: &u32, obs: &mut [f32]) {
        if *steps < 3 { obs.fill(0.0) } else { self.0(obs) }
    }
}

fn third_step(silly: fn(&mut [f32])) -> (Checked<Simulated<Silly>>, String) {
    let mut env = Checked::new(Simulated::new("Silly-v0", Silly(silly)));
    let mut obs = [0.0; 3];
    env.reset(Some(0), &mut obs).expect("resets");
    env.reset(None, &mut obs).expect("resets");
    for _ in 0..2 {
        env.step(&[0.0], &mut obs).expect("two good steps");
    }
    let message = env.step(&[0.0], &mut obs).expect_err("the third fails").to_string();
    (env, message)
}

#[test]
fn an_observation_of_the_wrong_length_is_an_error_with_its_place() {
    let (_, message) = third_step(|obs| obs.copy_from_slice(&[0.0; 2]));
    assert!(
        message.starts_with("Silly-v0: panicked at step 3 of episode 2: copy_from_slice"),
        "{message}"
    );
}

#[test]
fn an_unwritten_number_and_a_nan_have_different_messages() {
    let (_, message) = third_step(|obs| obs[0] = 1.0);
    assert_eq!(
        message,
        "Silly-v0: observation[1] is not written at step 3 of episode 2"
    );
    let (_, message) = third_step(|obs| obs.fill(f32::NAN));
    assert_eq!(message, "Silly-v0: observation[0] is NaN at step 3 of episode 2");
    let (_, message) = third_step(|obs| obs.fill(f32::INFINITY));
    assert_eq!(message, "Silly-v0: observation[0] is inf at step 3 of episode 2");
}

#[test]
fn after_a_panic_everything_but_a_reset_is_refused() {
    let (mut env, message) = third_step(|_| panic!("out of {}", "tune"));
    assert_eq!(message, "Silly-v0: panicked at step 3 of episode 2: out of tune");
    let mut obs = [0.0; 3];
    let refused = env.step(&[0.0], &mut obs).expect_err("poisoned").to_string();
    assert_eq!(refused, "Silly-v0: step was called after a panic; call reset first");
    assert!(env.snapshot().is_err(), "a half-made state is not written down");
    env.reset(None, &mut obs).expect("starts afresh");
    env.step(&[0.0], &mut obs).expect("goes on");
}

#[test]
fn actions_outside_the_box_reach_the_task_but_nan_does_not() {
    let mut env = Registry::builtin()
        .make("Pendulum-v1", &toml::Table::new())
        .expect("registered");
    let mut obs = [0.0; 3];
    env.reset(Some(0), &mut obs).expect("resets");
    let before = env.snapshot().expect("written");
    let beyond = env.step(&[50.0], &mut obs).expect("clipped by the task");
    env.restore(&before).expect("taken back");
    assert_eq!(env.step(&[2.0], &mut obs).expect("the bound"), beyond);
    let message = env.step(&[f32::NAN], &mut obs).expect_err("NaN").to_string();
    assert_eq!(message, "Pendulum-v1: action [NaN] is outside Box[1] in [-2, 2]");
}

#[test]
fn a_task_that_ends_on_its_time_limit_has_both_flags_and_counts_as_terminated() {
    let mut env = TimeLimit::new(
        Simulated::new("Walk-v0", Walk),
        std::num::NonZero::new(7).expect("seven"),
    );
    let mut obs = [0.0; 2];
    env.reset(Some(0), &mut obs).expect("resets");
    let last = (0..7)
        .map(|_| env.step(&[0.0], &mut obs).expect("steps"))
        .last()
        .expect("seven steps");
    assert!(last.terminated && last.truncated);
    assert_eq!(last.status(), sac_envs::Status::Terminated);
}
