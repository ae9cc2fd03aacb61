//! [`Space`]: the set of possible observations or actions.

use rand::{Rng, RngExt};

use crate::{EnvError, NumpyRng};

/// The type of the numbers of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Dtype {
    /// Real numbers.
    F32,
    /// Whole numbers from 0 to 255: pixels. Buffers hold them as `f32`, a replay may store them as bytes.
    U8,
    /// Whole numbers between finite bounds. Buffers hold them as `f32`, exactly up to ±2²⁴.
    I32,
}

impl Dtype {
    /// Whether the numbers are whole.
    pub fn is_whole(self) -> bool {
        match self {
            Dtype::F32 => false,
            Dtype::U8 | Dtype::I32 => true,
        }
    }
}

/// The set that observations or actions belong to.
///
/// A constructor takes whatever it is given; [`Space::flaw`] says what is wrong with it, and [`Space::checked`] makes
/// that an error. An environment whose spaces have a flaw is refused where it is made: by the registry, by wrappers and
/// by vector environments.
///
/// ```
/// use sac_envs::Space;
///
/// let torque_nm = Space::boxed(1, -2.0, 2.0).checked()?;
/// assert_eq!(torque_nm.to_string(), "Box[1] in [-2, 2]");
/// let error = Space::boxed(1, 2.0, -2.0).checked().unwrap_err();
/// assert_eq!(error.to_string(), "Box[1] in [2, -2]: the bounds [2, -2] of coordinate 0 contain no number");
/// # Ok::<(), sac_envs::EnvError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Space {
    /// A product of intervals, in row-major order.
    Box {
        /// Extent per axis; the product is the number of coordinates.
        shape: Vec<usize>,
        /// Lower bound per coordinate; may be −∞.
        low: Vec<f32>,
        /// Upper bound per coordinate; may be +∞.
        high: Vec<f32>,
        /// Storage type.
        dtype: Dtype,
    },
    /// The whole numbers `0..n`.
    Discrete {
        /// Number of elements.
        n: usize,
    },
    /// A tuple of whole numbers, the i-th in `0..n[i]`.
    MultiDiscrete {
        /// Number of choices per position.
        n: Vec<usize>,
    },
}

impl Space {
    /// A vector of `len` coordinates with the same bounds.
    pub fn boxed(len: usize, low: f32, high: f32) -> Self {
        Space::vector(vec![low; len], vec![high; len])
    }

    /// A vector with bounds per coordinate. `low` and `high` must have the same length.
    pub fn vector(low: Vec<f32>, high: Vec<f32>) -> Self {
        Space::Box {
            shape: vec![low.len()],
            low,
            high,
            dtype: Dtype::F32,
        }
    }

    /// A vector of whole numbers with bounds per coordinate, both included. `low` and `high` must have the same length.
    pub fn integers(low: &[i32], high: &[i32]) -> Self {
        let bounds = |bounds: &[i32]| bounds.iter().map(|bound| *bound as f32).collect();
        Space::Box {
            shape: vec![low.len()],
            low: bounds(low),
            high: bounds(high),
            dtype: Dtype::I32,
        }
    }

    /// The same coordinates of a box in another shape. A discrete space stays as it is.
    #[must_use]
    pub fn reshaped(mut self, new: Vec<usize>) -> Self {
        if let Space::Box { shape, .. } = &mut self {
            *shape = new;
        }
        self
    }

    /// A vector without bounds.
    pub fn unbounded(len: usize) -> Self {
        Space::boxed(len, f32::NEG_INFINITY, f32::INFINITY)
    }

