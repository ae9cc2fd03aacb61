//! The parts of an agent that have a fused form: [`Plan`], [`head`].

use super::squashed_gaussian::{Bounds, FusedGaussian};
use crate::{
    agent_spec::AgentSpec,
    compute::Compute,
    critic::{
        CriticSpec, QuantileSpec, Support,
        dsac_t::{DsacTCritic, DsacTSpec},
        scalar::TargetMembers,
    },
    policy::{PolicyHead, PolicySpec, SquashedGaussian},
};

/// A critic's loss with a fused form.
pub(super) enum FusedCritic {
    Scalar(TargetMembers),
    /// Settings, and the rate of the running standard deviation.
    DsacT(Box<DsacTSpec>, f64),
    Categorical(Support),
    Quantile(Box<QuantileSpec>),
}

/// The fused forms for an agent's critic and policy head. Parts supplied by a library user have none.
#[derive(Default)]
pub(crate) struct Plan {
    pub(super) critic: Option<FusedCritic>,
    /// Bounds of the squashed Gaussian's log σ.
    pub(super) bounds: Option<Bounds>,
}

impl Plan {
    /// The fused forms for the critic and the policy head that `spec` names.
    pub(crate) fn of(spec: &AgentSpec) -> Self {
        Plan {
            critic: match &spec.critic {
                CriticSpec::Scalar(critic) => Some(FusedCritic::Scalar(critic.target_members)),
                CriticSpec::DsacT(critic) => {
                    let DsacTCritic { spec, running_std_rate } = DsacTCritic::new(critic, spec.targets);
                    Some(FusedCritic::DsacT(Box::new(spec), running_std_rate))
                }
                CriticSpec::Categorical(critic) => Some(FusedCritic::Categorical(critic.support())),
                CriticSpec::Quantile(critic) => Some(FusedCritic::Quantile(Box::new(critic.clone()))),
                CriticSpec::Dsac(_) | CriticSpec::StateValue(_) | CriticSpec::Custom(_) => None,
            },
            bounds: bounds(&spec.policy),
        }
    }

    /// Removes the critic's fused form.
    pub(crate) fn without_critic(self) -> Self {
        Plan { critic: None, ..self }
    }

    /// Removes the policy head's fused form.
    pub(crate) fn without_head(self) -> Self {
        Plan { bounds: None, ..self }
    }
}

fn bounds(policy: &PolicySpec) -> Option<Bounds> {
    match policy {
        PolicySpec::SquashedGaussian(spec) => Bounds::of(spec),
        _ => None,
    }
}

/// The fastest implementation of `head`, which was built from `policy` for `action_dim` coordinates.
pub(crate) fn head(
    policy: &PolicySpec,
    head: Box<dyn PolicyHead>,
    action_dim: i64,
    compute: &Compute,
) -> Box<dyn PolicyHead> {
    match (policy, bounds(policy)) {
        (PolicySpec::SquashedGaussian(spec), Some(bounds)) if compute.is_fused() => Box::new(FusedGaussian {
            head: SquashedGaussian::new(spec, action_dim),
            bounds,
        }),
        _ => head,
    }
}
