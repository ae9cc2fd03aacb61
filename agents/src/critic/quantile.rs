//! The critic of TQC: `E` networks that give `K` quantiles of the soft return each, targets from all of them together
//! but for the largest.
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
use tch::{Device, Kind, Reduction as TchReduction, Tensor};

use super::{Critic, CriticContext, Network};
use crate::{
    agent::{Reduction, UpdateReport},
    backup::soft_backup,
    batch::Batch,
    checkpoint::Section,
    error::Result,
    metrics,
    nn::{AdamSpec, ParamBlock, ParamLayout, Trainable},
    noise::Stream,
    policy::{ActionDraw, Policy},
    schedule::GradSteps,
    spec_check::{SpecProblems, check_adam},
    target::TargetSpec,
};

/// Settings of the critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantileSpec {
    /// E, at least 1. Paper: 5.
    pub members: i64,
    /// K, at least 1. Paper: 25.
    pub quantiles: i64,
    /// How many of the largest target atoms are left out, per member: what the paper tunes to the task. Reference: 2.
    pub dropped_per_member: i64,
    /// Error up to which the loss is quadratic, value. Paper: 1.
    pub huber_kappa: f64,
    /// Of all members together.
    pub optimizer: AdamSpec,
}

impl Default for QuantileSpec {
    fn default() -> Self {
        QuantileSpec {
            members: 5,
            quantiles: 25,
            dropped_per_member: 2,
            huber_kappa: 1.0,
            optimizer: AdamSpec::default(),
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
        let kappa = self.huber_kappa;
        p.require(
            kappa > 0.0 && kappa.is_finite(),
            "agent.critic.huber_kappa",
            kappa,
            "finite and above 0",
        );
        check_adam(p, "agent.critic.optimizer", &self.optimizer);
    }
}

/// See the module.
pub struct QuantileCritic {
    network: Network,
    spec: QuantileSpec,
    /// Encoder and all members in one block.
    pub online: Trainable,
    /// What trails behind.
    pub target: ParamBlock,
    fractions: Tensor,
}

impl QuantileCritic {
    /// Puts the critic together; targets start equal to the members.
    pub fn build(spec: &QuantileSpec, context: &CriticContext, init: &mut Stream) -> Self {
        let mut layout = ParamLayout::default();
        let network = Network::of_actions(context, spec.quantiles, spec.members, &mut layout);
        let online = Trainable::new(layout, spec.optimizer, init, context.device);
        let target = online.params.detached_copy();
        QuantileCritic {
            network,
            fractions: fractions(spec.quantiles, context.device),
            spec: spec.clone(),
            online,
            target,
        }
    }

    /// Atoms `[E, B, K]` of every member at `action` `[B, A]`, without a history: for those who look inside.
    pub fn atoms(&self, obs: &Tensor, action: &Tensor, noise: &mut Stream) -> Tensor {
        self.network.at(self.online.params.frozen(), obs, action, noise)
    }

    /// Atoms `[E, B, K]` of the targets at the next actions `[B, A]`.
    fn target_atoms(&self, next_obs: &Tensor, next_action: &Tensor, noise: &mut Stream) -> Tensor {
        self.network.at(self.target.frozen(), next_obs, next_action, noise)
    }