    /// Extent per axis. A discrete space has the shape `[1]`.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Space::Box { shape, .. } => shape.clone(),
            Space::Discrete { .. } => vec![1],
            Space::MultiDiscrete { n } => vec![n.len()],
        }
    }

    /// Length of the buffer for one element.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        match self {
            Space::Box { low, .. } => low.len(),
            Space::Discrete { .. } => 1,
            Space::MultiDiscrete { n } => n.len(),
        }
    }

    /// Whether `element` belongs to the space. NaN never does.
    pub fn contains(&self, element: &[f32]) -> bool {
        let index_below = |value: f32, n: usize| value >= 0.0 && value.fract() == 0.0 && (value as usize) < n;
        element.len() == self.len()
            && match self {
                Space::Box { low, high, dtype, .. } => element
                    .iter()
                    .zip(low.iter().zip(high))
                    .all(|(x, (low, high))| x >= low && x <= high && (!dtype.is_whole() || x.fract() == 0.0)),
                Space::Discrete { n } => index_below(element[0], *n),
                Space::MultiDiscrete { n } => element.iter().zip(n).all(|(x, n)| index_below(*x, *n)),
            }
    }

    /// Whether every coordinate has two finite bounds, so that an action can be normalised to [-1, 1].
    pub fn is_bounded(&self) -> bool {
        match self {
            Space::Box { low, high, .. } => low.iter().chain(high).all(|bound| bound.is_finite()),
            Space::Discrete { .. } | Space::MultiDiscrete { .. } => true,
        }
    }

    /// Draws an element into `out`: uniformly between finite bounds, exponentially from a single finite bound, from a
    /// standard normal without bounds. The distributions are Gymnasium's; the draws are not, and any generator will do.
    ///
    /// # Panics
    /// When `out` does not have the length of the space, or the space is empty.
    pub fn sample(&self, rng: &mut impl Rng, out: &mut [f32]) {
        assert_eq!(out.len(), self.len(), "the buffer has the length of the space");
        match self {
            Space::Box { low, high, dtype, .. } => {
                for (x, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
                    *x = match dtype {
                        Dtype::U8 | Dtype::I32 => rng.random_range(*low as i64..=*high as i64) as f32,
                        Dtype::F32 => sample_coordinate(rng, f64::from(*low), f64::from(*high)) as f32,
                    };
                }
            }
            Space::Discrete { n } => out[0] = rng.random_range(0..*n) as f32,
            Space::MultiDiscrete { n } => {
                for (x, n) in out.iter_mut().zip(n) {
                    *x = rng.random_range(0..*n) as f32;
                }
            }
        }
    }

    /// Draws into `out` the element that Gymnasium's `space.seed(s); space.sample()` draws, for an `rng` made by
    /// `NumpyRng::new(s)`.
    ///
    /// The coordinates of a box are drawn in four groups: first those without bounds (standard normal), then those with
    /// a lower bound only (exponential above it), then those with an upper bound only (exponential below it), then
    /// those with both (uniform).
    ///
    /// # Panics
    /// When `out` does not have the length of the space.
    pub fn gymnasium_sample(&self, rng: &mut NumpyRng, out: &mut [f32]) {
        assert_eq!(out.len(), self.len(), "the buffer has the length of the space");
        match self {
            Space::Box { low, high, dtype, .. } => {
                for kind in [(false, false), (true, false), (false, true), (true, true)] {
                    for (x, (low, high)) in out.iter_mut().zip(low.iter().zip(high)) {
                        if (low.is_finite(), high.is_finite()) != kind {
                            continue;
                        }
                        let (low, high) = (f64::from(*low), f64::from(*high));
                        let draw = match (kind, dtype) {
                            ((false, false), _) => rng.standard_normal(),
                            ((true, false), _) => rng.standard_exponential() + low,
                            ((false, true), _) => -rng.standard_exponential() + high,
                            ((true, true), Dtype::F32) => rng.uniform(low, high),
                            ((true, true), Dtype::U8 | Dtype::I32) => rng.uniform(low, high + 1.0).floor(),
                        };
                        *x = draw as f32;
                    }
                }
            }
            Space::Discrete { n } => out[0] = rng.integers(*n as u64) as f32,
            Space::MultiDiscrete { n } => {
                for (x, n) in out.iter_mut().zip(n) {
                    *x = (rng.random() * *n as f64).floor() as f32;
                }
            }
        }
    }

    /// This space, if it has no flaw.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] with the flaw.
    pub fn checked(self) -> Result<Self, EnvError> {
        match self.flaw() {
            None => Ok(self),
            Some(problem) => Err(EnvError::Unsupported {
                env: self.to_string(),
                problem,
            }),
        }
    }

    /// The first flaw of this space, if it has one: bounds that do not match the shape, a lower bound above its upper
    /// bound, an empty discrete space, bytes outside 0 to 255, bounds of whole numbers that are not whole.
    pub fn flaw(&self) -> Option<String> {
        match self {
            Space::Box {
                shape,
                low,
                high,
                dtype,
            } => {
                let Some(len) = shape.iter().try_fold(1_usize, |len, n| len.checked_mul(*n)) else {
                    return Some(format!("shape {shape:?} has too many coordinates"));
                };
                if low.len() != len || high.len() != len {
                    return Some(format!(
                        "shape {shape:?} has {len} coordinates, but there are {} lower and {} upper bounds",
                        low.len(),
                        high.len()
                    ));
                }
                if len == 0 {
                    return Some(format!("shape {shape:?} has no coordinates"));
                }
                let is_i32 = |bound: f32| bound.fract() == 0.0 && bound.abs() <= 2f32.powi(31);
                low.iter().zip(high).enumerate().find_map(|(i, (low, high))| {
                    if low.is_nan() || high.is_nan() || low > high {
                        Some(format!(
                            "the bounds [{low}, {high}] of coordinate {i} contain no number"
                        ))
                    } else if *dtype == Dtype::U8 && !(*low >= 0.0 && *high <= 255.0) {
                        Some(format!("coordinate {i} is a byte between {low} and {high}"))
                    } else if dtype.is_whole() && !(is_i32(*low) && is_i32(*high)) {
                        Some(format!(
                            "coordinate {i} is a whole number between {low} and {high}, which are no whole numbers of 32 bits"
                        ))
                    } else {
                        None
                    }
                })
            }
            Space::Discrete { n: 0 } => Some("it has no element".to_string()),
            Space::Discrete { .. } => None,
            Space::MultiDiscrete { n } if n.is_empty() || n.contains(&0) => {
                Some(format!("{n:?} leaves a position without an element"))
            }
            Space::MultiDiscrete { .. } => None,
        }
    }

    /// Checks that `action` can be passed to a task: it has the right length, the numbers of a box are finite (and whole
    /// where the box is of whole numbers), an index exists. Finite numbers outside the bounds of a box are accepted, because tasks clip. `env` names the environment
    /// for the error.
    ///
    /// # Errors
    /// [`EnvError::WrongLength`] or [`EnvError::InvalidAction`].
    pub fn check_action(&self, action: &[f32], env: impl Fn() -> String) -> Result<(), EnvError> {
        let valid = match self {
            Space::Box { low, dtype, .. } => {
                action.len() == low.len()
                    && action.iter().all(|x| x.is_finite())
                    && (!dtype.is_whole() || action.iter().all(|x| x.fract() == 0.0))
            }
            Space::Discrete { .. } | Space::MultiDiscrete { .. } => self.contains(action),
        };
        if valid {
            Ok(())
        } else {
            Err(self.refusal(action, env()))
        }
    }

    /// The error for an action that [`Space::check_action`] does not accept.
    #[cold]
    fn refusal(&self, action: &[f32], env: String) -> EnvError {
        if action.len() != self.len() {
            return self.wrong_length(&env, "action", action.len());
        }
        EnvError::InvalidAction {
            env,
            action: action.to_vec(),
            space: self.to_string(),
        }
    }

    /// Checks the length of a buffer for this space. `what` names the buffer.
    ///
    /// # Errors
    /// [`EnvError::WrongLength`].
    pub fn check_len(&self, env: &str, what: &'static str, found: usize) -> Result<(), EnvError> {
        if found == self.len() {
            Ok(())
        } else {
            Err(self.wrong_length(env, what, found))
        }
    }

    #[cold]
    fn wrong_length(&self, env: &str, what: &'static str, found: usize) -> EnvError {
        EnvError::WrongLength {
            env: env.to_string(),
            what,
            expected: self.len(),
            found,
        }
    }
}

