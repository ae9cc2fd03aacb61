//! Many seeds at once: independent runs side by side in one process ([`train`], [`resume`]).
//!
//! ```text
//! seeds.toml   which seeds, on how many threads
//! seed-1/      a run like any other (see `crate::run`)
//! seed-2/
//! ```
//!
//! Replicates share nothing but the process. Each update is one thread's, so what a seed becomes is to the bit what it
//! becomes alone with one thread. There are as many threads as cores, say, and any number of seeds: a thread takes the
//! replicate that is furthest behind, trains it for a second, and puts it back.
//!
//! Stacked replicates ([`Seeds::stacked`]) make their updates together instead, as one whose products have them as a
//! dimension ([`sac_agents::soft_actor_critic::stack`]), on all threads. On a CPU each still becomes what it would alone.
//! `docs/performance.md` says which is for what.

mod folder;

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use sac_agents::{Ending, EnvSteps, Trainer, log::Sink, process, replay::available_memory_bytes};
use sac_envs::Registry;
use serde::{Serialize, Serializer};

use crate::{
    assemble,
    config::Config,
    error::{Error, Result},
    run::{self, RunFolder, Summary},
};
pub(crate) use folder::SEEDS_FILE;
pub use folder::{Seeds, SeedsFolder};

/// How long a replicate has a thread for itself while others wait: much longer than it takes to change over, and so short
/// that all curves grow together.
const SLICE: Duration = Duration::from_secs(1);

/// How one of several runs ended.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// As of a run by itself.
    #[serde(flatten)]
    pub summary: Summary,
    /// Why it could not go on, if it could not.
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
    /// Preset.
    pub algo: String,
    /// Root seeds.
    pub seeds: Vec<u64>,
    /// So many replicates at the same moment; of stacked ones, for the products of all.
    pub threads: u64,
    /// Whether updates were made together.
    pub stacked: bool,
    /// Steps taken, all replicates and resumed parts added up.
    pub env_steps: u64,
    /// Updates taken, likewise.
    pub grad_steps: u64,
    /// Wall time in training, of this part alone.
    pub seconds: f64,
    /// All replicates together, in this part.
    pub env_steps_per_second: f64,
    /// All replicates together, in this part.
    pub updates_per_second: f64,
    /// Where the runs lie.
    pub run_dir: String,
    /// Whether any was stopped before its end.
    pub interrupted: bool,
    /// How many could not go on.
    pub failed: u64,
    /// Each by itself, in the order of the seeds.
    pub replicates: Vec<Outcome>,
}

/// Trains every seed of a new folder as configured, the seed apart. `sinks` gives what is added to the sinks of each;
/// `stop` ends all of them early, each with a checkpoint. One that fails ends alone.
///
/// # Errors
/// Before the first step: everything about the configuration, memory that does not suffice for all. No folder stays
/// then. What befalls a replicate later stands in its [`Outcome`].
pub fn train(
    config: &Config,
    registry: &Registry,
    folder: &SeedsFolder,
    sinks: &mut dyn FnMut(&Config) -> Vec<Box<dyn Sink>>,
    stop: &AtomicBool,
) -> Result<Together> {
    let seeds = folder.seeds();
    let begin = |seed: &u64| {
        let mut config = config.clone();
        config.train.seed = *seed;
        config.train.threads = 1;
        let run_folder = RunFolder::create(&folder.replicate(*seed))?;
        let trainer = run::start(&config, registry, &run_folder, sinks(&config))?;
        Ok(Replicate::new(config, run_folder, trainer))
    };
    let begun: Result<Vec<Replicate>> =
        check_memory(config, registry, seeds.seeds.len()).and_then(|()| seeds.seeds.iter().map(begin).collect());
    let begun = begun.inspect_err(|_| folder.remove())?;
    finish(begun, Vec::new(), config, folder, stop)
}

