//! The critic of TQC: `E` networks with `K` quantiles of the soft return each. Targets are the quantiles of all
//! networks pooled, without the largest ones.
//!
//! Source: Kuznetsov et al. 2020, "Controlling Overestimation Bias with Truncated Mixture of Continuous Distributional
//! Quantile Critics" (arXiv 2005.04269), section 3.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | N, M, d | `members`, `quantiles`, `dropped_per_member` | – |
//! | θ_ψn^m(s, a) | `atoms` | `[E, B, K]`, value |
//! | z_(i)(s', a'), i ≤ kN | `kept` | `[J, B]`, value, ascending; J = E·(K − d) |
//! | y_i(s, a) | `target` | `[J, B]`, value |
//! | τ_m = (2m − 1) / 2M | `fractions` | `[K, 1]`, – |
//! | κ (ρ_τ^H has 1) | `huber_kappa` | value |

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    Critic, CriticLoss, CriticStep,
    combination::Combination,
    objective::{ActorObjective, MemberValue},
    statistics::Statistics,
    target_filter::{FilterOrder, TargetFilterSpec},
    value_function::{FunctionInput, FunctionSpec, TargetFunction, ValueFunction},
};
use crate::{
    batch::Batch,
    losses::soft_backup,
    metrics,
    nn::AdamSpec,
    noise::Stream,
    policy::ActionDraw,
    report::{MetricValue, Reduction, UpdateReport},
    spec_problems::SpecProblems,
};

/// Settings of the quantile critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantileSpec {
    /// E, the number of members, at least 1. Paper: 5.
    pub members: i64,
    /// K, the number of quantiles per member, at least 1. Paper: 25.
    pub quantiles: i64,
    /// Number of the largest target atoms that are dropped, per member. The paper tunes it per task. Reference: 2.
    pub dropped_per_member: i64,
    /// κ of the Huber loss, the largest error for which it is quadratic, value. Paper: 1.
    pub huber_kappa: f64,
    /// Optimiser of all members.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

impl Default for QuantileSpec {
    fn default() -> Self {
        QuantileSpec {
            members: 5,
            quantiles: 25,
            dropped_per_member: 2,
            huber_kappa: 1.0,
            optimizer: AdamSpec::default(),
            target_filter: None,
        }
    }
}

impl QuantileSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        for (name, value) in [("members", self.members), ("quantiles", self.quantiles)] {
            let key = format!("agent.critic.{name}");
            p.require((1..=1000).contains(&value), &key, value, "between 1 and 1000");
        }
        p.require(
            (0..self.quantiles).contains(&self.dropped_per_member),
            "agent.critic.dropped_per_member",
            self.dropped_per_member,
            &format!("at least 0 and below agent.critic.quantiles = {}", self.quantiles),
        );
        p.require_positive("agent.critic.huber_kappa", self.huber_kappa);
        self.optimizer.check(p, "agent.critic.optimizer");
    }
}

/// The critic of TQC.
pub struct QuantileCritic {
    spec: QuantileSpec,
    /// τ_m, `[K, 1]`.
    fractions: Tensor,
}

impl QuantileCritic {
    /// A critic with the given settings.
    pub fn new(spec: &QuantileSpec, device: Device) -> Self {
        QuantileCritic {
            fractions: fractions(spec.quantiles, device),
            spec: spec.clone(),
        }
    }

    /// The target atoms `[J, B]`, in ascending order, at the next actions `[B, A]`, without the dropped ones. A target
    /// filter averages each quantile, either of every member before pooling or of the pooled atoms of every point.
    fn kept_atoms(&self, z: &TargetFunction, next_obs: &Tensor, next_action: &Tensor, stream: &mut Stream) -> Tensor {
        let dropped = self.spec.dropped_per_member;
        // [E, K·B, K]
        let atoms = |obs: &Tensor, action: &Tensor, stream: &mut Stream| z.at(obs, action, stream);
        let Some(filter) = z.filter() else {
            return truncated(&atoms(next_obs, next_action, stream), dropped);
        };
        match filter.order() {
            FilterOrder::FilterThenMin => truncated(&filter.average(next_obs, next_action, stream, atoms), dropped),
            FilterOrder::MinThenFilter => {
                let kept = filter.average(next_obs, next_action, stream, |obs, action, stream| {
                    truncated(&atoms(obs, action, stream), dropped) // [J, K·B]
                });
                kept.sort(0, false).0 // negative weights may have changed the order
            }
        }
    }
}

