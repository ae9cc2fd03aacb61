//! The entropy that a learned temperature aims at: [`TargetEntropy`].

use sac_envs::Space;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{schedule::GradSteps, spec_problems::SpecProblems};

/// A target entropy: `"minus_action_dim"`, a number of nats in all or per coordinate of the action, or a fraction of the
/// entropy of the uniform distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TargetEntropy {
    /// −dim(A), for boxes (SAC 2018b, table 1). Replaced by a number when the configuration is resolved.
    MinusActionDim,
    /// A number of nats.
    Nats(f64),
    /// A number of nats for each coordinate of a box. `{ per_action = -1.0, units = "env" }` in a file. Replaced by a
    /// number when the configuration is resolved.
    PerAction {
        /// Nats per coordinate.
        nats: f64,
        /// The box on which the density is taken.
        units: ActionUnits,
    },
    /// A fraction of log|A|, for discrete actions (Christodoulou 2019: 0.98). Replaced by a number when the
    /// configuration is resolved. `{ of_uniform = 0.98 }` in a file.
    OfUniform(f64),
    /// Linear interpolation between two values during training.
    /// `{ of_uniform = 0.98, falling_to = 0.3, over_budget = 0.5 }` in a file, or the same with `nats`, or with
    /// `over_grad_steps = 20000`.
    Moving {
        /// Whether `from` and `to` are fractions of log|A| instead of nats.
        of_uniform: bool,
        /// Value before the first update.
        from: f64,
        /// Value at the end of the interpolation and after it.
        to: f64,
        /// Length of the interpolation.
        over: Span,
    },
}

/// The length of an interpolation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Gradient steps, at least 1.
    GradSteps(u64),
    /// A share of all gradient steps of the run, above 0 and at most 1. Replaced by gradient steps when the
    /// configuration is resolved ([`TargetEntropy::for_budget`]).
    Budget(f64),
}

