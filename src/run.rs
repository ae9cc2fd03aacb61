//! A run is a folder: [`RunFolder`]; [`train`] and [`resume`] fill one.
//!
//! ```text
//! config.toml            resolved; `sac train --config` on it repeats the run
//! provenance.json        program, machine and spaces that made it
//! metrics.jsonl          a row per logging interval
//! eval.csv               a line per evaluation
//! events.out.tfevents.*  the same for TensorBoard
//! checkpoints/<steps>/   everything that changes; `latest` names the newest
//! best/                  the policy with the best evaluation so far
//! failure.json           why the run failed, if it did
//! .lock                  held by the process that trains
//! ```

mod failure;
mod fixed;
mod folder;
mod lock;
mod logs;
mod provenance;
mod prune;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    time::Instant,
};

use sac_agents::{
    Ending, EnvSteps, SaveTo, Trainer,
    log::{Logger, Sink},
    process,
};
use serde::Serialize;

use crate::{
    assemble,
    config::{Config, Settings, Threads},
    error::{Error, Result},
    registry::Registry,
    stop::Stop,
    threads,
};
pub(crate) use failure::note_failure;
pub use folder::{Changes, RunFolder, Which};
pub(crate) use folder::{MOST_CONFIG_BYTES, SEEDS_FILE, is_empty_folder, utc_now, write};
pub(crate) use lock::FolderLock;
pub(crate) use provenance::check_spaces;
pub use provenance::processor;
pub use prune::Surplus;

