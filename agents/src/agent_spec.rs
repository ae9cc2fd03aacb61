//! The settings of an agent: [`AgentSpec`].

use serde::{Deserialize, Serialize};

use crate::{
    augmentation::AugmentationSpec,
    critic::CriticSpec,
    custom,
    encoder::EncoderSpec,
    exploration::ExplorationSpec,
    nn::BodySpec,
    policy::PolicySpec,
    resets::ResetSpec,
    reward_scaling::RewardScalingSpec,
    schedule::GradSteps,
    target::TargetSpec,
    temperature::{TargetEntropy, TemperatureSpec},
};

/// All settings of an agent, the table `[agent]` of a configuration file. The default is SAC as published in 2018b.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSpec {
    /// Discount per env step, in [0, 1]. Paper: 0.99.
    pub gamma: f64,
    /// Whether observations are normalised to mean 0 and standard deviation 1 with running statistics.
    pub normalize_observations: bool,
    /// Division of rewards by a running scale of returns, if there is one. Values and α are then in scaled units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward_scaling: Option<RewardScalingSpec>,
    /// Noise of exploratory actions over time.
    #[serde(skip_serializing_if = "ExplorationSpec::is_independent")]
    pub exploration: ExplorationSpec,
    /// Augmentation of images in training batches.
    pub augmentation: AugmentationSpec,
    /// Encoder of observations to features.
    #[serde(serialize_with = "custom::serialize")]
    pub encoder: EncoderSpec,
    /// Whether policy and critic have separate encoders or share the critic's.
    pub encoder_sharing: EncoderSharing,
    /// Hidden layers of policy and critic.
    pub body: BodySpec,
    /// Hidden layers of the critic, if they differ from the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critic_body: Option<BodySpec>,
    /// Distribution over actions.
    #[serde(serialize_with = "custom::serialize")]
    pub policy: PolicySpec,
    /// Representation of the value function.
    #[serde(serialize_with = "custom::serialize")]
    pub critic: CriticSpec,
    /// Weight of the entropy.
    pub temperature: TemperatureSpec,
    /// How target parameters follow the learned ones.
    pub targets: TargetSpec,
    /// Gradient steps between updates of policy, temperature and target parameters.
    pub delay: DelaySpec,
    /// Which policy draws the next actions of the critic's target.
    pub next_action: NextAction,
    /// Networks that begin anew on a schedule, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resets: Option<ResetSpec>,
}

impl Default for AgentSpec {
    fn default() -> Self {
        AgentSpec {
            gamma: 0.99,
            normalize_observations: false,
            reward_scaling: None,
            exploration: ExplorationSpec::default(),
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
            resets: None,
        }
    }
}

impl AgentSpec {
    /// The same settings for a run of `budget` gradient steps: schedules over a share of the budget are over gradient
    /// steps.
    #[must_use]
    pub fn for_budget(mut self, budget: GradSteps) -> Self {
        if let TemperatureSpec::Learned(spec) = &mut self.temperature {
            spec.target_entropy = spec.target_entropy.for_budget(budget);
            spec.optimizer = spec.optimizer.for_budget(budget);
        }
        self.policy.change_optimizer(|optimizer| optimizer.for_budget(budget));
        for (_, optimizer) in self.critic.optimizers_mut() {
            *optimizer = optimizer.for_budget(budget);
        }
        self
    }

    /// Keys of the settings that change something on a schedule during training. Updates with such settings cannot be recorded as CUDA
    /// graphs ([`crate::cuda_graph`]).
    pub fn annealed(&self) -> Vec<String> {
        let policy = matches!(&self.policy, PolicySpec::Gumbel(spec) if spec.anneal.is_some());
        let temperature = matches!(
            &self.temperature,
            TemperatureSpec::Learned(spec) if matches!(spec.target_entropy, TargetEntropy::Moving { .. })
        );
        let filter = self
            .critic
            .target_filter()
            .is_some_and(|filter| filter.anneal.is_some());
        let mut optimizers = self.critic.optimizers();
        optimizers.push(("agent.policy.optimizer", self.policy.optimizer()));
        if let TemperatureSpec::Learned(spec) = &self.temperature {
            optimizers.push(("agent.temperature.optimizer", spec.optimizer));
        }
        let optimizers = optimizers.into_iter().filter(|(_, spec)| spec.anneal.is_some());
        [
            (policy, "agent.policy.anneal"),
            (filter, "agent.critic.target_filter.anneal"),
            (temperature, "agent.temperature.target_entropy"),
            (self.resets.is_some(), "agent.resets"),
        ]
        .into_iter()
        .filter(|(is_annealed, _)| *is_annealed)
        .map(|(_, key)| key.to_string())
        .chain(optimizers.map(|(key, _)| format!("{key}.anneal")))
        .collect()
    }
}

/// Whether policy and critic share an encoder, and which loss trains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderSharing {
    /// Policy and critic have an encoder each, trained by their own losses.
    Separate,
    /// The critic's encoder, trained by the critic's loss, also serves the policy, which reads its features as
    /// constants.
    ///
    /// The policy always reads the online encoder, also when it draws next actions. The target critic has a target
    /// encoder of its own, as in SAC-AE. Sources: SAC-AE (Yarats et al. 2019, arXiv 1910.01741) and DrQ-v2 (2021, arXiv
    /// 2107.09645).
    Critic,
}

/// Which policy draws the next actions of the critic's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// The online policy (SAC 2018b, equation 6).
    Online,
    /// A target policy, whose parameters follow as those of target critics do (DSAC-T's reference code).
    Target,
}

/// Periods of delayed steps, in gradient steps, at least 1. There are several settings because papers differ in what
/// they delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelaySpec {
    /// Period of the steps of the policy.
    pub policy: u64,
    /// Period of the updates of target parameters.
    pub targets: u64,
    /// Period of the steps of the temperature, if it differs from the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<u64>,
}

impl Default for DelaySpec {
    fn default() -> Self {
        DelaySpec {
            policy: 1,
            targets: 1,
            temperature: None,
        }
    }
}