/// Goes on with every seed of a folder from its newest checkpoint, as if none had ever stopped. `configs` are those of
/// [`SeedsFolder::configs`]. One whose checkpoint is missing or damaged fails alone.
///
/// # Errors
/// When one has come further than its new end, memory does not suffice for all, or none can go on; nothing has been
/// changed then.
pub fn resume(
    configs: &[Config],
    registry: &Registry,
    folder: &SeedsFolder,
    sinks: &mut dyn FnMut(&Config) -> Vec<Box<dyn Sink>>,
    stop: &AtomicBool,
) -> Result<Together> {
    let Some(first) = configs.first() else {
        return Err(Error::Usage("seeds: there are none".to_string()));
    };
    let mut folders = Vec::with_capacity(configs.len());
    for config in configs {
        let run_folder = RunFolder::open(&folder.replicate(config.train.seed))?;
        if let Some(at) = run_folder.checkpoints(1).latest() {
            run::check_total(config, &run_folder, at)?;
        }
        folders.push(run_folder);
    }
    check_memory(first, registry, configs.len())?;
    let (mut begun, mut ended) = (Vec::new(), Vec::new());
    for (config, run_folder) in configs.iter().zip(folders) {
        match run::reopen(config, registry, &run_folder, sinks(config)) {
            Ok(trainer) => {
                let replicate = Replicate::new(config.clone(), run_folder, trainer);
                // One that is at its end gives its memory back before the next is read.
                match replicate.is_at_its_end() {
                    true => match replicate.go_on(stop) {
                        ControlFlow::Continue(replicate) => begun.push(replicate),
                        ControlFlow::Break(outcome) => ended.push(outcome),
                    },
                    false => begun.push(replicate),
                }
            }
            Err(error) => ended.push(Outcome::unopened(config, &run_folder, error)),
        }
    }
    let is_hopeless = begun.is_empty() && ended.iter().all(|outcome| outcome.error.is_some());
    if is_hopeless && let Some(error) = ended.iter_mut().find_map(|outcome| outcome.error.take()) {
        return Err(error);
    }
    finish(begun, ended, first, folder, stop)
}

/// Refuses what the machine cannot hold: every replicate has a replay.
fn check_memory(config: &Config, registry: &Registry, replicates: usize) -> Result<()> {
    let envs = assemble::envs(config, registry, 1, 1)?;
    check_fits(
        assemble::replay_bytes(config, envs.as_ref()),
        replicates,
        available_memory_bytes(),
    )
}

fn check_fits(replay_bytes: u64, replicates: usize, available_bytes: u64) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let needed_bytes = replay_bytes.saturating_mul(replicates as u64);
    if needed_bytes <= available_bytes {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "replays of {replicates} seeds need {} MiB together, but {} MiB are available; lower replay.capacity, or train fewer at once",
        needed_bytes.div_ceil(MIB),
        available_bytes / MIB
    )))
}

/// A run among others.
struct Replicate {
    config: Config,
    folder: RunFolder,
    trainer: Trainer,
}

impl Replicate {
    fn new(config: Config, folder: RunFolder, trainer: Trainer) -> Self {
        Replicate {
            config,
            folder,
            trainer,
        }
    }

    fn is_at_its_end(&self) -> bool {
        self.trainer.env_steps() >= EnvSteps(self.config.train.total_env_steps)
    }

    /// A slice of training. What breaks it breaks no other.
    fn go_on(mut self, stop: &AtomicBool) -> ControlFlow<Outcome, Replicate> {
        let _warnings_say = tracing::info_span!("replicate", seed = self.config.train.seed).entered();
        match catch_unwind(AssertUnwindSafe(|| self.trainer.run_for(SLICE, stop))) {
            Ok(Ok(None)) => ControlFlow::Continue(self),
            Ok(Ok(Some(ending))) => ControlFlow::Break(self.ended(Ok(Ok(ending)))),
            Ok(Err(error)) => ControlFlow::Break(self.ended(Ok(Err(error)))),
            Err(panic) => ControlFlow::Break(self.ended(Err(panic))),
        }
    }