/// What accompanies training; nothing by default.
#[derive(Default)]
pub struct Session {
    /// Receive metrics besides the files of the run.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Ends training early, with a checkpoint.
    pub stop: Stop,
    /// Env steps at which training stops of itself, with a checkpoint, before the end of the run.
    pub pause_at: Option<u64>,
    /// Another run: a new one begins with what it has learned by its newest checkpoint. Optimisers, counters and replay
    /// begin anew.
    pub init_from: Option<PathBuf>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Environment id.
    pub env: String,
    /// Name of the preset.
    pub algo: String,
    /// Root seed.
    pub seed: u64,
    /// Env steps taken.
    pub env_steps: u64,
    /// Updates made.
    pub grad_steps: u64,
    /// Wall time in training, resumed parts added up.
    pub seconds: f64,
    /// Folder of the run. JSON has the replacement character for bytes that are not UTF-8.
    #[serde(serialize_with = "as_text")]
    pub run_dir: PathBuf,
    /// Mean return of the newest evaluation.
    pub eval_mean_return: Option<f64>,
    /// The best mean return of an evaluation.
    pub best_mean_return: Option<f64>,
    /// The mean return with which an evaluation ended the run early, because it reached `eval.stop_at`.
    pub ended_early_at: Option<f64>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

fn as_text<S: serde::Serializer>(path: &Path, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    path.to_string_lossy().serialize(serializer)
}

impl Summary {
    pub(crate) fn of(trainer: &Trainer, config: &Config, folder: &RunFolder, interrupted: bool) -> Self {
        Summary {
            env: config.env.id.clone(),
            algo: config.algo.to_string(),
            seed: config.train.seed,
            env_steps: trainer.env_steps().0,
            grad_steps: trainer.grad_steps().0,
            seconds: trainer.seconds(),
            run_dir: folder.path().to_path_buf(),
            eval_mean_return: trainer.last_evaluation().map(|(_, mean_return)| mean_return),
            best_mean_return: trainer.best_mean_return(),
            ended_early_at: trainer.ended_early_at(),
            interrupted,
        }
    }
}

/// Trains as set, into a new folder `runs/<env>/<algo>/<utc>-s<seed>` below the current one.
///
/// # Errors
/// Before the first step, everything about the settings; no folder is left then. Afterwards, an environment that fails,
/// or a learned value that is not finite.
pub fn train(settings: &Settings, registry: &Registry) -> Result<Summary> {
    let mut config = settings.resolve(registry)?;
    if settings.train.threads == Threads::Auto
        && let Some(measured) = threads::measure(&config, registry)?
    {
        config = config.with_threads(measured.threads());
    }
    let folder = RunFolder::create_default(&config)?;
    train_into(&config, registry, &folder, Session::default())
}

/// Trains as configured, into a new folder that is still empty.
///
/// # Errors
/// As [`train`].
pub fn train_into(config: &Config, registry: &Registry, folder: &RunFolder, session: Session) -> Result<Summary> {
    let started = Instant::now();
    let init_from = session.init_from.as_deref();
    let OpenRun { _lock, mut trainer } = start(config, registry, folder, session.sinks, init_from)?;
    tracing::debug!("assembled in {:.3} s", started.elapsed().as_secs_f64());
    let ending = work(&mut trainer, folder, session.pause_at, &session.stop)?;
    Ok(Summary::of(&trainer, config, folder, ending == Ending::Interrupted))
}

/// Goes on with a run from its newest checkpoint, as if it had never stopped.
///
/// # Errors
/// When the folder is no run, or its checkpoint is damaged or does not fit; nothing has been changed then. Afterwards
/// as [`train`].
pub fn resume(run: impl AsRef<Path>, registry: &Registry) -> Result<Summary> {
    let folder = RunFolder::open(run)?;
    resume_with(&folder.config(registry)?, registry, &folder, Session::default())
}

/// [`resume`], with a configuration that differs from the run's own in what [`Changes`] may change.
///
/// # Errors
/// As [`resume`]; all settings that cannot change in the middle of a run.
pub fn resume_with(config: &Config, registry: &Registry, folder: &RunFolder, session: Session) -> Result<Summary> {
    let OpenRun { _lock, mut trainer } = reopen(config, registry, folder, session.sinks, None)?;
    let ending = work(&mut trainer, folder, session.pause_at, &session.stop)?;
    Ok(Summary::of(&trainer, config, folder, ending == Ending::Interrupted))
}

/// [`resume_with`] in a folder of its own, `branch`, which is new: `run` stays as it is.
///
/// # Errors
/// As [`resume_with`]; when a file cannot be copied. Before the first step, no folder is left.
pub fn branch(
    config: &Config,
    registry: &Registry,
    run: &RunFolder,
    branch: &RunFolder,
    session: Session,
) -> Result<Summary> {
    let opened = run
        .copy_newest_to(branch)
        .and_then(|()| reopen(config, registry, branch, session.sinks, Some(run)));
    let OpenRun { _lock, mut trainer } = opened.inspect_err(|_| remove_new(branch))?;
    let ending = work(&mut trainer, branch, session.pause_at, &session.stop)?;
    Ok(Summary::of(&trainer, config, branch, ending == Ending::Interrupted))
}

/// A run that is trained: nobody else writes its folder meanwhile.
pub(crate) struct OpenRun {
    pub(crate) trainer: Trainer,
    pub(crate) _lock: FolderLock,
}

/// A trainer at the beginning of a run. If it cannot be made, the folder is removed: it is new, and of no use.
pub(crate) fn start(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
    init_from: Option<&Path>,
) -> Result<OpenRun> {
    let _lock = FolderLock::acquire(folder.path())?;
    let prepared = catch_unwind(AssertUnwindSafe(|| prepare(config, registry, folder, sinks, init_from)));
    match prepared {
        Ok(Ok(trainer)) => Ok(OpenRun { trainer, _lock }),
        Ok(Err(error)) => {
            remove_new(folder);
            Err(error)
        }
        Err(panic) => {
            remove_new(folder);
            resume_unwind(panic)
        }
    }
}

/// Trains to the end of a run, or to a pause, or until it is stopped. If it fails or panics, its folder says why.
pub(crate) fn work(trainer: &mut Trainer, folder: &RunFolder, pause_at: Option<u64>, stop: &Stop) -> Result<Ending> {
    let train = || trainer.run_with_pause(pause_at.map(EnvSteps), stop.flag());
    match catch_unwind(AssertUnwindSafe(train)) {
        Ok(ending) => ending.map_err(|error| {
            let error = Error::from(error);
            failure::note(folder.path(), trainer.env_steps(), &error.to_string());
            error
        }),
        Err(panic) => {
            let error = Error::of_panic(process::panic_message(&*panic).to_string());
            failure::note(folder.path(), trainer.env_steps(), &error.to_string());
            resume_unwind(panic)
        }
    }
}

/// Removes the folder of a run that did not begin.
fn remove_new(folder: &RunFolder) {
    // If it cannot be removed, the error before is still the one to report.
    let _ = fs::remove_dir_all(folder.path());
}

fn prepare(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
    init_from: Option<&Path>,
) -> Result<Trainer> {
    let logger = logs::logger(folder, config, None, sinks)?;
    let mut trainer = assemble::trainer(config, registry, logger, Some(save_to(folder, config)))?;
    let spaces = assemble::spaces(config, registry)?;
    if let Some(path) = init_from {
        let run = RunFolder::open(path)?;
        check_spaces(&run, &config.env.id, &spaces)?;
        let (_, checkpoint) = run.read_saved(Which::Last, &["agent", "policy", "critic", "temperature"])?;
        trainer.begin_with(&checkpoint).map_err(|error| match error {
            sac_agents::Error::Checkpoint { problem, .. } => Error::NotARun {
                path: path.to_path_buf(),
                problem: format!("its networks are not those of this run: {problem}"),
            },
            other => other.into(),
        })?;
    }
    write(&folder.config_path(), config.to_toml().as_bytes())?;
    provenance::write_provenance(folder, config, &spaces, init_from)?;
    Ok(trainer)
}

/// Refuses an end that a run has passed already.
pub(crate) fn check_total(config: &Config, folder: &RunFolder, at: EnvSteps) -> Result<()> {
    if config.train.total_env_steps >= at.0 {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}: has taken {at} env steps already, and {} were asked for",
        folder.path().display(),
        config.train.total_env_steps
    )))
}

