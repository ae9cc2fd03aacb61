//! The critic of SAC's first version: a value `V(s)` with its target beside two action values `Q(s, a)`.
//!
//! Source: Haarnoja et al. 2018, "Soft Actor-Critic: Off-Policy Maximum Entropy Deep Reinforcement Learning with a
//! Stochastic Actor" (arXiv 1801.01290), section 4.2 and algorithm 1.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | V_ψ(s) | `v` | `[B]`, value |
//! | V_ψ̄(s') | `next_v` | `[B]`, value |
//! | Q_θi(s, a) | `q` | `[E, B]`, value |
//! | Q̂(s, a) (eq 8) | `target` | `[B]`, value |
//! | 1 / reward scale | `alpha` | value per nat |

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::{Climbed, Combination, Critic, CriticContext, Network};
use crate::{
    agent::{Reduction, UpdateReport},
    backup::backup,
    batch::Batch,
    checkpoint::Section,
    error::Result,
    metrics,
    nn::{AdamSpec, ParamBlock, ParamLayout, Products, Trainable},
    noise::Stream,
    policy::{ActionDraw, Policy},
    spec_check::{SpecProblems, check_adam},
    target::TargetSpec,
};

/// Settings of the critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateValueSpec {
    /// E: action values, at least 1. Paper: 2. There is one V.
    pub members: i64,
    /// What the actor climbs.
    pub actor_value: Combination,
    /// Of the action values together.
    pub optimizer: AdamSpec,
    /// Of V.
    pub value_optimizer: AdamSpec,
}

impl Default for StateValueSpec {
    fn default() -> Self {
        StateValueSpec {
            members: 2,
            actor_value: Combination::Min,
            optimizer: AdamSpec::default(),
            value_optimizer: AdamSpec::default(),
        }
    }
}

impl StateValueSpec {
    pub(super) fn check(&self, p: &mut SpecProblems) {
        let members = self.members;
        p.require(
            (1..=1000).contains(&members),
            "agent.critic.members",
            members,
            "between 1 and 1000",
        );
        check_adam(p, "agent.critic.optimizer", &self.optimizer);
        check_adam(p, "agent.critic.value_optimizer", &self.value_optimizer);
    }
}

/// See the module.
pub struct StateValueCritic {
    q_network: Network,
    v_network: Network,
    actor_value: Combination,
    /// Q's: encoder and all members in one block.
    pub q: Trainable,
    /// V, with an encoder of its own.
    pub v: Trainable,
    /// What trails behind V; Q's have no targets.
    pub v_target: ParamBlock,
}

impl StateValueCritic {
    /// Puts the critic together; the target starts equal to V.
    pub fn build(spec: &StateValueSpec, context: &CriticContext, init: &mut Stream) -> Self {
        let (mut q_layout, mut v_layout) = (ParamLayout::default(), ParamLayout::default());
        let q_network = Network::of_actions(context, 1, spec.members, &mut q_layout);
        let v_network = Network::of_states(context, 1, 1, &mut v_layout);
        let q = Trainable::new(q_layout, spec.optimizer, init, context.device);
        let v = Trainable::new(v_layout, spec.value_optimizer, init, context.device);
        StateValueCritic {
            q_network,
            v_network,
            actor_value: spec.actor_value,
            v_target: v.params.detached_copy(),
            q,
            v,
        }
    }

    /// V `[B]` of the target at the next observations.
    fn target_state_value(&self, next_obs: &Tensor, noise: &mut Stream) -> Tensor {
        self.v_network
            .of_state(self.v_target.frozen(), next_obs, noise)
            .view([-1])
    }

    /// One step of V towards the soft value of a fresh action: the smallest Q, less α log π.
    ///
    /// Source: equations 3 and 5, with the minimum of section 4.2.
    fn learn_value(&mut self, batch: &Batch, fresh: &ActionDraw, alpha: &Tensor, noise: &mut Stream) -> UpdateReport {
        let target = {
            let _guard = tch::no_grad_guard();
            let q = self.q.params.frozen();
            let value = self.q_network.expected(q, &batch.obs, fresh, noise, Combination::Min); // [B]
            value - alpha * &fresh.log_prob
        };
        let params = self.v.views();
        let v = self.v_network.of_state(&params, &batch.obs, noise).view([-1]); // [B]
        let loss = batch.mean(&(&v - target).square()) * 0.5;
        self.v.descend(&loss);

        let mut report = UpdateReport::default();
        report.put(metrics::VALUE_LOSS, Reduction::Mean, &loss);
        report.put(metrics::VALUE_MEAN, Reduction::Mean, &v);
        report
    }
}

impl Critic for StateValueCritic {
    fn learn(&mut self, batch: &Batch, policy: &Policy, alpha: &Tensor, noise: &mut Stream) -> UpdateReport {
        // Algorithm 1's order: V, which looks at the Q's as they stand, then the Q's, which look at V's target.
        let fresh = policy.draw_now(batch, noise);
        let mut report = self.learn_value(batch, &fresh, alpha, noise);

        let target = {
            let _guard = tch::no_grad_guard();
            let next_v = self.target_state_value(&batch.next_obs, noise); // [B]
            backup(batch, &next_v) // equation 8: V holds the entropy already
        };
        let params = self.q.views();
        let q = self
            .q_network
            .at(&params, &batch.obs, &batch.action, noise)
            .squeeze_dim(-1); // [E, B]
        // Equation 7, summed over members: each is an optimisation of its own and only shares a block.
        let error = &q - &target; // [E, B]
        let loss = batch.mean(&error.square()) * (0.5 * self.q_network.members() as f64);
        self.q.descend(&loss);

        report.put(metrics::CRITIC_LOSS, Reduction::Mean, &loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &q);
        report.put(metrics::Q_STD, Reduction::Std, &q);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, &target);
        report.td_error = batch
            .weight
            .is_some()
            .then(|| Combination::Mean.apply(&error.detach().abs()));
        report
    }

    fn climbed(&self) -> Climbed<'_> {
        Climbed {
            network: &self.q_network,
            params: self.q.params.frozen(),
            combination: self.actor_value,
            count: 1,
        }
    }

    fn follow(&mut self, rule: TargetSpec) {
        rule.follow(&mut self.v_target, &self.v.params);
    }

    fn count_on_device(&mut self) {
        self.q.count_on_device();
        self.v.count_on_device();
    }

    fn set_products(&mut self, products: Products) {
        self.q_network.set_products(products);
        self.v_network.set_products(products);
    }

    fn is_finite(&self) -> bool {
        self.q.params.is_finite() && self.v.params.is_finite()
    }

    fn parameter_count(&self) -> i64 {
        (self.q.params.flat().numel() + self.v.params.flat().numel()) as i64
    }

    fn multiply_adds(&self) -> i64 {
        self.q_network.multiply_adds() + self.v_network.multiply_adds()
    }

    /// That of the action values.
    fn encoder_block(&self) -> &ParamBlock {
        &self.q.params
    }

    fn network(&self) -> Option<&Network> {
        Some(&self.q_network)
    }

    fn section(&self) -> Result<Section<'static>> {
        let mut section = Section::new("critic");
        self.q.save("critic", &mut section);
        self.v.save("value", &mut section);
        self.v_target.save("value_target", &mut section);
        Ok(section)
    }

    fn load(&mut self, section: &Section) -> Result<()> {
        self.q.load("critic", section)?;
        self.v.load("value", section)?;
        self.v_target.load("value_target", section)
    }
}
