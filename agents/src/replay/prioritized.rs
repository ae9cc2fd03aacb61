//! Prioritised replay: rows with a large TD error are drawn more often, with a smaller weight in the loss.
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

/// Settings of prioritised replay. Defaults: those of Schaul et al. 2016 for the proportional variant.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrioritizedSpec {
    /// α, the exponent of priorities, in [0, 1]. With 0, sampling is uniform.
    pub exponent: f64,
    /// Initial β, the exponent of importance weights, in [0, 1]. 1 corrects the bias completely.
    pub importance_exponent: f64,
    /// Final β.
    pub importance_exponent_end: f64,
    /// Length of the linear interpolation of β, gradient steps, at least 1.
    pub over_grad_steps: u64,
    /// ε, added to every TD error so that each row can be drawn, value units, above 0.
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
        p.require_positive("replay.sampler.priority_eps", self.priority_eps);
    }

    /// β after `at` updates.
    fn importance_exponent_at(&self, at: GradSteps) -> f64 {
        let progress = (at.0 as f64 / self.over_grad_steps as f64).min(1.0);
        self.importance_exponent + progress * (self.importance_exponent_end - self.importance_exponent)
    }
}

/// The priorities of the rows.
pub(super) struct Prioritized {
    spec: PrioritizedSpec,
    tree: SumTree,
    /// Largest priority so far.
    greatest: f64,
    /// Updates so far.
    grad_steps: GradSteps,
    /// Buffer for the TD errors of the last batch.
    td_error: Vec<f32>,
}

/// The state of the priorities in a checkpoint, besides their tensor.
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

    /// Gives a new row the largest priority so far, so that new rows are drawn soon.
    pub(super) fn inserted(&mut self, row: usize) {
        self.tree.set(row, self.greatest.powf(self.spec.exponent));
    }

    /// Removes the priority of a removed row.
    pub(super) fn removed(&mut self, row: usize) {
        self.tree.set(row, 0.0);
    }

    /// Draws the rows of a batch (equation 1) and computes their weights (section 3.4).
    ///
    /// Sampling is stratified: the total mass is divided into B equal ranges, and one row is drawn from each (appendix
    /// B.2.1). The expected number of draws of a row is the same as for independent draws, with a lower variance.
    ///
    /// Weights are normalised by the maximum over the batch: w_i = (N P(i))^−β / max_j (N P(j))^−β. With P(i) = mass_i
    /// / total, N and the total cancel, and w_i = (min_j mass_j / mass_i)^β. The largest weight of every batch is 1;
    /// with the maximum over the whole replay, a single row that is never drawn could determine the step size.
    pub(super) fn draw(&self, stream: &mut Stream, indices: &mut [usize], weights: &mut [f32]) {
        assert_eq!(indices.len(), weights.len(), "every row of the batch has its weight");
        let range = self.tree.total() / indices.len() as f64;
        let mut min_mass = f64::INFINITY;
        for (position, index) in indices.iter_mut().enumerate() {
            *index = self.tree.find((position as f64 + stream.fraction()) * range);
            min_mass = min_mass.min(self.tree.get(*index));
        }
        let beta = self.importance_exponent();
        for (weight, index) in weights.iter_mut().zip(indices.iter()) {
            *weight = (min_mass / self.tree.get(*index)).powf(beta) as f32;
        }
    }

    /// Updates the priorities of the last batch's rows from the TD errors in `report`, if there are any.
    ///
    /// A row that was drawn twice gets the priority of its last position in the batch.
    pub(super) fn learned(&mut self, indices: &[usize], report: &UpdateReport) {
        self.grad_steps += 1;
        let Some(td_error) = &report.td_error else { return };
        assert_eq!(td_error.size(), [indices.len() as i64], "one error per row");
        let on_cpu = td_error.to_kind(Kind::Float).to_device(tch::Device::Cpu).contiguous();
        on_cpu.copy_data(&mut self.td_error, indices.len());
        for (index, error) in indices.iter().zip(&self.td_error) {
            if self.tree.get(*index) == 0.0 {
                continue; // the row was removed after it was drawn
            }
            // The trainer stops a diverged run at its next check; until then the sums must stay finite.
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

    /// Largest priority so far, value units.
    pub(super) fn greatest(&self) -> f64 {
        self.greatest
    }

    /// Begins without rows after so many updates, on which β depends.
    pub(super) fn begin_anew(&mut self, grad_steps: GradSteps) {
        self.grad_steps = grad_steps;
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

    /// Restores the priorities of `rows` rows. `is_valid` says whether a row is valid; the others have no priority.
    pub(super) fn load(
        &mut self,
        section: &Section,
        rows: usize,
        is_valid: impl Fn(usize) -> bool,
        state: &PrioritizedState,
    ) -> Result<()> {
        let mut mass = vec![0.0; rows];
        let count = section.copy_to("priority_mass", &mut mass)?;
        let holds = |value: f64| value.is_finite() && value > 0.0;
        let fits = |(row, mass): (usize, &f64)| if is_valid(row) { holds(*mass) } else { *mass == 0.0 };
        if count != rows || !mass.iter().enumerate().all(fits) || !holds(state.greatest_priority) {
            return Err(Error::section("replay", format!("expected {rows} priorities above 0")));
        }
        self.tree.fill(&mass);
        (self.greatest, self.grad_steps) = (state.greatest_priority, state.grad_steps);
        Ok(())
    }
}