/// A trainer as the newest checkpoint of its run left it. A checkpoint that does not fit leaves the folder untouched.
pub(crate) fn reopen(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
    branched_from: Option<&RunFolder>,
) -> Result<OpenRun> {
    let _lock = FolderLock::acquire(folder.path())?;
    folder.check_links()?;
    check_spaces(folder, &config.env.id, &assemble::spaces(config, registry)?)?;
    let (_, checkpoint) = folder.read_saved(Which::Last, &[])?;
    let at = checkpoint.manifest.env_steps;
    check_total(config, folder, at)?;
    let stored = folder.config_with(&Changes::to_another_machine(config), registry)?;
    fixed::check(folder, &stored, config, &checkpoint)?;
    // Nothing in the folder is touched before the checkpoint is known to fit.
    let save_to = save_to(folder, config);
    let mut trainer = assemble::trainer(config, registry, Logger::default(), Some(save_to))?;
    trainer.restore(&checkpoint)?;
    drop(checkpoint);

    let seconds_before = logs::rewind(folder, at)?;
    folder.checkpoints(1).forget_after(at)?;
    trainer.go_on(logs::logger(folder, config, Some(at), sinks)?, seconds_before);
    if fixed::fixed(&stored) != fixed::fixed(config) {
        // The checkpoint and the configuration beside it belong together.
        trainer.save_final()?;
    }
    write(&folder.config_path(), config.to_toml().as_bytes())?;
    // A run at its end takes no step.
    if at.0 < config.train.total_env_steps && trainer.ended_early_at().is_none() {
        provenance::note_resume(folder, &stored, config, at, branched_from)?;
    }
    failure::clear(folder);
    Ok(OpenRun { trainer, _lock })
}

fn save_to(folder: &RunFolder, config: &Config) -> SaveTo {
    SaveTo {
        checkpoints: folder.checkpoints(config.checkpoint.keep as usize),
        best: folder.best_path(),
        settings: fixed::fixed(config),
    }
}
