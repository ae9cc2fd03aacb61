//! [`Description`]: what a worker says about an environment that it made.

use serde::Deserialize;

use crate::{Dtype, GoalLayout, Manual, Row, Space};

/// What a worker says about an environment that it made.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Description {
    observation: Described,
    action: Described,
    /// Where goals lie in an observation, if it can say what they earn.
    #[serde(default)]
    goals: Option<GoalLayout>,
    /// The time limit that Gymnasium knows of, in env steps.
    time_limit: Option<u64>,
    /// Module and name of the class.
    entry: String,
    /// First paragraph of its documentation.
    about: String,
    /// The environment and its Python wrappers, as Python prints them.
    stack: String,
}

/// A space. Lists of one number hold for all coordinates; `None` is an infinite bound.
#[derive(Clone, Debug, Deserialize)]
struct Described {
    kind: Kind,
    #[serde(default)]
    dtype: Type,
    #[serde(default)]
    shape: Vec<usize>,
    #[serde(default)]
    low: Vec<Option<f32>>,
    #[serde(default)]
    high: Vec<Option<f32>>,
    #[serde(default)]
    n: Vec<usize>,
    /// Where each number comes from, or all of them.
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Box,
    Discrete,
    MultiDiscrete,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    #[default]
    F32,
    U8,
    I32,
}

impl Described {
    fn space(&self) -> Space {
        match self.kind {
            Kind::Discrete => Space::Discrete {
                n: self.n.first().copied().unwrap_or(0),
            },
            Kind::MultiDiscrete => Space::MultiDiscrete { n: self.n.clone() },
            Kind::Box => {
                let len: usize = self.shape.iter().product();
                let bounds = |given: &[Option<f32>], infinite: f32| -> Vec<f32> {
                    match given {
                        [one] => vec![one.unwrap_or(infinite); len],
                        each => each.iter().map(|bound| bound.unwrap_or(infinite)).collect(),
                    }
                };
                Space::Box {
                    shape: self.shape.clone(),
                    low: bounds(&self.low, f32::NEG_INFINITY),
                    high: bounds(&self.high, f32::INFINITY),
                    dtype: match self.dtype {
                        Type::F32 => Dtype::F32,
                        Type::U8 => Dtype::U8,
                        Type::I32 => Dtype::I32,
                    },
                }
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        let space = self.space();
        let bounds = |i: usize| match &space {
            // A bound of -0 is shown as 0.
            Space::Box { low, high, .. } => (f64::from(low[i]) + 0.0, f64::from(high[i]) + 0.0),
            Space::Discrete { n } => (0.0, n.saturating_sub(1) as f64),
            Space::MultiDiscrete { n } => (0.0, n[i].saturating_sub(1) as f64),
        };
        let row = |(i, name): (usize, &String)| {
            let (low, high) = match self.names.len() == space.len() {
                true => bounds(i),
                false => (f64::NEG_INFINITY, f64::INFINITY),
            };
            Row::new(name, "1", low, high)
        };
        self.names.iter().enumerate().map(row).collect()
    }
}

impl Description {
    pub(crate) fn observation_space(&self) -> Space {
        self.observation.space()
    }

    pub(crate) fn action_space(&self) -> Space {
        self.action.space()
    }

    pub(crate) fn goals(&self) -> Option<&GoalLayout> {
        self.goals.as_ref()
    }

    /// The manual page.
    pub(crate) fn manual(&self) -> Manual {
        let limit = match self.time_limit {
            Some(steps) => format!("Python truncates episodes after {steps} env steps."),
            None => "No time limit that Gymnasium knows of.".to_string(),
        };
        // Gymnasium's own tasks begin with a heading.
        let lines = self.about.lines().filter(|line| !line.trim_start().starts_with('#'));
        let about = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
        let made = format!("Made in Python: `{}`.", self.stack);
        Manual {
            description: match about.is_empty() {
                true => made,
                false => format!("{about}\n\n{made}"),
            },
            observation: self.observation.rows(),
            action: self.action.rows(),
            end: limit,
            source: format!("`{}`", self.entry),
            ..Manual::default()
        }
    }
}
