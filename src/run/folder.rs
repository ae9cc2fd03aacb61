//! The folder of one run: [`RunFolder`].

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use sac_agents::{
    EnvSteps, SaveTo,
    checkpoint::{Checkpoint, CheckpointStore},
    regular_file,
};

use crate::{
    config::{Config, Layers, Origin},
    error::{Error, Result},
    registry::Registry,
};

/// The file that makes a folder one of several runs: see [`crate::replicates`].
pub(crate) const SEEDS_FILE: &str = "seeds.toml";

/// Far more than a configuration takes.
pub(crate) const MOST_CONFIG_BYTES: u64 = 1 << 20;

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// A saved policy of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// The one with the best evaluation; in a run without evaluations, the one of the newest checkpoint.
    #[default]
    BestOrLast,
    /// The one with the best evaluation.
    Best,
    /// The one of the newest checkpoint.
    Last,
    /// The one of the checkpoint at this count.
    At(EnvSteps),
}

/// What may differ from the configuration of a run when it is resumed or its policy acts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Another end.
    pub total_env_steps: Option<u64>,
    /// Another device, `cpu` or `cuda:N`: a device belongs to the machine, not to the run.
    pub device: Option<String>,
    /// Another number of threads for an update.
    pub threads: Option<u64>,
    /// Other settings, as `key=value` with a value in TOML. In the middle of a run these may change: learning rates,
    /// `train.updates_per_env_step`, and `[eval]`, `[checkpoint]` and `[log]`.
    pub assignments: Vec<String>,
}

impl Changes {
    /// To act on the CPU, whatever the run was trained on.
    pub(crate) fn on_cpu() -> Self {
        Changes {
            device: Some("cpu".to_string()),
            ..Changes::default()
        }
    }

    /// To read the stored configuration on the machine that `config` is for: with its device, and with its model file.
    pub(super) fn to_another_machine(config: &Config) -> Self {
        let file = config.env.options.get("xml_file");
        Changes {
            assignments: file.map(|file| format!("env.xml_file={file}")).into_iter().collect(),
            ..Changes::on_cpu()
        }
    }

    /// Whether numbers may differ from those of the run without the changes.
    pub fn is_of_the_machine(&self) -> bool {
        self.device.is_some() || self.threads.is_some()
    }

    fn lay_over(&self, layers: &mut Layers) -> Result<()> {
        self.assignments
            .iter()
            .try_for_each(|assignment| layers.set_text(assignment))?;
        // The command line and TOML hold no larger integers.
        let integer = |count: u64| count.min(i64::MAX as u64) as i64;
        if let Some(total) = self.total_env_steps {
            layers.set(Origin::Flag("--steps"), "train.total_env_steps", integer(total));
        }
        if let Some(threads) = self.threads {
            layers.set(Origin::Flag("--threads"), "train.threads", integer(threads));
        }
        if let Some(device) = &self.device {
            layers.set(Origin::Flag("--device"), "train.device", device.as_str());
            if !device.starts_with("cuda") {
                // They are recorded on a GPU alone.
                layers.set(Origin::Flag("--device"), "train.cuda_graphs", false);
            }
        }
        Ok(())
    }
}

