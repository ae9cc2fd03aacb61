//! Who steps the environments: whoever asks, or a thread of their own while the learner updates.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use sac_envs::{EnvError, VecEnv};

/// The environments of a run.
pub(super) struct Stepper {
    /// Away between [`Stepper::begin`] and [`Stepper::finish`].
    envs: Option<Box<dyn VecEnv>>,
    thread: Option<StepThread>,
}

/// What travels to the thread and back, so that a step allocates nothing.
struct Errand {
    envs: Box<dyn VecEnv>,
    group: Range<usize>,
    /// `[group.len(), A]`.
    actions: Vec<f32>,
    /// A panic is carried home, where it goes on.
    outcome: thread::Result<Result<(), EnvError>>,
}

struct StepThread {
    /// Taken on drop, which ends the thread.
    requests: Option<SyncSender<Errand>>,
    answers: Receiver<Errand>,
    thread: Option<JoinHandle<()>>,
    /// Here between two steps.
    actions: Vec<f32>,
}

const AT_HOME: &str = "nobody asks for the environments between `begin` and `finish`";
const LIVES: &str = "the thread ends with its stepper, and a panic does not end it";

impl Stepper {
    /// `has_thread`: whether [`Stepper::begin`] is going to be called.
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
        self.envs.as_deref().expect(AT_HOME)
    }

    pub(super) fn envs_mut(&mut self) -> &mut dyn VecEnv {
        self.envs.as_deref_mut().expect(AT_HOME)
    }

    /// Steps a group here and now.
    pub(super) fn step(&mut self, group: Range<usize>, actions: &[f32]) -> Result<(), EnvError> {
        self.envs_mut().step(group, actions).map(|_| ())
    }

    /// Lets the thread step a group. Until [`Stepper::finish`] there are no environments here.
    pub(super) fn begin(&mut self, group: Range<usize>, actions: &[f32]) {
        let thread = self
            .thread
            .as_mut()
            .expect("`new` was told that there will be steps elsewhere");
        let mut own = std::mem::take(&mut thread.actions);
        own.clear();
        own.extend_from_slice(actions);
        let errand = Errand {
            envs: self.envs.take().expect(AT_HOME),
            group,
            actions: own,
            outcome: Ok(Ok(())),
        };
        let requests = thread.requests.as_ref().expect(LIVES);
        assert!(requests.send(errand).is_ok(), "{LIVES}");
    }

    /// Waits for what [`Stepper::begin`] began.
    pub(super) fn finish(&mut self) -> Result<(), EnvError> {
        let thread = self.thread.as_mut().expect("`begin` was called");
        let Errand {
            envs, actions, outcome, ..
        } = thread.answers.recv().expect(LIVES);
        thread.actions = actions;
        self.envs = Some(envs);
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl StepThread {
    fn start() -> std::io::Result<Self> {
        let (requests, inbox) = sync_channel::<Errand>(1);
        let (outbox, answers) = sync_channel(1);
        let work = move || {
            while let Ok(mut errand) = inbox.recv() {
                let Errand {
                    envs, group, actions, ..
                } = &mut errand;
                // A panic leaves the environments as it would have left them on the caller's thread.
                let step = AssertUnwindSafe(|| envs.step(group.clone(), actions).map(|_| ()));
                errand.outcome = catch_unwind(step);
                if outbox.send(errand).is_err() {
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
            // It catches panics, and has nothing left to clean up.
            let _ = thread.join();
        }
    }
}
