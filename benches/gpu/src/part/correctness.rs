//! Updates on the device against the same updates on the CPU through autograd: same weights, same batches, same random
//! numbers, so that nothing but rounding differs.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tch::Device;

use crate::{
    compare::Apart,
    learner::{Algo, Batch, Batches, How, Learner, on},
    part::Place,
    tell::tell,
};

/// Updates in a stretch. Each stretch starts from the state of the CPU: rounding grows from update to update, and from
/// pictures faster than any tolerance would allow for. There a change of the batches by one part in ten million is a
/// third of the way after a hundred updates.
const LENGTH: usize = 10;

fn stretches(place: Place) -> usize {
    match place {
        Place::Gpu => 10,
        Place::Cpu => 2,
    }
}

/// Of [`Apart::of_way`] and [`Apart::relative`], after the first and the last update of each stretch. The tests below
/// show that rounding stays within it, and that a slip in the update does not.
#[derive(Clone, Copy)]
pub struct Tolerance {
    /// Of [`Apart::of_way`].
    pub of_way: f64,
    /// Of [`Apart::relative`].
    pub relative: f64,
}

impl Tolerance {
    /// For an algorithm.
    pub fn of(algo: Algo) -> Self {
        let (of_way, relative) = match algo {
            Algo::Sac | Algo::DsacT => (0.01, 0.005),
            Algo::SacPixels => (0.03, 0.05),
        };
        Tolerance { of_way, relative }
    }

    /// For the report.
    pub fn to_json(self) -> Value {
        json!({ "relative": self.relative, "part_of_the_way": self.of_way })
    }

    /// Whether a difference is within it.
    pub fn holds(self, apart: &Apart) -> bool {
        apart.of_way <= self.of_way && apart.relative <= self.relative
    }
}

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
    let mut batches = Batches::new(algo, rows(algo, place));
    tell("rows", json!(rows(algo, place)));
    let tolerance = Tolerance::of(algo);
    tell("tolerance", tolerance.to_json());
    ensure!(
        found.tensors()? == reference.tensors()?,
        "the agents do not begin with the same weights"
    );
    let change = |batch: &Batch| on(batch, device);
    let looks = in_stretches(stretches(place), &mut found, &mut reference, &mut batches, change)?;
    tell("updates", json!(stretches(place) * LENGTH));
    for (updates, apart) in [1, LENGTH].into_iter().zip(&looks) {
        tell(&format!("after_{updates}"), apart.to_json());
    }
    for (updates, apart) in [1, LENGTH].into_iter().zip(&looks) {
        ensure!(
            tolerance.holds(apart),
            "too far from the CPU after {updates} update(s) of a stretch: {apart}"
        );
    }
    Ok(())
}

/// The largest differences between two agents after the first and after the last update of so many stretches. `found`
/// gets each batch as `change` makes it.
fn in_stretches(
    stretches: usize,
    found: &mut Learner,
    reference: &mut Learner,
    batches: &mut Batches,
    change: impl Fn(&Batch) -> Batch,
) -> Result<[Apart; 2]> {
    let mut worst = [Apart::default(), Apart::default()];
    for _ in 0..stretches {
        found.go_on_from(reference)?;
        let start = reference.tensors()?;
        for (updates, worst) in [1, LENGTH - 1].into_iter().zip(&mut worst) {
            for _ in 0..updates {
                let batch = batches.draw();
                reference.update(&batch);
                found.update(&change(&batch));
            }
            worst.take_worse(Apart::of(&found.tensors()?, &reference.tensors()?, &start)?);
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learner::{map, prepare_process};

    /// How far the reference gets from itself with other settings, or with all numbers of the batches changed by a part
    /// of themselves.
    fn apart_from_itself(algo: Algo, settings: &[&str], change: f64) -> [Apart; 2] {
        prepare_process(1);
        let mut reference = Learner::new(algo, &[], Device::Cpu, How::Reference).expect("valid");
        let mut other = Learner::new(algo, settings, Device::Cpu, How::Reference).expect("valid");
        let mut batches = Batches::new(algo, 16);
        let changed = |batch: &Batch| map(batch, |tensor| tensor * (1.0 + change));
        in_stretches(2, &mut other, &mut reference, &mut batches, changed).expect("comparable")
    }

    fn is_tolerated(algo: Algo, looks: &[Apart; 2]) -> bool {
        looks.iter().all(|apart| Tolerance::of(algo).holds(apart))
    }

    #[test]
    fn rounding_is_tolerated() {
        for algo in [Algo::Sac, Algo::DsacT, Algo::SacPixels] {
            // A GPU's sums and functions differ from the CPU's by about as much.
            for change in [1e-6, -1e-6] {
                let looks = apart_from_itself(algo, &[], change);
                assert!(
                    is_tolerated(algo, &looks),
                    "{algo:?} {change}: {} {}",
                    looks[0],
                    looks[1]
                );
            }
        }
    }

    #[test]
    fn a_slip_in_the_update_is_not() {
        let slips = [
            (Algo::Sac, "agent.targets.tau=0.0052"),
            (Algo::Sac, "agent.temperature.target_entropy=-7"),
            (Algo::Sac, "agent.policy.optimizer.beta2=0.998"),
            (Algo::DsacT, "agent.targets.tau=0.0052"),
            (Algo::DsacT, "agent.critic.clip_sigmas=3.1"),
            (Algo::DsacT, "agent.critic.optimizer.beta1=0.89"),
            (Algo::SacPixels, "agent.targets.tau=0.0104"),
            (Algo::SacPixels, "agent.critic.optimizer.beta1=0.89"),
        ];
        for (algo, slip) in slips {
            let looks = apart_from_itself(algo, &[slip], 0.0);
            assert!(
                !is_tolerated(algo, &looks),
                "{algo:?} {slip}: {} {}",
                looks[0],
                looks[1]
            );
        }
    }
}
