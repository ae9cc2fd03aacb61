//! Writes trajectories bit for bit, for the comparison with Gymnasium in `cargo xtask parity`.
//!
//! `trace --list` prints all ids. Otherwise each line of standard input is a job,
//! `{"id", "options", "seed", "actions", "out"}`: options as TOML text, and `actions` a file of little-endian `f32` in
//! the task's own units. The environment is reset with the seed, steps with the actions in order, and is reset without
//! a seed after the end of an episode. The results are written to the file `out`. For each job a line is written to
//! standard output: `ok`, or the error.
//!
//! A record of `out` is a byte 0 and the observation (`f32`s) for a reset; for a step it is a byte 1, the observation,
//! the reward (`f64`) and three bytes (terminated, truncated, solved). All numbers are little-endian.

#![allow(
    clippy::print_stdout,
    reason = "a program for the command line; its output is its purpose"
)]

use std::error::Error;
use std::io::BufRead;

use sac_envs::{Env, Registry};

#[derive(serde::Deserialize)]
struct Job {
    id: String,
    options: String,
    seed: u64,
    actions: String,
    out: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let registry = Registry::builtin();
    if std::env::args().nth(1).as_deref() == Some("--list") {
        registry.ids().for_each(|id| println!("{id}"));
        return Ok(());
    }
    for line in std::io::stdin().lock().lines() {
        match serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|job| trace(&registry, &job))
        {
            Ok(()) => println!("ok"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

fn trace(registry: &Registry, job: &Job) -> Result<(), Box<dyn Error>> {
    let mut env = registry.make(&job.id, &job.options.parse()?)?;
    let actions: Vec<f32> = std::fs::read(&job.actions)?
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut out = Vec::new();
    env.reset(Some(job.seed), &mut obs)?;
    record(&mut out, 0, &obs);
    for action in actions.chunks_exact(env.action_space().len()) {
        let outcome = env.step(action, &mut obs)?;
        record(&mut out, 1, &obs);
        out.extend(outcome.reward.to_le_bytes());
        let is_solved = outcome.success.unwrap_or(false);
        out.extend([outcome.terminated, outcome.truncated, is_solved].map(u8::from));
        if outcome.status().is_over() {
            env.reset(None, &mut obs)?;
            record(&mut out, 0, &obs);
        }
    }
    Ok(std::fs::write(&job.out, out)?)
}

fn record(out: &mut Vec<u8>, kind: u8, obs: &[f32]) {
    out.push(kind);
    out.extend(obs.iter().flat_map(|x| x.to_le_bytes()));
}
