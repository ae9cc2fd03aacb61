//! The critic of Soft Actor-Critic: `E` networks `Q(s, a)`, targets from the smallest; and of REDQ, whose targets come
//! from a few of many.
//!
//! Sources: Haarnoja et al. 2018b (arXiv 1812.05905), section 4.2; the clipped double estimate is Fujimoto et al.
//! 2018's; random subsets are Chen et al. 2021's (arXiv 2101.05982, algorithm 1).
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θi(s, a) | `q` | `[E, B]`, value |
//! | Q_θ̄i(s', a') | `next_q` | `[E, B]`, value |
//! | y | `target` | `[B]`, value |
//! | M (REDQ) | `target_members` | members |
//!
//! With `target_filter`, Q_θ̄i(s', a') is its average over points around a' (see [`super::target_filter`]).

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Climbed, Combination, Critic, CriticContext, CriticState, Network, TargetFilter, TargetFilterSpec};
use crate::{
    agent::{Found, Reduction, UpdateReport},
    backup::soft_backup,
    batch::Batch,
    checkpoint::Section,
    error::Result,
    metrics,
    nn::{AdamSpec, ParamBlock, ParamLayout, Products, Trainable, numbers::numbers},
    noise::Stream,
    policy::{ActionDraw, Policy},
    schedule::GradSteps,
    spec_check::{SpecProblems, check_adam},
    target::TargetSpec,
};

/// Settings of the critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalarSpec {
    /// E, at least 1. SAC uses two, REDQ ten.
    pub members: i64,
    /// Whose smallest value makes the target.
    pub target_members: TargetMembers,
    /// What the actor climbs.
    pub actor_value: Combination,
    /// Of all members together.
    pub optimizer: AdamSpec,
    /// Low-pass filter over the action of the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_filter: Option<TargetFilterSpec>,
}

impl Default for ScalarSpec {
    fn default() -> Self {
        ScalarSpec {
            members: 2,
            target_members: TargetMembers::All,
            actor_value: Combination::Min,
            optimizer: AdamSpec::default(),
            target_filter: None,
        }
    }
}

/// Which members make the target: `"all"`, or `{ random = M }` for M different ones, drawn anew at every update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetMembers {
    /// Every one (SAC).
    All,
    /// So many (REDQ: 2).
    Random(i64),
}

impl ScalarSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let members = self.members;
        p.require(
            (1..=1000).contains(&members),
            "agent.critic.members",
            members,
            "between 1 and 1000",
        );
        if let TargetMembers::Random(count) = self.target_members {
            p.require(
                (1..=members).contains(&count),
                "agent.critic.target_members",
                format!("{{ random = {count} }}"),
                &format!("between 1 and agent.critic.members = {members}"),
            );
        }
        check_adam(p, "agent.critic.optimizer", &self.optimizer);
    }
}

/// Equation 5 without autograd: ½ mean w·error² of a unit whose values are `q` `[B]`, and its gradient.
fn half_square(q: &[f32], target: &[f32], weight: Option<&[f32]>, of_q: &mut [f32]) -> f64 {
    let share = 1.0 / q.len() as f32;
    let mut sum = 0.0;
    for (row, of_q) in of_q.iter_mut().enumerate() {
        let error = q[row] - target[row];
        *of_q = weight.map_or(1.0, |weight| weight[row]) * error * share;
        sum += f64::from(*of_q * error);
    }
    0.5 * sum
}

/// See the module.
pub struct ScalarCritic {
    network: Network,
    target_members: TargetMembers,
    actor_value: Combination,
    filter: Option<TargetFilter>,
    /// Encoder and all members in one block.
    pub online: Trainable,
    /// What trails behind.
    pub target: ParamBlock,
}

impl ScalarCritic {
    /// Puts the critic together; targets start equal to the members.
    pub fn build(spec: &ScalarSpec, context: &CriticContext, init: &mut Stream) -> Self {
        let mut layout = ParamLayout::default();
        let network = Network::of_actions(context, 1, spec.members, &mut layout);
        let online = Trainable::new(layout, spec.optimizer, init, context.device);
        let target = online.params.detached_copy();
        ScalarCritic {
            filter: TargetFilter::of(spec.target_filter.as_ref(), context),
            network,
            target_members: spec.target_members,
            actor_value: spec.actor_value,
            online,
            target,
        }
    }

