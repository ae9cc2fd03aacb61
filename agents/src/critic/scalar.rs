//! The critic of Soft Actor-Critic: `E` networks `Q(s, a)`, targets from the smallest.
//!
//! Source: Haarnoja et al. 2018b (arXiv 1812.05905), section 4.2; the clipped double estimate is Fujimoto et al. 2018's.
//!
//! | Paper | Code | Shape · unit |
//! |---|---|---|
//! | Q_θi(s, a) | `q` | `[E, B]`, value |
//! | Q_θ̄i(s', a') | `next_q` | `[E, B]`, value |
//! | y | `target` | `[B]`, value |

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::Critic;
use crate::{
    agent::{Reduction, UpdateReport},
    backup::soft_backup,
    batch::Batch,
    checkpoint::Section,
    encoder::{Encoder, EncoderSpec},
    error::Result,
    metrics,
    nn::{AdamSpec, BodySpec, Mlp, ParamBlock, ParamLayout, Params, Trainable},
    noise::Stream,
    policy::ActionDraw,
    schedule::GradSteps,
    target::TargetSpec,
};

/// Settings of the critic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScalarSpec {
    /// E, at least 1. The paper uses two.
    pub members: i64,
    /// Of all members together.
    pub optimizer: AdamSpec,
}

impl Default for ScalarSpec {
    fn default() -> Self {
        ScalarSpec {
            members: 2,
            optimizer: AdamSpec::default(),
        }
    }
}

/// See the module.
pub struct ScalarCritic {
    encoder: Box<dyn Encoder>,
    body: Mlp,
    /// Encoder and all members in one block.
    pub online: Trainable,
    /// What trails behind.
    pub target: ParamBlock,
}

impl ScalarCritic {
    /// Puts the critic together; targets start equal to the members.
    pub fn build(
        spec: &ScalarSpec,
        encoder: &EncoderSpec,
        body: &BodySpec,
        spaces: (&Space, &Space),
        init: &mut Stream,
        device: Device,
    ) -> Self {
        let (observation, action) = spaces;
        let mut layout = ParamLayout::default();
        let encoder = encoder.build(&observation.shape(), &mut layout);
        let inputs = encoder.width() + action.len() as i64;
        let body = Mlp::ensemble(body, inputs, 1, spec.members, &mut layout);
        let online = Trainable::new(layout, spec.optimizer, init, device);
        let target = online.params.detached_copy();
        ScalarCritic {
            encoder,
            body,
            online,
            target,
        }
    }

    /// Values of all members.
    fn q(&self, params: &Params, obs: &Tensor, action: &Tensor) -> Tensor {
        let features = self.encoder.encode(params, obs); // [B, F]
        let x = Tensor::cat(&[&features, action], 1); // [B, F + A]
        self.body.forward(params, &x).squeeze_dim(-1) // [E, B]
    }

    /// Equation 6's target: the smallest member's soft value of the next action.
    fn target_value(&self, batch: &Batch, next: &ActionDraw, alpha: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let next_q = self.q(self.target.frozen(), &batch.next_obs, &next.action); // [E, B]
        let (lowest, _) = next_q.min_dim(0, false); // [B]
        soft_backup(&batch.reward, &batch.discount, &lowest, alpha, &next.log_prob)
    }
}

impl Critic for ScalarCritic {
    fn learn(&mut self, batch: &Batch, next: &ActionDraw, alpha: &Tensor, _noise: &mut Stream) -> UpdateReport {
        let target = self.target_value(batch, next, alpha); // [B]
        let q = self.q(&self.online.params.views(), &batch.obs, &batch.action); // [E, B]
        // Equation 5, summed over members: each is an optimisation of its own and only shares a block.
        let members = q.size()[0] as f64;
        let loss = (&q - &target).square().mean(Kind::Float) * (0.5 * members);
        self.online.descend(&loss);

        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, &loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, &q);
        report.put(metrics::Q_STD, Reduction::Std, &q);
        report.put(metrics::TARGET_MEAN, Reduction::Mean, &target);
        report
    }

    fn actor_value(&self, obs: &Tensor, action: &Tensor) -> Tensor {
        let q = self.q(self.online.params.frozen(), obs, action); // [E, B]
        q.min_dim(0, false).0 // [B]
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