impl RunFolder {
    /// Makes a new folder, and its parents; or takes an empty one.
    ///
    /// # Errors
    /// [`Error::RunExists`] when something is there already; [`Error::Folder`] when it cannot be made.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        match RunFolder::create_new(path) {
            Err(Error::RunExists(_)) if is_empty_folder(path) => Ok(RunFolder {
                path: path.to_path_buf(),
            }),
            other => other,
        }
    }

    /// Makes a folder that was not there, and its parents.
    fn create_new(path: &Path) -> Result<Self> {
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

    /// Makes `runs/<env>/<algo>/<utc>-<name>` below the current folder.
    pub(crate) fn create_stamped(config: &Config, name: &str) -> Result<Self> {
        let stamp: String = utc_now().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        // Ids of Python environments can have slashes.
        let env = config.env.id.replace('/', "-");
        let parent = Path::new("runs").join(env).join(config.algo.name());
        let name = format!("{stamp}-{name}");
        let candidates = (0..100).map(|number| match number {
            0 => name.clone(),
            number => format!("{name}-{number}"),
        });
        for candidate in candidates {
            match RunFolder::create_new(&parent.join(candidate)) {
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
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let run = RunFolder {
            path: path.to_path_buf(),
        };
        if run.config_path().is_file() {
            return Ok(run);
        }
        let problem = if path.join(SEEDS_FILE).is_file() {
            "holds a run for every seed; name one of them"
        } else if path.exists() {
            "is not a run: it holds no config.toml"
        } else {
            "no such folder"
        };
        Err(run.lacks(problem))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    /// The configuration as one layer, to put flags over it.
    ///
    /// # Errors
    /// When it cannot be read or is not TOML.
    pub fn layers(&self) -> Result<Layers> {
        let path = self.config_path();
        let text = regular_file::read_text(&path, MOST_CONFIG_BYTES).map_err(Error::io(&path))?;
        let mut layers = Layers::default();
        layers.add_toml(Origin::File(path), &text)?;
        Ok(layers)
    }

    /// The configuration of the run.
    ///
    /// # Errors
    /// When it cannot be read, or does not resolve with this registry.
    pub fn config(&self, registry: &Registry) -> Result<Config> {
        self.config_with(&Changes::default(), registry)
    }

    /// The configuration of the run with changes over it.
    ///
    /// # Errors
    /// As [`RunFolder::config`].
    pub fn config_with(&self, changes: &Changes, registry: &Registry) -> Result<Config> {
        let mut layers = self.layers()?;
        changes.lay_over(&mut layers)?;
        Ok(Config::resolve(&layers, registry)?)
    }

    pub(crate) fn checkpoints(&self, keep: usize) -> CheckpointStore {
        CheckpointStore::new(self.path.join("checkpoints"), keep)
    }

    pub(super) fn best_path(&self) -> PathBuf {
        self.path.join("best")
    }

    /// The folder of a saved policy.
    ///
    /// # Errors
    /// [`Error::NotARun`] when there is none; the message says which there are.
    pub fn saved(&self, which: Which) -> Result<PathBuf> {
        let store = self.checkpoints(1);
        let listed = || {
            let steps: Vec<String> = store.steps().iter().map(ToString::to_string).collect();
            match steps.is_empty() {
                true => "there are no checkpoints".to_string(),
                false => format!("there are {}", steps.join(", ")),
            }
        };
        let best = self.best_path();
        match which {
            Which::BestOrLast | Which::Best if best.is_dir() => Ok(best),
            Which::Best => Err(self.lacks(format!("no policy was evaluated yet; {}", listed()))),
            Which::BestOrLast | Which::Last => match store.latest() {
                Some(steps) => Ok(store.path(steps)),
                None => Err(Error::NoCheckpoint(self.path.clone())),
            },
            Which::At(steps) => match store.path(steps) {
                path if path.is_dir() => Ok(path),
                _ => Err(self.lacks(format!("no checkpoint at {steps}; {}", listed()))),
            },
        }
    }

    /// Reads sections of a saved policy, or all of them: see [`Checkpoint::read`]. One that another process removes or
    /// replaces meanwhile is looked for again.
    pub(crate) fn read_saved(&self, which: Which, sections: &[&str]) -> Result<(PathBuf, Checkpoint)> {
        const TRIES: u32 = 20;
        let mut tried = 1;
        loop {
            let path = self.saved(which)?;
            let before = Checkpoint::manifest_text(&path);
            match Checkpoint::read(&path, sections) {
                Err(_) if tried < TRIES && Checkpoint::manifest_text(&path) != before => tried += 1,
                Err(error) => return Err(error.into()),
                Ok(checkpoint) => return Ok((path, checkpoint)),
            }
        }
    }

    /// Copies what a run needs to go on from its newest checkpoint into another folder, which is empty.
    pub(super) fn copy_newest_to(&self, other: &RunFolder) -> Result<()> {
        let newest = self.saved(Which::Last)?;
        let store = other.path.join("checkpoints");
        let name = newest.file_name().unwrap_or_default();
        copy_files(&newest, &store.join(name))?;
        let best = [self, other].map(RunFolder::best_path);
        for [from, to] in [&best, &best.each_ref().map(|best| SaveTo::best_before_end(best))] {
            if from.is_dir() {
                copy_files(from, to)?;
            }
        }
        copy_files(&self.path, &other.path)
    }

    /// Refuses folders of the run that are symbolic links: what is written into them would not lie in the run.
    pub(super) fn check_links(&self) -> Result<()> {
        for folder in [self.path.join("checkpoints"), self.best_path()] {
            if folder.is_symlink() {
                return Err(Error::NotARun {
                    path: folder,
                    problem: "is a symbolic link; what a run writes has to lie in its own folder".to_string(),
                });
            }
        }
        Ok(())
    }

    fn lacks(&self, problem: impl Into<String>) -> Error {
        Error::NotARun {
            path: self.path.clone(),
            problem: problem.into(),
        }
    }
}

/// Copies the files of a folder, but not the folders in it and no hidden files, into another, which is made if it is
/// missing.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(Error::io(to))?;
    for entry in fs::read_dir(from).map_err(Error::io(from))? {
        let path = entry.map_err(Error::io(from))?.path();
        let name = path.file_name().unwrap_or_default();
        if name.to_string_lossy().starts_with('.') || !path.is_file() || path.is_symlink() {
            continue;
        }
        fs::copy(&path, to.join(name)).map_err(Error::io(&path))?;
    }
    Ok(())
}

/// Whether there is a folder with nothing in it.
pub(crate) fn is_empty_folder(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Now, in UTC, to the second.
pub(crate) fn utc_now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Writes a file under a temporary name and renames it, so that it is whole or not there.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    regular_file::create(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(Error::io(path))
}
