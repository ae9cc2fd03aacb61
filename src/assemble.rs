//! Builds what a configuration describes: the only place that knows concrete types of both crates.

use sac_agents::{
    Agent, Batch, Compute, Parts, Replay, SaveTo, SoftActorCritic, Stacking, Trainer, cuda_graph, kernels::ThreadPool,
    log::Logger, noise::Stream, process,
};
use sac_envs::{Dtype, Space, VecEnv};
use tch::{Device, Kind, Tensor};

use crate::{
    config::{Config, DeviceChoice},
    error::{Error, Result},
    registry::Registry,
    spaces::Spaces,
};

/// Most evaluation episodes that run side by side.
const MOST_EVAL_ENVS: usize = 32;

/// Gives libtorch the configured number of threads, and tunes the C allocator for it. Affects the whole process.
pub fn prepare_process(config: &Config) {
    process::prepare(config.threads());
}

/// The configured device.
pub fn device(config: &Config) -> Device {
    match config.train.device {
        DeviceChoice::Cuda(index) => Device::Cuda(index),
        DeviceChoice::Cpu | DeviceChoice::Auto => Device::Cpu, // nothing is "auto" in a configuration
    }
}

/// `num_envs` copies of the configured environment, actions normalised.
///
/// # Errors
/// When the environment cannot be made.
pub fn envs(config: &Config, registry: &Registry, num_envs: usize, threads: usize) -> Result<Box<dyn VecEnv>> {
    Ok(registry.make_vec(&config.env.id, &config.env.options, num_envs, threads)?)
}

/// The spaces of the configured environment, in the task's units.
///
/// # Errors
/// When the environment cannot be made.
pub fn spaces(config: &Config, registry: &Registry) -> Result<Spaces> {
    Ok(Spaces::of(registry.make(&config.env.id, &config.env.options)?.as_ref()))
}

/// Bytes that the configured replay takes for transitions of these environments.
pub fn replay_bytes(config: &Config, envs: &dyn VecEnv) -> u64 {
    let spaces = (envs.observation_space(), envs.action_space());
    config.replay.bytes(spaces, stacking(config, envs))
}

/// How the configured number of these environments fills a replay.
pub fn stacking(config: &Config, envs: &dyn VecEnv) -> Stacking {
    Stacking {
        num_envs: config.env.num_envs as usize,
        ..Stacking::of(envs)
    }
}

/// Environments to score policies in, for a number of episodes. If a step takes long enough to be worth a thread, the
/// threads of the run step them, unless training goes on meanwhile. Scores do not depend on it.
///
/// # Errors
/// When the environment cannot be made.
pub fn eval_envs(config: &Config, registry: &Registry, episodes: usize) -> Result<Box<dyn VecEnv>> {
    let takes_long = registry.get(&config.env.id)?.takes_long();
    let threads = match takes_long && !config.eval.beside_training {
        true => config.threads() as usize,
        false => 1,
    };
    envs(config, registry, episodes.clamp(1, MOST_EVAL_ENVS), threads)
}

/// A new agent for the spaces of an environment, to act.
///
/// # Errors
/// When the agent cannot serve them.
pub fn agent(config: &Config, envs: &dyn VecEnv) -> Result<Box<dyn Agent>> {
    let compute = Compute {
        device: device(config),
        threads: ThreadPool::new(config.threads() as usize),
        ..Compute::default()
    };
    Ok(Box::new(soft_actor_critic(config, envs, compute)?))
}

/// A new agent that learns, with `threads` threads and the configured precision, and with CUDA graphs if they are
/// configured. Its actions are those of [`agent`].
///
/// # Errors
/// When the agent cannot serve the spaces, or cannot learn like that here.
pub fn learner(config: &Config, envs: &dyn VecEnv, threads: u64) -> Result<Box<dyn Agent>> {
    let compute = Compute {
        device: device(config),
        threads: ThreadPool::new(threads as usize),
        precision: config.train.matmul_precision,
        ..Compute::default()
    };
    let agent = soft_actor_critic(config, envs, compute)?;
    process::set_libtorch_threads(threads, agent.is_fused());
    match config.train.cuda_graphs {
        true => Ok(Box::new(cuda_graph::on_cuda(agent)?)),
        false => Ok(Box::new(agent)),
    }
}

