//! Where and how an agent computes: [`Compute`].
//!
//! It is passed in once, when an agent is built. It contains no settings of the whole process: two agents in one
//! process may have different threads and precisions.

use sac_kernels::{ThreadPool, bfloat16::Bfloat16};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::error::{Error, Result};

/// The implementation of an agent's update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Implementation {
    /// [`crate::fused`] for the parts of the agent that it covers, and autograd for the rest. On a GPU the same as
    /// `Reference`.
    #[default]
    Fused,
    /// Autograd for the whole agent ([`crate::soft_actor_critic`]): the definition that [`crate::fused`] is tested
    /// against.
    Reference,
}

/// Device, threads, precision and implementation of an agent.
#[derive(Clone, Debug)]
pub struct Compute {
    /// Device of parameters and batches.
    pub device: Device,
    /// Threads for matrix products, Adam and Polyak averaging on a CPU. Their number does not affect results.
    pub threads: ThreadPool,
    /// Precision of the matrix products in updates of fused networks. Acting always uses `f32`.
    pub precision: MatmulPrecision,
    /// Implementation of the update.
    pub implementation: Implementation,
}

impl Default for Compute {
    fn default() -> Self {
        Compute::on(Device::Cpu)
    }
}

impl From<Device> for Compute {
    fn from(device: Device) -> Self {
        Compute::on(device)
    }
}

impl Compute {
    /// On `device`, with one thread, in `f32`, fused where possible.
    pub fn on(device: Device) -> Self {
        Compute {
            device,
            threads: ThreadPool::single(),
            precision: MatmulPrecision::default(),
            implementation: Implementation::default(),
        }
    }

    /// On a CPU with `threads` threads, at least 1.
    pub fn with_threads(threads: usize) -> Self {
        Compute {
            threads: ThreadPool::new(threads.max(1)),
            ..Compute::default()
        }
    }

    /// On a CPU, with the reference implementation.
    pub fn reference() -> Self {
        Compute {
            implementation: Implementation::Reference,
            ..Compute::default()
        }
    }

    /// Whether parts of an agent may be fused.
    pub fn is_fused(&self) -> bool {
        self.device == Device::Cpu && self.implementation == Implementation::Fused
    }

    /// The bfloat16 arithmetic of the products of fused networks; `None` for `f32`.
    ///
    /// # Errors
    /// [`Error::Spec`] when the device, the implementation or this processor does not support the precision.
    pub fn rounding(&self) -> Result<Option<Bfloat16>> {
        match (self.precision, Bfloat16::detect()) {
            (MatmulPrecision::Highest, _) => Ok(None),
            (precision, _) if !self.is_fused() => Err(precision.refused(match self.device {
                Device::Cpu => "expected \"highest\" with the reference implementation",
                _ => "expected \"highest\" on a GPU: other precisions are implemented on the CPU only",
            })),
            (MatmulPrecision::Medium, bfloat16 @ Some(_)) => Ok(bfloat16),
            (precision @ MatmulPrecision::Medium, None) => Err(precision.refused(
                "this processor has no AVX512-BF16, and bfloat16 is no faster without it (`sac doctor` shows what the \
                 processor has); \"highest\" works everywhere",
            )),
        }
    }
}

/// Precision of matrix products, with PyTorch's names (`torch.set_float32_matmul_precision`).
///
/// Only the factors of the matrix products of fused networks are rounded. Sums, parameters, moments, activations,
/// log-probabilities and targets are `f32`, and so is everything computed through autograd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatmulPrecision {
    /// `f32`.
    #[default]
    Highest,
    /// Factors in bfloat16, sums in `f32`.
    Medium,
}

/// The key of the setting, for errors.
const PRECISION_KEY: &str = "train.matmul_precision";

impl MatmulPrecision {
    /// The name in a file.
    pub fn name(self) -> &'static str {
        match self {
            MatmulPrecision::Highest => "highest",
            MatmulPrecision::Medium => "medium",
        }
    }

    /// An [`Error::Spec`] for this value of the setting.
    pub(crate) fn refused(self, problem: impl Into<String>) -> Error {
        Error::Spec {
            key: PRECISION_KEY.to_string(),
            value: format!("{:?}", self.name()),
            problem: problem.into(),
        }
    }
}

/// The name of this processor's bfloat16 instructions, which [`MatmulPrecision::Medium`] needs; `None` if it has none.
pub fn bfloat16_instructions() -> Option<&'static str> {
    Bfloat16::detect().map(Bfloat16::instructions)
}
