//! A trained policy, to act with and to score: [`Policy`].

mod export;

use std::path::{Path, PathBuf};

use sac_agents::checkpoint::Checkpoint;
use sac_agents::{ActMode, Agent, EnvSteps, Evaluation, evaluate, noise::Stream};
use sac_envs::{Env, agent_observation_space, to_agent_units, to_task_units};
use sha2::{Digest, Sha256};
use tch::Tensor;

use crate::{
    assemble,
    config::Config,
    error::{Error, Result},
    registry::Registry,
    run::{Changes, RunFolder, Which, check_spaces},
    spaces::Spaces,
};

/// A trained policy. It takes observations and gives actions in the task's own units.
///
/// ```
/// use sac::prelude::*;
///
/// # let folder = tempfile::tempdir()?;
/// # std::env::set_current_dir(folder.path())?;
/// let mut settings = Settings::new(Algo::Sac, "Pendulum-v1");
/// settings.train.total_env_steps = 60;
/// # settings.train.threads = Threads::Count(1);
/// # settings.replay.capacity = 1000;
/// let registry = Registry::builtin();
/// let run = train(&settings, &registry)?;
///
/// let mut policy = Policy::load(&run.run_dir)?;
/// let torque_nm = policy.act(&[1.0, 0.0, 0.0])?; // cos θ, sin θ, dθ/dt: upright
/// assert!(torque_nm.len() == 1 && torque_nm[0].abs() <= 2.0);
/// println!("mean return {:.1}", policy.evaluate(3)?.mean_return());
///
/// let error = policy.act(&[1.0, 0.0]).unwrap_err();
/// assert_eq!(error.to_string(), "Pendulum-v1: observation has 2 numbers, expected 3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Policy {
    run: PathBuf,
    config: Config,
    registry: Registry,
    spaces: Spaces,
    agent: Box<dyn Agent>,
    saved_as: String,
    env_steps: EnvSteps,
    /// Digest of the manifest of its checkpoint.
    checkpoint_sha256: String,
    stream: Stream,
    /// Observations as the agent gets them.
    seen: Vec<f32>,
    /// Actions as the agent gives them, in [-1, 1].
    normalised: Vec<f32>,
}

/// How a policy is scored.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluateOptions {
    /// Whole episodes, at least 1.
    pub episodes: u64,
    /// Seed of the episodes: the same seed gives the same ones.
    pub seed: u64,
    /// Whether actions are drawn from the policy, instead of being its mode.
    pub stochastic: bool,
    /// Options of the environment that differ from those of the run.
    pub env: toml::Table,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        EvaluateOptions {
            episodes: 10,
            seed: 0,
            stochastic: false,
            env: toml::Table::new(),
        }
    }
}

impl Policy {
    /// Loads the best policy of a run on a built-in task; in a run without evaluations, that of the newest checkpoint.
    ///
    /// # Errors
    /// When the folder is no run, holds no policy, or a damaged one.
    pub fn load(run: impl AsRef<Path>) -> Result<Policy> {
        Policy::load_with(run, &Registry::builtin())
    }

    /// [`Policy::load`] for a run on a task of `registry`.
    ///
    /// # Errors
    /// As [`Policy::load`]; [`Error::OtherSpaces`] when the task has other spaces than the run had.
    pub fn load_with(run: impl AsRef<Path>, registry: &Registry) -> Result<Policy> {
        Policy::load_checkpoint(run, Which::default(), registry)
    }

    /// Loads a saved policy of a run on a task of `registry`.
    ///
    /// # Errors
    /// As [`Policy::load_with`]; [`Error::NotARun`] when there is no such policy, with those that there are.
    pub fn load_checkpoint(run: impl AsRef<Path>, which: Which, registry: &Registry) -> Result<Policy> {
        Policy::load_changed(run, which, &Changes::on_cpu(), registry)
    }

    /// [`Policy::load_checkpoint`], on another device than the CPU.
    ///
    /// # Errors
    /// As [`Policy::load_checkpoint`]; when there is no such device.
    pub fn load_on(run: impl AsRef<Path>, which: Which, device: &str, registry: &Registry) -> Result<Policy> {
        Policy::load_to_act_in(run, which, device, &toml::Table::new(), registry)
    }

