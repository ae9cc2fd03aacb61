//! The translation of networks to graphs of `sac-policy`, which act without libtorch: [`Tracer`].

use sac_policy::{Draft, Op, Tensor as Numbers, Value};
use tch::{Device, Kind, Tensor};

use super::{layout::ParamIndex, params::Params};
use crate::error::Result;

/// Adds what a network computes, for one observation and without its noise, to a draft of a graph.
pub struct Tracer<'a> {
    draft: &'a mut Draft,
    params: &'a Params,
    names: Vec<String>,
}

impl<'a> Tracer<'a> {
    /// A tracer of a network with these parameters, whose names are in the order of the layout.
    pub fn new(draft: &'a mut Draft, params: &'a Params, names: Vec<String>) -> Self {
        Tracer { draft, params, names }
    }

    /// The draft.
    pub fn draft(&mut self) -> &mut Draft {
        self.draft
    }

    /// The shape of a value, without the batch.
    pub fn shape(&self, value: Value) -> &[usize] {
        self.draft.shape(value)
    }

    /// Adds an operation, and returns its result.
    ///
    /// # Errors
    /// When it does not fit the values or its tensors.
    pub fn add(&mut self, op: Op, of: &[Value]) -> Result<Value> {
        Ok(self.draft.add(op, of)?)
    }

    /// Adds a parameter to the graph's tensors under its own name, which is returned.
    ///
    /// # Errors
    /// When a number of it is not finite.
    pub fn param(&mut self, index: ParamIndex) -> Result<String> {
        let name = self.names[index.0].clone();
        let param = self.params[index].shallow_clone();
        self.tensor(&name, &param)
    }

    /// The values of a parameter.
    pub fn values(&self, index: ParamIndex) -> &Tensor {
        &self.params[index]
    }

    /// The name of a parameter.
    pub fn name(&self, index: ParamIndex) -> &str {
        &self.names[index.0]
    }

    /// Adds a tensor to the graph's, and returns its name.
    ///
    /// # Errors
    /// When a number of it is not finite, or there is another tensor of this name.
    pub fn tensor(&mut self, name: &str, tensor: &Tensor) -> Result<String> {
        let numbers = Numbers {
            shape: tensor.size().iter().map(|extent| *extent as usize).collect(),
            data: Vec::<f32>::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Float).reshape([-1]))?,
        };
        self.draft.tensor(name, numbers)?;
        Ok(name.to_string())
    }

    /// A parameter as a value.
    ///
    /// # Errors
    /// As [`Tracer::param`].
    pub fn constant(&mut self, index: ParamIndex) -> Result<Value> {
        let tensor = self.param(index)?;
        self.add(Op::Constant { tensor }, &[])
    }

    /// A value in another shape.
    ///
    /// # Errors
    /// When it has another number of numbers.
    pub fn reshape(&mut self, value: Value, shape: &[usize]) -> Result<Value> {
        let shape = shape.to_vec();
        self.add(Op::Reshape { shape }, &[value])
    }

    /// A value with two dimensions exchanged.
    ///
    /// # Errors
    /// When it has no such dimensions.
    pub fn transpose(&mut self, value: Value, first: usize, second: usize) -> Result<Value> {
        self.add(Op::Transpose { first, second }, &[value])
    }
}
