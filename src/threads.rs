//! How many threads an update is fastest with on this machine: [`measure`].
//!
//! Only asked where results do not depend on the answer: fused networks give the same bits on any number of threads.

use std::{
    num::NonZero,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use sac_agents::{Agent, Batch, noise::Stream};
use tch::Device;

use crate::{
    registry::Registry,
    {assemble, config::Config, error::Result},
};

/// In a run with fewer updates, measuring takes longer than it gains.
const WORTH_UPDATES: f64 = 10_000.0;
/// How often each number of threads is tried, in turn, so that other work on the machine slows all of them alike.
const TURNS: usize = 3;
/// How long a try takes, at least; and two updates at least.
const TRY: Duration = Duration::from_millis(40);
/// More threads are taken only if fewer are slower than this part of the best rate.
const AS_GOOD: f64 = 0.95;

/// Updates per second by number of threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Number of threads, and the best rate of all turns, updates per second.
    pub rates: Vec<(u64, f64)>,
}

impl Measured {
    /// The fewest threads that are nearly as fast as the best.
    pub fn threads(&self) -> u64 {
        let best = self.rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        let good = self.rates.iter().find(|(_, rate)| *rate >= AS_GOOD * best);
        good.map_or(1, |(threads, _)| *threads)
    }
}

/// Tries 1, 2, 4 … threads, up to the number of cores, on an agent of its own and random rows. `None` where there is
/// nothing to choose: on one core, on a GPU, for networks that are not fused, or for a short run.
///
/// # Errors
/// When the environment cannot be made, or the agent cannot serve it.
pub fn measure(config: &Config, registry: &Registry) -> Result<Option<Measured>> {
    let cores = available_parallelism().map_or(1, NonZero::get) as u64;
    let train = &config.train;
    let learning = train.total_env_steps.saturating_sub(train.warmup_env_steps) as f64;
    let updates = learning * train.updates_per_env_step.0;
    if cores == 1 || updates < WORTH_UPDATES || assemble::device(config) != Device::Cpu {
        return Ok(None);
    }
    assemble::prepare_process(config);
    let envs = assemble::envs(config, registry, 1, 1)?;
    let mut stream = Stream::derive(train.seed, "threads", 0);
    let spaces = (envs.observation_space(), envs.action_space());
    let batch = assemble::random_batch(spaces, train.batch_size as i64, &mut stream);
    let mut tried = Vec::new();
    for threads in candidates(cores) {
        let agent = assemble::learner(config, envs.as_ref(), threads)?;
        if !agent.is_fused() {
            return Ok(None);
        }
        tried.push((agent, threads, 0.0f64));
    }
    for _ in 0..TURNS {
        for (agent, _, best) in &mut tried {
            *best = best.max(rate(agent.as_mut(), &batch, &mut stream));
        }
    }
    let rates = tried.iter().map(|(_, threads, rate)| (*threads, *rate)).collect();
    Ok(Some(Measured { rates }))
}

/// Updates per second of a configuration as it is, on random rows.
///
/// # Errors
/// As [`measure`].
pub fn updates_per_second(config: &Config, registry: &Registry) -> Result<f64> {
    assemble::prepare_process(config);
    let envs = assemble::envs(config, registry, 1, 1)?;
    let mut stream = Stream::derive(config.train.seed, "threads", 0);
    let spaces = (envs.observation_space(), envs.action_space());
    let batch = assemble::random_batch(spaces, config.train.batch_size as i64, &mut stream);
    let mut agent = assemble::learner(config, envs.as_ref(), config.threads())?;
    Ok(rate(agent.as_mut(), &batch, &mut stream))
}

/// 1, 2, 4 … and the number of cores.
fn candidates(cores: u64) -> impl Iterator<Item = u64> {
    let powers = (0..u64::BITS).map(|power| 1 << power);
    powers.take_while(move |threads| *threads < cores).chain([cores])
}

/// Updates per second, after one to warm up.
fn rate(agent: &mut dyn Agent, batch: &Batch, stream: &mut Stream) -> f64 {
    drop(agent.update(batch, stream));
    let (started, mut count) = (Instant::now(), 0);
    while count < 2 || started.elapsed() < TRY {
        drop(agent.update(batch, stream));
        count += 1;
    }
    f64::from(count) / started.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_threads_that_are_nearly_as_fast_are_chosen() {
        let chosen = |rates: &[(u64, f64)]| Measured { rates: rates.to_vec() }.threads();
        assert_eq!(chosen(&[(1, 240.0), (2, 410.0), (4, 420.0), (8, 300.0)]), 2);
        assert_eq!(chosen(&[(1, 240.0), (2, 130.0)]), 1);
        assert_eq!(chosen(&[(1, 100.0), (2, 150.0), (3, 300.0)]), 3);
    }

    #[test]
    fn every_power_of_two_is_tried_and_all_cores() {
        let tried = |cores| candidates(cores).collect::<Vec<u64>>();
        assert_eq!(tried(2), [1, 2]);
        assert_eq!(tried(6), [1, 2, 4, 6]);
        assert_eq!(tried(8), [1, 2, 4, 8]);
    }

    #[test]
    fn what_a_run_needs_is_measured_and_nothing_else() {
        let registry = Registry::builtin();
        let measured = |settings: &[&str]| {
            let config = crate::config::configure(&registry, "Pendulum-v1", "sac", settings).expect("it is one");
            measure(&config, &registry).expect("it can be built")
        };
        assert_eq!(measured(&["train.total_env_steps=5000"]), None, "too short");
        let through_libtorch = "agent.encoder={kind='tokens',tokenization={kind='per_dimension'}}";
        assert_eq!(measured(&["train.total_env_steps=50000", through_libtorch]), None);
        if available_parallelism().map_or(1, NonZero::get) > 1 {
            for env in ["Pendulum-v1", "CartPole-v1"] {
                let algo = ["train.total_env_steps=50000", "agent.body.hidden=[16]"];
                let config = match env {
                    "CartPole-v1" => crate::config::configure(&registry, env, "sac-discrete", &algo),
                    _ => crate::config::configure(&registry, env, "sac", &algo),
                };
                let measured = measure(&config.expect("it is one"), &registry).expect("it can be built");
                let rates = measured.expect("there is a choice").rates;
                assert!(
                    rates.len() >= 2 && rates.iter().all(|(_, rate)| *rate > 0.0),
                    "{rates:?}"
                );
            }
        }
    }
}
