//! A task of one's own, trained: one `impl Dynamics`, one line to register it, nothing else.
//!
//! ```text
//! cargo run --release --example custom_env
//! ```
//!
//! `sac new DIR` writes a crate of your own with such a task.

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

    // The suite that our own environments pass: seeding, snapshots, spaces, ends of episodes.
    let make = || registry.make("Puck-v0", &toml::Table::new()).expect("registered above");
    println!("checked: {} claims hold", check_env(make)?.checks.len());

    // The published settings, with a small network and fewer steps: the task is easy.
    let mut settings = Settings::new(Algo::Sac, "Puck-v0");
    settings.train.total_env_steps = 4_000;
    settings.train.warmup_env_steps = 500;
    settings.train.batch_size = 128;
    settings.agent.body = BodySpec::mlp(&[64, 64]);
    settings.agent.gamma = 0.95;
    settings.replay.capacity = 10_000;
    let run = train(&settings, &registry)?;
    println!(
        "trained: {} env steps in {:.1} s, saved in {}",
        run.env_steps,
        run.seconds,
        run.run_dir.display()
    );

    const EPISODES: u64 = 20;
    let mut policy = Policy::load_with(&run.run_dir, &registry)?;
    let force_n = policy.act(&[0.5, 0.0])?; // 0.5 m to the right, at rest
    let learned = policy.evaluate(EPISODES)?.mean_return();
    let random = random_return(make(), EPISODES)?;
    println!("at 0.5 m: {:.2} N", force_n[0]);
    println!(
        "mean return over {EPISODES} episodes: {learned:.1} learned, {random:.1} at random, {EPISODE_STEPS} at most"
    );
    assert!(
        force_n[0] < 0.0 && learned > random + 10.0 && learned > 0.8 * EPISODE_STEPS as f64,
        "it did not learn"
    );
    Ok(())
}

/// Mean return of uniform random actions.
fn random_return(mut env: Box<dyn Env>, episodes: u64) -> Result<f64, EnvError> {
    let mut rng = NumpyRng::new(0);
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
    let mut total = 0.0;
    for episode in 0..episodes {
        env.reset(Some(episode), &mut obs)?;
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
