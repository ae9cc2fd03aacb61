//! What a file can say about an agent: [`AgentSpec`].

use serde::{Deserialize, Serialize};

use crate::{
    augmentation::AugmentationSpec,
    critic::CriticSpec,
    encoder::EncoderSpec,
    nn::BodySpec,
    policy::PolicySpec,
    target::TargetSpec,
    temperature::{TargetEntropy, TemperatureSpec},
};

/// Everything about an agent that a file can say. `Default` is SAC as published in 2018b.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSpec {
    /// Discount per env step, in [0, 1]. Paper: 0.99.
    pub gamma: f64,
    /// Whether observations are brought to mean 0 and spread 1 first, by their running statistics.
    pub normalize_observations: bool,
    /// What happens to images before they are learned from.
    pub augmentation: AugmentationSpec,
    /// From observations to features.
    pub encoder: EncoderSpec,
    /// Whether policy and critic have an encoder each.
    pub encoder_sharing: EncoderSharing,
    /// Hidden layers of policy and critic.
    pub body: BodySpec,
    /// Hidden layers of the critic, where they differ from the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critic_body: Option<BodySpec>,
    /// Distribution over actions.
    pub policy: PolicySpec,
    /// Representation of value.
    pub critic: CriticSpec,
    /// Weight of the entropy.
    pub temperature: TemperatureSpec,
    /// How targets follow.
    pub targets: TargetSpec,
    /// What does not happen at every update.
    pub delay: DelaySpec,
    /// Which policy draws the next actions of the critic's target.
    pub next_action: NextAction,
}

impl Default for AgentSpec {
    fn default() -> Self {
        AgentSpec {
            gamma: 0.99,
            normalize_observations: false,
            augmentation: AugmentationSpec::default(),
            encoder: EncoderSpec::default(),
            encoder_sharing: EncoderSharing::Separate,
            body: BodySpec::default(),
            critic_body: None,
            policy: PolicySpec::default(),
            critic: CriticSpec::default(),
            temperature: TemperatureSpec::default(),
            targets: TargetSpec::default(),
            delay: DelaySpec::default(),
            next_action: NextAction::Online,
        }
    }
}

impl AgentSpec {
    /// Keys of what changes by itself while learning: updates with such a thing are not recorded ([`crate::graph`]).
    pub fn annealed(&self) -> Vec<&'static str> {
        let filter = match &self.critic {
            CriticSpec::Scalar(spec) => &spec.target_filter,
            CriticSpec::Dsac(spec) => &spec.target_filter,
            CriticSpec::DsacT(spec) => &spec.target_filter,
            CriticSpec::Quantile(spec) => &spec.target_filter,
            CriticSpec::StateValue(_) => &None,
        };
        let policy = matches!(&self.policy, PolicySpec::Gumbel(spec) if spec.anneal.is_some());
        let temperature = matches!(
            &self.temperature,
            TemperatureSpec::Learned(spec) if matches!(spec.target_entropy, TargetEntropy::Moving { .. })
        );
        let filter = filter.as_ref().is_some_and(|filter| filter.anneal.is_some());
        [
            (policy, "agent.policy.anneal"),
            (filter, "agent.critic.target_filter.anneal"),
            (temperature, "agent.temperature.target_entropy"),
        ]
        .into_iter()
        .filter_map(|(is_annealed, key)| is_annealed.then_some(key))
        .collect()
    }
}

/// Who has an encoder, and whose loss trains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderSharing {
    /// Policy and critic have one each, trained by their own losses.
    Separate,
    /// The critic has one, trained by the critic's loss; the policy reads its features as constants, as in SAC-AE (Yarats
    /// et al. 2019, arXiv 1910.01741) and DrQ-v2 (2021, arXiv 2107.09645). It reads the encoder as it stands wherever it
    /// acts, next actions included; the critic's target has a target encoder of its own, as in SAC-AE.
    Critic,
}

/// Which policy draws the next actions of the critic's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// The one that learns (SAC 2018b, equation 6).
    Online,
    /// One that trails behind, as the critics' targets do (DSAC-T's reference).
    Target,
}

/// Every how many gradient steps something happens, at least 1. Two knobs, because papers differ in which they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelaySpec {
    /// Policy and temperature.
    pub policy: u64,
    /// Targets.
    pub targets: u64,
}

impl Default for DelaySpec {
    fn default() -> Self {
        DelaySpec { policy: 1, targets: 1 }
    }
}