    /// Equation 6's target: the smallest member's soft value of the next action.
    fn target_value(&self, batch: &Batch, next: &ActionDraw, alpha: &Tensor, noise: &mut Stream) -> Tensor {
        let _guard = tch::no_grad_guard();
        // Only the members that are drawn are asked: two of ten cost a fifth.
        let drawn;
        let params = match self.target_members {
            TargetMembers::All => self.target.frozen(),
            TargetMembers::Random(count) => {
                let chosen = noise.subset(self.members(), count, batch.reward.device());
                drawn = self.network.of_members(self.target.frozen(), &chosen);
                &drawn
            }
        };
        let obs = &batch.next_obs;
        let next_value = match self.filter.as_ref().and_then(TargetFilter::active) {
            None => self.network.expected(params, obs, next, noise, Combination::Min), // [B]
            Some(filter) => {
                let members = |obs: &Tensor, action: &Tensor, noise: &mut Stream| {
                    self.network.at(params, obs, action, noise).squeeze_dim(-1) // [E, K·B]
                };
                let lowest = |next_q: &Tensor| Combination::Min.apply(next_q);
                filter.combined(obs, next.sampled(), noise, members, lowest) // [B]
            }
        };
        soft_backup(batch, &next_value, alpha, &next.log_prob)
    }

    fn members(&self) -> i64 {
        self.network.members()
    }

    /// A step towards `target` `[B]` without autograd: the loss of each replicate, summed over members, and values
    /// `[E, B, 1]`.
    fn descend_by_hand(&mut self, batch: &Batch, target: &Tensor) -> Option<(Vec<f32>, Tensor)> {
        let (weight, target) = (batch.value_draw_weights(), target.contiguous());
        let (weight, target) = (weight.as_ref().map(numbers), numbers(&target));
        let replicates = batch.replicates as usize;
        let loss = |unit: usize, q: &[f32], of_q: &mut [f32]| {
            let first = unit % replicates * q.len();
            let own = first..first + q.len();
            half_square(q, &target[own.clone()], weight.map(|weight| &weight[own]), of_q)
        };
        let (q, of_units) = self
            .network
            .descend(&mut self.online, &batch.obs, &batch.action, loss)?;
        let of_replicate = |replicate| of_units.iter().skip(replicate).step_by(replicates).sum::<f64>() as f32;
        Some(((0..replicates).map(of_replicate).collect(), q))
    }
}

impl Critic for ScalarCritic {
    fn learn(&mut self, batch: &Batch, policy: &Policy, alpha: &Tensor, noise: &mut Stream) -> UpdateReport {
        let next = policy.draw_next(batch, noise);
        let target = self.target_value(batch, &next, alpha, noise); // [B]
        // Equation 5, summed over members: each is an optimisation of its own and only shares a block.
        let (loss, q): (Found, Tensor) = match self.descend_by_hand(batch, &target) {
            Some((losses, q)) => (losses.into(), q),
            None => {
                let q = self.network.at(&self.online.views(), &batch.obs, &batch.action, noise); // [E, B, 1]
                let error = q.squeeze_dim(-1) - &target; // [E, B]
                let loss = batch.mean(&error.square()) * (0.5 * self.members() as f64);
                self.online.descend(&loss);
                ((&loss).into(), q.detach())
            }
        };

        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &q);
        report.put(metrics::Q_STD, Reduction::Std, &q);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, &target);
        report.td_error = batch
            .weight
            .is_some()
            .then(|| Combination::Mean.apply(&(q.squeeze_dim(-1) - target).abs()));
        report
    }

    fn climbed(&self) -> Climbed<'_> {
        Climbed {
            network: &self.network,
            params: self.online.params.frozen(),
            combination: self.actor_value,
            count: 1,
        }
    }

    fn follow(&mut self, rule: TargetSpec) {
        rule.follow(&mut self.target, &self.online.params);
    }

    fn anneal(&mut self, at: GradSteps) {
        if let Some(filter) = &mut self.filter {
            filter.anneal(at);
        }
    }

    fn count_on_device(&mut self) {
        self.online.count_on_device();
    }

    fn state(&mut self) -> Option<CriticState<'_>> {
        let is_plain = self.filter.is_none() && self.target_members == TargetMembers::All;
        is_plain.then_some(CriticState {
            online: &mut self.online,
            target: &mut self.target,
            statistic: None,
        })
    }

    fn set_products(&mut self, products: Products) {
        self.network.set_products(products);
    }

    fn is_finite(&self) -> bool {
        self.online.params.is_finite()
    }

    fn parameter_count(&self) -> i64 {
        self.online.params.flat().numel() as i64
    }

    fn multiply_adds(&self) -> i64 {
        self.network.multiply_adds()
    }

    fn encoder_block(&self) -> &ParamBlock {
        &self.online.params
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.network)
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
