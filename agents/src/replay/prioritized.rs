//! Prioritised replay: rows whose values were far from their targets are drawn more often, and count for less.
//!
//! Source: Schaul et al. 2016 (arXiv 1511.05952), the proportional variant, algorithm 1.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | \|δ_i\| | `td_error` | `[B]`, value |
//! | p_i | `priority` | value |
//! | p_i^α | `mass`, the leaves of `tree` | valueᵅ |
//! | α | `exponent` | – |
//! | β | `importance_exponent` | – |
//! | ε | `priority_eps` | value |
//! | w_i | `weights` | `[B]`, – |

use serde::{Deserialize, Serialize};
use tch::Kind;

use super::sum_tree::SumTree;
use crate::{
    checkpoint::Section,
    error::{Error, Result},
    noise::Stream,
    report::UpdateReport,
    schedule::GradSteps,
    spec_problems::SpecProblems,
};

/// Settings of prioritised replay. Defaults: what Schaul et al. 2016 chose for the proportional variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrioritizedSpec {
    /// How much priorities matter, in [0, 1]: 0 draws all rows alike.
    pub exponent: f64,
    /// How much of the bias is corrected at first, in [0, 1]: 1 is all of it.
    pub importance_exponent: f64,
    /// The same at the end.
    pub importance_exponent_end: f64,
    /// How long it takes from the one to the other, on a straight line, gradient steps, at least 1.
    pub over_grad_steps: u64,
    /// Added to every error, so that no row is forgotten: value units, above 0.
    pub priority_eps: f64,
}

impl Default for PrioritizedSpec {
    fn default() -> Self {
        PrioritizedSpec {
            exponent: 0.6,
            importance_exponent: 0.4,
            importance_exponent_end: 1.0,
            over_grad_steps: 1_000_000,
            priority_eps: 1e-6,
        }
    }
}

impl PrioritizedSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        for (name, value) in [
            ("exponent", self.exponent),
            ("importance_exponent", self.importance_exponent),
            ("importance_exponent_end", self.importance_exponent_end),
        ] {
            let key = format!("replay.sampler.{name}");
            p.require((0.0..=1.0).contains(&value), &key, value, "between 0 and 1");
        }
        let key = "replay.sampler.over_grad_steps";
        p.require(self.over_grad_steps > 0, key, self.over_grad_steps, "at least 1");
        p.require(
            self.priority_eps > 0.0 && self.priority_eps.is_finite(),
            "replay.sampler.priority_eps",
            self.priority_eps,
            "finite and above 0",
        );
    }

    /// β after so many updates.
    fn importance_exponent_at(&self, at: GradSteps) -> f64 {
        let part = (at.0 as f64 / self.over_grad_steps as f64).min(1.0);
        self.importance_exponent + part * (self.importance_exponent_end - self.importance_exponent)
    }
}

/// What prioritised replay knows of the rows; the rows themselves are the storage's.
pub(super) struct Prioritized {
    spec: PrioritizedSpec,
    tree: SumTree,
    /// p, greatest so far.
    greatest: f64,
    /// Updates that it heard of.
    grad_steps: GradSteps,
    /// Errors of the last batch on their way from the device.
    td_error: Vec<f32>,
}

/// What a checkpoint holds besides the tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrioritizedState {
    greatest_priority: f64,
    grad_steps: GradSteps,
}

impl Prioritized {
    pub(super) fn new(spec: PrioritizedSpec, capacity: usize, batch_size: usize) -> Self {
        Prioritized {
            spec,
            tree: SumTree::new(capacity),
            greatest: 1.0, // algorithm 1, line 2: p₁ = 1
            grad_steps: GradSteps(0),
            td_error: vec![0.0; batch_size],
        }
    }

    /// A row was written, perhaps over another: it gets the greatest priority so far, so that all are seen once.
    pub(super) fn inserted(&mut self, row: usize) {
        self.tree.set(row, self.greatest.powf(self.spec.exponent));
    }

    /// A row is gone.
    pub(super) fn removed(&mut self, row: usize) {
        self.tree.set(row, 0.0);
    }