/// The fractions τ_m `[K, 1]`: midpoints of K equal parts of \[0, 1\].
fn fractions(quantiles: i64, device: Device) -> Tensor {
    let fractions: Vec<f32> = (0..quantiles)
        .map(|m| ((m as f64 + 0.5) / quantiles as f64) as f32)
        .collect();
    Tensor::from_slice(&fractions).view([quantiles, 1]).to_device(device)
}

/// Pools the atoms `[E, B, K]` of all members and drops the E·`dropped_per_member` largest: `[J, B]` in ascending
/// order.
fn truncated(atoms: &Tensor, dropped_per_member: i64) -> Tensor {
    let (members, rows, quantiles) = atoms.size3().expect("atoms are [E, B, K]");
    let pooled = atoms.permute([0, 2, 1]).reshape([members * quantiles, rows]); // [E·K, B]
    let (sorted, _) = pooled.sort(0, false);
    sorted.narrow(0, 0, members * (quantiles - dropped_per_member))
}

/// Quantile Huber losses `[E, B]` of `atoms` `[E, B, K]` for targets `[J, B]` in ascending order; the mean over all
/// pairs of atom and target.
///
/// ```text
/// ρ_τ(δ) = |τ − 1{δ < 0}| · H_κ(δ),   δ = y_j − θ_m
/// H_κ(δ) = ½ δ² for |δ| ≤ κ, otherwise κ (|δ| − ½ κ)
/// ```
///
/// The pairs are not computed one by one. The sorted targets fall into four groups for each atom: more than κ below it,
/// below it, above it, more than κ above it. Three binary searches find the borders. Within a group the loss and its
/// slope
///
/// ```text
/// −|τ − 1{δ < 0}| · clamp(δ, −κ, κ)
/// ```
///
/// are polynomials in θ whose coefficients are the group's size, Σ y and Σ y², which are differences of cumulative
/// sums. These are computed in `f64` because of cancellation. The loss itself is detached; a term with the value 0 adds
/// its gradient.
///
/// Source: section 3, equations 11 and 12, with κ = 1.
fn member_losses(atoms: &Tensor, target: &Tensor, fractions: &Tensor, kappa: f64) -> Tensor {
    let (members, rows, quantiles) = atoms.size3().expect("atoms are [E, B, K]");
    let count = target.size()[0] as f64; // J
    let theta = atoms
        .detach()
        .permute([1, 0, 2])
        .contiguous()
        .view([rows, -1])
        .to_kind(Kind::Double); // [B, E·K]
    let y = target.transpose(0, 1).contiguous().to_kind(Kind::Double); // [B, J]
    let below = |bound: &Tensor, or_at: bool| {
        let side = if or_at { "right" } else { "left" };
        bound.searchsorted(&y, false, or_at, side, None::<Tensor>)
    }; // [B, E·K]: number of targets below the bound
    let ends = [
        below(&(&theta - kappa), false),
        below(&theta, false),
        below(&(&theta + kappa), true),
    ];
    let up_to = |running: &Tensor| {
        let running = running.constant_pad_nd([1, 0]); // [B, J + 1], from 0
        ends.each_ref().map(|end| running.gather(1, end, false))
    };
    let [y_far_below, y_below, y_above] = up_to(&y.cumsum(1, Kind::Double));
    let [square_far_below, square_below, square_above] = up_to(&y.square().cumsum(1, Kind::Double));
    let [far_below, below, above] = ends.each_ref().map(|end| end.to_kind(Kind::Double));

    // Size, Σ y and Σ y² of each group; then Σ δ and Σ ½ δ² over the two groups within κ.
    let near = |size: &Tensor, sum: &Tensor, squares: &Tensor| {
        let error = sum - &theta * size;
        let half_square = (squares - &theta * (sum * 2.0 - &theta * size)) * 0.5;
        (error, half_square)
    };
    let (error_below, loss_below) = near(
        &(&below - &far_below),
        &(&y_below - &y_far_below),
        &(&square_below - &square_far_below),
    );
    let (error_above, loss_above) = near(
        &(&above - &below),
        &(&y_above - &y_below),
        &(&square_above - &square_below),
    );
    let far_above = count - &above;
    let all = y.sum_dim_intlist([1i64].as_slice(), true, Kind::Double); // [B, 1]
    let distance_below = &theta * &far_below - &y_far_below; // Σ |δ| over the group far below
    let distance_above = all - &y_above - &theta * &far_above;
    let loss_below = loss_below + (distance_below - &far_below * (0.5 * kappa)) * kappa;
    let loss_above = loss_above + (distance_above - &far_above * (0.5 * kappa)) * kappa;
    let slope_below = far_below * kappa - error_below;
    let slope_above = far_above * -kappa - error_above;

    let tau = fractions.view([-1]).to_kind(Kind::Double).repeat([members]); // [E·K]
    let weigh = |below: &Tensor, above: &Tensor| {
        (below + &tau * (above - below)) // (1 − τ)·below + τ·above
            .view([rows, members, quantiles])
            .transpose(0, 1)
            / count // [E, B, K]
    };
    let over_atoms = |x: &Tensor| x.mean_dim([2i64].as_slice(), false, Kind::Float); // [E, B]
    let loss = over_atoms(&weigh(&loss_below, &loss_above));
    let slope = weigh(&slope_below, &slope_above).to_kind(Kind::Float);
    loss + over_atoms(&(slope * (atoms - atoms.detach())))
}

