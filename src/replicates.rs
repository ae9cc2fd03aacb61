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
//! The products of the replicates are not stacked into larger ones: `docs/performance.md` says why.

use std::{
    any::Any,
    collections::BTreeSet,
    fs,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    thread,
    time::{Duration, Instant},
};

use sac_agents::{Ending, EnvSteps, Trainer, log::Sink, process, replay::available_memory_bytes};
use sac_envs::Registry;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    assemble,
    config::{Config, Origin},
    error::{Error, Result},
    run::{self, RunFolder, Summary},
};

/// How long a replicate has a thread for itself while others wait: much longer than it takes to change over, and so short
/// that all curves grow together.
const SLICE: Duration = Duration::from_secs(1);

/// What makes a folder one of replicates.
pub(crate) const SEEDS_FILE: &str = "seeds.toml";

/// Far beyond use; a slip of the finger is told before anything is made.
const MOST_SEEDS: usize = 1024;

/// Which seeds are trained together, and on how many threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// No two alike.
    pub seeds: Vec<u64>,
    /// So many replicates are trained at the same moment.
    pub threads: u64,
}

impl Seeds {
    fn check(&self) -> Result<()> {
        let refused = |problem: String| Err(Error::Usage(format!("seeds: {problem}")));
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.seeds.iter().find(|seed| !seen.insert(**seed)) {
            return refused(format!("{twice} is there twice; replicates of one seed are all alike"));
        }
        if let Some(large) = self.seeds.iter().find(|seed| i64::try_from(**seed).is_err()) {
            return refused(format!("{large} is too large, expected at most {}", i64::MAX));
        }
        if self.seeds.is_empty() || self.seeds.len() > MOST_SEEDS {
            let count = self.seeds.len();
            return refused(format!("there are {count}, expected between 1 and {MOST_SEEDS}"));
        }
        if self.threads == 0 {
            return refused("0 threads, expected at least 1".to_string());
        }
        Ok(())
    }

    /// For the name of a folder.
    fn name(&self) -> String {
        const LONGEST: usize = 48;
        let numbers: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let name = format!("seeds-{}", numbers.join("-"));
        if name.len() > LONGEST {
            format!("{}-seeds", self.seeds.len())
        } else {
            name
        }
    }
}

/// The folder of several runs that differ in their seeds.
#[derive(Clone, Debug)]
pub struct SeedsFolder {
    path: PathBuf,
    seeds: Seeds,
}

impl SeedsFolder {
    /// Makes a new folder, its parents included.
    ///
    /// # Errors
    /// As [`RunFolder::create`]; [`Error::Usage`] when there is no seed, or one twice.
    pub fn create(path: &Path, seeds: Seeds) -> Result<Self> {
        seeds.check()?;
        SeedsFolder::found(RunFolder::create(path)?, seeds)
    }

    /// Makes `runs/<env>/<algo>/<utc>-seeds-<seed>-<seed>…` below the current folder.
    ///
    /// # Errors
    /// As [`SeedsFolder::create`].
    pub fn create_default(config: &Config, seeds: Seeds) -> Result<Self> {
        seeds.check()?;
        SeedsFolder::found(RunFolder::create_stamped(config, &seeds.name())?, seeds)
    }

    fn found(folder: RunFolder, seeds: Seeds) -> Result<Self> {
        let path = folder.path().to_path_buf();
        let text = toml::to_string(&seeds).map_err(|error| Error::Usage(error.to_string()))?;
        run::write(&path.join(SEEDS_FILE), text.as_bytes())?;
        Ok(SeedsFolder { path, seeds })
    }

    /// Whether a folder holds replicates and is no single run.
    pub fn is_one(path: &Path) -> bool {
        path.join(SEEDS_FILE).is_file()
    }

    /// An existing one.
    ///
    /// # Errors
    /// [`Error::NotARun`] when it is none, or its list of seeds makes no sense.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(SEEDS_FILE);
        let text = fs::read_to_string(&file).map_err(Error::io(&file))?;
        let seeds: Result<Seeds> = toml::from_str(&text).map_err(|error| Error::Usage(error.message().to_string()));
        let seeds = seeds.and_then(|seeds| seeds.check().map(|()| seeds));
        match seeds {
            Ok(seeds) => Ok(SeedsFolder {
                path: path.to_path_buf(),
                seeds,
            }),
            Err(error) => Err(Error::NotARun {
                path: file,
                problem: error.to_string(),
            }),
        }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which seeds.
    pub fn seeds(&self) -> &Seeds {
        &self.seeds
    }

