//! What an agent counts and observes beside its networks: [`AgentState`].

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    exploration::{Exploration, Held},
    reward_scaling::{ReturnStatistics, RewardScaling},
    schedule::GradSteps,
};

/// The section `agent` of a checkpoint: a number of an agent that only counts its updates.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum AgentState {
    Counter(GradSteps),
    Full {
        grad_steps: GradSteps,
        #[serde(skip_serializing_if = "Option::is_none")]
        returns: Option<ReturnStatistics>,
        #[serde(skip_serializing_if = "Option::is_none")]
        held_noise: Option<Vec<Held>>,
    },
}

impl AgentState {
    pub(super) fn of(
        grad_steps: GradSteps,
        scaling: Option<&RewardScaling>,
        exploration: Option<&Exploration>,
    ) -> Self {
        match (scaling, exploration) {
            (None, None) => AgentState::Counter(grad_steps),
            (scaling, exploration) => AgentState::Full {
                grad_steps,
                returns: scaling.map(|scaling| scaling.statistics().clone()),
                held_noise: exploration.map(|exploration| exploration.held().to_vec()),
            },
        }
    }

    /// The same with the statistics of returns of `other`, if it has any.
    pub(super) fn with_returns_of(self, other: AgentState) -> Self {
        match (self, other) {
            (
                AgentState::Full {
                    grad_steps,
                    returns,
                    held_noise,
                },
                AgentState::Full { returns: theirs, .. },
            ) => AgentState::Full {
                grad_steps,
                returns: theirs.or(returns),
                held_noise,
            },
            (own, _) => own,
        }
    }

    /// Restores scale and noise, and returns the number of updates.
    pub(super) fn restore(
        self,
        scaling: Option<&mut RewardScaling>,
        exploration: Option<&mut Exploration>,
    ) -> Result<GradSteps> {
        let (grad_steps, returns, held_noise) = match self {
            AgentState::Counter(grad_steps) => (grad_steps, None, None),
            AgentState::Full {
                grad_steps,
                returns,
                held_noise,
            } => (grad_steps, returns, held_noise),
        };
        let missing = |what: &str| Error::section("agent", format!("has no {what}"));
        if let Some(scaling) = scaling {
            scaling.restore(returns.ok_or_else(|| missing("statistics of returns"))?);
        }
        if let Some(exploration) = exploration {
            exploration.restore(held_noise.ok_or_else(|| missing("noise of exploration"))?)?;
        }
        Ok(grad_steps)
    }
}
