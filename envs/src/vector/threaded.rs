//! [`Threaded`]: a vector environment on several threads.

use std::ops::Range;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvError, Sender, TryRecvError, bounded};

use super::lane::{Chunk, Common};
use super::{VecEnv, VecStep};
use crate::{Env, EnvError, GoalLayout, Space, Warning};

/// Steps its environments on several threads including the calling one. Each thread owns a contiguous chunk of them.
/// The results equal those of [`super::Serial`] bit for bit.
///
/// Each chunk has one set of buffers, which is sent to its thread with a request and sent back with the result,
/// so that a step allocates no memory. Worthwhile when a step takes longer than two messages, which is a few
/// microseconds.
pub struct Threaded {
    common: Common,
    workers: Vec<Worker>,
    view: VecStep,
}

struct Worker {
    /// Its environments.
    envs: Range<usize>,
    runner: Runner,
    /// `None` while it is with the worker's thread.
    parcel: Option<Box<Parcel>>,
}

/// The thread that steps a chunk.
enum Runner {
    /// The calling thread, which would otherwise only wait for the others.
    Caller(Box<Chunk>),
    /// A thread of its own.
    Thread {
        /// Dropping it ends the thread.
        requests: Option<Sender<Box<Parcel>>>,
        answers: Receiver<Box<Parcel>>,
        thread: Option<JoinHandle<()>>,
    },
}

/// Time for which a thread polls for its next parcel before it sleeps.
///
/// Waking a sleeping thread takes tens of microseconds on virtual machines, as long as several steps of most tasks.
/// Longer polling would keep a core from other work. Polling does not yield: two threads that yield to each other stay
/// on one core, while a sleeping thread is woken on a free one.
const POLL: Duration = Duration::from_micros(50);

/// Waits for the next parcel.
fn receive(parcels: &Receiver<Box<Parcel>>) -> Result<Box<Parcel>, RecvError> {
    let began = Instant::now();
    while began.elapsed() < POLL {
        match parcels.try_recv() {
            Ok(parcel) => return Ok(parcel),
            Err(TryRecvError::Disconnected) => return Err(RecvError),
            Err(TryRecvError::Empty) => std::hint::spin_loop(),
        }
    }
    parcels.recv()
}

/// A request to a worker, with the buffers for its arguments and results.
struct Parcel {
    request: Request,
    /// `[group.len(), A]`, for a step.
    actions: Vec<f32>,
    /// One per environment of the chunk, for a reset.
    seeds: Vec<u64>,
    /// One per environment of the chunk: the argument of a restore, or the result of a snapshot.
    snapshots: Vec<Vec<u8>>,
    /// The result of a request for warnings.
    warnings: Vec<Warning>,
    /// One row per environment of the chunk.
    view: VecStep,
    result: Result<(), EnvError>,
}

#[derive(Clone)]
enum Request {
    Reset,
    /// Steps these environments, counted within the chunk.
    Step(Range<usize>),
    Snapshot,
    Restore,
    Warnings,
}

impl Threaded {
    /// A vector environment of `envs`, which must be of one kind, on `threads` threads including the calling one.
    /// `threads` is clamped to between 1 and the number of environments.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] when `envs` is empty, its spaces differ, one of them has a flaw, or a thread cannot be
    /// started.
    pub fn new(envs: Vec<Box<dyn Env>>, threads: usize) -> Result<Self, EnvError> {
        let common = Common::of(&envs)?;
        let obs_len = common.observation_space.len();
        let view = VecStep::sized(common.len, obs_len);
        let threads = threads.clamp(1, common.len);
        let mut envs = envs.into_iter();
        let start = |k: usize| k * common.len / threads;
        let workers = (0..threads)
            .map(|k| {
                let range = start(k)..start(k + 1);
                let chunk = Chunk::new(range.start, envs.by_ref().take(range.len()).collect());
                if k + 1 == threads {
                    return Ok(Worker::new(range, Runner::Caller(Box::new(chunk)), obs_len));
                }
                Worker::start(range, chunk, obs_len).map_err(|e| EnvError::Unsupported {
                    env: common.description.clone(),
                    problem: format!("cannot start a thread: {e}"),
                })
            })
            .collect::<Result<Vec<Worker>, EnvError>>()?;
        Ok(Threaded { common, workers, view })
    }

