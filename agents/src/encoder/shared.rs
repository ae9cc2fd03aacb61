//! A critic's encoder, as a policy reads it: [`SharedEncoder`].

use sac_envs::Space;
use tch::Tensor;

use super::{BuildEncoder, Encoder};
use crate::{
    checkpoint::Section,
    error::Result,
    nn::{ParamBlock, ParamLayout, Params},
    noise::Stream,
};

/// Where a section holds the copy.
const PREFIX: &str = "encoder";

/// An encoder whose parameters belong to a critic. What the critic learns shows at once; no gradient gets here.
pub struct SharedEncoder {
    encoder: Box<dyn Encoder>,
    /// Views of the critic's block, without a history.
    params: Params,
    names: Vec<String>,
}

impl SharedEncoder {
    /// The encoder at the beginning of a critic's `block`, which `build` built.
    pub fn new(build: &BuildEncoder, observation: &Space, block: &ParamBlock) -> Self {
        // Laid out once more, which gives the same indices, because critics lay their encoder out first.
        let mut layout = ParamLayout::default();
        let encoder = build(observation, &mut layout);
        let (names, params) = block.frozen_start(&layout);
        SharedEncoder { encoder, params, names }
    }

    /// F.
    pub fn width(&self) -> i64 {
        self.encoder.width()
    }

    /// Multiply-adds for one sample.
    pub fn multiply_adds(&self) -> i64 {
        self.encoder.multiply_adds()
    }

    /// Features `[B, F]` of `obs [B, …]`, as the critic encodes them now, without noise and without a history.
    pub fn encode(&self, obs: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.encoder.encode(&self.params, obs, None::<&mut Stream>)
    }

    /// Writes a copy, so that acting needs one section.
    pub fn save(&self, section: &mut Section) {
        for (name, param) in self.names.iter().zip(self.params.iter()) {
            section.put_tensor(format!("{PREFIX}/{name}"), param);
        }
    }

    /// Takes the copy back, into the critic's block.
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