fn soft_actor_critic(config: &Config, envs: &dyn VecEnv, compute: Compute) -> Result<SoftActorCritic> {
    let spaces = (envs.observation_space(), envs.action_space());
    let seed = config.train.seed;
    Ok(SoftActorCritic::new(
        &config.agent,
        &config.env.id,
        spaces,
        seed,
        compute,
    )?)
}

/// A run at its beginning.
///
/// # Errors
/// When an environment cannot be made, the agent cannot serve it or learn with the configured precision, or the replay
/// does not fit in memory.
pub fn trainer(config: &Config, registry: &Registry, logger: Logger, save_to: Option<SaveTo>) -> Result<Trainer> {
    prepare_process(config);
    let num_envs = config.env.num_envs as usize;
    let envs = envs(config, registry, num_envs, config.env.step_threads as usize)?;
    let eval_envs = eval_envs(&config.for_evaluation(), registry, config.eval.episodes as usize)?;
    let eval_agent = match config.eval.beside_training {
        true => Some(agent(config, envs.as_ref())?),
        false => None,
    };
    let agent = learner(config, envs.as_ref(), config.threads())?;
    let spaces = (envs.observation_space(), envs.action_space());
    let batch_size = config.train.batch_size as usize;
    let (replay, gamma, device) = (&config.replay, config.agent.gamma, device(config));
    let replay = match replay.hindsight {
        None => Replay::stacked(replay, spaces, Stacking::of(envs.as_ref()), gamma, batch_size, device)?,
        Some(_) => {
            let task = registry.make_normalised(&config.env.id, &config.env.options)?;
            Replay::with_hindsight(replay, task, num_envs, gamma, batch_size, device)?
        }
    };
    let parts = Parts {
        train: config.train.clone(),
        eval: config.eval.clone(),
        checkpoint: config.checkpoint.clone(),
        log: config.log.clone(),
        agent,
        envs,
        eval_envs,
        eval_agent,
        replay,
        logger,
        save_to,
    };
    Trainer::new(parts).map_err(Error::from)
}

/// The folders of the model files that the MuJoCo and the Fetch tasks use, or why there is none.
#[cfg(feature = "mujoco")]
pub(crate) fn model_files() -> [std::result::Result<std::path::PathBuf, String>; 2] {
    use sac_envs::mujoco::ModelFiles;
    [ModelFiles::Gymnasium, ModelFiles::Robotics].map(ModelFiles::path)
}

/// A batch of random rows for an agent for these spaces, to measure updates with.
pub fn random_batch((observation, action): (&Space, &Space), rows: i64, stream: &mut Stream) -> Batch {
    let extents = observation.shape().into_iter().map(|extent| extent as i64);
    let shape: Vec<i64> = [rows].into_iter().chain(extents).collect();
    let observe = |stream: &mut Stream| match observation {
        Space::Box { dtype: Dtype::U8, .. } => (stream.uniform(&shape, Device::Cpu) * 256.0).floor(),
        _ => stream.normal(&shape, Device::Cpu),
    };
    let actions = match action {
        Space::Box { .. } => stream.uniform(&[rows, action.len() as i64], Device::Cpu) * 2.0 - 1.0,
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => {
            let mut actions = vec![0.0f32; rows as usize * action.len()];
            let of_rows = actions.chunks_exact_mut(action.len());
            of_rows.for_each(|row| action.sample(stream.rng(), row));
            Tensor::from_slice(&actions).view([rows, -1])
        }
    };
    Batch::new(
        observe(stream),
        actions,
        stream.normal(&[rows], Device::Cpu),
        Tensor::full([rows], 0.99, (Kind::Float, Device::Cpu)),
        observe(stream),
    )
}