    /// Runs a request on all workers that have environments of `group`, in parallel.
    ///
    /// `pack` fills the parcel of a worker, and `unpack` reads the results. Both get the worker's share of `group`,
    /// counted over all environments, and the number of the worker's first environment. Returns the error of the first
    /// environment that failed.
    fn dispatch(
        &mut self,
        group: Range<usize>,
        mut pack: impl FnMut(Range<usize>, usize, &mut Parcel),
        mut unpack: impl FnMut(Range<usize>, usize, &mut Parcel, &mut VecStep),
    ) -> Result<(), EnvError> {
        let share = |envs: &Range<usize>| envs.start.max(group.start)..envs.end.min(group.end);
        for worker in &mut self.workers {
            let share = share(&worker.envs);
            if !share.is_empty()
                && let Some(mut parcel) = worker.parcel.take()
            {
                pack(share, worker.envs.start, &mut parcel);
                match &mut worker.runner {
                    Runner::Thread { .. } => worker.send(parcel),
                    // The last worker; the threads are running by now.
                    Runner::Caller(chunk) => {
                        parcel.work(chunk);
                        worker.parcel = Some(parcel);
                    }
                }
            }
        }
        let mut result = Ok(());
        for worker in &mut self.workers {
            let share = share(&worker.envs);
            if share.is_empty() {
                continue;
            }
            // This cannot wait for ever: if the thread has ended, its end of the channel is closed.
            let Some(mut parcel) = worker.parcel.take().or_else(|| worker.answer()) else {
                result = result.and(Err(gone(&self.common, worker)));
                continue;
            };
            unpack(share, worker.envs.start, &mut parcel, &mut self.view);
            result = result.and(std::mem::replace(&mut parcel.result, Ok(())));
            worker.parcel = Some(parcel);
        }
        result
    }

    fn all(&self) -> Range<usize> {
        0..self.common.len
    }
}

fn gone(common: &Common, worker: &Worker) -> EnvError {
    let problem = format!("the thread of environments {:?} has ended", worker.envs);
    EnvError::Failed {
        env: common.description.clone(),
        problem,
    }
}

/// Copies the rows of the environments `share` from the view of a chunk, whose first row belongs to environment
/// `start`.
fn copy_rows(share: Range<usize>, start: usize, from: &VecStep, to: &mut VecStep, obs_len: usize) {
    let local = share.start - start..share.end - start;
    let numbers = |rows: &Range<usize>| rows.start * obs_len..rows.end * obs_len;
    to.obs[numbers(&share)].copy_from_slice(&from.obs[numbers(&local)]);
    to.next_obs[numbers(&share)].copy_from_slice(&from.next_obs[numbers(&local)]);
    to.reward[share.clone()].copy_from_slice(&from.reward[local.clone()]);
    to.status[share].copy_from_slice(&from.status[local]);
    to.finished.extend_from_slice(&from.finished);
}

impl Worker {
    fn new(envs: Range<usize>, runner: Runner, obs_len: usize) -> Self {
        let parcel = Parcel::new(envs.len(), obs_len);
        Worker {
            envs,
            runner,
            parcel: Some(Box::new(parcel)),
        }
    }

    /// Starts a worker with a thread of its own.
    fn start(envs: Range<usize>, mut chunk: Chunk, obs_len: usize) -> std::io::Result<Self> {
        let (requests, inbox) = bounded::<Box<Parcel>>(1);
        let (outbox, answers) = bounded(1);
        let work = move || {
            while let Ok(mut parcel) = receive(&inbox) {
                parcel.work(&mut chunk);
                if outbox.send(parcel).is_err() {
                    break;
                }
            }
        };
        let name = format!("envs {}..{}", envs.start, envs.end);
        let thread = std::thread::Builder::new().name(name).spawn(work)?;
        let runner = Runner::Thread {
            requests: Some(requests),
            answers,
            thread: Some(thread),
        };
        Ok(Worker::new(envs, runner, obs_len))
    }

    fn send(&self, parcel: Box<Parcel>) {
        if let Runner::Thread {
            requests: Some(requests),
            ..
        } = &self.runner
        {
            // If the thread has ended, `answer` reports it.
            let _ = requests.send(parcel);
        }
    }

    /// Waits for the parcel from its thread; `None` if the thread has ended.
    fn answer(&self) -> Option<Box<Parcel>> {
        match &self.runner {
            Runner::Thread { answers, .. } => receive(answers).ok(),
            Runner::Caller(_) => None,
        }
    }
}

impl Parcel {
    fn new(envs: usize, obs_len: usize) -> Self {
        Parcel {
            request: Request::Reset,
            actions: Vec::new(),
            seeds: Vec::new(),
            snapshots: Vec::new(),
            warnings: Vec::new(),
            view: VecStep::sized(envs, obs_len),
            result: Ok(()),
        }
    }

    fn work(&mut self, chunk: &mut Chunk) {
        self.result = match self.request.clone() {
            Request::Reset => chunk.reset(&self.seeds, &mut self.view),
            Request::Step(group) => chunk.step(group, &self.actions, &mut self.view),
            Request::Snapshot => chunk.snapshot(&self.view).map(|snapshots| self.snapshots = snapshots),
            Request::Restore => chunk.restore(&self.snapshots, &mut self.view),
            Request::Warnings => {
                self.warnings = chunk.warnings();
                Ok(())
            }
        };
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            if let Runner::Thread { requests, .. } = &mut worker.runner {
                *requests = None;
            }
        }
        for worker in &mut self.workers {
            if let Runner::Thread { thread, .. } = &mut worker.runner
                && let Some(thread) = thread.take()
            {
                // Nothing is left to clean up if the thread panicked.
                let _ = thread.join();
            }
        }
    }
}

impl VecEnv for Threaded {
    fn len(&self) -> usize {
        self.common.len
    }

    fn describe(&self) -> String {
        self.common.description.clone()
    }

