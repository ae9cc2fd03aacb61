//! Updates on the device against the same updates on the CPU through autograd: same initial weights, same batches, same
//! random numbers, so that nothing but rounding differs.

use anyhow::{Result, ensure};
use serde_json::json;
use tch::Device;

use crate::{
    compare::Apart,
    learner::{Algo, Batches, How, Learner, on},
    part::Place,
    tell::tell,
};

/// Differences are looked at after so many updates; the last are all of them.
const AFTER: [u64; 3] = [1, 10, 100];

/// Of [`Apart::of_way`] after [`AFTER`]. Adam divides a gradient by its own size, so a weight whose gradient is little more
/// than rounding moves as far as any other, and soon in another direction. The tests below say what rounding does, and
/// that a slip in the update does more.
const TOLERANCES: [f64; 3] = [0.02, 0.02, 0.02];
/// Of [`Apart::relative`], after every number of updates.
const RELATIVE_TOLERANCE: f64 = 1e-3;

/// Rows of a batch.
fn rows(algo: Algo, place: Place) -> i64 {
    match (algo, place) {
        (Algo::Sac | Algo::DsacT, Place::Gpu) => 256,
        (Algo::SacPixels, Place::Gpu) => 64,
        (_, Place::Cpu) => 16,
    }
}

pub fn run(algo: Algo, place: Place) -> Result<()> {
    let device = place.device();
    let mut reference = Learner::new(algo, &[], Device::Cpu, How::Reference)?;
    let mut found = Learner::new(algo, &[], device, How::Plain)?;
    tell("rows", json!(rows(algo, place)));
    tell("tolerance", json!({ "relative": RELATIVE_TOLERANCE, "part_of_the_way": TOLERANCES }));
    let mut batches = Batches::new(algo, rows(algo, place));
    let start = reference.tensors()?;
    ensure!(found.tensors()? == start, "the agents do not begin with the same weights");
    let mut failed = Vec::new();
    let mut updates = 0;
    for (after, tolerance) in AFTER.into_iter().zip(TOLERANCES) {
        while updates < after {
            let batch = batches.draw();
            reference.update(&batch);
            found.update(&on(&batch, device));
            updates += 1;
        }
        let apart = Apart::of(&found.tensors()?, &reference.tensors()?, &start)?;
        tell(&format!("after_{after}"), apart.to_json());
        if !is_within(&apart, tolerance) {
            failed.push(after.to_string());
        }
    }
    ensure!(
        failed.is_empty(),
        "too far from the CPU after {} update(s)",
        failed.join(" and ")
    );
    Ok(())
}

fn is_within(apart: &Apart, tolerance: f64) -> bool {
    apart.of_way <= tolerance && apart.relative <= RELATIVE_TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::map;

    /// The reference against itself after so many updates, with other settings and with numbers of the batches changed by
    /// a part of themselves: how far apart both are.
    fn against_itself(algo: Algo, settings: &[&str], change: f64, after: u64) -> Apart {
        let mut reference = Learner::new(algo, &[], Device::Cpu, How::Reference).expect("valid");
        let mut other = Learner::new(algo, settings, Device::Cpu, How::Reference).expect("valid");
        let start = reference.tensors().expect("tensors");
        let mut batches = Batches::new(algo, 16);
        for _ in 0..after {
            let batch = batches.draw();
            reference.update(&batch);
            other.update(&map(&batch, |tensor| tensor * (1.0 + change)));
        }
        let (found, expected) = (other.tensors().expect("tensors"), reference.tensors().expect("tensors"));
        Apart::of(&found, &expected, &start).expect("comparable")
    }

    #[test]
    fn calibrate() {
        crate::learner::prepare_process(1);
        for algo in [Algo::Sac, Algo::DsacT, Algo::SacPixels] {
            for after in AFTER {
                for change in [1e-7, 1e-6, 1e-5] {
                    println!("{algo:?} {after} rounding {change}: {:?}", against_itself(algo, &[], change, after));
                }
                for setting in [
                    "agent.gamma=0.98",
                    "agent.critic.optimizer.learning_rate=3.1e-4",
                    "agent.targets.tau=0.0052", "agent.critic.optimizer.learning_rate=1.03e-3",
                ] {
                    if algo == Algo::SacPixels && setting.contains("3.1e-4") {
                        continue;
                    }
                    println!("{algo:?} {after} {setting}: {:?}", against_itself(algo, &[setting], 0.0, after));
                }
            }
        }
    }
}
