//! Steps the environments of a run, on the calling thread or on a thread of their own: [`Stepper`].

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use sac_envs::{EnvError, VecEnv};

/// The environments of a run, and the thread that steps them in a pipeline.
pub(super) struct Stepper {
    /// `None` between [`Stepper::begin`] and [`Stepper::finish`].
    envs: Option<Box<dyn VecEnv>>,
    thread: Option<StepThread>,
}

/// A step for the thread to take. It travels there and back, so that a step allocates nothing.
struct Request {
    envs: Box<dyn VecEnv>,
    group: Range<usize>,
    /// `[group.len(), A]`.
    actions: Vec<f32>,
    /// A panic is returned and resumed on the calling thread.
    outcome: thread::Result<Result<(), EnvError>>,
}

struct StepThread {
    /// Taken on drop, which ends the thread.
    requests: Option<SyncSender<Request>>,
    answers: Receiver<Request>,
    thread: Option<JoinHandle<()>>,
    /// Buffer of [`Request::actions`] between two steps.
    actions: Vec<f32>,
}

const PRESENT: &str = "the environments are not used between `begin` and `finish`";
const ALIVE: &str = "the thread lives as long as its stepper: it catches panics";

impl Stepper {
    /// `has_thread`: whether [`Stepper::begin`] may be called.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn new(envs: Box<dyn VecEnv>, has_thread: bool) -> Result<Self, EnvError> {
        let thread = match has_thread {
            false => None,
            true => Some(StepThread::start().map_err(|error| EnvError::Unsupported {
                env: envs.describe(),
                problem: format!("cannot start a thread: {error}"),
            })?),
        };
        Ok(Stepper {
            envs: Some(envs),
            thread,
        })
    }

    pub(super) fn envs(&self) -> &dyn VecEnv {
        self.envs.as_deref().expect(PRESENT)
    }

    pub(super) fn envs_mut(&mut self) -> &mut dyn VecEnv {
        self.envs.as_deref_mut().expect(PRESENT)
    }

    /// Steps a group on the calling thread.
    pub(super) fn step(&mut self, group: Range<usize>, actions: &[f32]) -> Result<(), EnvError> {
        self.envs_mut().step(group, actions).map(|_| ())
    }

    /// Starts to step a group on the thread. The environments are not available until [`Stepper::finish`].
    pub(super) fn begin(&mut self, group: Range<usize>, actions: &[f32]) {
        let thread = self.thread.as_mut().expect("`new` was asked for a thread");
        let mut own = std::mem::take(&mut thread.actions);
        own.clear();
        own.extend_from_slice(actions);
        let request = Request {
            envs: self.envs.take().expect(PRESENT),
            group,
            actions: own,
            outcome: Ok(Ok(())),
        };
        let requests = thread.requests.as_ref().expect(ALIVE);
        assert!(requests.send(request).is_ok(), "{ALIVE}");
    }

    /// Waits for the step that [`Stepper::begin`] started.
    pub(super) fn finish(&mut self) -> Result<(), EnvError> {
        let thread = self.thread.as_mut().expect("`begin` was called");
        let Request {
            envs, actions, outcome, ..
        } = thread.answers.recv().expect(ALIVE);
        thread.actions = actions;
        self.envs = Some(envs);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl StepThread {
    fn start() -> std::io::Result<Self> {
        let (requests, inbox) = sync_channel::<Request>(1);
        let (outbox, answers) = sync_channel(1);
        let work = move || {
            while let Ok(mut request) = inbox.recv() {
                let Request {
                    envs, group, actions, ..
                } = &mut request;
                // A panic leaves the environments as it would on the calling thread.
                let step = AssertUnwindSafe(|| envs.step(group.clone(), actions).map(|_| ()));
                request.outcome = catch_unwind(step);
                if outbox.send(request).is_err() {
                    break;
                }
            }
        };
        Ok(StepThread {
            requests: Some(requests),
            answers,
            thread: Some(thread::Builder::new().name("environments".to_string()).spawn(work)?),
            actions: Vec::new(),
        })
    }
}

impl Drop for StepThread {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // It catches panics, so joining cannot fail.
            let _ = thread.join();
        }
    }
}
