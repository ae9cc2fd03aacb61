//! Several seeds: independent runs side by side in one process ([`train`], [`resume`]).
//!
//! ```text
//! seeds.toml   which seeds, on how many threads
//! seed-1/      a run like any other (see `crate::run`)
//! seed-2/
//! ```
//!
//! Each run is trained from start to end by one of the threads; with more seeds than threads, the others wait in a
//! queue. Runs share nothing but the process, and each updates on one thread, so every run is bit for bit the run of
//! that seed alone with one thread. When training is stopped, every run that is not at its end writes a checkpoint.

mod folder;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use sac_agents::{Ending, log::Logger, log::Sink, process, replay::available_memory_bytes};
use serde::{Serialize, Serializer};

use crate::{
    assemble,
    config::Config,
    error::{Error, Result},
    registry::Registry,
    run::{self, FolderLock, OpenRun, RunFolder, Summary},
    stop::Stop,
};
pub use folder::{Seeds, SeedsFolder};

/// How one of several runs ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// As for a run by itself.
    #[serde(flatten)]
    pub summary: Summary,
    /// Why it failed, if it did.
    #[serde(serialize_with = "message")]
    pub error: Option<Error>,
}

fn message<S: Serializer>(error: &Option<Error>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    error.as_ref().map(Error::to_string).serialize(serializer)
}

/// How several runs ended.
#[derive(Debug, Serialize)]
pub struct Together {
    /// Environment id.
    pub env: String,
    /// Name of the preset.
    pub algo: String,
    /// Root seeds.
    pub seeds: Vec<u64>,
    /// Runs that were trained at the same time.
    pub threads: u64,
    /// Env steps taken, all runs and resumed parts added up.
    pub env_steps: u64,
    /// Updates made, likewise.
    pub grad_steps: u64,
    /// Wall time of this call, seconds.
    pub seconds: f64,
    /// Of all runs together, in this call.
    pub env_steps_per_second: f64,
    /// Of all runs together, in this call.
    pub updates_per_second: f64,
    /// Folder that holds the runs.
    pub run_dir: String,
    /// Whether any was stopped before its end.
    pub interrupted: bool,
    /// Number of runs that failed.
    pub failed: u64,
    /// Every run, in the order of the seeds.
    pub replicates: Vec<Outcome>,
}

/// Gives the sinks that a run with this configuration writes to, besides its files.
pub type MakeSinks<'a> = dyn FnMut(&Config) -> Vec<Box<dyn Sink>> + Send + 'a;

/// Trains every seed of a new folder. The runs differ from `config` in their seeds, and update on one thread each.
/// `stop` ends all of them early, each with a checkpoint. A run that fails does not affect the others.
///
/// # Errors
/// Before the first step: everything about the configuration, and memory that does not suffice. No folder is left then.
/// If a run fails later, its [`Outcome`] says why.
pub fn train(
    config: &Config,
    registry: &Registry,
    folder: &SeedsFolder,
    sinks: &mut MakeSinks,
    stop: &Stop,
) -> Result<Together> {
    let config = config.clone().with_threads(1);
    let _lock = FolderLock::acquire(folder.path())?;
    let seeds = folder.seeds();
    check_memory(&config, registry, seeds)
        // A trainer that is built and dropped shows what is wrong before the first run gets a folder.
        .and_then(|()| assemble::trainer(&config, registry, Logger::default(), None).map(drop))
        .inspect_err(|_| folder.remove())?;
    let configs = seeds.seeds.iter().map(|seed| config.clone().with_seed(*seed));
    let jobs = configs.map(|config| Job {
        run_path: folder.run_path(config.train.seed),
        sinks: sinks(&config),
        config,
    });
    let open = |job: &mut Job| {
        let run = RunFolder::create(&job.run_path)?;
        let open = run::start(&job.config, registry, &run, std::mem::take(&mut job.sinks), None)?;
        Ok((run, open))
    };
    let began = Instant::now();
    let finished = work_off(jobs.collect(), seeds.threads, open, stop);
    Ok(add_up(finished, &config, folder, began))
}

