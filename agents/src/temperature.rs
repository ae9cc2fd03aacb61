//! The weight of the entropy in the objective: [`TemperatureSpec`], [`Temperature`].

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Device, Kind, Tensor};

use crate::{
    checkpoint::Section,
    error::Result,
    nn::{AdamSpec, ParamLayout, Trainable},
    noise::Stream,
};

/// Where α comes from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TemperatureSpec {
    /// Learned, so that the policy's entropy settles at a target (SAC 2018b, section 5).
    Learned(LearnedTemperatureSpec),
    /// Constant.
    Fixed(FixedTemperatureSpec),
}

impl Default for TemperatureSpec {
    fn default() -> Self {
        TemperatureSpec::Learned(LearnedTemperatureSpec::default())
    }
}

/// A constant α.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedTemperatureSpec {
    /// At least 0, in units of reward per nat.
    pub alpha: f64,
}

/// A learned α.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnedTemperatureSpec {
    /// α before the first update, > 0.
    pub initial_alpha: f64,
    /// Entropy to settle at, nats, of the density on the normalised box.
    pub target_entropy: TargetEntropy,
    /// What is minimised.
    pub objective: TemperatureObjective,
    /// Of log α.
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

/// A target entropy: `"minus_action_dim"` or a number of nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetEntropy {
    /// −dim(A) (SAC 2018b, table 1). Becomes a number when the configuration is resolved.
    MinusActionDim,
    /// As given.
    Nats(f64),
}

impl TargetEntropy {
    /// In nats, for `action_dim` normalised action coordinates.
    pub fn nats(self, action_dim: usize) -> f64 {
        match self {
            TargetEntropy::MinusActionDim => -(action_dim as f64),
            TargetEntropy::Nats(nats) => nats,
        }
    }
}

impl Serialize for TargetEntropy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            TargetEntropy::MinusActionDim => "minus_action_dim".serialize(serializer),
            TargetEntropy::Nats(nats) => nats.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TargetEntropy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "minus_action_dim" => Ok(TargetEntropy::MinusActionDim),
            toml::Value::Float(nats) if nats.is_finite() => Ok(TargetEntropy::Nats(nats)),
            toml::Value::Integer(nats) => Ok(TargetEntropy::Nats(nats as f64)),
            _ => Err(serde::de::Error::custom(
                "expected \"minus_action_dim\" or a number of nats",
            )),
        }
    }
}

/// Which function of log α is minimised. Both have one fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemperatureObjective {
    /// `−log α · (log π + H̄)`: the gradient does not shrink with α. What most implementations use.
    LogAlpha,
    /// `−α · (log π + H̄)`: the paper's equation 18.
    Alpha,
}

/// α itself, fixed or learned.
pub enum Temperature {
    /// Constant.
    Fixed {
        /// Scalar.
        alpha: Tensor,
    },
    /// Learned through its logarithm.
    Learned {
        /// One parameter: log α.
        log_alpha: Box<Trainable>,
        /// Nats.
        target_entropy: f64,
        /// What is minimised.
        objective: TemperatureObjective,
    },
}

impl Temperature {
    /// Builds what `spec` says, for `action_dim` action coordinates.
    pub fn build(spec: &TemperatureSpec, action_dim: usize, device: Device) -> Self {
        match spec {
            TemperatureSpec::Fixed(FixedTemperatureSpec { alpha }) => Temperature::Fixed {
                alpha: Tensor::full([1], *alpha, (Kind::Float, device)).squeeze(),
            },
            TemperatureSpec::Learned(spec) => {
                let mut layout = ParamLayout::default();
                layout.add("log_alpha", &[1], 1);
                // The drawn value is overwritten; the stream is one of its own.
                let mut stream = Stream::derive(0, "temperature", 0);
                let log_alpha = Trainable::new(layout, spec.optimizer, &mut stream, device);
                let initial = Tensor::from_slice(&[spec.initial_alpha.ln() as f32]).to_device(device);
                log_alpha.params.data().copy_(&initial);
                Temperature::Learned {
                    log_alpha: Box::new(log_alpha),
                    target_entropy: spec.target_entropy.nats(action_dim),
                    objective: spec.objective,
                }
            }
        }
    }

    /// α, a scalar without history.
    pub fn alpha(&self) -> Tensor {
        match self {
            Temperature::Fixed { alpha } => alpha.shallow_clone(),
            Temperature::Learned { log_alpha, .. } => log_alpha.params.data().exp().squeeze(),
        }
    }

    /// Moves a learned α by the log-probabilities `[B]` (nats) of fresh actions. Returns the loss, if there is one.
    pub fn learn(&mut self, log_prob: &Tensor) -> Option<Tensor> {
        let Temperature::Learned {
            log_alpha,
            target_entropy,
            objective,
        } = self
        else {
            return None;
        };
        let excess = (log_prob.detach() + *target_entropy).mean(Kind::Float);
        let parameter = log_alpha.params.flat();
        let weight = match objective {
            TemperatureObjective::LogAlpha => parameter.shallow_clone(),
            TemperatureObjective::Alpha => parameter.exp(),
        };
        let loss = -(weight.squeeze() * excess);
        log_alpha.descend(&loss);
        Some(loss)
    }

    /// The section `temperature`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("temperature");
        if let Temperature::Learned { log_alpha, .. } = self {
            log_alpha.save("log_alpha", &mut section);
        }
        section
    }

    /// Takes back what [`Temperature::section`] wrote.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        match self {
            Temperature::Fixed { .. } => Ok(()),
            Temperature::Learned { log_alpha, .. } => log_alpha.load("log_alpha", section),
        }
    }
}