    /// [`Policy::load_on`], to act in an environment with these options: its model file need not be where the run had it.
    pub(crate) fn load_to_act_in(
        run: impl AsRef<Path>,
        which: Which,
        device: &str,
        env: &toml::Table,
        registry: &Registry,
    ) -> Result<Policy> {
        let file = env.get("xml_file");
        let changes = Changes {
            device: Some(device.to_string()),
            assignments: file.map(|file| format!("env.xml_file={file}")).into_iter().collect(),
            ..Changes::default()
        };
        Policy::load_changed(run, which, &changes, registry)
    }

    fn load_changed(run: impl AsRef<Path>, which: Which, changes: &Changes, registry: &Registry) -> Result<Policy> {
        let folder = RunFolder::open(run)?;
        let config = folder.config_with(changes, registry)?;
        let spaces = assemble::spaces(&config, registry)?;
        check_spaces(&folder, &config.env.id, &spaces)?;
        assemble::prepare_process(&config);
        let mut agent = assemble::agent(&config, assemble::envs(&config, registry, 1, 1)?.as_ref())?;
        let (path, checkpoint) = folder.read_saved(which, &["policy"])?;
        agent
            .load_policy(&checkpoint)
            .map_err(|error| checkpoint.locate(error))?;
        if !agent.is_finite() {
            let problem = "a parameter is not finite".to_string();
            let section = "policy".to_string();
            return Err(checkpoint
                .locate(sac_agents::Error::Section { section, problem })
                .into());
        }
        Ok(Policy {
            run: folder.path().to_path_buf(),
            saved_as: match which {
                Which::At(steps) => steps.to_string(),
                Which::Last => "last".to_string(),
                _ if path.ends_with("best") => "best".to_string(),
                _ => "last".to_string(),
            },
            env_steps: checkpoint.manifest.env_steps,
            checkpoint_sha256: sha256(&Checkpoint::manifest_text(&path).unwrap_or_default()),
            stream: Stream::derive(0, "policy", 0),
            seen: Vec::new(),
            normalised: Vec::new(),
            registry: registry.clone(),
            config,
            spaces,
            agent,
        })
    }

    /// The action for an observation, in the task's units: the mode of the policy, without noise. A discrete action is
    /// one number, its index.
    ///
    /// # Errors
    /// When the observation has another length than the task's, or a number in it is not finite.
    pub fn act(&mut self, obs: &[f32]) -> Result<Vec<f32>> {
        let mut action = vec![0.0; self.spaces.action.len()];
        self.act_into(obs, &mut action)?;
        Ok(action)
    }

    /// [`Policy::act`] into a buffer, which has the length of an action.
    ///
    /// # Errors
    /// As [`Policy::act`]; when the buffer has another length.
    pub fn act_into(&mut self, obs: &[f32], action: &mut [f32]) -> Result<()> {
        self.spaces
            .observation
            .check_len(&self.config.env.id, "observation", obs.len())?;
        self.spaces
            .action
            .check_len(&self.config.env.id, "action", action.len())?;
        self.act_rows(obs, ActMode::Evaluate, action)
    }

    /// An action that is drawn from the policy, as in training. The draws begin anew with [`Policy::reseed`].
    ///
    /// # Errors
    /// As [`Policy::act`].
    pub fn act_stochastic(&mut self, obs: &[f32]) -> Result<Vec<f32>> {
        self.spaces
            .observation
            .check_len(&self.config.env.id, "observation", obs.len())?;
        let mut action = vec![0.0; self.spaces.action.len()];
        self.act_rows(obs, ActMode::Explore, &mut action)?;
        Ok(action)
    }

    /// Actions `[N, A]` for observations `[N, O]`, both row by row in one slice: faster than one by one.
    ///
    /// # Errors
    /// When there is no whole number of observations, or a number in them is not finite.
    pub fn act_batch(&mut self, obs: &[f32], mode: ActMode) -> Result<Vec<f32>> {
        let width = self.spaces.observation.len();
        if !obs.len().is_multiple_of(width) {
            return Err(Error::Usage(format!(
                "{}: {} numbers are no whole number of observations, which have {width} each",
                self.config.env.id,
                obs.len()
            )));
        }
        let mut actions = vec![0.0; obs.len() / width * self.spaces.action.len()];
        if !actions.is_empty() {
            self.act_rows(obs, mode, &mut actions)?;
        }
        Ok(actions)
    }

    /// Begins the draws of [`Policy::act_stochastic`] anew: the same seed gives the same ones.
    pub fn reseed(&mut self, seed: u64) {
        self.stream = Stream::derive(seed, "policy", 0);
    }

