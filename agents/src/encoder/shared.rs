//! A policy's read-only view of its critic's encoder: [`SharedEncoder`].

use sac_envs::Space;
use sac_policy::{Draft, Value};
use tch::Tensor;

use super::{BuildEncoder, Encoder};
use crate::{
    checkpoint::Section,
    error::Result,
    nn::{ParamBlock, ParamLayout, Params, Tracer},
    noise::Stream,
};

/// Prefix of the encoder's parameters in a section.
const PREFIX: &str = "encoder";

/// An encoder whose parameters are detached views of a critic's block. It sees every update of the critic.
pub struct SharedEncoder {
    encoder: Box<dyn Encoder>,
    /// Detached views of the critic's block.
    params: Params,
    names: Vec<String>,
}

impl SharedEncoder {
    /// The encoder that `build` built at the beginning of a critic's `block`.
    pub fn new(build: &BuildEncoder, observation: &Space, block: &ParamBlock) -> Self {
        // Building the encoder again gives the same indices, because a critic's block begins with its encoder.
        let mut layout = ParamLayout::default();
        let encoder = build(observation, &mut layout);
        let (names, params) = block.frozen_start(&layout);
        SharedEncoder { encoder, params, names }
    }

    /// F, the number of features.
    pub fn width(&self) -> i64 {
        self.encoder.width()
    }

    /// Multiply-adds for one sample.
    pub fn multiply_adds(&self) -> i64 {
        self.encoder.multiply_adds()
    }

    /// Features `[B, F]` of `obs [B, …]` with the critic's current parameters, detached and without noise.
    pub fn encode(&self, obs: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.encoder.encode(&self.params, obs, None::<&mut Stream>)
    }

    /// Adds the encoder to a graph: features `[F]` of an observation.
    ///
    /// # Errors
    /// As [`Encoder::trace`].
    pub fn trace(&self, draft: &mut Draft, obs: Value) -> Result<Value> {
        let mut tracer = Tracer::new(draft, &self.params, self.names.clone());
        self.encoder.trace(&mut tracer, obs)
    }

    /// Writes a copy of the parameters to the policy's section, so that acting needs this section only.
    pub fn save(&self, section: &mut Section) {
        for (name, param) in self.names.iter().zip(self.params.iter()) {
            section.put_tensor(format!("{PREFIX}/{name}"), param);
        }
    }

    /// Restores the parameters, in the critic's block, from the copy.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        for (name, param) in self.names.iter().zip(self.params.iter()) {
            let size = param.size();
            let saved = section.tensor(&format!("{PREFIX}/{name}"), &size)?;
            param.shallow_clone().copy_(&saved.to_device(param.device()));
        }
        Ok(())
    }
}
