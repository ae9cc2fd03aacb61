//! [`PythonEnv`]: an environment written in Python, in a worker process or in this one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::describe::Description;
use super::goals;
use super::object::PythonObject;
use super::picture::fitted;
use super::pool::{self, Unused};
use super::record::{Record, Start};
use super::spec::PythonSpec;
use super::worker::{Fault, Worker};
use crate::render::{Frame, FrameSize};
use crate::{Env, EnvError, GoalBatch, GoalLayout, Manual, Outcome, Space, Transition, Warning, snapshot};

/// Time that playing an episode again may take when a snapshot is restored.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(120);
/// The kind of warning about observations outside of their space.
const OUTSIDE: &str = "observation outside its space";

/// An environment written in Python.
///
/// Python objects cannot be copied, so a snapshot holds how the episode began and all actions since. Restoring plays the
/// episode again, and compares every observation. If one differs, or it takes too long, a warning says so, and the episode
/// ends at its next step, as truncated and without a reward.
pub(crate) struct PythonEnv {
    name: String,
    host: Host,
    observation_space: Space,
    action_space: Space,
    /// Whether an observation can lie outside of its space.
    has_bounds: bool,
    description: Arc<Description>,
    /// What made it, for an environment that is alone in its worker.
    made_by: Option<String>,
    /// Whether Python did anything since it was made.
    is_used: AtomicBool,
    counts: Counts,
    /// `None` before the first reset.
    episode: Option<Record>,
    state: State,
    outside: Option<Warning>,
}

/// Who holds the Python object of an environment.
enum Host {
    /// A worker process, alone or with others, under this number.
    Worker(Arc<Mutex<Worker>>, u16),
    /// This process.
    Object(Box<dyn PythonObject>),
}

impl Host {
    /// Starts an episode and writes its first observation. With `generator`, the environment's generator has this state
    /// first.
    fn reset(&self, seed: Option<u64>, generator: Option<&str>, obs: &mut [f32]) -> Result<(), Fault> {
        match self {
            Host::Worker(worker, number) => locked(worker).reset(*number, seed, generator, obs),
            Host::Object(object) => object.reset(seed, generator, obs).map_err(raised),
        }
    }

    /// The state that the environment's generator had before the last reset without a seed, if it has one of Gymnasium's.
    fn generator(&self) -> Result<Option<String>, Fault> {
        match self {
            Host::Worker(worker, number) => locked(worker).generator(*number),
            Host::Object(object) => object.generator().map_err(raised),
        }
    }

    /// Makes a step and writes the observation.
    fn step(&self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, Fault> {
        match self {
            Host::Worker(worker, number) => locked(worker).step(*number, action, obs),
            Host::Object(object) => object.step(action, obs).map_err(raised),
        }
    }

    /// Asks what steps earn with other goals.
    fn goal_outcomes(&self, count: usize, data: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Host::Worker(worker, number) => locked(worker).goal_outcomes(*number, count, data),
            Host::Object(object) => object.goal_outcomes(count, data).map_err(raised),
        }
    }

    /// A picture of the environment: width, height, and its bytes.
    fn render(&self) -> Result<(u32, u32, Vec<u8>), Fault> {
        match self {
            Host::Worker(worker, number) => locked(worker).render(*number),
            Host::Object(object) => object.render().map_err(raised),
        }
    }
}

fn locked(worker: &Mutex<Worker>) -> MutexGuard<'_, Worker> {
    // A panic in another environment's call leaves the worker as usable as an error does.
    worker.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cold]
fn raised(message: String) -> Fault {
    Fault::Raised { option: None, message }
}

#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Counts {
    /// From 1; 0 before the first reset.
    episode: u64,
    /// Steps since the reset.
    step: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Python is where the record says.
    Known,
    /// Python is elsewhere: the episode could not be played again.
    Lost,
    /// A step or a reset failed.
    Failed,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Saved {
    counts: Counts,
    episode: Option<Record>,
    is_lost: bool,
}