    fn ended(self, way: thread::Result<sac_agents::Result<Ending>>) -> Outcome {
        let (interrupted, error) = match way {
            Ok(Ok(ending)) => (ending == Ending::Interrupted, None),
            Ok(Err(error)) => (false, Some(error.into())),
            Err(panic) => {
                let message = process::panic_message(panic.as_ref()).to_string();
                (false, Some(Error::of_panic(message)))
            }
        };
        let summary = Summary::of(&self.trainer, &self.config, &self.folder, interrupted);
        Outcome { summary, error }
    }
}

impl Outcome {
    fn unopened(config: &Config, folder: &RunFolder, error: Error) -> Self {
        let summary = Summary {
            env: config.env.id.clone(),
            algo: config.algo.clone(),
            seed: config.train.seed,
            env_steps: folder.checkpoints(1).latest().unwrap_or_default().0,
            grad_steps: 0,
            seconds: 0.0,
            run_dir: folder.path().display().to_string(),
            eval_mean_return: None,
            best_mean_return: None,
            interrupted: false,
        };
        Outcome {
            summary,
            error: Some(error),
        }
    }
}

/// Trains all to their ends, and adds up.
fn finish(
    begun: Vec<Replicate>,
    ended: Vec<Outcome>,
    config: &Config,
    folder: &SeedsFolder,
    stop: &AtomicBool,
) -> Result<Together> {
    let Seeds {
        seeds,
        threads,
        stacked,
    } = folder.seeds();
    let taken = |count: fn(&Trainer) -> u64| begun.iter().map(|replicate| count(&replicate.trainer)).sum::<u64>();
    let mut env_steps_now = taken(|trainer| trainer.env_steps().0);
    let mut grad_steps_now = taken(|trainer| trainer.grad_steps().0);
    let began = Instant::now();
    let trained = train_all(begun, *threads, stop);
    let seconds = began.elapsed().as_secs_f64();
    let sum = |count: fn(&Outcome) -> u64, outcomes: &[Outcome]| outcomes.iter().map(count).sum::<u64>();
    env_steps_now = sum(|outcome| outcome.summary.env_steps, &trained) - env_steps_now;
    grad_steps_now = sum(|outcome| outcome.summary.grad_steps, &trained) - grad_steps_now;

    let mut replicates = ended;
    replicates.extend(trained);
    replicates.sort_by_key(|outcome| seeds.iter().position(|seed| *seed == outcome.summary.seed));
    Ok(Together {
        env: config.env.id.clone(),
        algo: config.algo.clone(),
        seeds: seeds.clone(),
        threads: *threads,
        stacked: *stacked,
        env_steps: sum(|outcome| outcome.summary.env_steps, &replicates),
        grad_steps: sum(|outcome| outcome.summary.grad_steps, &replicates),
        seconds,
        env_steps_per_second: env_steps_now as f64 / seconds.max(1e-9),
        updates_per_second: grad_steps_now as f64 / seconds.max(1e-9),
        run_dir: folder.path().display().to_string(),
        interrupted: replicates.iter().any(|outcome| outcome.summary.interrupted),
        failed: replicates.iter().filter(|outcome| outcome.error.is_some()).count() as u64,
        replicates,
    })
}

/// A thread that finds nothing waiting is needed no more: whatever is not done yet has a thread.
fn train_all(begun: Vec<Replicate>, threads: u64, stop: &AtomicBool) -> Vec<Outcome> {
    let threads = threads.min(begun.len() as u64);
    let (waiting, ended) = (Mutex::new(begun), Mutex::new(Vec::new()));
    let work = || {
        process::prepare_thread();
        while let Some(replicate) = take_furthest_behind(&waiting) {
            match replicate.go_on(stop) {
                ControlFlow::Continue(replicate) => locked(&waiting).push(replicate),
                ControlFlow::Break(outcome) => locked(&ended).push(outcome),
            }
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
    ended.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn take_furthest_behind(waiting: &Mutex<Vec<Replicate>>) -> Option<Replicate> {
    let mut waiting = locked(waiting);
    let behind = (0..waiting.len()).min_by_key(|index| waiting[*index].trainer.env_steps())?;
    Some(waiting.remove(behind))
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