/// Goes on with every seed of a folder from its newest checkpoint, as if none had stopped. `configs` are those of
/// [`SeedsFolder::configs`]. A run whose checkpoint is missing or damaged fails without affecting the others.
///
/// # Errors
/// When a run has passed its new end, when memory does not suffice, or when no run can go on; nothing has been changed
/// then.
pub fn resume(
    configs: &[Config],
    registry: &Registry,
    folder: &SeedsFolder,
    sinks: &mut MakeSinks,
    stop: &Stop,
) -> Result<Together> {
    let Some(first) = configs.first() else {
        return Err(Error::Usage("seeds: there are none".to_string()));
    };
    let _lock = FolderLock::acquire(folder.path())?;
    for config in configs {
        let run = RunFolder::open(folder.run_path(config.train.seed))?;
        if let Some(at) = run.checkpoints(1).latest() {
            run::check_total(config, &run, at)?;
        }
    }
    check_memory(first, registry, folder.seeds())?;
    let jobs = configs.iter().map(|config| Job {
        config: config.clone(),
        run_path: folder.run_path(config.train.seed),
        sinks: sinks(config),
    });
    let open = |job: &mut Job| {
        let run = RunFolder::open(&job.run_path)?;
        let open = run::reopen(&job.config, registry, &run, std::mem::take(&mut job.sinks), None)?;
        Ok((run, open))
    };
    let began = Instant::now();
    let mut finished = work_off(jobs.collect(), folder.seeds().threads, open, stop);
    let none_opened = finished.iter().all(|finished| finished.opened.is_none());
    if none_opened && let Some(error) = finished.iter_mut().find_map(|finished| finished.outcome.error.take()) {
        return Err(error);
    }
    Ok(add_up(finished, first, folder, began))
}

/// Refuses what the machine cannot hold: every run that is trained at the same time has a replay.
fn check_memory(config: &Config, registry: &Registry, seeds: &Seeds) -> Result<()> {
    let envs = assemble::envs(config, registry, 1, 1)?;
    check_fits(
        assemble::replay_bytes(config, envs.as_ref()),
        seeds.threads.min(seeds.seeds.len() as u64),
        available_memory_bytes(),
    )
}

fn check_fits(replay_bytes: u64, at_a_time: u64, available_bytes: u64) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let needed_bytes = replay_bytes.saturating_mul(at_a_time);
    if needed_bytes <= available_bytes {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "replays of {at_a_time} seeds need {} MiB together, but {} MiB are available; lower replay.capacity, or train fewer \
         at once",
        needed_bytes.div_ceil(MIB),
        available_bytes / MIB
    )))
}

/// A run that waits for a thread.
struct Job {
    config: Config,
    run_path: std::path::PathBuf,
    sinks: Vec<Box<dyn Sink>>,
}

/// A run that has left its thread.
struct Finished {
    outcome: Outcome,
    /// Env steps and updates before it was trained here; `None` where it could not be opened.
    opened: Option<(u64, u64)>,
}