    fn act_rows(&mut self, obs: &[f32], mode: ActMode, actions: &mut [f32]) -> Result<()> {
        if let Some(at) = obs.iter().position(|x| !x.is_finite()) {
            return Err(Error::Usage(format!(
                "{}: observation is {} at index {at}, expected a finite number",
                self.config.env.id, obs[at]
            )));
        }
        let space = &self.spaces.observation;
        let width = agent_observation_space(space).map_or(space.len(), |space| space.len());
        self.seen.resize(obs.len() / space.len() * width, 0.0);
        for (obs, seen) in obs.chunks_exact(space.len()).zip(self.seen.chunks_exact_mut(width)) {
            to_agent_units(space, obs, seen, || self.config.env.id.clone())?;
        }
        self.normalised.resize(actions.len(), 0.0);
        self.agent.act(&self.seen, mode, &mut self.stream, &mut self.normalised);
        let width = self.spaces.action.len();
        let rows = self.normalised.chunks_exact(width).zip(actions.chunks_exact_mut(width));
        rows.for_each(|(normalised, action)| to_task_units(&self.spaces.action, normalised, action));
        Ok(())
    }

    /// Scores the policy on whole episodes of the task it was trained on. The same number gives the same episodes.
    ///
    /// # Errors
    /// When there is no episode, or the environment fails.
    pub fn evaluate(&mut self, episodes: u64) -> Result<Evaluation> {
        self.evaluate_with(&EvaluateOptions {
            episodes,
            ..EvaluateOptions::default()
        })
    }

    /// [`Policy::evaluate`] with a seed, with draws, or in a changed environment.
    ///
    /// # Errors
    /// As [`Policy::evaluate`]; for options that the environment does not have; [`Error::OtherSpaces`] when they change
    /// its spaces.
    pub fn evaluate_with(&mut self, options: &EvaluateOptions) -> Result<Evaluation> {
        if options.episodes == 0 {
            return Err(Error::Usage("0 episodes, expected at least 1".to_string()));
        }
        let config = self.changed(&options.env)?;
        let episodes = options.episodes as usize;
        let mut envs = assemble::eval_envs(&config, &self.registry, episodes)?;
        let mode = match options.stochastic {
            true => ActMode::Explore,
            false => ActMode::Evaluate,
        };
        Ok(evaluate(
            self.agent.as_mut(),
            envs.as_mut(),
            episodes,
            options.seed,
            mode,
        )?)
    }

    /// A new environment of the task that the policy was trained on, which takes its actions.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn env(&self) -> Result<Box<dyn Env>> {
        self.env_with(&toml::Table::new())
    }

    /// [`Policy::env`] with options that differ from those of the run.
    ///
    /// # Errors
    /// For options that the environment does not have; [`Error::OtherSpaces`] when they change its spaces.
    pub fn env_with(&self, options: &toml::Table) -> Result<Box<dyn Env>> {
        let config = self.changed(options)?;
        Ok(self.registry.make(&config.env.id, &config.env.options)?)
    }

    /// The configuration of the run with other options of the environment, which has to have the same spaces.
    fn changed(&self, options: &toml::Table) -> Result<Config> {
        let config = self.config.clone().with_env_options(options);
        let task = assemble::spaces(&config, &self.registry)?;
        self.spaces.check(&self.run, &config.env.id, &task)?;
        Ok(config)
    }

    /// The spaces of observations and actions.
    pub fn spaces(&self) -> &Spaces {
        &self.spaces
    }

    /// The configuration of the run.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Everything that acting needs, by name: parameters of the networks, and statistics of observations where they are
    /// normalised.
    ///
    /// # Errors
    /// When a value cannot be read.
    pub fn parameters(&self) -> Result<Vec<(String, Tensor)>> {
        let section = self.agent.policy_section()?;
        let named = |name: &str| Ok((name.to_string(), section.any_tensor(name)?));
        // The section holds the moments of the optimiser as well.
        let names = section.tensor_names().filter(|name| !name.contains("adam."));
        names.map(named).collect()
    }

    /// Which of the run's policies it is: `best`, `last`, or a number of env steps.
    pub fn saved_as(&self) -> &str {
        &self.saved_as
    }

    /// Env steps of training when it was saved.
    pub fn env_steps(&self) -> EnvSteps {
        self.env_steps
    }
}

/// A digest in hexadecimal digits.
fn sha256(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
