//! The weight of the entropy in the objective: [`TemperatureSpec`], [`Temperature`].

use sac_envs::Space;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tch::{Kind, Tensor};

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

/// A target entropy: `"minus_action_dim"`, a number of nats, or a fraction of the entropy of the uniform distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetEntropy {
    /// −dim(A), for boxes (SAC 2018b, table 1). Replaced by a number when the configuration is resolved.
    MinusActionDim,
    /// A number of nats.
    Nats(f64),
    /// A fraction of log|A|, for discrete actions (Christodoulou 2019: 0.98). Replaced by a number when the
    /// configuration is resolved. `{ of_uniform = 0.98 }` in a file.
    OfUniform(f64),
    /// Linear interpolation between two values during training.
    /// `{ of_uniform = 0.98, falling_to = 0.3, over_grad_steps = 20000 }` in a file, or the same with `nats`.
    Moving {
        /// Whether `from` and `to` are fractions of log|A| instead of nats.
        of_uniform: bool,
        /// Value before the first update.
        from: f64,
        /// Value after `over_grad_steps`.
        to: f64,
        /// Length of the interpolation, gradient steps, at least 1.
        over_grad_steps: u64,
    },
}

/// Limits of target entropies, far beyond use.
const NATS: std::ops::RangeInclusive<f64> = -1e6..=1e6;

/// Tolerance for the rounding of entropies that a resolved configuration holds.
const ROUNDING_NATS: f64 = 1e-9;

/// Entropy of the uniform distribution over discrete actions, nats; `None` for a box.
fn uniform_entropy(action: &Space) -> Option<f64> {
    match action {
        Space::Box { .. } => None,
        Space::Discrete { n } => Some((*n as f64).ln()),
        Space::MultiDiscrete { n } => Some(n.iter().map(|n| (*n as f64).ln()).sum()),
    }
}

/// Why no policy for an action space has an entropy of so many nats; `None` if one can. α would grow or shrink without
/// end.
fn impossible(nats: f64, action: &Space) -> Option<String> {
    let (most, reason) = match uniform_entropy(action) {
        // The density 2^−A on [-1, 1]^A.
        None => (
            action.len() as f64 * std::f64::consts::LN_2,
            "ln 2 for each of its dimensions",
        ),
        Some(most) => (most, "the logarithm of the number of actions"),
    };
    if nats > most + ROUNDING_NATS {
        return Some(format!(
            "this is an entropy that no policy can have: over {action} the uniform distribution has the highest, \
             {most:.3} nats ({reason}); the temperature would grow without end"
        ));
    }
    (uniform_entropy(action).is_some() && nats < -ROUNDING_NATS).then(|| {
        format!(
            "this is an entropy that no policy can have: over {action} it is between 0 and {most:.3} nats ({reason}); the \
             temperature would shrink without end"
        )
    })
}

impl TargetEntropy {
    /// The value as it is written in a file.
    pub(crate) fn to_toml(self) -> String {
        toml::Value::try_from(self).map_or(String::new(), |value| value.to_string())
    }

    fn check(self, p: &mut SpecProblems, key: &str) {
        match self {
            TargetEntropy::MinusActionDim => {}
            TargetEntropy::Nats(nats) => p.require(
                NATS.contains(&nats),
                key,
                format!("{nats:?}"),
                "a number of nats between -1e6 and 1e6",
            ),
            TargetEntropy::OfUniform(part) => {
                let holds = (0.0..=1.0).contains(&part);
                p.require(holds, key, self.to_toml(), "a fraction between 0 and 1");
            }
            TargetEntropy::Moving {
                of_uniform,
                from,
                to,
                over_grad_steps,
            } => {
                let holds = |end: f64| match of_uniform {
                    true => (0.0..=1.0).contains(&end),
                    false => NATS.contains(&end),
                };
                let expected = "fractions between 0 and 1, or nats between -1e6 and 1e6, and at least 1 gradient step";
                p.require(
                    holds(from) && holds(to) && over_grad_steps > 0,
                    key,
                    self.to_toml(),
                    expected,
                );
            }
        }
    }

    /// Why the value does not fit an action space; `None` if it does.
    pub fn problem(self, action: &Space) -> Option<String> {
        let is_discrete = uniform_entropy(action).is_some();
        match self {
            TargetEntropy::MinusActionDim if is_discrete => Some(format!(
                "this applies to boxes, but the actions are {action}, whose entropy is never negative; use \
                 {{ of_uniform = 0.98 }} or a number of nats"
            )),
            TargetEntropy::OfUniform(_) | TargetEntropy::Moving { of_uniform: true, .. } if !is_discrete => {
                Some(format!(
                    "this applies to discrete actions, but the actions are {action}; use \"minus_action_dim\" or a number \
                     of nats"
                ))
            }
            TargetEntropy::Nats(nats) => impossible(nats, action),
            TargetEntropy::Moving {
                from,
                to,
                of_uniform: false,
                ..
            } => impossible(from, action).or_else(|| impossible(to, action)),
            _ => None,
        }
    }