    /// Draws rows (equation 1) and their weights (section 3.4) for a batch.
    ///
    /// The total mass is cut into B equal ranges and one row drawn from each (appendix B.2.1): every row is as likely
    /// as if all were drawn from the whole, but the batch is spread more evenly.
    ///
    /// Weights are divided by the greatest of the batch: w_i = (N P(i))^−β / max_j (N P(j))^−β. With P(i) = mass_i /
    /// total, N and the total cancel, and w_i = (min_j mass_j / mass_i)^β. So the greatest weight of every batch is 1 and
    /// no single row of the whole replay, perhaps never drawn, decides the size of the step.
    pub(super) fn draw(&self, stream: &mut Stream, indices: &mut [usize], weights: &mut [f32]) {
        assert_eq!(indices.len(), weights.len(), "every row of the batch has its weight");
        let range = self.tree.total() / indices.len() as f64;
        let mut least = f64::INFINITY;
        for (position, index) in indices.iter_mut().enumerate() {
            *index = self.tree.find((position as f64 + stream.fraction()) * range);
            least = least.min(self.tree.get(*index));
        }
        let beta = self.importance_exponent();
        for (weight, index) in weights.iter_mut().zip(indices.iter()) {
            *weight = (least / self.tree.get(*index)).powf(beta) as f32;
        }
    }

    /// Takes in the errors of the batch that was drawn last. An agent that reports none leaves priorities as they are.
    ///
    /// A row that was drawn twice keeps the priority of its last place.
    pub(super) fn learned(&mut self, indices: &[usize], report: &UpdateReport) {
        self.grad_steps += 1;
        let Some(td_error) = &report.td_error else { return };
        assert_eq!(td_error.size(), [indices.len() as i64], "one error per row");
        let on_cpu = td_error.to_kind(Kind::Float).to_device(tch::Device::Cpu).contiguous();
        on_cpu.copy_data(&mut self.td_error, indices.len());
        for (index, error) in indices.iter().zip(&self.td_error) {
            if self.tree.get(*index) == 0.0 {
                continue; // It is gone since it was drawn.
            }
            // The trainer ends a run that diverged; until it notices, the sums must stay numbers.
            let priority = if error.is_finite() {
                f64::from(error.abs()) + self.spec.priority_eps
            } else {
                self.greatest
            };
            self.greatest = self.greatest.max(priority);
            self.tree.set(*index, priority.powf(self.spec.exponent));
        }
    }

    /// β of the next batch.
    pub(super) fn importance_exponent(&self) -> f64 {
        self.spec.importance_exponent_at(self.grad_steps)
    }

    /// p, greatest so far, value units.
    pub(super) fn greatest(&self) -> f64 {
        self.greatest
    }

    pub(super) fn save<'a>(&'a self, rows: usize, section: &mut Section<'a>) {
        section.put_slice("priority_mass", &[rows], self.tree.leaves(rows));
    }

    pub(super) fn state(&self) -> PrioritizedState {
        PrioritizedState {
            greatest_priority: self.greatest,
            grad_steps: self.grad_steps,
        }
    }

    /// Takes back the priorities of `rows` rows, of which some `are_held`.
    pub(super) fn load(
        &mut self,
        section: &Section,
        rows: usize,
        are_held: impl Fn(usize) -> bool,
        state: &PrioritizedState,
    ) -> Result<()> {
        let mut mass = vec![0.0; rows];
        let count = section.copy_to("priority_mass", &mut mass)?;
        let holds = |value: f64| value.is_finite() && value > 0.0;
        let fits = |(row, mass): (usize, &f64)| if are_held(row) { holds(*mass) } else { *mass == 0.0 };
        if count != rows || !mass.iter().enumerate().all(fits) || !holds(state.greatest_priority) {
            return Err(Error::section("replay", format!("expected {rows} priorities above 0")));
        }
        self.tree.fill(&mass);
        (self.greatest, self.grad_steps) = (state.greatest_priority, state.grad_steps);
        Ok(())
    }
}
