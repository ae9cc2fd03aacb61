//! Updates per second, with and without recording, on one batch that lies on the device.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tch::{Cuda, Device};

use crate::{
    learner::{Algo, Batches, How, Learner, on},
    part::Place,
    tell::{caught, newest_panic, tell},
};

/// How much is measured.
struct Plan {
    rows: [i64; 2],
    rounds: usize,
    round: Duration,
}

impl Plan {
    fn at(place: Place) -> Plan {
        match place {
            Place::Gpu => Plan {
                rows: [256, 1024],
                rounds: 5,
                round: Duration::from_millis(800),
            },
            Place::Cpu => Plan {
                rows: [16, 32],
                rounds: 3,
                round: Duration::from_millis(50),
            },
        }
    }
}

/// Before the first round, at least: libraries choose their algorithms, and each kind of update is recorded.
const WARM_UPS: u64 = 20;
/// Updates between two looks at the clock.
const BETWEEN_LOOKS: u64 = 5;

pub fn run(algo: Algo, place: Place) -> Result<()> {
    let plan = Plan::at(place);
    tell(
        "rounds",
        json!({ "count": plan.rounds, "seconds": plan.round.as_secs_f64() }),
    );
    let mut failed = Vec::new();
    // All without recording first: a capture that fails may leave the device unusable to this process.
    for (name, how) in [("plain", How::Plain), ("graphs", How::Recorded)] {
        for rows in plan.rows {
            let key = format!("{name}_{rows}");
            match caught(|| measure(algo, place, how, rows, &plan)) {
                Ok(found) => tell(&key, found),
                Err(problem) => {
                    tell(&key, json!({ "problem": problem }));
                    failed.push(key);
                }
            }
        }
    }
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

fn measure(algo: Algo, place: Place, how: How, rows: i64, plan: &Plan) -> Result<Value> {
    let device = place.device();
    let mut learner = Learner::new(algo, &[], device, how)?;
    let batch = on(&Batches::new(algo, rows).draw(), device);
    for _ in 0..WARM_UPS {
        learner.update(&batch);
    }
    let mut rates: Vec<f64> = (0..plan.rounds)
        .map(|_| {
            wait(device);
            let started = Instant::now();
            let mut updates = 0;
            while started.elapsed() < plan.round {
                (0..BETWEEN_LOOKS).for_each(|_| learner.update(&batch));
                updates += BETWEEN_LOOKS;
            }
            wait(device);
            updates as f64 / started.elapsed().as_secs_f64()
        })
        .collect();
    let captures = learner.captures.so_far();
    if let Some(Err(problem)) = captures.iter().find(|capture| capture.is_err()) {
        newest_panic(); // it is told by the part that compares
        anyhow::bail!("an update cannot be captured: {problem}");
    }
    ensure!(how != How::Recorded || !captures.is_empty(), "no update was captured");
    let in_order = rates.clone();
    rates.sort_by(f64::total_cmp);
    Ok(json!({ "updates_per_second": rates[rates.len() / 2], "rounds": in_order }))
}

/// Until everything that was asked of the device is there.
fn wait(device: Device) {
    if let Device::Cuda(index) = device {
        Cuda::synchronize(index as i64);
    }
}