    /// The same value in nats, for an action space that it fits.
    #[must_use]
    pub fn in_nats(self, action: &Space) -> Self {
        let uniform = uniform_entropy(action).unwrap_or(0.0);
        match self {
            TargetEntropy::MinusActionDim => TargetEntropy::Nats(-(action.len() as f64)),
            TargetEntropy::OfUniform(part) => TargetEntropy::Nats(part * uniform),
            TargetEntropy::Moving {
                of_uniform: true,
                from,
                to,
                over_grad_steps,
            } => TargetEntropy::Moving {
                of_uniform: false,
                from: from * uniform,
                to: to * uniform,
                over_grad_steps,
            },
            other => other,
        }
    }

    /// The value after `grad_steps` updates, nats. Call [`TargetEntropy::in_nats`] first; other values count as 0.
    fn at(self, grad_steps: GradSteps) -> f64 {
        match self {
            TargetEntropy::Nats(nats) => nats,
            TargetEntropy::Moving {
                from,
                to,
                over_grad_steps,
                ..
            } => {
                let progress = (grad_steps.0 as f64 / over_grad_steps as f64).min(1.0);
                from + (to - from) * progress
            }
            TargetEntropy::MinusActionDim | TargetEntropy::OfUniform(_) => 0.0,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetEntropyTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    of_uniform: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    falling_to: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    over_grad_steps: Option<u64>,
}

impl Serialize for TargetEntropy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let part = |value: f64, is: bool| is.then_some(value);
        match *self {
            TargetEntropy::MinusActionDim => "minus_action_dim".serialize(serializer),
            TargetEntropy::Nats(nats) => nats.serialize(serializer),
            TargetEntropy::OfUniform(of_uniform) => TargetEntropyTable {
                of_uniform: Some(of_uniform),
                nats: None,
                falling_to: None,
                over_grad_steps: None,
            }
            .serialize(serializer),
            TargetEntropy::Moving {
                of_uniform,
                from,
                to,
                over_grad_steps,
            } => TargetEntropyTable {
                of_uniform: part(from, of_uniform),
                nats: part(from, !of_uniform),
                falling_to: Some(to),
                over_grad_steps: Some(over_grad_steps),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TargetEntropy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        const EXPECTED: &str = "expected \"minus_action_dim\", a number of nats, { of_uniform = 0.98 }, or \
                                { of_uniform = 0.98, falling_to = 0.3, over_grad_steps = 20000 }";
        let wrong = || serde::de::Error::custom(EXPECTED);
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "minus_action_dim" => Ok(TargetEntropy::MinusActionDim),
            toml::Value::Float(nats) if nats.is_finite() => Ok(TargetEntropy::Nats(nats)),
            toml::Value::Integer(nats) => Ok(TargetEntropy::Nats(nats as f64)),
            toml::Value::Table(table) => {
                let table = TargetEntropyTable::deserialize(table).map_err(|_| wrong())?;
                match (table.of_uniform, table.nats, table.falling_to, table.over_grad_steps) {
                    (Some(part), None, None, None) => Ok(TargetEntropy::OfUniform(part)),
                    (Some(from), None, Some(to), Some(over_grad_steps)) => Ok(TargetEntropy::Moving {
                        of_uniform: true,
                        from,
                        to,
                        over_grad_steps,
                    }),
                    (None, Some(from), Some(to), Some(over_grad_steps)) => Ok(TargetEntropy::Moving {
                        of_uniform: false,
                        from,
                        to,
                        over_grad_steps,
                    }),
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
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
                layout.add("log_alpha", &[1], Init::Constant(0.0));
                // The layout has constant initial values only, so nothing is drawn from this stream.
                let mut stream = Stream::derive(0, "temperature", 0);
                let log_alpha = Trainable::new(layout, spec.optimizer, &mut stream, compute);
                let initial = Tensor::from_slice(&[spec.initial_alpha.ln() as f32]).to_device(device);
                log_alpha.params.data().copy_(&initial);
                Temperature::Learned {
                    log_alpha: Box::new(log_alpha),
                    target_entropy: spec.target_entropy.in_nats(action),
                    current_target: spec.target_entropy.in_nats(action).at(GradSteps(0)),
                    objective: spec.objective,
                }
            }
        }
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