    fn observation_space(&self) -> &Space {
        &self.common.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.common.action_space
    }

    fn stacked_frames(&self) -> usize {
        self.common.stacked_frames
    }

    fn goals(&self) -> Option<&GoalLayout> {
        self.common.goals.as_ref()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<&VecStep, EnvError> {
        self.common.check_seeds(seeds)?;
        self.view.finished.clear();
        let obs_len = self.common.observation_space.len();
        let pack = |share: Range<usize>, _, parcel: &mut Parcel| {
            parcel.request = Request::Reset;
            parcel.seeds.clear();
            parcel.seeds.extend_from_slice(&seeds[share]);
        };
        let unpack = |share, start, parcel: &mut Parcel, view: &mut VecStep| {
            copy_rows(share, start, &parcel.view, view, obs_len);
        };
        self.dispatch(self.all(), pack, unpack)?;
        Ok(&self.view)
    }

    fn step(&mut self, group: Range<usize>, actions: &[f32]) -> Result<&VecStep, EnvError> {
        self.common.check_step(&group, actions)?;
        self.view.finished.clear();
        let (obs_len, action_len) = (self.common.observation_space.len(), self.common.action_space.len());
        let first = group.start;
        let pack = |share: Range<usize>, start: usize, parcel: &mut Parcel| {
            parcel.request = Request::Step(share.start - start..share.end - start);
            parcel.actions.clear();
            parcel
                .actions
                .extend_from_slice(&actions[(share.start - first) * action_len..(share.end - first) * action_len]);
        };
        let unpack = |share, start, parcel: &mut Parcel, view: &mut VecStep| {
            copy_rows(share, start, &parcel.view, view, obs_len);
        };
        self.dispatch(group, pack, unpack)?;
        Ok(&self.view)
    }

    fn current(&self) -> &VecStep {
        &self.view
    }

    fn warnings(&self) -> Vec<Warning> {
        // A new parcel, because that of the worker holds the results of the last step.
        let ask = |worker: &Worker| {
            let mut parcel = Parcel::new(0, 0);
            parcel.request = Request::Warnings;
            worker.send(Box::new(parcel));
        };
        self.workers.iter().for_each(ask);
        let mut all = Vec::new();
        for worker in &self.workers {
            let warnings = match &worker.runner {
                Runner::Caller(chunk) => chunk.warnings(),
                // A thread that has ended has none; the next step reports its end.
                Runner::Thread { .. } => worker.answer().map(|parcel| parcel.warnings).unwrap_or_default(),
            };
            Warning::merge(&mut all, warnings);
        }
        all
    }

    fn snapshot(&self) -> Result<Vec<Vec<u8>>, EnvError> {
        // New parcels, because those of the workers hold the results of the last step and must not change.
        let obs_len = self.common.observation_space.len();
        let mut own = None;
        for worker in &self.workers {
            let mut parcel = Parcel::new(worker.envs.len(), obs_len);
            parcel.request = Request::Snapshot;
            let numbers = worker.envs.start * obs_len..worker.envs.end * obs_len;
            parcel.view.obs.copy_from_slice(&self.view.obs[numbers.clone()]);
            parcel.view.next_obs.copy_from_slice(&self.view.next_obs[numbers]);
            parcel
                .view
                .reward
                .copy_from_slice(&self.view.reward[worker.envs.clone()]);
            parcel
                .view
                .status
                .copy_from_slice(&self.view.status[worker.envs.clone()]);
            match &worker.runner {
                Runner::Thread { .. } => worker.send(Box::new(parcel)),
                Runner::Caller(chunk) => own = Some(chunk.snapshot(&parcel.view)),
            }
        }
        let mut result = Ok(Vec::with_capacity(self.common.len));
        for worker in &self.workers {
            // Every answer is received, even after an error; otherwise a later call would receive it.
            let taken = match &worker.runner {
                Runner::Caller(_) => own.take(),
                Runner::Thread { .. } => worker.answer().map(|parcel| {
                    let Parcel { result, snapshots, .. } = *parcel;
                    result.map(|()| snapshots)
                }),
            };
            let taken = taken.unwrap_or_else(|| Err(gone(&self.common, worker)));
            result = match (result, taken) {
                (Ok(mut snapshots), Ok(taken)) => {
                    snapshots.extend(taken);
                    Ok(snapshots)
                }
                (Ok(_), Err(error)) | (Err(error), _) => Err(error),
            };
        }
        result
    }

    fn restore(&mut self, snapshots: &[Vec<u8>]) -> Result<(), EnvError> {
        self.common.check_snapshots(snapshots)?;
        self.view.finished.clear();
        let obs_len = self.common.observation_space.len();
        let pack = |share: Range<usize>, _, parcel: &mut Parcel| {
            parcel.request = Request::Restore;
            parcel.snapshots = snapshots[share].to_vec();
        };
        let unpack = |share, start, parcel: &mut Parcel, view: &mut VecStep| {
            copy_rows(share, start, &parcel.view, view, obs_len);
        };
        self.dispatch(self.all(), pack, unpack)
    }
}