fn sample_coordinate(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    let uniform: f64 = rng.random();
    match (low.is_finite(), high.is_finite()) {
        (true, true) => low + (high - low) * uniform,
        (true, false) => low - (1.0 - uniform).ln(),
        (false, true) => high + (1.0 - uniform).ln(),
        // Box-Muller, of which one of the two draws is used.
        (false, false) => {
            let angle: f64 = rng.random();
            (-2.0 * (1.0 - uniform).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
        }
    }
}

impl std::fmt::Display for Space {
    /// `Box[3]`, `Box[84, 84, 3] u8`, `Discrete(2)`. Bounds that all coordinates share are shown, except for bytes: `Box[1]
    /// in [-2, 2]`, `Box[2] i32 in [0, 7]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Space::Box {
                shape,
                low,
                high,
                dtype,
            } => {
                write!(f, "Box{shape:?}")?;
                match dtype {
                    Dtype::F32 => {}
                    Dtype::U8 => return write!(f, " u8"),
                    Dtype::I32 => write!(f, " i32")?,
                }
                let same = |bounds: &[f32]| bounds.windows(2).all(|pair| pair[0] == pair[1]);
                match (low.first(), high.first()) {
                    (Some(low_0), Some(high_0))
                        if same(low) && same(high) && (low_0.is_finite() || high_0.is_finite()) =>
                    {
                        write!(f, " in [{low_0}, {high_0}]")
                    }
                    _ => Ok(()),
                }
            }
            Space::Discrete { n } => write!(f, "Discrete({n})"),
            Space::MultiDiscrete { n } => write!(f, "MultiDiscrete({n:?})"),
        }
    }
}