/// Trains every job, `threads` at a time: each thread takes the next from the queue until there is none.
fn work_off(
    jobs: VecDeque<Job>,
    threads: u64,
    open: impl Fn(&mut Job) -> Result<(RunFolder, OpenRun)> + Sync,
    stop: &Stop,
) -> Vec<Finished> {
    let threads = threads.min(jobs.len() as u64);
    let (queue, finished) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let next = || locked(&queue).pop_front();
    let work = || {
        process::prepare_thread();
        while let Some(job) = next() {
            let one = train_job(job, &open, stop);
            locked(&finished).push(one);
        }
    };
    thread::scope(|scope| {
        for number in 1..threads {
            let builder = thread::Builder::new().name(format!("replicates {number}"));
            if let Err(error) = builder.spawn_scoped(scope, work) {
                tracing::warn!("cannot start a thread: {error}; {number} train all seeds");
                break;
            }
        }
        work();
    });
    finished.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Trains one run to its end, until it is stopped, or until it fails or panics.
fn train_job(mut job: Job, open: impl Fn(&mut Job) -> Result<(RunFolder, OpenRun)>, stop: &Stop) -> Finished {
    let _span = tracing::info_span!("replicate", seed = job.config.train.seed).entered();
    let opened = catch_unwind(AssertUnwindSafe(|| open(&mut job))).unwrap_or_else(|panic| Err(panicked(&*panic)));
    let (run, OpenRun { _lock, mut trainer }) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            return Finished {
                outcome: Outcome {
                    summary: unopened(&job),
                    error: Some(error),
                },
                opened: None,
            };
        }
    };
    let before = (trainer.env_steps().0, trainer.grad_steps().0);
    let ending = catch_unwind(AssertUnwindSafe(|| run::work(&mut trainer, &run, None, stop)));
    let (interrupted, error) = match ending {
        Ok(Ok(ending)) => (ending == Ending::Interrupted, None),
        Ok(Err(error)) => (false, Some(error)),
        Err(panic) => (false, Some(panicked(&*panic))),
    };
    Finished {
        outcome: Outcome {
            summary: Summary::of(&trainer, &job.config, &run, interrupted),
            error,
        },
        opened: Some(before),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    Error::of_panic(process::panic_message(panic).to_string())
}

/// What can be said of a run that could not be opened.
fn unopened(job: &Job) -> Summary {
    let checkpoints = RunFolder::open(&job.run_path).map(|run| run.checkpoints(1).latest());
    Summary {
        env: job.config.env.id.clone(),
        algo: job.config.algo.to_string(),
        seed: job.config.train.seed,
        env_steps: checkpoints.ok().flatten().unwrap_or_default().0,
        grad_steps: 0,
        seconds: 0.0,
        run_dir: job.run_path.clone(),
        eval_mean_return: None,
        best_mean_return: None,
        ended_early_at: None,
        interrupted: false,
    }
}

fn add_up(mut finished: Vec<Finished>, config: &Config, folder: &SeedsFolder, began: Instant) -> Together {
    let seconds = began.elapsed().as_secs_f64();
    let Seeds { seeds, threads } = folder.seeds();
    finished.sort_by_key(|one| seeds.iter().position(|seed| *seed == one.outcome.summary.seed));
    let (mut env_steps_now, mut grad_steps_now) = (0, 0);
    for Finished { outcome, opened } in &finished {
        if let Some((env_steps, grad_steps)) = opened {
            env_steps_now += outcome.summary.env_steps - env_steps;
            grad_steps_now += outcome.summary.grad_steps - grad_steps;
        }
    }
    let replicates: Vec<Outcome> = finished.into_iter().map(|one| one.outcome).collect();
    let sum = |count: fn(&Summary) -> u64| replicates.iter().map(|one| count(&one.summary)).sum::<u64>();
    Together {
        env: config.env.id.clone(),
        algo: config.algo.to_string(),
        seeds: seeds.clone(),
        threads: *threads,
        env_steps: sum(|summary| summary.env_steps),
        grad_steps: sum(|summary| summary.grad_steps),
        seconds,
        env_steps_per_second: env_steps_now as f64 / seconds.max(1e-9),
        updates_per_second: grad_steps_now as f64 / seconds.max(1e-9),
        run_dir: folder.path().display().to_string(),
        interrupted: replicates.iter().any(|one| one.summary.interrupted),
        failed: replicates.iter().filter(|one| one.error.is_some()).count() as u64,
        replicates,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replays_are_refused_where_one_fits_and_all_do_not() {
        assert!(check_fits(100 << 20, 1, 250 << 20).is_ok());
        assert!(check_fits(100 << 20, 2, 250 << 20).is_ok());
        let refused = check_fits(100 << 20, 3, 250 << 20).expect_err("300 of 250");
        assert!(refused.is_users());
        for word in ["3 seeds", "300 MiB", "250 MiB", "replay.capacity"] {
            assert!(refused.to_string().contains(word), "{word}: {refused}");
        }
        assert!(check_fits(u64::MAX, 2, 250 << 20).is_err(), "no overflow");
    }
}
