//! A run is a folder: [`RunFolder`], and [`train`], which fills one.
//!
//! ```text
//! config.toml            resolved; `sac train --config` on it repeats the run
//! provenance.json        what made it
//! metrics.jsonl          a row per logging interval
//! eval.csv               a line per evaluation
//! events.out.tfevents.*  the same for TensorBoard
//! checkpoints/<steps>/   everything that changes; `latest` names the newest
//! best/                  the policy with the highest evaluation so far
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Instant, SystemTime},
};

use sac_agents::{
    Ending, EnvSteps, SaveTo, Trainer,
    checkpoint::{Checkpoint, CheckpointStore},
    log::{EvalCsv, Hparam, Logger, MetricsJsonl, Sink, TensorBoard},
};
use sac_envs::Registry;
use serde::Serialize;

use crate::{
    assemble,
    config::{Config, Layers, Origin},
    error::{Error, Result},
    replicates,
};

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// Which saved policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// With the highest evaluation.
    Best,
    /// Of the newest checkpoint.
    Last,
    /// Of the checkpoint at this count.
    At(EnvSteps),
}

impl RunFolder {
    /// Makes a new folder, its parents included.
    ///
    /// # Errors
    /// [`Error::RunExists`] when something is there already; [`Error::Io`] when it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let refused = |source: io::Error| Error::Folder {
            path: path.to_path_buf(),
            source,
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(refused)?;
        }
        match fs::create_dir(path) {
            Ok(()) => Ok(RunFolder {
                path: path.to_path_buf(),
            }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Error::RunExists(path.to_path_buf())),
            Err(error) => Err(refused(error)),
        }
    }

    /// Makes `runs/<env>/<algo>/<utc>-s<seed>` below the current folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_default(config: &Config) -> Result<Self> {
        RunFolder::create_stamped(config, &format!("s{}", config.train.seed))
    }

    /// Makes `runs/<env>/<algo>/<utc>-<what>` below the current folder.
    pub(crate) fn create_stamped(config: &Config, what: &str) -> Result<Self> {
        let stamp: String = utc_now().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let parent = Path::new("runs").join(&config.env.id).join(&config.algo);
        let name = format!("{stamp}-{what}");
        let candidates = (0..100).map(|twin| {
            if twin == 0 {
                name.clone()
            } else {
                format!("{name}-{twin}")
            }
        });
        for candidate in candidates {
            match RunFolder::create(&parent.join(candidate)) {
                Err(Error::RunExists(_)) => continue,
                other => return other,
            }
        }
        Err(Error::RunExists(parent.join(name)))
    }

    /// An existing run.
    ///
    /// # Errors
    /// [`Error::NotARun`].
    pub fn open(path: &Path) -> Result<Self> {
        let run = RunFolder {
            path: path.to_path_buf(),
        };
        if run.config_path().is_file() {
            return Ok(run);
        }
        let problem = if path.join(replicates::SEEDS_FILE).is_file() {
            "holds a run for every seed; name one of them"
        } else if path.exists() {
            "is not a run: it holds no config.toml"
        } else {
            "no such folder"
        };
        Err(Error::NotARun {
            path: path.to_path_buf(),
            problem: problem.to_string(),
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The configuration as one layer, so that flags can be laid over it.
    ///
    /// # Errors
    /// When it cannot be read or is not TOML.
    pub fn layers(&self) -> Result<Layers> {
        let path = self.config_path();
        let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let mut layers = Layers::default();
        layers.add_toml(Origin::File(path), &text)?;
        Ok(layers)
    }

    /// The configuration of the run.
    ///
    /// # Errors
    /// When it cannot be read, or does not resolve with this registry.
    pub fn config(&self, registry: &Registry) -> Result<Config> {
        Ok(Config::resolve(&self.layers()?, registry)?)
    }

    pub(crate) fn checkpoints(&self, keep: usize) -> CheckpointStore {
        CheckpointStore::new(self.path.join("checkpoints"), keep)
    }

    /// The folder of a saved policy.
    ///
    /// # Errors
    /// [`Error::NotARun`] when there is none; the message says which there are.
    pub fn saved(&self, which: Which) -> Result<PathBuf> {
        let store = self.checkpoints(1);
        let missing = |problem: String| {
            Err(Error::NotARun {
                path: self.path.clone(),
                problem,
            })
        };
        let listed = || {
            let steps: Vec<String> = store.steps().iter().map(ToString::to_string).collect();
            if steps.is_empty() {
                "there are no checkpoints".to_string()
            } else {
                format!("there are {}", steps.join(", "))
            }
        };
        match which {
            Which::Best => {
                let path = self.path.join("best");
                if path.is_dir() {
                    Ok(path)
                } else {
                    missing(format!("no policy was evaluated yet; {}", listed()))
                }
            }
            Which::Last => match store.latest() {
                Some(steps) => Ok(store.path(steps)),
                None => Err(Error::NoCheckpoint(self.path.clone())),
            },
            Which::At(steps) => {
                let path = store.path(steps);
                if path.is_dir() {
                    Ok(path)
                } else {
                    missing(format!("no checkpoint at {steps}; {}", listed()))
                }
            }
        }
    }
}

fn utc_now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[derive(Serialize)]
struct Provenance<'a> {
    sac: &'static str,
    commit: &'static str,
    profile: &'static str,
    libtorch: &'static str,
    device: &'a str,
    threads: u64,
    processor: String,
    command: Vec<String>,
    started_utc: String,
}

/// The processor's name as the system gives it.
pub fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    line.map_or_else(
        || std::env::consts::ARCH.to_string(),
        |(_, name)| name.trim().to_string(),
    )
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Environment id.
    pub env: String,
    /// Preset.
    pub algo: String,
    /// Root seed.
    pub seed: u64,
    /// Steps taken.
    pub env_steps: u64,
    /// Updates taken.
    pub grad_steps: u64,
    /// Wall time in training, resumed parts added up.
    pub seconds: f64,
    /// Where the run lies.
    pub run_dir: String,
    /// Mean return of the newest evaluation.
    pub eval_mean_return: Option<f64>,
    /// The highest mean return of any evaluation.
    pub best_mean_return: Option<f64>,
    /// Whether it was stopped before its end.
    pub interrupted: bool,
}

