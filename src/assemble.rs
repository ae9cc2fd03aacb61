//! From a configuration to the things it describes: the only place that knows the concrete types of both crates.

use sac_agents::{
    Agent, Batch, Compute, Parts, Replay, SaveTo, SoftActorCritic, Stacking, Trainer, cuda_graph, kernels::ThreadPool,
    log::Logger, noise::Stream, process,
};
use sac_envs::{Dtype, Registry, Space, VecEnv};
use tch::{Device, Kind, Tensor};

use crate::{
    config::Config,
    error::{Error, Result},
};

/// At most so many evaluation episodes run side by side.
const MOST_EVAL_ENVS: usize = 32;

/// Gives libtorch the configured number of threads and the allocator habits that suit it. Affects the whole process.
pub fn prepare_process(config: &Config) {
    process::prepare(config.train.threads);
}

/// The configured device.
pub fn device(config: &Config) -> Device {
    match config
        .train
        .device
        .strip_prefix("cuda:")
        .and_then(|index| index.parse().ok())
    {
        Some(index) => Device::Cuda(index),
        None => Device::Cpu,
    }
}

/// `num_envs` copies of the configured environment, actions normalised.
///
/// # Errors
/// When the environment cannot be made.
pub fn envs(config: &Config, registry: &Registry, num_envs: usize, threads: usize) -> Result<Box<dyn VecEnv>> {
    Ok(registry.make_vec(&config.env.id, &config.env.options, num_envs, threads)?)
}

/// Bytes that a replay takes for the transitions of such environments, as many as are configured.
pub fn replay_bytes(config: &Config, envs: &dyn VecEnv) -> u64 {
    let spaces = (envs.observation_space(), envs.action_space());
    config.replay.bytes(spaces, stacking(config, envs))
}

/// How the configured number of such environments fills a replay.
pub fn stacking(config: &Config, envs: &dyn VecEnv) -> Stacking {
    Stacking {
        num_envs: config.env.num_envs as usize,
        ..Stacking::of(envs)
    }
}

/// Environments to score policies in, for so many episodes. Where a step takes long enough to be handed over, the threads
/// of the run step them, unless training goes on meanwhile; scores do not depend on it.
///
/// # Errors
/// When the environment cannot be made.
pub fn eval_envs(config: &Config, registry: &Registry, episodes: usize) -> Result<Box<dyn VecEnv>> {
    let takes_long = registry.get(&config.env.id)?.family == "mujoco";
    let threads = match takes_long && !config.eval.beside_training {
        true => config.train.threads as usize,
        false => 1,
    };
    envs(config, registry, episodes.clamp(1, MOST_EVAL_ENVS), threads)
}

/// A new agent for an environment's spaces, which acts and is scored.
///
/// # Errors
/// When the agent cannot serve them.
pub fn agent(config: &Config, envs: &dyn VecEnv) -> Result<Box<dyn Agent>> {
    let compute = Compute {
        device: device(config),
        threads: ThreadPool::new(config.train.threads as usize),
        ..Compute::default()
    };
    Ok(Box::new(soft_actor_critic(config, envs, compute)?))
}

/// The same, to learn on so many threads with the configured precision, and with recorded updates if it is to. Acting does
/// not depend on them.
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
/// When an environment cannot be made, the agent cannot serve it or learn as precisely as asked, or the replay does not fit in memory.
pub fn trainer(config: &Config, registry: &Registry, logger: Logger, save_to: Option<SaveTo>) -> Result<Trainer> {
    prepare_process(config);
    let num_envs = config.env.num_envs as usize;
    let envs = envs(config, registry, num_envs, config.env.step_threads as usize)?;
    let eval_envs = eval_envs(config, registry, config.eval.episodes as usize)?;
    let eval_agent = match config.eval.beside_training {
        true => Some(agent(config, envs.as_ref())?),
        false => None,
    };
    let agent = learner(config, envs.as_ref(), config.train.threads)?;
    let spaces = (envs.observation_space(), envs.action_space());
    let batch_size = config.train.batch_size as usize;
    let replay = Replay::stacked(
        &config.replay,
        spaces,
        Stacking::of(envs.as_ref()),
        config.agent.gamma,
        batch_size,
        device(config),
    )?;
    let parts = Parts {
        plan: config.plan(),
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

/// A batch of so many random rows, as an agent for such spaces takes them: for those who measure updates.
pub fn random_batch((observation, action): (&Space, &Space), rows: i64, noise: &mut Stream) -> Batch {
    let extents = observation.shape().into_iter().map(|extent| extent as i64);
    let shape: Vec<i64> = [rows].into_iter().chain(extents).collect();
    let observe = |noise: &mut Stream| match observation {
        Space::Box { dtype: Dtype::U8, .. } => (noise.uniform(&shape, Device::Cpu) * 256.0).floor(),
        _ => noise.normal(&shape, Device::Cpu),
    };
    let actions = match action {
        Space::Box { .. } => noise.uniform(&[rows, action.len() as i64], Device::Cpu) * 2.0 - 1.0,
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => {
            let mut actions = vec![0.0f32; rows as usize * action.len()];
            let of_rows = actions.chunks_exact_mut(action.len());
            of_rows.for_each(|row| action.sample(noise.rng(), row));
            Tensor::from_slice(&actions).view([rows, -1])
        }
    };
    Batch::new(
        observe(noise),
        actions,
        noise.normal(&[rows], Device::Cpu),
        Tensor::full([rows], 0.99, (Kind::Float, Device::Cpu)),
        observe(noise),
    )
}
