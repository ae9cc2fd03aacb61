//! An environment of the crate gymnasium-rs, trained here.
//!
//! `cargo run --release --features gymnasium-rs --example gymnasium_rs`
//!
//! Its cart-pole is pushed left or right, which is a choice of two; the policy used here chooses a number from -1 to 1,
//! whose sign is taken.

use std::sync::atomic::AtomicBool;

use sac::agents::{ActMode, evaluate, log::Logger};
use sac::envs::gymnasium_rs::FromGymnasiumRs;
use sac::envs::gymnasium_rs::ndarray::{Array1, Array3};
use sac::envs::gymnasium_rs::theirs::core::{Env as TheirEnv, Info, Options, Reward, Space as TheirSpace};
use sac::envs::gymnasium_rs::theirs::envs::cartpole::CartPole;
use sac::envs::{Env, EnvEntry, EnvError, NumpyRng, Registry};

const EPISODE_STEPS: u64 = 200;

/// Their cart-pole with a handle: the sign of one number.
struct Handled(CartPole);

impl TheirEnv<Array1<f32>, Array1<f32>> for Handled {
    fn observation_space(&self) -> TheirSpace {
        self.0.observation_space()
    }

    fn action_space(&self) -> TheirSpace {
        TheirSpace::Box {
            low: -Array1::ones(1),
            high: Array1::ones(1),
        }
    }

    fn reset(&mut self, seed: Option<i32>, options: Options) -> (Array1<f32>, Info) {
        self.0.reset(seed, options)
    }

    fn step(&mut self, action: Array1<f32>) -> (Array1<f32>, Reward, bool, bool, Info) {
        self.0.step(i32::from(action[0] > 0.0))
    }

    fn render(&self) -> Option<Array3<u8>> {
        None
    }

    fn close(&mut self) {}
}

/// It shows angles beyond the bounds that it states, hence the last call.
fn cart_pole() -> Box<dyn Env> {
    let env = FromGymnasiumRs::<_, Array1<f32>, Array1<f32>>::new("TheirCartPole-v0", Handled(CartPole::new()));
    Box::new(env.expect("its spaces are boxes").with_unbounded_observations())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::builtin();
    let entry = EnvEntry::from_env("TheirCartPole-v0", "Keep a pole upright", cart_pole);
    registry.register(entry.with_time_limit(EPISODE_STEPS));

    // The published settings, with a small network and fewer steps.
    let settings = [
        "train.total_env_steps=4000",
        "train.warmup_env_steps=500",
        "train.batch_size=128",
        "train.threads=1",
        "agent.body.hidden=[64, 64]",
        "agent.policy.optimizer.learning_rate=1e-3",
        "agent.critic.optimizer.learning_rate=1e-3",
        "agent.temperature.optimizer.learning_rate=1e-3",
        "replay.capacity=10_000",
        "eval.every=\"never\"",
    ];
    let config = sac::configure(&registry, "TheirCartPole-v0", "sac", &settings)?;
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
    println!(
        "mean return over {EPISODES} episodes: {learned:.1} learned, {random:.1} at random, {EPISODE_STEPS} at most"
    );
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