impl Critic for QuantileCritic {
    fn functions(&self) -> Vec<FunctionSpec> {
        vec![FunctionSpec {
            name: "critic",
            input: FunctionInput::Actions,
            members: self.spec.members,
            outputs: self.spec.quantiles,
            optimizer: self.spec.optimizer,
            target: Some("target"),
            target_filter: self.spec.target_filter.clone(),
        }]
    }

    /// Target atoms `[J, B]` in ascending order.
    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor> {
        let kept = self.kept_atoms(
            &functions[0].of_target(step.batch),
            &step.batch.next_obs,
            next.sampled(),
            stream,
        ); // [J, B]
        vec![soft_backup(step.batch, &kept, step.alpha, &next.log_prob)]
    }

    fn loss(&self, out: &Tensor, targets: &[Tensor], _statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let target = &targets[0];
        let losses = member_losses(out, target, &self.fractions, self.spec.huber_kappa); // [E, B]
        let loss = batch.mean(&losses);
        CriticLoss {
            report: report((&loss).into(), &out.detach(), target, batch),
            loss,
        }
    }

    /// The mean of all atoms of all members (equation 13).
    fn actor_objective(&self) -> ActorObjective {
        ActorObjective {
            combination: Combination::Mean,
            value: MemberValue::Mean {
                outputs: self.spec.quantiles as usize,
            },
        }
    }
}

/// The report of a step, from the atoms `[E, B, K]` before it and the target atoms `[J, B]`.
pub(crate) fn report(loss: MetricValue, atoms: &Tensor, target: &Tensor, batch: &Batch) -> UpdateReport {
    let q = atoms.mean_dim([-1i64].as_slice(), false, Kind::Float); // [E, B]
    let mut report = UpdateReport::default();
    report.put(metrics::CRITIC_LOSS, Reduction::Mean, loss);
    report.put(metrics::Q_MEAN, Reduction::Mean, &q);
    report.put(metrics::Q_STD, Reduction::Std, &q);
    let spread = atoms.std_dim([-1i64].as_slice(), false, false); // [E, B]
    report.put(metrics::SIGMA_MEAN, Reduction::Mean, &spread);
    report.put(metrics::TARGET_MEAN, Reduction::Mean, target);
    report.td_error = batch.weight.is_some().then(|| {
        let y = target.mean_dim([0i64].as_slice(), false, Kind::Float); // [B]
        (q - y).abs().mean_dim([0i64].as_slice(), false, Kind::Float)
    });
    report
}