impl PythonEnv {
    /// `num_envs` environments in the configured number of processes, which hold consecutive ones. They start side by
    /// side.
    ///
    /// # Errors
    /// When the interpreter or the environment is not there, and for spaces that cannot be served.
    pub(crate) fn start(spec: &PythonSpec, num_envs: usize) -> Result<Vec<Self>, EnvError> {
        let processes = spec.workers(num_envs);
        let share = |k: usize| (k + 1) * num_envs / processes - k * num_envs / processes;
        let made = |fault| explained(&spec.name, fault, None);
        // A thread and a process for each worker.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let polls = 2 * processes <= cores;
        let made_by = format!("{} {polls}", spec.made_by());
        let unused: Vec<Option<Unused>> = (0..processes)
            .map(|k| (share(k) == 1).then(|| pool::take(&made_by)).flatten())
            .collect();
        let mut begun = Vec::new();
        for (k, unused) in unused.into_iter().enumerate() {
            let started = match &unused {
                Some(_) => None,
                None => Some(Worker::start(spec, polls)?),
            };
            begun.push((k, unused, started));
        }
        for (k, _, worker) in &mut begun {
            if let Some(worker) = worker {
                worker.begin_to_make(spec, share(*k)).map_err(made)?;
            }
        }
        let mut envs = Vec::with_capacity(num_envs);
        for (k, unused, started) in begun {
            let own = (share(k) == 1).then(|| made_by.clone());
            if let Some(Unused { worker, description }) = unused {
                envs.push(PythonEnv::new(&spec.name, Host::Worker(worker, 0), description, own));
            } else if let Some(mut worker) = started {
                let descriptions = worker.finish_making(share(k)).map_err(made)?;
                let worker = Arc::new(Mutex::new(worker));
                for (number, description) in descriptions.into_iter().enumerate() {
                    let host = Host::Worker(Arc::clone(&worker), number as u16);
                    envs.push(PythonEnv::new(&spec.name, host, Arc::new(description), own.clone()));
                }
            }
        }
        Ok(envs)
    }

    /// An environment whose object this process holds.
    pub(crate) fn of_object(name: &str, object: Box<dyn PythonObject>, description: Arc<Description>) -> Self {
        PythonEnv::new(name, Host::Object(object), description, None)
    }

    fn new(name: &str, host: Host, description: Arc<Description>, made_by: Option<String>) -> Self {
        let observation_space = description.observation_space();
        PythonEnv {
            name: name.to_string(),
            host,
            has_bounds: matches!(
                &observation_space,
                Space::Box { low, high, dtype: crate::Dtype::F32, .. } if low.iter().chain(high).any(|bound| bound.is_finite())
            ),
            observation_space,
            action_space: description.action_space(),
            description,
            made_by,
            is_used: AtomicBool::new(false),
            counts: Counts::default(),
            episode: None,
            state: State::Known,
            outside: None,
        }
    }

    /// Its manual page.
    pub(crate) fn manual(&self) -> Manual {
        self.description.manual()
    }

    fn host(&self) -> &Host {
        self.is_used.store(true, Ordering::Relaxed);
        &self.host
    }

    #[cold]
    fn fault(&mut self, fault: Fault, step: u64) -> EnvError {
        self.state = State::Failed;
        explained(&self.name, fault, Some((step, self.counts.episode)))
    }

    fn needs_reset(&self, when: &'static str) -> EnvError {
        EnvError::ResetNeeded {
            env: self.name.clone(),
            when,
        }
    }

    /// Notes the first observation outside of its space, and counts the others.
    fn look_at(&mut self, obs: &[f32]) {
        if !self.has_bounds || self.observation_space.contains(obs) {
            return;
        }
        let Space::Box { low, high, .. } = &self.observation_space else {
            return;
        };
        let Some(i) = (0..obs.len()).find(|i| !(low[*i]..=high[*i]).contains(&obs[*i])) else {
            return;
        };
        let first = || {
            format!(
                "{}: observation[{i}] is {} at step {} of episode {}, outside of [{}, {}], which its space says",
                self.name, obs[i], self.counts.step, self.counts.episode, low[i], high[i]
            )
        };
        let warning = self.outside.get_or_insert_with(|| Warning {
            kind: OUTSIDE,
            count: 0,
            first: first(),
        });
        warning.count += 1;
    }

