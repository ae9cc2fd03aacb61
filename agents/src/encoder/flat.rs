//! The encoder that flattens the observation: [`Flat`].

use sac_policy::Value;
use tch::Tensor;

use super::Encoder;
use crate::{
    error::Result,
    nn::{Params, Tracer},
    noise::Stream,
};

/// An encoder whose features are the observation, flattened to a vector.
pub struct Flat {
    width: i64,
}

impl Flat {
    /// An encoder for observations of `shape`.
    pub fn new(shape: &[usize]) -> Self {
        Flat {
            width: shape.iter().product::<usize>() as i64,
        }
    }
}

impl Encoder for Flat {
    fn width(&self) -> i64 {
        self.width
    }

    fn encode(&self, _params: &Params, obs: &Tensor, _stream: Option<&mut Stream>) -> Tensor {
        match obs.dim() {
            2 => obs.shallow_clone(),
            _ => obs.flatten(1, -1), // [B, F]
        }
    }

    fn trace(&self, tracer: &mut Tracer, obs: Value) -> Result<Value> {
        match tracer.shape(obs) {
            [_] => Ok(obs),
            _ => tracer.reshape(obs, &[self.width as usize]),
        }
    }

    fn multiply_adds(&self) -> i64 {
        0
    }

    fn is_identity(&self) -> bool {
        true
    }
}
