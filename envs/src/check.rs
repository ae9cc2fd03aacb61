//! [`check_env`]: the conformance suite of environments.
//!
//! Run it in a test of your own environment. It reports all problems at once, each with what was done, what was
//! expected and what happened.

use std::fmt;

use crate::panics::caught;
use crate::{Env, EnvError, GoalBatch, NumpyRng, Outcome, Status, Transition};

/// Length of the trajectories that are compared.
const STEPS: usize = 300;
/// Number of steps within which the suite expects an episode to end.
const STEPS_TO_AN_END: usize = 5000;

/// Report on an environment that passed all checks.
#[derive(Clone, Debug)]
pub struct CheckReport {
    /// [`Env::describe`] of the environment.
    pub env: String,
    /// Names of the checks.
    pub checks: Vec<&'static str>,
    /// Whether an episode ended under random actions. If not, the behaviour after an end was not checked.
    pub saw_an_end: bool,
}

/// Report on an environment that failed a check.
#[derive(Clone, Debug)]
pub struct CheckFailure {
    /// [`Env::describe`] of the environment.
    pub env: String,
    /// All problems that were found.
    pub problems: Vec<Problem>,
}

/// One violation of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The check that found it; one of [`CheckReport::checks`].
    pub check: &'static str,
    /// What was done, what was expected, what happened.
    pub explanation: String,
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} fails {} of {} checks:",
            self.env,
            self.problems.len(),
            CHECKS.len()
        )?;
        for Problem { check, explanation } in &self.problems {
            write!(f, "\n  {check}: {explanation}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CheckFailure {}

type Check = fn(&dyn Fn() -> Box<dyn Env>) -> Result<(), String>;

/// All checks in order. If the first fails, the others cannot run: they need sound spaces.
const CHECKS: [(&str, Check); 12] = [
    ("spaces are sound", spaces),
    ("everything is written and finite", everything_is_written),
    ("observations lie in their space", observations_in_space),
    ("a stack advances by one frame", stack_moves_on),
    ("goals earn the reward of the step", goals),
    ("the same seed gives the same trajectory", same_seed),
    ("an unseeded reset continues the stream", unseeded_reset),
    ("a snapshot restores every bit", snapshot),
    ("a wrong snapshot is refused", wrong_snapshot),
    ("stepping needs a reset first", step_before_reset),
    ("wrong lengths are refused", wrong_lengths),
    ("an ended episode stays ended", ended_episode),
];

/// Runs the suite. `make` must return equal environments that have not been reset.
///
/// A panic of the environment counts as a problem of the check in which it happened.
///
/// # Errors
/// [`CheckFailure`] with all problems.
pub fn check_env(make: impl Fn() -> Box<dyn Env>) -> Result<CheckReport, CheckFailure> {
    let env = caught(|| make().describe()).unwrap_or_else(|message| format!("(construction panicked: {message})"));
    let mut problems = Vec::new();
    for (check, run) in CHECKS {
        let found = caught(|| run(&make)).unwrap_or_else(|message| Err(format!("it panicked: {message}")));
        if let Err(explanation) = found {
            problems.push(Problem { check, explanation });
            if check == CHECKS[0].0 {
                break;
            }
        }
    }
    if !problems.is_empty() {
        return Err(CheckFailure { env, problems });
    }
    let checks = CHECKS.iter().map(|(name, _)| *name).collect();
    Ok(CheckReport {
        env,
        checks,
        saw_an_end: find_an_end(&make).is_ok_and(|env| env.is_some()),
    })
}

/// An environment with its buffers and a generator of random actions.
struct Driver {
    env: Box<dyn Env>,
    actions: NumpyRng,
    obs: Vec<f32>,
    action: Vec<f32>,
}

/// Result of a call, compared by bits.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    obs: Vec<u32>,
    reward: u64,
    status: Status,
    success: Option<bool>,
}

impl Driver {
    fn new(env: Box<dyn Env>, action_seed: u64) -> Self {
        let (obs, action) = (
            vec![0.0; env.observation_space().len()],
            vec![0.0; env.action_space().len()],
        );
        Driver {
            env,
            actions: NumpyRng::new(action_seed),
            obs,
            action,
        }
    }

    fn reset(&mut self, seed: Option<u64>) -> Result<Seen, String> {
        self.obs.fill(f32::NAN);
        self.env
            .reset(seed, &mut self.obs)
            .map_err(|e| format!("reset({seed:?}) failed: {e}"))?;
        Ok(self.seen(Outcome {
            reward: 0.0,
            terminated: false,
            truncated: false,
            success: None,
        }))
    }

    fn step(&mut self) -> Result<Seen, String> {
        self.env
            .action_space()
            .gymnasium_sample(&mut self.actions, &mut self.action);
        self.obs.fill(f32::NAN);
        let outcome = self.env.step(&self.action, &mut self.obs);
        let outcome = outcome.map_err(|e| format!("step({:?}) failed: {e}", self.action))?;
        Ok(self.seen(outcome))
    }

    /// Steps, and resets without a seed if the step ended the episode. `after` gets the result of each call.
    fn advance(&mut self, mut after: impl FnMut(&Seen) -> Result<(), String>) -> Result<(), String> {
        let seen = self.step()?;
        after(&seen)?;
        if seen.status.is_over() {
            after(&self.reset(None)?)?;
        }
        Ok(())
    }

    fn seen(&self, outcome: Outcome) -> Seen {
        Seen {
            obs: self.obs.iter().map(|x| x.to_bits()).collect(),
            reward: outcome.reward.to_bits(),
            status: outcome.status(),
            success: outcome.success,
        }
    }

    /// The results of `steps` steps and of the resets between them.
    fn trajectory(&mut self, steps: usize) -> Result<Vec<Seen>, String> {
        let mut trajectory = Vec::new();
        for _ in 0..steps {
            self.advance(|seen| {
                trajectory.push(seen.clone());
                Ok(())
            })?;
        }
        Ok(trajectory)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let obs: Vec<f32> = self.obs.iter().take(8).map(|bits| f32::from_bits(*bits)).collect();
        let more = if self.obs.len() > 8 { " …" } else { "" };
        write!(
            f,
            "observation {obs:?}{more}, reward {}, {:?}",
            f64::from_bits(self.reward),
            self.status
        )
    }
}

fn compare(what: &str, first: &[Seen], second: &[Seen]) -> Result<(), String> {
    match first.iter().zip(second).position(|(a, b)| a != b) {
        Some(i) => Err(format!(
            "{what} differ after {i} equal calls: {} against {}",
            first[i], second[i]
        )),
        None if first.len() != second.len() => Err(format!("{what} have {} and {} calls", first.len(), second.len())),
        None => Ok(()),
    }
}

fn spaces(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let (env, other) = (make(), make());
    for (what, space, again) in [
        ("observation", env.observation_space(), other.observation_space()),
        ("action", env.action_space(), other.action_space()),
    ] {
        if let Some(flaw) = space.flaw() {
            return Err(format!("the {what} space is flawed: {flaw}"));
        }
        if space != again {
            return Err(format!("two copies have different {what} spaces: {space} and {again}"));
        }
    }
    Ok(())
}

fn everything_is_written(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut driver = Driver::new(make(), 1);
    let mut calls = 0;
    let mut look = |seen: &Seen| {
        calls += 1;
        if let Some(i) = seen.obs.iter().position(|bits| !f32::from_bits(*bits).is_finite()) {
            return Err(format!(
                "in a buffer full of NaN, call {calls} left or made observation[{i}] not finite: {seen}"
            ));
        }
        if !f64::from_bits(seen.reward).is_finite() {
            return Err(format!("the reward of call {calls} is not finite: {seen}"));
        }
        Ok(())
    };
    look(&driver.reset(Some(1))?)?;
    (0..STEPS).try_for_each(|_| driver.advance(&mut look))
}

fn observations_in_space(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut driver = Driver::new(make(), 2);
    let space = driver.env.observation_space().clone();
    let look = |seen: &Seen| {
        let obs: Vec<f32> = seen.obs.iter().map(|bits| f32::from_bits(*bits)).collect();
        // Numbers that are not finite are reported by another check.
        if space.contains(&obs) || obs.iter().any(|x| !x.is_finite()) {
            return Ok(());
        }
        Err(format!("{space} does not contain this: {seen}"))
    };
    look(&driver.reset(Some(2))?)?;
    (0..STEPS).try_for_each(|_| driver.advance(look))
}

fn stack_moves_on(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut driver = Driver::new(make(), 6);
    let (frames, len) = (driver.env.stacked_frames(), driver.obs.len());
    if frames == 0 || !len.is_multiple_of(frames) {
        return Err(format!(
            "an observation of {len} numbers cannot be a stack of {frames} frames"
        ));
    }
    let mut before = driver.reset(Some(6))?;
    for _ in 0..STEPS {
        let seen = driver.step()?;
        if before.obs[len / frames..] != seen.obs[..len - len / frames] {
            return Err(format!(
                "observations should be stacks of {frames} frames, but a step changed an older frame: {before} before, \
                 {seen} after"
            ));
        }
        before = if seen.status.is_over() {
            driver.reset(None)?
        } else {
            seen
        };
    }
    Ok(())
}

/// What the task says about the goals of a step is what the step gave. Goals are asked about in single precision, so a
/// reward may differ in the last digits.
fn goals(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    const TOLERANCE: f64 = 1e-5;
    let mut driver = Driver::new(make(), 10);
    let Some(layout) = driver.env.goals().cloned() else {
        return Ok(());
    };
    if let Some(flaw) = layout.flaw(driver.obs.len()) {
        return Err(flaw);
    }
    driver.reset(Some(10))?;
    for _ in 0..STEPS {
        let seen = driver.step()?;
        let ended = seen.status == Status::Terminated;
        let batch = GoalBatch {
            achieved: &driver.obs[layout.achieved.clone()],
            desired: &driver.obs[layout.desired.clone()],
            info: &driver.obs[layout.observation.clone()],
        };
        let mut asked = [Transition {
            reward: f64::NAN,
            terminated: ended,
        }];
        let answer = driver.env.goal_outcomes(&batch, &mut asked);
        answer.map_err(|e| format!("asked about the goals of {seen}: {e}"))?;
        let [Transition { reward, terminated }] = asked;
        let given = f64::from_bits(seen.reward);
        let differs = (reward - given).abs() > TOLERANCE * given.abs().max(1.0);
        if differs || reward.is_nan() || terminated != ended {
            return Err(format!(
                "the goals of a step earn {reward} (terminated: {terminated}), and the step gave {seen}"
            ));
        }
        if seen.status.is_over() {
            driver.reset(None)?;
        }
    }
    match driver.env.goal_outcomes(
        &GoalBatch {
            achieved: &[0.0],
            desired: &[],
            info: &[],
        },
        &mut [],
    ) {
        Err(EnvError::Unsupported { .. }) => Ok(()),
        Err(other) => Err(format!(
            "goals of a wrong length should be refused as unsupported, not with: {other}"
        )),
        Ok(()) => Err("goals of a wrong length were accepted".to_string()),
    }
}

fn same_seed(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let run = |driver: &mut Driver| -> Result<Vec<Seen>, String> {
        driver.actions = NumpyRng::new(3);
        let first = driver.reset(Some(3))?;
        Ok([vec![first], driver.trajectory(STEPS)?].concat())
    };
    let (mut one, mut two) = (Driver::new(make(), 3), Driver::new(make(), 3));
    let first = run(&mut one)?;
    compare("two copies with the same seed and actions", &first, &run(&mut two)?)?;
    compare(
        "a run and its repetition after reset with the same seed",
        &first,
        &run(&mut one)?,
    )
}

fn unseeded_reset(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let starts = |seed: Option<u64>| -> Result<Vec<Seen>, String> {
        let mut driver = Driver::new(make(), 4);
        let first = driver.reset(seed)?;
        let mut all = vec![first];
        for _ in 0..4 {
            all.push(driver.reset(None)?);
        }
        Ok(all)
    };
    compare(
        "the first reset without a seed and one with seed 0",
        &starts(None)?,
        &starts(Some(0))?,
    )?;
    let (four, five) = (starts(Some(4))?, starts(Some(5))?);
    let starts_vary = four[0] != five[0];
    if starts_vary && four.iter().all(|start| *start == four[0]) {
        return Err(format!(
            "start states depend on the seed, but four resets without a seed repeated the seeded start: {}",
            four[0]
        ));
    }
    Ok(())
}

fn snapshot(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut original = Driver::new(make(), 5);
    original.reset(Some(5))?;
    // Snapshots at several steps, so that some are in the middle of an episode, whatever its length.
    for steps_before in [0, 1, 2, 7, 40] {
        original.trajectory(steps_before)?;
        let bytes = original.env.snapshot().map_err(|e| format!("snapshot failed: {e}"))?;
        let again = original.env.snapshot().map_err(|e| format!("snapshot failed: {e}"))?;
        if bytes != again {
            return Err("two snapshots in a row differ".to_string());
        }
        let actions = original.actions.clone();
        let straight = original.trajectory(STEPS)?;

        let mut copy = Driver::new(make(), 5);
        copy.env
            .restore(&bytes)
            .map_err(|e| format!("a fresh copy refuses the snapshot: {e}"))?;
        copy.actions = actions.clone();
        compare(
            "continuing, and continuing in a fresh copy from the snapshot,",
            &straight,
            &copy.trajectory(STEPS)?,
        )?;

        original
            .env
            .restore(&bytes)
            .map_err(|e| format!("the environment refuses its own snapshot: {e}"))?;
        original.actions = actions;
        compare(
            "continuing, and continuing again after restoring the snapshot,",
            &straight,
            &original.trajectory(STEPS)?,
        )?;
    }
    Ok(())
}

fn wrong_snapshot(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut driver = Driver::new(make(), 6);
    driver.reset(Some(6))?;
    let good = driver.env.snapshot().map_err(|e| format!("snapshot failed: {e}"))?;
    let noise: Vec<u8> = (0..97).map(|_| driver.actions.next_u32() as u8).collect();
    let longer = [&good[..], &[0]].concat();
    for (what, bytes) in [
        ("no bytes", &[][..]),
        ("random bytes", &noise),
        ("half a snapshot", &good[..good.len() / 2]),
        (
            "a snapshot without its last byte",
            &good[..good.len().saturating_sub(1)],
        ),
        ("a snapshot with an additional byte", &longer),
    ] {
        match caught(|| driver.env.restore(bytes)) {
            Ok(Err(_)) => {}
            Ok(Ok(())) => return Err(format!("restore accepted {what}")),
            Err(message) => return Err(format!("restore panicked on {what}: {message}")),
        }
        if driver.env.snapshot().map_err(|e| format!("snapshot failed: {e}"))? != good {
            return Err(format!("restore refused {what}, but changed the state"));
        }
    }
    Ok(())
}

fn step_before_reset(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut driver = Driver::new(make(), 7);
    match driver.env.step(&driver.action, &mut driver.obs) {
        Err(EnvError::ResetNeeded { .. }) => Ok(()),
        Err(other) => Err(format!(
            "a step before the first reset should fail with ResetNeeded, but the error is: {other}"
        )),
        Ok(_) => Err("a step before the first reset succeeded".to_string()),
    }
}

fn wrong_lengths(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let mut driver = Driver::new(make(), 8);
    driver.reset(Some(8))?;
    let (obs, action) = (driver.obs.len(), driver.action.len());
    let expect = |what: String, result: Result<(), EnvError>| match result {
        Err(EnvError::WrongLength { .. }) => Ok(()),
        Err(other) => Err(format!(
            "{what} should fail with WrongLength, but the error is: {other}"
        )),
        Ok(()) => Err(format!("{what} was accepted")),
    };
    for len in [action - 1, action + 1] {
        let result = driver.env.step(&vec![0.0; len], &mut driver.obs).map(|_| ());
        expect(format!("an action of {len} instead of {action} numbers"), result)?;
    }
    for len in [obs - 1, obs + 1] {
        let mut buffer = vec![0.0; len];
        let what = format!("an observation buffer of {len} instead of {obs} numbers");
        expect(
            format!("{what} in step"),
            driver.env.step(&driver.action, &mut buffer).map(|_| ()),
        )?;
        expect(format!("{what} in reset"), driver.env.reset(Some(8), &mut buffer))?;
    }
    Ok(())
}

fn ended_episode(make: &dyn Fn() -> Box<dyn Env>) -> Result<(), String> {
    let Some(mut driver) = find_an_end(make)? else {
        return Ok(());
    };
    match driver.env.step(&driver.action, &mut driver.obs) {
        Err(EnvError::ResetNeeded { .. }) => {}
        Err(other) => {
            return Err(format!(
                "a step after the end of the episode should fail with ResetNeeded, but the error is: {other}"
            ));
        }
        Ok(_) => return Err("a step after the end of the episode succeeded".to_string()),
    }
    driver.reset(None)?;
    driver
        .step()
        .map(|_| ())
        .map_err(|e| format!("after the end of an episode and a reset, {e}"))
}

/// An environment whose episode has just ended; `None` if none ended under random actions.
fn find_an_end(make: &dyn Fn() -> Box<dyn Env>) -> Result<Option<Driver>, String> {
    let mut driver = Driver::new(make(), 9);
    driver.reset(Some(9))?;
    for _ in 0..STEPS_TO_AN_END {
        if driver.step()?.status.is_over() {
            return Ok(Some(driver));
        }
    }
    Ok(None)
}
