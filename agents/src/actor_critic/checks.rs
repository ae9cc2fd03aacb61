//! What is refused when an agent is built or restored.

use sac_envs::{Dtype, Space};

use super::parts::AgentParts;
use crate::{
    agent_spec::{AgentSpec, EncoderSharing, NextAction},
    checkpoint::Checkpoint,
    critic::{NetworkContext, ValueFunction},
    error::{Error, Result},
    exploration::ExplorationSpec,
    memory::available_memory_bytes,
    nn::{BodySpec, ParamLayout, Trainable},
    policy::Optimist,
    schedule::GradSteps,
};

/// Refuses networks that do not fit into memory, before they are allocated.
pub(super) fn check_memory(spec: &AgentSpec, parts: &AgentParts, context: &NetworkContext) -> Result<()> {
    const MIB: u64 = 1 << 20;
    let mut layout = ParamLayout::default();
    let encoder = (parts.encoder)(context.observation, &mut layout);
    if spec.encoder_sharing == EncoderSharing::Critic {
        layout = ParamLayout::default(); // the critic's encoder, which is counted with the critic
    }
    spec.body.build(encoder.width(), &parts.head.parts(), None, &mut layout);
    let target = match spec.next_action {
        NextAction::Online => 0,
        NextAction::Target => layout.bytes(),
    };
    let optimist = match spec.exploration {
        ExplorationSpec::Optimistic(_) => Optimist::bytes(&spec.body, (encoder.width(), parts.head.inputs())),
        _ => 0,
    };
    let policy = Trainable::bytes(&layout) + target + optimist;
    let functions = parts.critic.functions();
    let critic: u64 = functions
        .iter()
        .map(|function| ValueFunction::bytes(function, context))
        .sum();
    let (needed, available) = (policy + critic, available_memory_bytes());
    if needed <= available {
        return Ok(());
    }
    Err(Error::NetworksTooLarge {
        needed_mib: needed.div_ceil(MIB),
        available_mib: available / MIB,
        key: match (&spec.critic_body, &spec.body, critic > policy) {
            (Some(BodySpec::Mlp(_)), _, true) => "agent.critic_body.hidden",
            (Some(_), _, true) => "agent.critic_body.width",
            (_, BodySpec::Mlp(_), _) => "agent.body.hidden",
            _ => "agent.body.width",
        },
    })
}

/// Whether a tensor of a section is of the state of an optimiser.
pub(super) fn is_of_optimizer(tensor: &str) -> bool {
    tensor.contains("/adam.")
}

/// Refuses optimisers with more steps than the agent has made.
pub(super) fn check_optimizer_steps(checkpoint: &Checkpoint, grad_steps: GradSteps) -> Result<()> {
    for name in ["policy", "critic", "temperature"] {
        let section = checkpoint.section(name)?;
        for tensor in section.tensor_names().filter(|name| name.ends_with("adam.steps")) {
            let steps = section.any_tensor(tensor)?.int64_value(&[0]);
            if u64::try_from(steps).is_err() || steps as u64 > grad_steps.0 {
                let problem = format!("`{tensor}` is {steps}, but the agent has made {grad_steps} updates");
                return Err(Error::section(name, problem));
            }
        }
    }
    Ok(())
}

/// Checks that an encoder can be built for the observation space.
pub(super) fn check_observation(spec: &AgentSpec, env: &str, observation: &Space) -> Result<()> {
    let unsupported = |by, reason| {
        Err(Error::UnsupportedSpace {
            what: "observation",
            space: observation.to_string(),
            env: env.to_string(),
            by,
            reason,
        })
    };
    match observation {
        Space::Box { dtype: Dtype::U8, .. } if spec.normalize_observations => {
            unsupported("agent.normalize_observations", "pixels have one scale already")
        }
        Space::Box { .. } => Ok(()),
        _ => unsupported("the flat encoder", "it needs a box"),
    }
}