impl Summary {
    pub(crate) fn of(trainer: &Trainer, config: &Config, folder: &RunFolder, interrupted: bool) -> Self {
        Summary {
            env: config.env.id.clone(),
            algo: config.algo.clone(),
            seed: config.train.seed,
            env_steps: trainer.env_steps().0,
            grad_steps: trainer.grad_steps().0,
            seconds: trainer.seconds(),
            run_dir: folder.path.display().to_string(),
            eval_mean_return: trainer.last_evaluation().map(|(_, mean_return)| mean_return),
            best_mean_return: trainer.best_mean_return(),
            interrupted,
        }
    }
}

/// Trains as configured, into a new folder. `sinks` are added to those of the folder; `stop` ends the run early, with
/// a checkpoint.
///
/// # Errors
/// Before the first step: everything about the configuration. Afterwards: what an environment did, or a divergence.
pub fn train(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
    stop: &AtomicBool,
) -> Result<Summary> {
    let started = Instant::now();
    let mut trainer = start(config, registry, folder, sinks)?;
    tracing::debug!("assembled in {:.3} s", started.elapsed().as_secs_f64());
    let ending = trainer.run(stop)?;
    Ok(Summary::of(&trainer, config, folder, ending == Ending::Interrupted))
}

/// Everything up to the first step. The trainer is built before the folder gets its files, so that a refused
/// configuration leaves no half-made run behind.
pub(crate) fn start(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<Trainer> {
    let outcome = prepare(config, registry, folder, sinks);
    if outcome.is_err() {
        // The folder is ours, and new; an empty run is of no use to anybody.
        let _ = fs::remove_dir_all(&folder.path);
    }
    outcome
}

fn prepare(config: &Config, registry: &Registry, folder: &RunFolder, sinks: Vec<Box<dyn Sink>>) -> Result<Trainer> {
    let logger = logger(folder, config, None, sinks)?;
    let trainer = assemble::trainer(config, registry, logger, Some(save_to(folder, config)))?;
    write(&folder.config_path(), config.to_toml().as_bytes())?;
    let provenance = Provenance {
        sac: env!("CARGO_PKG_VERSION"),
        commit: env!("SAC_COMMIT"),
        profile: env!("SAC_PROFILE"),
        libtorch: env!("SAC_LIBTORCH_VERSION"),
        device: &config.train.device,
        threads: config.train.threads,
        processor: processor(),
        command: std::env::args().collect(),
        started_utc: utc_now(),
    };
    let mut json = serde_json::to_vec_pretty(&provenance).map_err(|error| Error::Usage(error.to_string()))?;
    json.push(b'\n');
    write(&folder.path.join("provenance.json"), &json)?;
    Ok(trainer)
}

/// Goes on with a run from its newest checkpoint, as if it had never stopped. `layers` are the run's own with
/// `train.total_env_steps` changed at most.
///
/// # Errors
/// When the checkpoint is damaged or does not fit; nothing has been changed then.
pub fn resume(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
    stop: &AtomicBool,
) -> Result<Summary> {
    let mut trainer = reopen(config, registry, folder, sinks)?;
    let ending = trainer.run(stop)?;
    Ok(Summary::of(&trainer, config, folder, ending == Ending::Interrupted))
}

/// Refuses an end that lies behind a run already.
pub(crate) fn check_total(config: &Config, folder: &RunFolder, at: EnvSteps) -> Result<()> {
    if config.train.total_env_steps >= at.0 {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{}: has taken {at} env steps already, and {} were asked for",
        folder.path.display(),
        config.train.total_env_steps
    )))
}

