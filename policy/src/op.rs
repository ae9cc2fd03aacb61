//! The operations that a policy is made of: [`Op`].
//!
//! Adding one takes a variant here, its shape in `shape.rs`, its function in `interpreter/`, and a function each in the
//! writers of ONNX and C. Everything else follows from these.

use sac_kernels::Activation;
use serde::{Deserialize, Serialize};

/// An operation on values of one observation; batches are rows of such values.
///
/// Names are those of tensors of the graph. `[…, n]` is a value with any leading dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Op {
    /// The raw observation.
    Observation,
    /// Random numbers `[len]` that the caller draws, for an action drawn from the policy.
    Noise {
        /// How many.
        len: usize,
        /// Their distribution.
        distribution: Distribution,
    },
    /// A tensor as a value.
    Constant {
        /// The tensor.
        tensor: String,
    },
    /// Concatenated one-hot vectors `[Σ nᵢ]` of whole numbers `[A]`, the i-th in `0..nᵢ`.
    OneHot {
        /// nᵢ.
        sizes: Vec<usize>,
    },

    /// `x·W + b` over the last dimension: `[…, in]` to `[…, out]`.
    Linear {
        /// W `[in, out]`.
        weight: String,
        /// b `[out]`.
        bias: Option<String>,
    },
    /// A linear layer for each expert: `[n, p, in]` to `[n, p, out]`.
    Experts {
        /// `[n, in, out]`.
        weight: String,
        /// `[n, 1, out]`.
        bias: String,
    },
    /// A convolution over an image: `[C, H, W]` to `[C', H', W']`.
    Convolution {
        /// `[C', C, k, k]`.
        weight: String,
        /// `[C']`.
        bias: String,
        /// Distance between neighbouring windows.
        stride: usize,
        /// Zeros on every side of the image.
        padding: usize,
    },
    /// The maximum in every window of an image `[C, H, W]`.
    MaxPool {
        /// Side of a window.
        extent: usize,
        /// Distance between neighbouring windows.
        stride: usize,
        /// Positions on every side of the image that are never the maximum; at most half of `extent`.
        padding: usize,
    },
    /// The mean over square patches of an image `[C, H, W]`; at the right and lower edge they may be smaller.
    PatchMean {
        /// Side of a patch.
        size: usize,
    },

    /// Mean 0 and variance 1 over the last dimension, then a gain and a shift.
    LayerNorm {
        /// `[n]`, of `[…, n]`.
        gain: String,
        /// `[n]`.
        shift: String,
        /// Added to the variance.
        eps: f32,
    },
    /// Mean 0 and variance 1 over all of an image `[C, H, W]`, then a gain and a shift per channel.
    ImageNorm {
        /// `[C]`.
        gain: String,
        /// `[C]`.
        shift: String,
        /// Added to the variance.
        eps: f32,
    },
    /// `x / √(Σ x² + eps)` over the last dimension.
    UnitNorm {
        /// Added to the sum of squares.
        eps: f32,
    },

    /// An activation function.
    Activate(Activation),
    /// A function of each number.
    Map(Function),
    /// `x · factor + offset`.
    Scale {
        /// Factor.
        factor: f32,
        /// Offset.
        offset: f32,
    },
    /// Numbers limited to an interval.
    Clamp {
        /// Lower limit.
        low: f32,
        /// Upper limit.
        high: f32,
    },
    /// An operation on two values; the second may lack leading dimensions of the first, over which it is repeated.
    Combine(Arithmetic),

    /// The product of matrices `[…, m, k]` and `[…, k, n]` with the same leading dimensions.
    MatMul,
    /// `softmax` over a dimension.
    Softmax {
        /// The dimension.
        axis: usize,
    },
    /// A reduction of a dimension, which the result lacks.
    Reduce {
        /// The dimension.
        axis: usize,
        /// How.
        by: Reduction,
    },

    /// The same numbers, in row-major order, in another shape.
    Reshape {
        /// The shape.
        shape: Vec<usize>,
    },
    /// Two dimensions exchanged.
    Transpose {
        /// One dimension.
        first: usize,
        /// The other dimension.
        second: usize,
    },
    /// A range of a dimension.
    Slice {
        /// The dimension.
        axis: usize,
        /// The first index.
        start: usize,
        /// How many.
        len: usize,
    },
    /// Two values one after the other along a dimension.
    Concatenate {
        /// The dimension.
        axis: usize,
    },

    /// The index of the greatest of `nᵢ` numbers for each position: `[Σ nᵢ]` to `[A]`. Of equal ones it is the first.
    Greatest {
        /// nᵢ.
        sizes: Vec<usize>,
    },
    /// An index that is drawn with the probabilities softmax(x): x `[n]` and a uniform number `[1]` to `[1]`.
    DrawIndex,
    /// The tuple of whole numbers `[A]` with a joint index `[1]`; the last position varies fastest.
    Unravel {
        /// Number of choices of each position.
        sizes: Vec<usize>,
    },
    /// The action of highest density under a Fourier series per coordinate: `[A · 2 · (N + 1)]` to `[A]`.
    FourierPeak(Fourier),
    /// The action at which the distribution function of a Fourier series has a value, per coordinate:
    /// `[A · 2 · (N + 1)]` and values `[A]` to `[A]`.
    FourierQuantile(Fourier),
    /// From [-1, 1] to the interval between two bounds, each number for itself. −1 and 1 give exactly the bounds.
    Rescale {
        /// Lower bounds `[A]`.
        low: String,
        /// Upper bounds `[A]`.
        high: String,
    },
}