    /// Target atoms `[J, B]`, ascending.
    fn targets(&self, batch: &Batch, next: &ActionDraw, alpha: &Tensor, noise: &mut Stream) -> Tensor {
        let _guard = tch::no_grad_guard();
        let atoms = self.target_atoms(&batch.next_obs, next.sampled(), noise); // [E, B, K]
        let kept = truncated(&atoms, self.spec.dropped_per_member); // [J, B]
        soft_backup(&batch.reward, &batch.discount, &kept, alpha, &next.log_prob)
    }
}

/// Midpoints `[K, 1]` of K equal parts of \[0, 1\].
fn fractions(quantiles: i64, device: Device) -> Tensor {
    let fractions: Vec<f32> = (0..quantiles)
        .map(|m| ((m as f64 + 0.5) / quantiles as f64) as f32)
        .collect();
    Tensor::from_slice(&fractions).view([quantiles, 1]).to_device(device)
}

/// All members' atoms `[E, B, K]` in one ascending row `[J, B]`, without the `dropped_per_member`·E largest.
fn truncated(atoms: &Tensor, dropped_per_member: i64) -> Tensor {
    let (members, rows, quantiles) = atoms.size3().expect("atoms are [E, B, K]");
    let pooled = atoms.permute([0, 2, 1]).reshape([members * quantiles, rows]); // [E·K, B]
    let (sorted, _) = pooled.sort(0, false);
    sorted.narrow(0, 0, members * (quantiles - dropped_per_member))
}

/// Quantile Huber losses `[E, B]` of `atoms` `[E, B, K]` for targets `[J, B]`, mean over pairs of atoms.
///
/// ```text
/// ρ_τ(δ) = |τ − 1{δ < 0}| · H_κ(δ),   δ = y_j − θ_m
/// H_κ(δ) = ½ δ² for |δ| ≤ κ, κ (|δ| − ½ κ) beyond
/// ```
///
/// Source: section 3, equations 11 and 12, with κ = 1.
fn member_losses(atoms: &Tensor, target: &Tensor, fractions: &Tensor, kappa: f64) -> Tensor {
    let y = target.transpose(0, 1).unsqueeze(0).unsqueeze(2); // [1, B, 1, J]
    let theta = atoms.unsqueeze(-1); // [E, B, K, 1]
    let error = y - theta; // [E, B, K, J]
    let weight = (fractions - error.detach().lt(0.0).to_kind(Kind::Float)).abs();
    let huber = error.huber_loss(&error.zeros_like(), TchReduction::None, kappa);
    (weight * huber).mean_dim([2i64, 3].as_slice(), false, Kind::Float)
}

impl Critic for QuantileCritic {
    fn learn(&mut self, batch: &Batch, policy: &Policy, alpha: &Tensor, noise: &mut Stream) -> UpdateReport {
        let next = policy.draw_next(batch, noise);
        let target = self.targets(batch, &next, alpha, noise); // [J, B]
        let params = self.online.params.views();
        let atoms = self.network.at(&params, &batch.obs, &batch.action, noise); // [E, B, K]
        let losses = member_losses(&atoms, &target, &self.fractions, self.spec.huber_kappa); // [E, B]
        let loss = batch.mean(&losses);
        self.online.descend(&loss);

        let atoms = atoms.detach();
        let q = atoms.mean_dim([-1i64].as_slice(), false, Kind::Float); // [E, B]
        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, &loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &q);
        report.put(metrics::Q_STD, Reduction::Std, &q);
        let spread = atoms.std_dim([-1i64].as_slice(), false, false); // [E, B]
        report.put(metrics::SIGMA_MEAN, Reduction::Mean, &spread);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, &target);
        report.td_error = batch.weight.is_some().then(|| {
            let y = target.mean_dim([0i64].as_slice(), false, Kind::Float); // [B]
            (q - y).abs().mean_dim([0i64].as_slice(), false, Kind::Float)
        });
        report
    }

    /// The mean of all atoms, none left out (equation 13).
    fn actor_value(&self, obs: &Tensor, draw: &ActionDraw, noise: &mut Stream) -> Tensor {
        self.atoms(obs, draw.sampled(), noise)
            .mean_dim([0i64, 2].as_slice(), false, Kind::Float)
    }

    fn follow(&mut self, rule: TargetSpec, at: GradSteps) {
        rule.follow(&mut self.target, &self.online.params, at);
    }

    fn is_finite(&self) -> bool {
        self.online.params.is_finite()
    }

    fn parameter_count(&self) -> i64 {
        self.online.params.flat().numel() as i64
    }

    fn section(&self) -> Result<Section<'static>> {
        let mut section = Section::new("critic");
        self.online.save("critic", &mut section);
        self.target.save("target", &mut section);
        Ok(section)
    }

    fn load(&mut self, section: &Section) -> Result<()> {
        self.online.load("critic", section)?;
        self.target.load("target", section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_atoms_of_all_members_together_are_left_out() {
        // Two members, one row, three atoms each, not in order: one per member is dropped, both of the second.
        let atoms = Tensor::from_slice(&[3.0f32, 1.0, 2.0, 9.0, -4.0, 8.0]).view([2, 1, 3]);
        let kept: Vec<f32> = truncated(&atoms, 1).flatten(0, -1).try_into().unwrap();
        assert_eq!(kept, [-4.0, 1.0, 2.0, 3.0]);
        assert_eq!(truncated(&atoms, 0).size(), [6, 1]);
    }

    #[test]
    fn an_atom_above_its_target_pays_by_one_minus_its_fraction() {
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