/// A trainer as the newest checkpoint of its run left it. A checkpoint that does not fit leaves the folder untouched.
pub(crate) fn reopen(
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<Trainer> {
    let path = folder.saved(Which::Last)?;
    let checkpoint = Checkpoint::read(&path, &[])?;
    let at = checkpoint.manifest.env_steps;
    check_total(config, folder, at)?;
    // A dry run first: nothing in the folder is touched before the checkpoint is known to fit.
    assemble::trainer(config, registry, Logger::default(), None)?.restore(&checkpoint, 0.0)?;

    let metrics = folder.path.join("metrics.jsonl");
    let seconds_before = MetricsJsonl::rewind(&metrics, at).map_err(Error::io(&metrics))?;
    let csv = folder.path.join("eval.csv");
    EvalCsv::rewind(&csv, at).map_err(Error::io(&csv))?;
    let save_to = save_to(folder, config);
    save_to.checkpoints.forget_after(at)?;
    let logger = logger(folder, config, Some(at), sinks)?;
    let mut trainer = assemble::trainer(config, registry, logger, Some(save_to))?;
    trainer.restore(&checkpoint, seconds_before)?;
    drop(checkpoint);
    write(&folder.config_path(), config.to_toml().as_bytes())?;
    Ok(trainer)
}

fn save_to(folder: &RunFolder, config: &Config) -> SaveTo {
    SaveTo {
        checkpoints: folder.checkpoints(config.checkpoint.keep as usize),
        best: folder.path.join("best"),
    }
}

fn logger(
    folder: &RunFolder,
    config: &Config,
    resumed_at: Option<EnvSteps>,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<Logger> {
    let mut logger = Logger::default();
    let path = folder.path.join("metrics.jsonl");
    logger.add(Box::new(MetricsJsonl::open(&path).map_err(Error::io(&path))?));
    let path = folder.path.join("eval.csv");
    logger.add(Box::new(EvalCsv::open(&path).map_err(Error::io(&path))?));
    let purge_from = resumed_at.map(|at| EnvSteps(at.0 + 1));
    let mut board = TensorBoard::create(&folder.path, purge_from).map_err(Error::io(&folder.path))?;
    if resumed_at.is_none() {
        let table = config.to_table();
        let mut hparams = Vec::new();
        flatten(&table, "", &mut hparams);
        let described = board
            .hparams(&format!("{}/{}", config.env.id, config.algo), &hparams)
            .and_then(|()| board.text("config", &format!("```toml\n{}```\n", config.to_toml())));
        described.map_err(Error::io(&folder.path))?;
    }
    logger.add(Box::new(board));
    sinks.into_iter().for_each(|sink| logger.add(sink));
    Ok(logger)
}

fn flatten(table: &toml::Table, prefix: &str, out: &mut Vec<(String, Hparam)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(table) => flatten(table, &key, out),
            toml::Value::Integer(number) => out.push((key, Hparam::Number(*number as f64))),
            // TensorBoard hands them on as JSON, which has no infinity.
            toml::Value::Float(number) if !number.is_finite() => out.push((key, Hparam::Text(number.to_string()))),
            toml::Value::Float(number) => out.push((key, Hparam::Number(*number))),
            toml::Value::Boolean(flag) => out.push((key, Hparam::Bool(*flag))),
            toml::Value::String(text) => out.push((key, Hparam::Text(text.clone()))),
            other => out.push((key, Hparam::Text(other.to_string()))),
        }
    }
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(Error::io(path))
}
