//! The README's library example: a task of one's own, trained with typed settings; its policy, loaded and asked.
//!
//! ```text
//! cargo run --release --example library
//! ```
#![allow(clippy::print_stdout, reason = "an example talks to its user")]

// README: from here
use sac::prelude::*;

/// A point drifts at 2 m/s, and a valve (0 to 4) pushes it back. It should stay at 0 m.
struct Drift;

impl Dynamics for Drift {
    type State = f64;
    fn observation_space(&self) -> Space {
        Space::unbounded(1)
    }
    fn action_space(&self) -> Space {
        Space::boxed(1, 0.0, 4.0)
    }
    fn initial(&self, rng: &mut NumpyRng) -> f64 {
        rng.uniform(-1.0, 1.0)
    }
    fn step(&self, position_m: &mut f64, action: &[f32], _: &mut NumpyRng) -> Transition {
        *position_m += 0.1 * (2.0 - f64::from(action[0]));
        Transition {
            reward: -position_m.abs(),
            terminated: position_m.abs() > 3.0,
        }
    }
    fn observe(&self, position_m: &f64, obs: &mut [f32]) {
        obs[0] = *position_m as f32;
    }
}

fn main() -> sac::Result<()> {
    let mut registry = Registry::builtin();
    registry.register(EnvEntry::new("Drift-v0", "A point that drifts", || Drift).with_time_limit(50));

    let mut settings = Settings::new(Algo::Sac, "Drift-v0");
    settings.train.total_env_steps = 3_000;
    settings.agent.body = BodySpec::mlp(&[64, 64]);
    let run = train(&settings, &registry)?;

    let mut policy = Policy::load_with(&run.run_dir, &registry)?;
    println!("at 0.5 m it opens the valve to {:.1}", policy.act(&[0.5])?[0]);
    println!("mean return of 20 episodes: {:.1}", policy.evaluate(20)?.mean_return());
    // README: to here
    let (below, above) = (policy.act(&[-0.5])?[0], policy.act(&[0.5])?[0]);
    assert!(
        (0.0..1.5).contains(&below) && (2.5..=4.0).contains(&above),
        "it did not learn: {below} {above}"
    );
    Ok(())
}