/// The units of actions in which a density, and hence an entropy, is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionUnits {
    /// The normalised box [-1, 1].
    #[default]
    Normalised,
    /// The task's own box. Its entropy is that on the normalised box plus the sum of the logarithms of half its widths.
    Env,
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

    pub(super) fn check(self, p: &mut SpecProblems, key: &str) {
        match self {
            TargetEntropy::MinusActionDim => {}
            TargetEntropy::Nats(nats) => p.require(
                NATS.contains(&nats),
                key,
                format!("{nats:?}"),
                "a number of nats between -1e6 and 1e6",
            ),
            TargetEntropy::PerAction { nats, .. } => p.require(
                NATS.contains(&nats),
                key,
                self.to_toml(),
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
                over,
            } => {
                let holds = |end: f64| match of_uniform {
                    true => (0.0..=1.0).contains(&end),
                    false => NATS.contains(&end),
                };
                let is_span = match over {
                    Span::GradSteps(grad_steps) => grad_steps > 0,
                    Span::Budget(share) => share > 0.0 && share <= 1.0,
                };
                let expected = "fractions between 0 and 1, or nats between -1e6 and 1e6, over at least 1 gradient step or a \
                                share of the budget above 0 and at most 1";
                p.require(holds(from) && holds(to) && is_span, key, self.to_toml(), expected);
            }
        }
    }

    /// Why the value does not fit an action space; `None` if it does.
    pub fn problem(self, action: &Space) -> Option<String> {
        let is_discrete = uniform_entropy(action).is_some();
        match self {
            TargetEntropy::MinusActionDim | TargetEntropy::PerAction { .. } if is_discrete => Some(format!(
                "this applies to boxes, but the actions are {action}, whose entropy is never negative; use \
                 {{ of_uniform = 0.98 }} or a number of nats"
            )),
            TargetEntropy::OfUniform(_) | TargetEntropy::Moving { of_uniform: true, .. } if !is_discrete => {
                Some(format!(
                    "this applies to discrete actions, but the actions are {action}; use \"minus_action_dim\" or a number \
                     of nats"
                ))
            }
            TargetEntropy::Moving {
                over: Span::Budget(_), ..
            } => Some(
                "this share is of a run's updates, and there is no run here; use over_grad_steps, or \
                 `AgentSpec::for_budget`"
                    .to_string(),
            ),
            TargetEntropy::Nats(nats) => impossible(nats, action),
            TargetEntropy::PerAction { .. } => match self.in_nats(action) {
                TargetEntropy::Nats(nats) => impossible(nats, action),
                _ => None,
            },
            TargetEntropy::Moving {
                from,
                to,
                of_uniform: false,
                ..
            } => impossible(from, action).or_else(|| impossible(to, action)),
            _ => None,
        }
    }

    /// The same value in nats on the normalised box, for an action space that it fits. For a value in the units of the
    /// environment, `action` must be the task's own box.
    #[must_use]
    pub fn in_nats(self, action: &Space) -> Self {
        let uniform = uniform_entropy(action).unwrap_or(0.0);
        match self {
            TargetEntropy::PerAction { nats, units } => {
                let log_scale = match (units, action) {
                    (ActionUnits::Env, Space::Box { low, high, .. }) => low
                        .iter()
                        .zip(high)
                        .map(|(low, high)| (0.5 * (f64::from(*high) - f64::from(*low))).ln())
                        .sum(),
                    _ => 0.0,
                };
                TargetEntropy::Nats(nats * action.len() as f64 - log_scale)
            }
            TargetEntropy::MinusActionDim => TargetEntropy::Nats(-(action.len() as f64)),
            TargetEntropy::OfUniform(part) => TargetEntropy::Nats(part * uniform),
            TargetEntropy::Moving {
                of_uniform: true,
                from,
                to,
                over,
            } => TargetEntropy::Moving {
                of_uniform: false,
                from: from * uniform,
                to: to * uniform,
                over,
            },
            other => other,
        }
    }

    /// The same value for a run of `budget` gradient steps: without a share of the budget.
    #[must_use]
    pub fn for_budget(self, budget: GradSteps) -> Self {
        match self {
            TargetEntropy::Moving {
                of_uniform,
                from,
                to,
                over: Span::Budget(share),
            } => TargetEntropy::Moving {
                of_uniform,
                from,
                to,
                over: Span::GradSteps(((share * budget.0 as f64).ceil() as u64).max(1)),
            },
            other => other,
        }
    }

    /// The value after `grad_steps` updates, nats. Call [`TargetEntropy::in_nats`] and [`TargetEntropy::for_budget`]
    /// first; other values count as 0.
    pub(super) fn at(self, grad_steps: GradSteps) -> f64 {
        match self {
            TargetEntropy::Nats(nats) => nats,
            TargetEntropy::Moving {
                from,
                to,
                over: Span::GradSteps(over_grad_steps),
                ..
            } => {
                let progress = (grad_steps.0 as f64 / over_grad_steps as f64).min(1.0);
                from + (to - from) * progress
            }
            _ => 0.0,
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TargetEntropyTable {
    #[serde(skip_serializing_if = "Option::is_none")]
    of_uniform: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nats: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_action: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    units: Option<ActionUnits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    falling_to: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    over_grad_steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    over_budget: Option<f64>,
}

impl Serialize for TargetEntropy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let part = |value: f64, is: bool| is.then_some(value);
        match *self {
            TargetEntropy::MinusActionDim => "minus_action_dim".serialize(serializer),
            TargetEntropy::Nats(nats) => nats.serialize(serializer),
            TargetEntropy::PerAction { nats, units } => TargetEntropyTable {
                per_action: Some(nats),
                units: Some(units),
                ..TargetEntropyTable::default()
            }
            .serialize(serializer),
            TargetEntropy::OfUniform(of_uniform) => TargetEntropyTable {
                of_uniform: Some(of_uniform),
                ..TargetEntropyTable::default()
            }
            .serialize(serializer),
            TargetEntropy::Moving {
                of_uniform,
                from,
                to,
                over,
            } => TargetEntropyTable {
                of_uniform: part(from, of_uniform),
                nats: part(from, !of_uniform),
                falling_to: Some(to),
                over_grad_steps: match over {
                    Span::GradSteps(grad_steps) => Some(grad_steps),
                    Span::Budget(_) => None,
                },
                over_budget: match over {
                    Span::GradSteps(_) => None,
                    Span::Budget(share) => Some(share),
                },
                ..TargetEntropyTable::default()
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TargetEntropy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        const EXPECTED: &str = "expected \"minus_action_dim\", a number of nats, { per_action = -1.0, units = \"env\" }, \
                                { of_uniform = 0.98 }, or { of_uniform = 0.98, falling_to = 0.3, over_budget = 0.5 }, \
                                where over_grad_steps = 20000 may be in place of over_budget";
        let wrong = || serde::de::Error::custom(EXPECTED);
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(word) if word == "minus_action_dim" => Ok(TargetEntropy::MinusActionDim),
            toml::Value::Float(nats) if nats.is_finite() => Ok(TargetEntropy::Nats(nats)),
            toml::Value::Integer(nats) => Ok(TargetEntropy::Nats(nats as f64)),
            toml::Value::Table(table) => {
                let table = TargetEntropyTable::deserialize(table).map_err(|_| wrong())?;
                if let Some(nats) = table.per_action {
                    let others = [table.of_uniform, table.nats, table.falling_to];
                    let has_span = table.over_grad_steps.is_some() || table.over_budget.is_some();
                    return match others.iter().all(Option::is_none) && !has_span {
                        true => Ok(TargetEntropy::PerAction {
                            nats,
                            units: table.units.unwrap_or_default(),
                        }),
                        false => Err(wrong()),
                    };
                }
                if table.units.is_some() {
                    return Err(wrong());
                }
                let over = match (table.over_grad_steps, table.over_budget) {
                    (Some(grad_steps), None) => Some(Span::GradSteps(grad_steps)),
                    (None, Some(share)) => Some(Span::Budget(share)),
                    (None, None) => None,
                    (Some(_), Some(_)) => return Err(wrong()),
                };
                match (table.of_uniform, table.nats, table.falling_to, over) {
                    (Some(part), None, None, None) => Ok(TargetEntropy::OfUniform(part)),
                    (Some(from), None, Some(to), Some(over)) => Ok(TargetEntropy::Moving {
                        of_uniform: true,
                        from,
                        to,
                        over,
                    }),
                    (None, Some(from), Some(to), Some(over)) => Ok(TargetEntropy::Moving {
                        of_uniform: false,
                        from,
                        to,
                        over,
                    }),
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nats(target: TargetEntropy, action: &Space) -> f64 {
        match target.in_nats(action) {
            TargetEntropy::Nats(nats) => nats,
            other => panic!("{other:?}"),
        }
    }

    fn read(text: &str) -> Result<TargetEntropy, String> {
        let table: toml::Table = format!("x = {text}").parse().unwrap();
        table["x"]
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn an_entropy_in_the_units_of_the_task_is_shifted_by_the_logarithms_of_half_its_widths() {
        let in_env = read("{ per_action = -1.0, units = \"env\" }").unwrap();
        // Humanoid's box is 17 times [-0.4, 0.4].
        let humanoid = nats(in_env, &Space::boxed(17, -0.4, 0.4));
        assert!((humanoid - (-17.0 - 17.0 * 0.4f64.ln())).abs() < 1e-5, "{humanoid}");
        // The middle of a box does not matter, and every coordinate counts with its own width.
        let uneven = Space::Box {
            shape: vec![2],
            low: vec![1.0, -2.0],
            high: vec![2.0, 6.0],
            dtype: sac_envs::Dtype::F32,
        };
        let uneven = nats(in_env, &uneven);
        assert!((uneven - (-2.0 - 0.5f64.ln() - 4f64.ln())).abs() < 1e-12, "{uneven}");
        assert_eq!(nats(in_env, &Space::boxed(3, -1.0, 1.0)), -3.0);
        let normalised = read("{ per_action = -0.5 }").unwrap();
        assert_eq!(nats(normalised, &Space::boxed(3, -9.0, 9.0)), -1.5);
    }

    #[test]
    fn a_target_entropy_reads_back_as_it_was_written() {
        for text in [
            "\"minus_action_dim\"",
            "-2.5",
            "{ per_action = -1.0, units = \"env\" }",
            "{ of_uniform = 0.5 }",
            "{ of_uniform = 0.98, falling_to = 0.3, over_grad_steps = 20000 }",
            "{ nats = 0.0, falling_to = -2.0, over_grad_steps = 7 }",
            "{ of_uniform = 0.98, falling_to = 0.3, over_budget = 0.5 }",
        ] {
            let target = read(text).unwrap();
            assert_eq!(read(&target.to_toml()), Ok(target), "{text}");
        }
        for wrong in [
            "{ per_action = -1.0, falling_to = 0.3, over_grad_steps = 5 }",
            "{ per_action = -1.0, of_uniform = 0.3 }",
            "{ of_uniform = 0.3, units = \"env\" }",
            "{ per_action = -1.0, units = \"radians\" }",
            "{ units = \"env\" }",
            "{ of_uniform = 0.98, falling_to = 0.3, over_budget = 0.5, over_grad_steps = 5 }",
            "{ of_uniform = 0.98, over_budget = 0.5 }",
            "{}",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_share_of_the_budget_becomes_gradient_steps() {
        let share = read("{ of_uniform = 1.0, falling_to = 0.5, over_budget = 0.25 }").unwrap();
        let action = Space::Discrete { n: 2 };
        assert!(share.problem(&action).is_some(), "without a budget it has no length");
        let target = share.for_budget(GradSteps(1000));
        assert_eq!(
            target,
            read("{ of_uniform = 1.0, falling_to = 0.5, over_grad_steps = 250 }").unwrap()
        );
        assert_eq!(target.problem(&action), None);
        let at = |grad_steps| target.in_nats(&action).at(GradSteps(grad_steps)) / 2f64.ln();
        assert_eq!([at(0), at(125), at(250), at(1000)], [1.0, 0.75, 0.5, 0.5]);
        assert_eq!(
            share.for_budget(GradSteps(0)),
            read("{ of_uniform = 1.0, falling_to = 0.5, over_grad_steps = 1 }").unwrap()
        );
    }

    #[test]
    fn entropies_per_action_are_for_boxes_and_below_the_uniform_distributions() {
        let per_action = |nats| TargetEntropy::PerAction {
            nats,
            units: ActionUnits::Normalised,
        };
        assert!(per_action(-1.0).problem(&Space::Discrete { n: 3 }).is_some());
        assert!(per_action(0.7).problem(&Space::boxed(2, -1.0, 1.0)).is_some());
        assert_eq!(per_action(0.69).problem(&Space::boxed(2, -1.0, 1.0)), None);
    }
}
