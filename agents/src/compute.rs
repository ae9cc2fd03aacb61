//! Where and how an agent computes: [`Compute`].
//!
//! It is handed in once, when an agent is built. Nothing of it belongs to the whole process: two agents in one process may
//! differ in their threads and in their precision.

use sac_kernels::{ThreadPool, bfloat16::Bfloat16};
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::error::{Error, Result};

/// Which implementation of the update serves an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Implementation {
    /// The derivation by hand in [`crate::fused`], for as much as it covers. Only on a CPU; elsewhere the reference.
    #[default]
    Fused,
    /// Autograd throughout ([`crate::soft_actor_critic`]): the definition that the other is tested against.
    Reference,
}

/// Device, threads, precision and implementation of an agent.
#[derive(Clone, Debug)]
pub struct Compute {
    /// Where parameters and batches live.
    pub device: Device,
    /// Threads that share matrix products, Adam and Polyak averaging on a CPU. Results do not depend on how many there are.
    pub threads: ThreadPool,
    /// Of the matrix products of fused networks that learn. Acting is in `f32` always.
    pub precision: MatmulPrecision,
    /// Of the update.
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
    /// One thread, `f32`, fused where that is possible.
    pub fn on(device: Device) -> Self {
        Compute {
            device,
            threads: ThreadPool::single(),
            precision: MatmulPrecision::default(),
            implementation: Implementation::default(),
        }
    }

    /// On a CPU with so many threads, at least 1.
    pub fn with_threads(threads: usize) -> Self {
        Compute {
            threads: ThreadPool::new(threads.max(1)),
            ..Compute::default()
        }
    }

    /// On a CPU, through autograd throughout.
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

    /// How the products of fused networks are rounded; `None` for `f32`.
    ///
    /// # Errors
    /// [`Error::Spec`] when the device or this processor cannot; the message says what is missing.
    pub fn rounding(&self) -> Result<Option<Bfloat16>> {
        match (self.precision, Bfloat16::detect()) {
            (MatmulPrecision::Highest, _) => Ok(None),
            (precision, _) if !self.is_fused() => Err(precision.refused(match self.device {
                Device::Cpu => "expected \"highest\" with the reference implementation",
                _ => "expected \"highest\" on a GPU: the others are made for the CPU",
            })),
            (MatmulPrecision::Medium, found @ Some(_)) => Ok(found),
            (precision @ MatmulPrecision::Medium, None) => Err(precision.refused(
                "this processor has no AVX512-BF16, without which bfloat16 gains nothing (`sac doctor` shows what it \
                 has); \"highest\" works everywhere",
            )),
        }
    }
}

/// How exact matrix products are, with PyTorch's names (`torch.set_float32_matmul_precision`).
///
/// Rounded are the factors of the matrix products of fused networks, and nothing else: sums, parameters, moments,
/// activations, log-probabilities and targets are `f32`, and so is everything that goes through autograd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatmulPrecision {
    /// `f32`.
    #[default]
    Highest,
    /// Factors in bfloat16, sums in `f32`.
    Medium,
}

/// Where files and flags set it, for errors.
const PRECISION_KEY: &str = "train.matmul_precision";

impl MatmulPrecision {
    /// As in a file.
    pub fn name(self) -> &'static str {
        match self {
            MatmulPrecision::Highest => "highest",
            MatmulPrecision::Medium => "medium",
        }
    }

    /// The error of a setting that cannot be.
    pub(crate) fn refused(self, problem: impl Into<String>) -> Error {
        Error::Spec {
            key: PRECISION_KEY.to_string(),
            value: format!("{:?}", self.name()),
            problem: problem.into(),
        }
    }
}

/// The instructions by which this processor multiplies bfloat16, which [`MatmulPrecision::Medium`] needs; `None` if it has
/// none.
pub fn bfloat16_instructions() -> Option<&'static str> {
    Bfloat16::detect().map(Bfloat16::instructions)
}
