//! The gain of `train.pipelined` where a step takes long: a robot, a simulator behind a socket.
//!
//! ```text
//! cargo run --release --example slow_env -- 5
//! ```
//!
//! trains 500 steps on a task whose steps take 5 ms, first one after the other, then in a pipeline, and prints the wall
//! time of both and how it was spent.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::{fs, time::Duration};

use sac::prelude::*;
use serde::{Deserialize, Serialize};

/// A point that an action moves, slowly.
struct Slow {
    step_time: Duration,
}

#[derive(Clone, Serialize, Deserialize)]
struct Point {
    place_m: f64,
}

impl Dynamics for Slow {
    type State = Point;

    fn observation_space(&self) -> Space {
        Space::unbounded(1)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, rng: &mut NumpyRng) -> Point {
        Point {
            place_m: rng.uniform(-1.0, 1.0),
        }
    }

    fn step(&self, point: &mut Point, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        std::thread::sleep(self.step_time);
        point.place_m = (point.place_m + 0.1 * f64::from(action[0])).clamp(-2.0, 2.0);
        Transition {
            reward: -point.place_m.abs(),
            terminated: false,
        }
    }

    fn observe(&self, point: &Point, obs: &mut [f32]) {
        obs[0] = point.place_m as f32;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let milliseconds: f64 = std::env::args().nth(1).as_deref().unwrap_or("5").parse()?;
    let step_time = Duration::try_from_secs_f64(milliseconds / 1000.0)?;
    let mut registry = Registry::builtin();
    let entry = EnvEntry::new("Slow-v0", "A point that an action moves, slowly", move || Slow {
        step_time,
    });
    registry.register(entry.with_time_limit(50));
    let here = tempfile::tempdir()?;
    for pipelined in [false, true] {
        let mut settings = Settings::new(Algo::Sac, "Slow-v0");
        settings.train.total_env_steps = 600;
        settings.train.warmup_env_steps = 100;
        settings.train.threads = Threads::Count(1);
        settings.train.device = DeviceChoice::Cpu;
        settings.train.pipelined = pipelined;
        settings.replay.capacity = 1000;
        settings.eval.every = Every::Never;
        settings.checkpoint.every = Every::Never;
        settings.log.every = Every::EnvSteps(100);
        let path = here.path().join(format!("{pipelined}"));
        let run = RunFolder::create(&path)?;
        train_into(&settings.resolve(&registry)?, &registry, &run, Session::default())?;
        let rows = fs::read_to_string(path.join("metrics.jsonl"))?;
        let rows: Vec<serde_json::Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let seconds = |row: usize| rows[row]["seconds"].as_f64().unwrap_or_default();
        let last = rows.len() - 1;
        let share = |name: &str| 100.0 * rows[last][name].as_f64().unwrap_or_default();
        println!(
            "{:18} {:.2} s for 500 steps; of the last 100 {:.0} % learning, {:.0} % waiting for the environment",
            if pipelined {
                "pipelined:"
            } else {
                "one after the other:"
            },
            seconds(last) - seconds(0),
            share("time/learning_share"),
            share("time/env_share"),
        );
    }
    Ok(())
}