    fn replicate(&self, seed: u64) -> PathBuf {
        self.path.join(format!("seed-{seed}"))
    }

    /// The configurations of its runs, in the order of the seeds, with another end if one is given.
    ///
    /// # Errors
    /// When one is missing, cannot be read, does not resolve with this registry, or belongs to another seed.
    pub fn configs(&self, registry: &Registry, total_env_steps: Option<u64>) -> Result<Vec<Config>> {
        let config_of = |seed: &u64| {
            let folder = RunFolder::open(&self.replicate(*seed))?;
            let mut layers = folder.layers()?;
            if let Some(total) = total_env_steps {
                let total = total.min(i64::MAX as u64) as i64;
                layers.set(Origin::Flag("--steps"), "train.total_env_steps", total);
            }
            let config = Config::resolve(&layers, registry)?;
            if config.train.seed != *seed {
                return Err(Error::NotARun {
                    path: folder.path().to_path_buf(),
                    problem: format!("is a run of seed {}, expected {seed}", config.train.seed),
                });
            }
            Ok(config)
        };
        self.seeds.seeds.iter().map(config_of).collect()
    }
}

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
    /// So many replicates at the same moment.
    pub threads: u64,
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
    let begin = |seed: &u64| {
        let mut config = config.clone();
        config.train.seed = *seed;
        config.train.threads = 1;
        let run_folder = RunFolder::create(&folder.replicate(*seed))?;
        let trainer = run::start(&config, registry, &run_folder, sinks(&config))?;
        Ok(Replicate::new(config, run_folder, trainer))
    };
    let seeds = &folder.seeds.seeds;
    let begun: Result<Vec<Replicate>> =
        check_memory(config, registry, seeds.len()).and_then(|()| seeds.iter().map(begin).collect());
    if begun.is_err() {
        // The folder is ours, and new; runs without a step are of no use to anybody.
        let _ = fs::remove_dir_all(&folder.path);
    }
    Ok(finish(begun?, Vec::new(), config, folder, stop))
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
    Ok(finish(begun, ended, first, folder, stop))
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
        let (interrupted, error) = match catch_unwind(AssertUnwindSafe(|| self.trainer.run_for(SLICE, stop))) {
            Ok(Ok(None)) => return ControlFlow::Continue(self),
            Ok(Ok(Some(ending))) => (ending == Ending::Interrupted, None),
            Ok(Err(error)) => (false, Some(error.into())),
            Err(panic) => (false, Some(Error::of_panic(panic_message(panic.as_ref())))),
        };
        let summary = Summary::of(&self.trainer, &self.config, &self.folder, interrupted);
        ControlFlow::Break(Outcome { summary, error })
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it did not say why")
        .to_string()
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
) -> Together {
    let Seeds { seeds, threads } = &folder.seeds;
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
    Together {
        env: config.env.id.clone(),
        algo: config.algo.clone(),
        seeds: seeds.clone(),
        threads: *threads,
        env_steps: sum(|outcome| outcome.summary.env_steps, &replicates),
        grad_steps: sum(|outcome| outcome.summary.grad_steps, &replicates),
        seconds,
        env_steps_per_second: env_steps_now as f64 / seconds.max(1e-9),
        updates_per_second: grad_steps_now as f64 / seconds.max(1e-9),
        run_dir: folder.path.display().to_string(),
        interrupted: replicates.iter().any(|outcome| outcome.summary.interrupted),
        failed: replicates.iter().filter(|outcome| outcome.error.is_some()).count() as u64,
        replicates,
    }
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

    #[test]
    fn a_folder_is_named_after_its_seeds_as_long_as_they_are_few() {
        let name = |seeds: &[u64]| {
            let seeds = seeds.to_vec();
            Seeds { seeds, threads: 1 }.name()
        };
        assert_eq!(name(&[1, 2, 30]), "seeds-1-2-30");
        assert_eq!(name(&(1..=100).collect::<Vec<_>>()), "100-seeds");
    }
}