    /// Plays an episode again. The result says why Python is not where the record is.
    fn replay(&mut self, record: &Record) -> Result<Result<(), String>, EnvError> {
        let began = Instant::now();
        let mut obs = vec![0.0; self.observation_space.len()];
        let host = self.host();
        let raised = |fault: Fault, step: usize| match fault {
            Fault::Raised { message, .. } => Ok(Err(format!("Python raised at step {step}: {message}"))),
            Fault::Gone(why) => Err(explained(&self.name, Fault::Gone(why), None)),
        };
        let begun = match &record.start {
            Start::Seed(seed) => host.reset(Some(*seed), None, &mut obs),
            Start::Continued(generator) => host.reset(None, generator.as_deref(), &mut obs),
        };
        if let Err(fault) = begun {
            return raised(fault, 0);
        }
        if record.is_too_long {
            return Ok(Err("it is too long to be played again".to_string()));
        }
        if !record.agrees(None, &obs, None) {
            return Ok(Err("it begins differently when it is played again".to_string()));
        }
        let steps = record.actions.chunks_exact(self.action_space.len()).enumerate();
        for (step, action) in steps {
            if began.elapsed() > REPLAY_TIMEOUT {
                let limit = REPLAY_TIMEOUT.as_secs();
                return Ok(Err(format!("playing it again takes longer than {limit} s")));
            }
            match host.step(action, &mut obs) {
                Ok(outcome) if record.agrees(Some(step), &obs, Some(outcome)) => {}
                Ok(_) => {
                    return Ok(Err(format!(
                        "step {} has another result when it is played again",
                        step + 1
                    )));
                }
                Err(fault) => return raised(fault, step + 1),
            }
        }
        Ok(Ok(()))
    }
}

/// A fault as an error, at a step of an episode.
#[cold]
fn explained(name: &str, fault: Fault, place: Option<(u64, u64)>) -> EnvError {
    let env = name.to_string();
    let problem = match fault {
        Fault::Raised {
            option: Some(option),
            message: problem,
        } if option != "id" => return EnvError::Option { env, option, problem },
        Fault::Raised { message, .. } | Fault::Gone(message) => message,
    };
    match place {
        Some((step, episode)) => EnvError::Python {
            env,
            step,
            episode,
            message: problem,
        },
        None => EnvError::Unsupported { env, problem },
    }
}

impl Drop for PythonEnv {
    fn drop(&mut self) {
        if let (Some(made_by), Host::Worker(worker, _), false) =
            (&self.made_by, &self.host, self.is_used.load(Ordering::Relaxed))
        {
            let env = Unused {
                worker: Arc::clone(worker),
                description: Arc::clone(&self.description),
            };
            pool::put(made_by, env);
        }
    }
}

impl Env for PythonEnv {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn observation_space(&self) -> &Space {
        &self.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.action_space
    }

    fn goals(&self) -> Option<&GoalLayout> {
        self.description.goals()
    }

