//! How exactly numbers are multiplied: [`MatmulPrecision`], [`Products`].
//!
//! What is rounded are the factors of matrix products in passes by hand (`explicit.rs`), and nothing else: sums,
//! parameters, moments, activations, log-probabilities and targets are `f32`, and so is everything on the way through
//! autograd.

use serde::{Deserialize, Serialize};

use super::product::Bfloat16;
use crate::error::{Error, Result};

/// PyTorch's names for how exact matrix products are (`torch.set_float32_matmul_precision`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatmulPrecision {
    /// `f32`.
    #[default]
    Highest,
    /// Fewer digits where that gains time and keeps more than bfloat16's eight. On the CPU it gains none, so `f32`.
    High,
    /// Factors in bfloat16, sums in `f32`.
    Medium,
}

/// Where files and flags set it, for errors.
pub const KEY: &str = "train.matmul_precision";

impl MatmulPrecision {
    /// As in a file.
    pub fn name(self) -> &'static str {
        match self {
            MatmulPrecision::Highest => "highest",
            MatmulPrecision::High => "high",
            MatmulPrecision::Medium => "medium",
        }
    }

    /// How products are made, if this processor can.
    ///
    /// # Errors
    /// [`Error::Spec`] when it cannot; the message says what is missing.
    pub fn products(self) -> Result<Products> {
        match (self, Bfloat16::detect()) {
            (MatmulPrecision::Highest | MatmulPrecision::High, _) => Ok(Products::default()),
            (MatmulPrecision::Medium, found @ Some(_)) => Ok(Products(found)),
            (MatmulPrecision::Medium, None) => Err(self.refused(
                "this processor has no AVX512-BF16, without which bfloat16 gains nothing (`sac doctor` shows what it has); \
                 \"highest\" works everywhere",
            )),
        }
    }

    /// The error of a setting that cannot be.
    pub(crate) fn refused(self, problem: impl Into<String>) -> Error {
        Error::Spec {
            key: KEY.to_string(),
            value: format!("{:?}", self.name()),
            problem: problem.into(),
        }
    }
}

/// Whether this processor multiplies bfloat16, which [`MatmulPrecision::Medium`] needs.
pub fn multiplies_bfloat16() -> bool {
    Bfloat16::detect().is_some()
}

/// The instructions by which it does.
pub fn bfloat16_instructions() -> Option<&'static str> {
    Bfloat16::detect().map(Bfloat16::instructions)
}

/// How the products of a network are made. By default in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Products(Option<Bfloat16>);

impl Products {
    /// What rounds the factors of products `[m, k] · [k, n]`, if something does.
    pub(super) fn rounding(self, k: usize, n: usize) -> Option<Bfloat16> {
        self.0.filter(|processor| processor.serves(k, n))
    }
}
