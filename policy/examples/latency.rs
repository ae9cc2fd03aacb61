//! The time of one action of an exported policy: `cargo run --release -p sac-policy --example latency -- FILE`.

use std::time::Instant;

use sac_policy::{Policy, Result};

const WARM_UP: usize = 1_000;
const BLOCKS: usize = 50;
const ACTIONS_PER_BLOCK: usize = 1_000;

#[allow(clippy::print_stdout, reason = "the number is what it is for")]
fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "policy.safetensors".to_string());
    let mut policy = Policy::load(path)?;
    policy.self_test()?;
    let mut obs = vec![0.1; policy.facts().observation_space.len()];
    let mut action = vec![0.0; policy.facts().action_space.len()];
    let mut blocks_ns = Vec::new();
    for block in 0..=BLOCKS {
        let count = if block == 0 { WARM_UP } else { ACTIONS_PER_BLOCK };
        let started = Instant::now();
        for step in 0..count {
            // Other numbers each time, as in a control loop.
            obs[0] = (step % 100) as f32 * 0.01;
            policy.act_into(&obs, &[], &mut action)?;
            std::hint::black_box(&action);
        }
        if block > 0 {
            blocks_ns.push(started.elapsed().as_nanos() as f64 / count as f64);
        }
    }
    blocks_ns.sort_by(f64::total_cmp);
    println!("{:.0}", blocks_ns[BLOCKS / 2]);
    Ok(())
}
