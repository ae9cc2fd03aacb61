//! A task of one's own, trained: one `impl Dynamics`, one line to register it, nothing else.
//!
//! ```text
//! cargo run --release --example custom_env
//! ```
//!
//! A crate of your own looks the same; `docs/library.md` says what its Cargo.toml needs.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use sac::prelude::*;
use serde::{Deserialize, Serialize};

/// A puck slides without friction on a rail of 4 m. It is pushed by a force and should come to rest in the middle.
struct Puck {
    mass_kg: f64,
}

/// Everything that changes within an episode. Parameters such as the mass stay in [`Puck`].
#[derive(Clone, Serialize, Deserialize)]
struct Motion {
    position_m: f64,
    speed_m_s: f64,
}

const DT_S: f64 = 0.1;
const HALF_RAIL_M: f64 = 2.0;
const MAX_FORCE_N: f32 = 3.0;
const EPISODE_STEPS: u64 = 50;

impl Dynamics for Puck {
    type State = Motion;

    fn observation_space(&self) -> Space {
        Space::unbounded(2)
    }

    // Newtons. The agent's actions lie in [-1, 1]; they are rescaled for us, here and nowhere else.
    fn action_space(&self) -> Space {
        Space::boxed(1, -MAX_FORCE_N, MAX_FORCE_N)
    }

    // Randomness comes from the generator that is handed in, so that a seed says everything.
    fn initial(&self, rng: &mut NumpyRng) -> Motion {
        Motion {
            position_m: rng.uniform(-1.5, 1.5),
            speed_m_s: rng.uniform(-0.5, 0.5),
        }
    }

    fn step(&self, motion: &mut Motion, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        let force_n = f64::from(action[0]);
        motion.speed_m_s += force_n / self.mass_kg * DT_S;
        motion.position_m += motion.speed_m_s * DT_S;
        let distance_m = motion.position_m.abs();
        Transition {
            // 1 in the middle, 0 at the ends.
            reward: 1.0 - (distance_m / HALF_RAIL_M).min(1.0),
            // Falling off is an end without a future. The time limit is not: it stands with the registration.
            terminated: distance_m > HALF_RAIL_M,
        }
    }

    fn observe(&self, motion: &Motion, obs: &mut [f32]) {
        obs.copy_from_slice(&[motion.position_m as f32, motion.speed_m_s as f32]);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::builtin();
    let entry = EnvEntry::new("Puck-v0", "A puck on a rail", || Puck { mass_kg: 1.0 });
    registry.register(entry.with_time_limit(EPISODE_STEPS));

    // The published settings, with a small network and fewer steps: the task is easy.
    let settings = [
        "train.total_env_steps=3000",
        "train.warmup_env_steps=500",
        "train.batch_size=128",
        "train.threads=1",
        "agent.body.hidden=[64, 64]",
        "agent.gamma=0.95",
        "agent.policy.optimizer.learning_rate=2e-3",
        "agent.critic.optimizer.learning_rate=2e-3",
        "agent.temperature.optimizer.learning_rate=2e-3",
        "replay.capacity=10_000",
        "eval.every=\"never\"",
    ];
    let config = sac::configure(&registry, "Puck-v0", "sac", &settings)?;

    // The suite that our own environments pass: seeding, snapshots, spaces, ends of episodes.
    let make = || {
        registry
            .make(&config.env.id, &config.env.options)
            .expect("registered above")
    };
    let report = check_env(make)?;
    println!("checked: {} claims hold", report.checks.len());

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
    let random = random_return(make(), EPISODES)?;
    println!(
        "mean return over {EPISODES} episodes: {learned:.1} learned, {random:.1} at random, {EPISODE_STEPS} at most"
    );
    assert!(
        learned > random + 10.0 && learned > 0.8 * EPISODE_STEPS as f64,
        "it did not learn"
    );
    Ok(())
}

/// Mean return of uniform random actions.
fn random_return(mut env: Box<dyn Env>, episodes: usize) -> Result<f64, EnvError> {
    let mut rng = NumpyRng::new(0);
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
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
