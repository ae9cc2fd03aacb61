//! Spaces of observations and actions in the environment's units: [`Space`].

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    shape::count,
};

/// The set that observations or actions belong to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Space {
    /// A product of intervals, in row-major order.
    Box {
        /// Extent of each axis.
        shape: Vec<usize>,
        /// Lower bound of each number.
        low: Bounds,
        /// Upper bound of each number.
        high: Bounds,
        /// Type of the numbers. Buffers hold all of them as `f32`.
        dtype: Dtype,
    },
    /// The whole numbers `0..n`.
    Discrete {
        /// Number of elements.
        n: usize,
    },
    /// A tuple of whole numbers, the i-th in `0..n[i]`.
    MultiDiscrete {
        /// Number of choices of each position.
        n: Vec<usize>,
    },
}

/// The type of the numbers of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// Real numbers.
    F32,
    /// Whole numbers from 0 to 255.
    U8,
    /// Whole numbers.
    I32,
}

/// Bounds of the numbers of a box; `None` is no bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bounds {
    /// The same bound for all.
    Same(Option<f32>),
    /// A bound for each.
    Each(Vec<Option<f32>>),
}

impl Bounds {
    /// Bounds, of which infinite ones are none.
    pub fn of(bounds: &[f32]) -> Self {
        let finite = |bound: &f32| bound.is_finite().then_some(*bound);
        match bounds.split_first() {
            Some((first, rest)) if rest.iter().all(|bound| bound == first) => Bounds::Same(finite(first)),
            _ => Bounds::Each(bounds.iter().map(finite).collect()),
        }
    }

    /// The bound of a number.
    pub fn at(&self, index: usize) -> Option<f32> {
        match self {
            Bounds::Same(bound) => *bound,
            Bounds::Each(bounds) => bounds.get(index).copied().flatten(),
        }
    }

    fn has_len(&self, len: usize) -> bool {
        match self {
            Bounds::Same(_) => true,
            Bounds::Each(bounds) => bounds.len() == len,
        }
    }
}

impl Space {
    /// Extents of an element.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Space::Box { shape, .. } => shape.clone(),
            Space::Discrete { .. } => vec![1],
            Space::MultiDiscrete { n } => vec![n.len()],
        }
    }

    /// Length of the buffer of an element.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Space::Box { shape, .. } => shape.iter().product(),
            Space::Discrete { .. } => 1,
            Space::MultiDiscrete { n } => n.len(),
        }
    }

    /// The difference between the bounds of a number, by which errors of actions are measured: 1 where a number has no
    /// two bounds, and the number of choices less 1 where it is an index.
    pub fn range(&self, index: usize) -> f32 {
        let range = match self {
            Space::Box { low, high, .. } => low.at(index).zip(high.at(index)).map_or(1.0, |(low, high)| high - low),
            Space::Discrete { n } => n.saturating_sub(1) as f32,
            Space::MultiDiscrete { n } => n.get(index).map_or(1.0, |n| n.saturating_sub(1) as f32),
        };
        if range > 0.0 { range } else { 1.0 }
    }

    /// Refuses a space that no environment has.
    pub(crate) fn check(&self) -> Result<()> {
        let fits = match self {
            Space::Box { shape, low, high, .. } => count(shape).is_ok_and(|len| low.has_len(len) && high.has_len(len)),
            Space::Discrete { n } => *n > 0,
            Space::MultiDiscrete { n } => !n.is_empty() && !n.contains(&0),
        };
        match fits {
            true => Ok(()),
            false => Err(Error::NotAnExport(format!("{self:?} is no space"))),
        }
    }

    /// Refuses an observation that is not finite, or not of a discrete space. Observations may lie outside of bounds.
    pub(crate) fn check_observation(&self, obs: &[f32]) -> Result<()> {
        let sizes = match self {
            Space::Box { .. } => None,
            Space::Discrete { n } => Some(std::slice::from_ref(n)),
            Space::MultiDiscrete { n } => Some(n.as_slice()),
        };
        for (at, value) in obs.iter().enumerate() {
            let limit = sizes.map(|sizes| sizes[at % sizes.len()]);
            let expected = match limit {
                None if value.is_finite() => continue,
                None => "a finite number".to_string(),
                Some(n) if *value >= 0.0 && value.fract() == 0.0 && (*value as usize) < n => continue,
                Some(n) => format!("a whole number below {n}"),
            };
            return Err(Error::Value {
                what: "observation",
                value: *value,
                at: at % self.len(),
                expected,
            });
        }
        Ok(())
    }
}
