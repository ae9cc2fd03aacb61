//! The replaceable parts of an agent: [`AgentParts`].

use sac_envs::Space;

use crate::{
    agent_spec::AgentSpec,
    compute::Compute,
    critic::Critic,
    encoder::BuildEncoder,
    error::Result,
    exploration::ExplorationSpec,
    fused::{self, Plan},
    nn::AdamSpec,
    policy::{PolicyHead, PolicySpec, StateDependentNoise},
};

/// The replaceable parts of an agent: those that an [`AgentSpec`] names, or implementations of a library user.
pub struct AgentParts {
    /// Builder of the encoders of policy and critic.
    pub encoder: Box<BuildEncoder>,
    /// The distribution over actions.
    pub head: Box<dyn PolicyHead>,
    /// Optimiser of the policy network.
    pub policy_optimizer: AdamSpec,
    /// The critic's equations.
    pub critic: Box<dyn Critic>,
    /// The parts that have a fused form.
    pub(super) plan: Plan,
}

impl AgentParts {
    /// The parts that `spec` names, for an environment's action space. They can be replaced by the `with_…` methods.
    ///
    /// # Errors
    /// When the policy head does not support the action space.
    pub fn of(spec: &AgentSpec, env: &str, action: &Space, compute: &Compute) -> Result<Self> {
        let encoder = spec.encoder.clone();
        let (head, action_dim) = (spec.policy.build(env, action)?, action.len() as i64);
        let parts = AgentParts {
            encoder: Box::new(move |observation, layout| encoder.build(observation, layout)),
            head: fused::head(&spec.policy, head, action_dim, compute),
            policy_optimizer: spec.policy.optimizer(),
            critic: spec.critic.build(spec.targets, compute.device),
            plan: Plan::of(spec),
        };
        // Other combinations with gSDE are refused by `AgentSpec::problems`.
        Ok(match (&spec.exploration, &spec.policy, spec.body.features()) {
            (ExplorationSpec::Gsde(gsde), PolicySpec::SquashedGaussian(gaussian), Some(features)) => {
                parts.with_head(Box::new(StateDependentNoise::new(gsde, gaussian, action_dim, features)))
            }
            _ => parts,
        })
    }

    /// Replaces the critic. Its loss is computed through autograd.
    #[must_use]
    pub fn with_critic(self, critic: Box<dyn Critic>) -> Self {
        AgentParts {
            critic,
            plan: self.plan.without_critic(),
            ..self
        }
    }

    /// Replaces the policy head. It is computed through autograd.
    #[must_use]
    pub fn with_head(self, head: Box<dyn PolicyHead>) -> Self {
        AgentParts {
            head,
            plan: self.plan.without_head(),
            ..self
        }
    }

    /// Replaces the encoder.
    #[must_use]
    pub fn with_encoder(self, encoder: Box<BuildEncoder>) -> Self {
        AgentParts { encoder, ..self }
    }
}