    fn goal_outcomes(&mut self, batch: &GoalBatch, outcomes: &mut [Transition]) -> Result<(), EnvError> {
        let unsupported = |problem: String| EnvError::Unsupported {
            env: self.name.clone(),
            problem,
        };
        let layout = self.goals().ok_or_else(|| unsupported("it has no goals".to_string()))?;
        if let Some(flaw) = batch.flaw(layout, outcomes.len()) {
            return Err(unsupported(flaw));
        }
        let question = goals::question(batch, outcomes);
        let answered = self.host().goal_outcomes(outcomes.len(), &question);
        let answered = answered.map_err(|fault| explained(&self.name, fault, None))?;
        match goals::answer(&answered, outcomes) {
            true => Ok(()),
            false => Err(EnvError::Failed {
                env: self.name.clone(),
                problem: format!("compute_reward gave {} bytes", answered.len()),
            }),
        }
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.observation_space.check_len(&self.name, "observation", obs.len())?;
        let seed = match (seed, &self.episode) {
            (None, None) => Some(0),
            (seed, _) => seed,
        };
        self.counts = Counts {
            episode: self.counts.episode + 1,
            step: 0,
        };
        let begun = self.host().reset(seed, None, obs);
        begun.map_err(|fault| self.fault(fault, 0))?;
        let start = seed.map_or(Start::Continued(None), Start::Seed);
        self.episode = Some(Record::begun(start, obs));
        self.state = State::Known;
        self.look_at(obs);
        Ok(())
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.action_space.check_action(action, || self.name.clone())?;
        self.observation_space.check_len(&self.name, "observation", obs.len())?;
        match (&mut self.episode, self.state) {
            (None, _) => return Err(self.needs_reset("before the first reset")),
            (_, State::Failed) => return Err(self.needs_reset("after it failed")),
            (Some(record), _) if record.is_over => return Err(self.needs_reset("after the episode ended")),
            (Some(record), State::Lost) => {
                obs.copy_from_slice(&record.obs);
                record.is_over = true;
                return Ok(Outcome {
                    reward: 0.0,
                    terminated: false,
                    truncated: true,
                    success: None,
                });
            }
            (Some(_), State::Known) => {}
        }
        let stepped = self.host().step(action, obs);
        self.counts.step += 1;
        let outcome = stepped.map_err(|fault| self.fault(fault, self.counts.step))?;
        if let Some(record) = &mut self.episode {
            record.push(action, obs, outcome);
        }
        self.look_at(obs);
        Ok(outcome)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        if self.state == State::Failed {
            return Err(self.needs_reset("after it failed"));
        }
        let mut episode = self.episode.clone();
        if let Some(Start::Continued(generator @ None)) = episode.as_mut().map(|record| &mut record.start)
            && self.state == State::Known
        {
            let asked = self.host().generator();
            *generator = asked.map_err(|fault| explained(&self.name, fault, None))?;
        }
        let saved = Saved {
            counts: self.counts,
            episode,
            is_lost: self.state == State::Lost,
        };
        snapshot::encode(&self.name, &saved)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), EnvError> {
        let Saved {
            counts,
            episode,
            is_lost,
        } = snapshot::decode(&self.name, bytes)?;
        if let Some(record) = &episode
            && !record.fits(self.action_space.len(), self.observation_space.len())
        {
            return Err(EnvError::Snapshot {
                env: self.name.clone(),
                problem: "it is of an environment with other spaces".to_string(),
            });
        }
        let played = match &episode {
            Some(record) if !is_lost => self.replay(record)?,
            _ => Ok(()),
        };
        if let Err(why) = &played {
            tracing::warn!(
                "{}: the episode that was running cannot be continued: {why}; it counts as truncated after {} steps, and a new \
                 one begins",
                self.name,
                counts.step
            );
        }
        self.state = match is_lost || played.is_err() {
            true => State::Lost,
            false => State::Known,
        };
        (self.counts, self.episode) = (counts, episode);
        Ok(())
    }

    fn warnings(&self) -> Vec<Warning> {
        self.outside.iter().cloned().collect()
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        size.check(|| self.describe())?;
        let drawn = self.host().render();
        let (width, height, rgb) = drawn.map_err(|fault| explained(&self.name, fault, None))?;
        let frame = Frame {
            size: FrameSize { width, height },
            rgb,
        };
        let problem = frame.check().err().map(|error| error.to_string());
        let is_empty = width == 0 || height == 0;
        match problem.or(is_empty.then(|| "it drew a picture without pixels".to_string())) {
            Some(problem) => Err(EnvError::Failed {
                env: self.name.clone(),
                problem,
            }),
            None => Ok(fitted(&frame, size)),
        }
    }
}
