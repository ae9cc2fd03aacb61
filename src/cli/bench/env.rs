//! `sac bench env`.

use sac_agents::noise::Stream;
use sac_cli::args::BenchEnvArgs;
use serde_json::json;

use super::{products::yardstick, rate::rate};
use crate::{
    cli::output::{print, print_json},
    error::Result,
    registry::Registry,
    run::processor,
};

/// Environment steps per second under random actions.
pub fn env(args: &BenchEnvArgs, registry: &Registry) -> Result<()> {
    let (num_envs, threads) = (args.num_envs as usize, args.threads as usize);
    let mut envs = registry.make_vec(&args.env, &toml::Table::new(), num_envs, threads)?;
    let seeds: Vec<u64> = (0..args.num_envs).collect();
    envs.reset(&seeds)?;
    let width = envs.action_space().len();
    let space = envs.action_space().clone();
    // Actions are drawn beforehand, as many as in envs/benches/gymnasium_speed.py: the benchmark is about the
    // environments.
    const ROUNDS: usize = 1000;
    let mut stream = Stream::derive(0, "bench.env", 0);
    let mut actions = vec![0.0f32; ROUNDS * num_envs * width];
    actions
        .chunks_exact_mut(width)
        .for_each(|action| space.sample(stream.rng(), action));
    let mut round = 0;
    let mut failure = None;
    let calls_per_second = rate(args.seconds, || {
        let block = num_envs * width;
        // The clock is read once in a hundred rounds.
        for _ in 0..100 {
            round = (round + 1) % ROUNDS;
            if let Err(error) = envs.step(0..num_envs, &actions[round * block..(round + 1) * block]) {
                failure.get_or_insert(error);
            }
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let steps_per_second = calls_per_second * 100.0 * args.num_envs as f64;
    if args.json {
        return print_json(&json!({
            "env": args.env,
            "env_steps_per_second": steps_per_second,
            "num_envs": args.num_envs,
            "threads": args.threads,
            "gemm_floor_updates_per_second": yardstick()?,
            "processor": processor(),
            "commit": env!("SAC_COMMIT"),
        }));
    }
    print(&format!(
        "{steps_per_second:.0} env steps/s ({} × {}, {} thread(s))\n",
        args.num_envs, args.env, args.threads
    ))
}
