//! `sac bench replay`.

use std::time::Instant;

use sac_agents::{
    Agent, AgentSpec, Replay, ReplaySpec, SoftActorCritic, Stacking,
    noise::Stream,
    process,
    replay::{PrioritizedSpec, SamplerSpec},
};
use sac_cli::args::{BenchReplayArgs, Sampler};
use sac_envs::{Space, Status};
use serde_json::json;
use tch::Device;

use super::{products::yardstick, rate::rate};
use crate::{
    cli::output::{print, print_json},
    error::Result,
    run::processor,
};

/// Number of turns in which all capacities are measured, so that a change of the machine's speed affects all alike.
const TURNS: usize = 5;

/// Measurements of one capacity.
struct Measured {
    capacity: u64,
    inserts_per_second: f64,
    batches_per_second: f64,
    /// Time of a draw that follows an update, as in training, where the update has filled the caches with its own
    /// numbers.
    seconds_between_updates: f64,
}

/// Measures, for each capacity, rows inserted and batches sampled per second, and the time of a draw between updates.
/// Replays are full when they are sampled.
pub fn replay(args: &BenchReplayArgs) -> Result<()> {
    let observation = Space::unbounded(args.obs_dim as usize);
    let action = Space::boxed(args.act_dim as usize, -1.0, 1.0);
    let mut stream = Stream::derive(0, "bench.replay", 0);
    let mut replays = Vec::new();
    for capacity in &args.capacity {
        let spec = ReplaySpec {
            capacity: *capacity,
            sampler: match args.sampler {
                Sampler::Uniform => SamplerSpec::Uniform,
                Sampler::Prioritized => SamplerSpec::Prioritized(PrioritizedSpec::default()),
            },
            ..ReplaySpec::default()
        };
        let batch = args.batch as usize;
        let spaces = (&observation, &action);
        let mut replay = Replay::stacked(&spec, spaces, Stacking::none(1), 0.99, batch, Device::Cpu)?;
        replays.push((*capacity, fill(&mut replay, spaces, &mut stream), replay));
    }
    let turn = args.seconds / TURNS as f64;
    let mut batches: Vec<Vec<f64>> = vec![Vec::new(); replays.len()];
    for _ in 0..TURNS {
        for ((_, _, replay), rates) in replays.iter_mut().zip(&mut batches) {
            rates.push(rate(turn, || drop(replay.sample(&mut stream))));
        }
    }
    process::prepare(1);
    let mut agent = SoftActorCritic::new(&AgentSpec::default(), "bench", (&observation, &action), 0, Device::Cpu)?;
    process::set_libtorch_threads(1, agent.is_fused());
    let mut draws: Vec<Vec<f64>> = vec![Vec::new(); replays.len()];
    for _ in 0..TURNS {
        for ((_, _, replay), draws) in replays.iter_mut().zip(&mut draws) {
            rate(turn, || {
                let started = Instant::now();
                let batch = replay.sample(&mut stream).ok().flatten().expect("a full replay");
                draws.push(started.elapsed().as_secs_f64());
                agent.update(&batch, &mut stream);
            });
        }
    }
    let measured: Vec<Measured> = replays
        .iter()
        .zip(batches.into_iter().zip(draws))
        .map(|((capacity, inserts, _), (batches, draws))| Measured {
            capacity: *capacity,
            inserts_per_second: *inserts,
            batches_per_second: median(batches),
            seconds_between_updates: median(draws),
        })
        .collect();
    if args.json {
        return print_json(&json!({
            "replays": measured.iter().map(|one| json!({
                "capacity": one.capacity,
                "inserts_per_second": one.inserts_per_second,
                "batches_per_second": one.batches_per_second,
                "seconds_between_updates": one.seconds_between_updates,
            })).collect::<Vec<_>>(),
            "batch": args.batch,
            "obs_dim": args.obs_dim,
            "act_dim": args.act_dim,
            "gemm_floor_updates_per_second": yardstick()?,
            "processor": processor(),
            "commit": env!("SAC_COMMIT"),
        }));
    }
    let lines = measured.iter().map(|one| {
        format!(
            "{:>9} rows: {:.0} ns to insert one; to draw a batch of {}, {:.1} µs in a row, {:.1} µs between updates\n",
            one.capacity,
            1e9 / one.inserts_per_second,
            args.batch,
            1e6 / one.batches_per_second,
            1e6 * one.seconds_between_updates,
        )
    });
    print(&lines.collect::<String>())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Fills a replay with episodes of a thousand steps, and returns rows inserted per second.
fn fill(replay: &mut Replay, (observation, action): (&Space, &Space), stream: &mut Stream) -> f64 {
    /// Steps that are drawn beforehand, so that drawing them is not measured.
    const STEPS: usize = 1000;
    let (o, a) = (observation.len(), action.len());
    let (mut seen, mut acts) = (vec![0.0f32; (STEPS + 1) * o], vec![0.0f32; STEPS * a]);
    stream.normal_into(&mut seen);
    stream.uniform_into(-1.0, 1.0, &mut acts);
    let started = Instant::now();
    for row in 0..replay.capacity() {
        let step = row % STEPS;
        let status = if step + 1 == STEPS {
            Status::Truncated
        } else {
            Status::Running
        };
        replay.push(
            0,
            &seen[step * o..(step + 1) * o],
            &acts[step * a..(step + 1) * a],
            1.0,
            status,
            &seen[(step + 1) * o..(step + 2) * o],
        );
    }
    replay.capacity() as f64 / started.elapsed().as_secs_f64()
}
