//! The weight of the entropy in the objective: [`TemperatureSpec`], [`Temperature`].

mod target_entropy;

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

pub use target_entropy::{ActionUnits, Span, TargetEntropy};

use crate::{
    checkpoint::Section,
    compute::Compute,
    error::Result,
    losses::temperature_loss,
    nn::{AdamSpec, Init, ParamLayout, Trainable},
    noise::Stream,
    schedule::GradSteps,
    spec_problems::SpecProblems,
};

/// Whether α is learned or fixed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TemperatureSpec {
    /// Learned, so that the policy's entropy approaches a target (SAC 2018b, section 5).
    Learned(LearnedTemperatureSpec),
    /// Constant.
    Fixed(FixedTemperatureSpec),
}

impl TemperatureSpec {
    /// Reports values that are out of range.
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        let spec = match self {
            TemperatureSpec::Learned(spec) => spec,
            TemperatureSpec::Fixed(FixedTemperatureSpec { alpha }) => {
                return p.require_not_negative("agent.temperature.alpha", *alpha);
            }
        };
        p.require_positive("agent.temperature.initial_alpha", spec.initial_alpha);
        spec.target_entropy.check(p, "agent.temperature.target_entropy");
        spec.optimizer.check(p, "agent.temperature.optimizer");
    }
}

impl Default for TemperatureSpec {
    fn default() -> Self {
        TemperatureSpec::Learned(LearnedTemperatureSpec::default())
    }
}

/// Settings of a constant α.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedTemperatureSpec {
    /// α, at least 0, in units of reward per nat.
    pub alpha: f64,
}

/// Settings of a learned α.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedTemperatureSpec {
    /// α before the first update, above 0.
    pub initial_alpha: f64,
    /// Target of the policy's entropy, nats, of the density on the normalised box.
    pub target_entropy: TargetEntropy,
    /// The loss that is minimised.
    pub objective: TemperatureObjective,
    /// Optimiser of log α.
    pub optimizer: AdamSpec,
}

impl Default for LearnedTemperatureSpec {
    fn default() -> Self {
        LearnedTemperatureSpec {
            initial_alpha: 1.0,
            target_entropy: TargetEntropy::MinusActionDim,
            objective: TemperatureObjective::LogAlpha,
            optimizer: AdamSpec::default(),
        }
    }
}

/// The function of log α that is minimised. Both have the same fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemperatureObjective {
    /// `−log α · (log π + H̄)`, as most implementations have it. The gradient does not shrink with α.
    LogAlpha,
    /// `−α · (log π + H̄)`: the paper's equation 18.
    Alpha,
}

/// For a layout with constant initial values, for which nothing is drawn.
fn nothing_drawn() -> Stream {
    Stream::derive(0, "temperature", 0)
}

/// The temperature α, fixed or learned.
pub enum Temperature {
    /// Constant.
    Fixed {
        /// α, a scalar.
        alpha: Tensor,
    },
    /// Learned through its logarithm.
    Learned {
        /// One parameter: log α.
        log_alpha: Box<Trainable>,
        /// Target entropy in nats, possibly changing during training.
        target_entropy: TargetEntropy,
        /// Target entropy of the next update, nats.
        current_target: f64,
        /// The loss that is minimised.
        objective: TemperatureObjective,
    },
}

impl Temperature {
    /// Builds the temperature that `spec` describes, for an action space.
    pub fn build(spec: &TemperatureSpec, action: &Space, compute: &Compute) -> Self {
        let device = compute.device;
        match spec {
            TemperatureSpec::Fixed(FixedTemperatureSpec { alpha }) => Temperature::Fixed {
                alpha: Tensor::full([1], *alpha, (Kind::Float, device)).squeeze(),
            },
            TemperatureSpec::Learned(spec) => {
                let mut layout = ParamLayout::default();
                layout.add("log_alpha", &[1], Init::Constant(spec.initial_alpha.ln() as f32));
                let log_alpha = Trainable::new(layout, spec.optimizer, &mut nothing_drawn(), compute);
                Temperature::Learned {
                    log_alpha: Box::new(log_alpha),
                    target_entropy: spec.target_entropy.in_nats(action),
                    current_target: spec.target_entropy.in_nats(action).at(GradSteps(0)),
                    objective: spec.objective,
                }
            }
        }
    }

    /// Whether α is learned.
    pub fn is_learned(&self) -> bool {
        matches!(self, Temperature::Learned { .. })
    }

    /// α, a detached scalar.
    pub fn alpha(&self) -> Tensor {
        match self {
            Temperature::Fixed { alpha } => alpha.shallow_clone(),
            Temperature::Learned { log_alpha, .. } => log_alpha.params.data().exp().squeeze(),
        }
    }

    /// Sets target entropy and learning rate to their values after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        if let Temperature::Learned {
            log_alpha,
            target_entropy,
            current_target,
            ..
        } = self
        {
            *current_target = target_entropy.at(at);
            log_alpha.anneal(at);
        }
    }

    /// Sets a learned α to its initial value, and forgets the optimiser's moments.
    pub(crate) fn reset(&mut self, compute: &Compute) {
        if let Temperature::Learned { log_alpha, .. } = self {
            log_alpha.reset(1.0, &mut nothing_drawn(), compute);
        }
    }

    /// Updates a learned α with the log-probabilities `[B]` (nats) of actions just drawn. Returns the loss; `None` if α
    /// is fixed.
    pub fn learn(&mut self, log_prob: &Tensor) -> Option<Tensor> {
        let Temperature::Learned {
            log_alpha,
            current_target,
            objective,
            ..
        } = self
        else {
            return None;
        };
        let parameter = log_alpha.params.flat().squeeze(); // []
        let weight = match objective {
            TemperatureObjective::LogAlpha => parameter,
            TemperatureObjective::Alpha => parameter.exp(),
        };
        let loss = temperature_loss(&weight, log_prob, *current_target);
        log_alpha.descend(&loss);
        Some(loss.detach())
    }

    /// The checkpoint section `temperature`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("temperature");
        if let Temperature::Learned { log_alpha, .. } = self {
            log_alpha.save("log_alpha", &mut section);
        }
        section
    }

    /// Restores the state from a section written by [`Temperature::section`].
    ///
    /// # Errors
    /// When the section does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        match self {
            Temperature::Fixed { .. } => Ok(()),
            Temperature::Learned { log_alpha, .. } => log_alpha.load("log_alpha", section),
        }
    }
}