#[cfg(test)]
mod tests {
    use tch::Reduction as TchReduction;

    use super::*;

    #[test]
    fn the_largest_atoms_of_the_pooled_members_are_dropped() {
        // Two members with three unsorted atoms each. One per member is dropped; both are of the second member.
        let atoms = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 9.0, -4.0, 8.0]).view([2, 1, 3]);
        let kept: Vec<f32> = truncated(&atoms, 1).flatten(0, -1).try_into().unwrap();
        assert_eq!(kept, [-4.0, 1.0, 2.0, 3.0]);
        assert_eq!(truncated(&atoms, 0).size(), [6, 1]);
    }

    /// The definition: the mean over all pairs, computed as a tensor `[E, B, K, J]`.
    fn member_losses_by_pairs(atoms: &Tensor, target: &Tensor, fractions: &Tensor, kappa: f64) -> Tensor {
        let y = target.transpose(0, 1).unsqueeze(0).unsqueeze(2); // [1, B, 1, J]
        let error = y - atoms.unsqueeze(-1); // [E, B, K, J]
        let weight = (fractions - error.detach().lt(0.0).to_kind(Kind::Float)).abs();
        let huber = error.huber_loss(&error.zeros_like(), TchReduction::None, kappa);
        (weight * huber).mean_dim([2i64, 3].as_slice(), false, Kind::Float)
    }

    #[test]
    fn cumulative_sums_give_the_loss_and_gradient_of_all_pairs() {
        let mut stream = Stream::derive(1, "pairs", 0);
        // Values near and far from 0, errors larger and smaller than κ, and ties.
        for (offset, scale, kappa) in [
            (0.0, 1.0, 1.0),
            (-900.0, 30.0, 1.0),
            (500.0, 0.01, 0.5),
            (0.0, 0.0, 1.0),
        ] {
            let normal = |shape: &[i64], stream: &mut Stream| stream.normal(shape, Device::Cpu) * scale + offset;
            let target = normal(&[13, 6], &mut stream).sort(0, false).0;
            let start = normal(&[3, 6, 5], &mut stream);
            start.get(0).get(0).get(0).copy_(&target.get(4).get(0)); // δ = 0 exactly
            let fractions = fractions(5, Device::Cpu);
            let both = [member_losses, member_losses_by_pairs].map(|losses| {
                let atoms = start.detach().copy().set_requires_grad(true);
                let loss = losses(&atoms, &target, &fractions, kappa);
                let rows = Tensor::linspace(0.5, 2.0, 6, (Kind::Float, Device::Cpu)); // different weights of rows
                (&loss * rows).sum(Kind::Float).backward();
                (loss.detach(), atoms.grad())
            });
            let difference = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
            let largest = both[1].0.max().double_value(&[]);
            assert!(
                difference(&both[0].0, &both[1].0) <= 2e-6 * largest.max(1e-3),
                "{offset} {scale}"
            );
            assert!(difference(&both[0].1, &both[1].1) <= 2e-6, "{offset} {scale}");
        }
    }

    #[test]
    fn errors_are_weighted_by_the_fraction_below_and_by_its_complement_above_the_target() {
        let atoms = Tensor::from_slice(&[0.5f32, 0.5]).view([1, 1, 2]);
        let fractions = fractions(2, Device::Cpu); // ¼, ¾
        let loss = |y: f32| {
            let target = Tensor::from_slice(&[y]).view([1, 1]);
            member_losses(&atoms, &target, &fractions, 1.0).double_value(&[0, 0])
        };
        assert!((loss(0.0) - (0.75 + 0.25) / 2.0 * 0.125).abs() < 1e-6);
        assert!((loss(3.5) - (0.25 + 0.75) / 2.0 * 2.5).abs() < 1e-6);
    }
}