/// The distribution of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// The standard normal distribution.
    Normal,
    /// Uniform on [0, 1).
    Uniform,
    /// The standard Gumbel distribution: −ln(−ln u), u uniform on (0, 1).
    Gumbel,
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// eˣ.
    Exp,
    /// ln x.
    Ln,
    /// ln(1 + eˣ).
    Softplus,
}

/// An operation on two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// x + y.
    Add,
    /// x − y.
    Subtract,
    /// x · y.
    Multiply,
}

/// A function of several numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Their mean.
    Mean,
    /// Their maximum.
    Max,
}

/// Settings of a Fourier density: `sac_agents::policy::fourier` has the equations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fourier {
    /// N, the number of frequencies.
    pub frequencies: usize,
    /// ε, the weight of the uniform density.
    pub uniform_share: f64,
    /// Constant that is added to the real part of a_0.
    pub base_amplitude: f64,
}

impl Fourier {
    /// Inputs for one coordinate: the real parts of a, then the imaginary parts.
    pub fn inputs(self) -> usize {
        2 * (self.frequencies + 1)
    }

    /// Cells of the grid on which peaks and quantiles are bracketed.
    pub fn cells(self) -> usize {
        8 * (self.frequencies + 1)
    }
}

impl Op {
    /// Number of values that it takes.
    pub fn arity(&self) -> usize {
        match self {
            Op::Observation | Op::Noise { .. } | Op::Constant { .. } => 0,
            Op::Combine(_) | Op::MatMul | Op::Concatenate { .. } | Op::DrawIndex | Op::FourierQuantile(_) => 2,
            _ => 1,
        }
    }

    /// The tensors that it uses.
    pub fn tensors(&self) -> Vec<&str> {
        match self {
            Op::Constant { tensor } => vec![tensor],
            Op::Linear { weight, bias } => std::iter::once(weight).chain(bias).map(String::as_str).collect(),
            Op::Experts { weight, bias } | Op::Convolution { weight, bias, .. } => vec![weight, bias],
            Op::LayerNorm { gain, shift, .. } | Op::ImageNorm { gain, shift, .. } => vec![gain, shift],
            Op::Rescale { low, high } => vec![low, high],
            _ => Vec::new(),
        }
    }
}
