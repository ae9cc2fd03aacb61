//! Training on an environment of the crate gymnasium-rs.
//!
//! `cargo run --release --example cart_pole`, in the folder `envs/gymnasium-rs`.
//!
//! The actions of its cart-pole are discrete, so the preset is `sac-discrete`.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::sync::atomic::AtomicBool;

use sac::agents::{ActMode, evaluate, log::Logger};
use sac::{
    Registry,
    envs::{Env, EnvEntry, EnvError, NumpyRng},
};
use sac_gymnasium_rs::FromGymnasiumRs;
use sac_gymnasium_rs::ndarray::Array1;
use sac_gymnasium_rs::theirs::envs::cartpole::CartPole;

const EPISODE_STEPS: u64 = 200;

/// The last call is needed because the observations leave the bounds that the environment states.
fn cart_pole() -> Box<dyn Env> {
    let env = FromGymnasiumRs::<_, Array1<f32>, i32>::new("TheirCartPole-v0", CartPole::new());
    Box::new(env.expect("a box and two actions").with_unbounded_observations())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::builtin();
    let entry = EnvEntry::from_env("TheirCartPole-v0", "Keep a pole upright", cart_pole);
    registry.register(entry.with_time_limit(EPISODE_STEPS));

    // The preset with a small network, fewer steps, and a target entropy that falls during them.
    let settings = [
        "train.total_env_steps=6000",
        "train.warmup_env_steps=500",
        "train.batch_size=128",
        "train.threads=1",
        "agent.body.hidden=[64, 64]",
        "agent.policy.optimizer.learning_rate=1e-3",
        "agent.critic.optimizer.learning_rate=1e-3",
        "agent.temperature.optimizer.learning_rate=1e-3",
        "agent.temperature.target_entropy={ of_uniform = 0.7, falling_to = 0.3, over_grad_steps = 4000 }",
        "agent.targets.tau=0.01",
        "replay.capacity=10_000",
        "eval.every=\"never\"",
    ];
    let config = sac::configure(&registry, "TheirCartPole-v0", "sac-discrete", &settings)?;
    let mut trainer = sac::assemble::trainer(&config, &registry, Logger::default(), None)?;
    trainer.run(&AtomicBool::new(false))?;
    println!(
        "trained: {} env steps in {:.1} s",
        trainer.env_steps(),
        trainer.seconds()
    );

    const EPISODES: usize = 20;
    let mut agent = trainer.into_agent();
    let mut envs = sac::assemble::eval_envs(&config, &registry, EPISODES)?;
    let learned = evaluate(agent.as_mut(), envs.as_mut(), EPISODES, 0, ActMode::Evaluate)?.mean_return();
    let random = random_return(&registry, EPISODES)?;
    println!("mean return over {EPISODES} episodes: {learned:.1} trained, {random:.1} random, {EPISODE_STEPS} maximum");
    assert!(learned > 4.0 * random, "it did not learn");
    Ok(())
}

/// Mean return of uniform random actions.
fn random_return(registry: &Registry, episodes: usize) -> Result<f64, EnvError> {
    let mut env = registry.make("TheirCartPole-v0", &toml::Table::new())?;
    let mut rng = NumpyRng::new(0);
    let (mut obs, mut action) = (vec![0.0; env.observation_space().len()], vec![0.0; 1]);
    let mut total = 0.0;
    for episode in 0..episodes {
        env.reset(Some(episode as u64), &mut obs)?;
        loop {
            env.action_space().gymnasium_sample(&mut rng, &mut action);
            let outcome = env.step(&action, &mut obs)?;
            total += outcome.reward;
            if outcome.status().is_over() {
                break;
            }
        }
    }
    Ok(total / episodes as f64)
}
