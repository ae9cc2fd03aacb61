//! A network body whose passes are computed by [`Layers`]: [`FusedBody`].

use sac_kernels::bfloat16::Bfloat16;
use sac_policy::Value;
use tch::{Kind, Tensor};

use super::layers::{Layers, LayersTape};
use crate::{
    compute::Compute,
    error::Result,
    nn::{Activations, Body, MemberLinear, Operation, Params, RecordedPass, Tracer},
    noise::Stream,
    slices::as_slice,
};

/// The fastest body that computes what `body` defines.
pub(crate) fn body(body: Box<dyn Body>, compute: &Compute, rounding: Option<Bfloat16>) -> Box<dyn Body> {
    let layers = match compute.is_fused() {
        true => Layers::of(&*body, compute, rounding),
        false => None,
    };
    match layers {
        Some(layers) => Box::new(FusedBody {
            definition: body,
            layers,
        }),
        None => body,
    }
}

/// A body whose passes are computed over slices.
///
/// A pass whose parameters need gradients is recorded ([`RecordedPass`]). A pass goes through autograd, like the
/// definition, if its input needs gradients, or if its block has further parameters that need them.
pub struct FusedBody {
    definition: Box<dyn Body>,
    layers: Layers,
}

/// A pass whose output is a leaf of the autograd graph.
struct Recorded {
    out: Tensor,
    tape: LayersTape,
}

impl RecordedPass for Recorded {
    fn output(&self) -> &Tensor {
        &self.out
    }

    fn backward(&self, params: &Params, of_output: &[f32], gradient: &mut [f32]) {
        self.tape.to_params(params, of_output, gradient);
    }
}

impl Body for FusedBody {
    fn features(
        &self,
        params: &Params,
        x: &Tensor,
        stream: Option<&mut Stream>,
        activations: Option<&mut Activations>,
    ) -> Tensor {
        self.definition.features(params, x, stream, activations)
    }

    fn outputs(&self, params: &Params, features: &Tensor) -> Tensor {
        self.definition.outputs(params, features)
    }

    fn forward(&self, params: &Params, x: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        if x.requires_grad() || x.dim() != 2 {
            return self.definition.forward(params, x, stream);
        }
        if !self.layers.learns(params) {
            return self.layers.forward(params, x, stream);
        }
        match params.recorder() {
            Some(recorder) if self.layers.covers(params) => {
                let (out, tape) = self.layers.forward_taped(params, x, stream);
                let out = out.set_requires_grad(true);
                recorder.record(Box::new(Recorded {
                    out: out.shallow_clone(),
                    tape,
                }));
                out
            }
            _ => self.definition.forward(params, x, stream),
        }
    }

    /// Returns `value + (x − sg[x]) · sg[∂value/∂x]`, which has the value and the gradient of the definition.
    fn value(&self, params: &Params, x: &Tensor, stream: &mut Stream, value_of: &dyn Fn(&Tensor) -> Tensor) -> Tensor {
        if !x.requires_grad() || x.dim() != 2 || self.layers.learns(params) {
            return value_of(&self.forward(params, x, Some(stream)));
        }
        let at = x.detach();
        let (out, tape) = self.layers.forward_taped(params, &at, Some(stream));
        let out = out.set_requires_grad(true);
        let value = value_of(&out); // [B]
        let of_out = Tensor::run_backward(&[value.sum(Kind::Float)], &[&out], false, false);
        let of_out = of_out[0].contiguous();
        let of_x = tape.to_input(params, as_slice(&of_out), 0..self.layers.inputs());
        let of_x = Tensor::from_slice(&of_x).view_as(&at); // [B, in]
        let change = ((x - at) * of_x).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        value.detach() + change
    }

    /// Small batches go through libtorch, because copying the weights into panels does not pay off for few rows.
    fn act(&self, params: &Params, x: &Tensor) -> Tensor {
        match x.dim() == 2 && x.size()[0] >= super::acting::MIN_PANEL_ROWS {
            true => self.layers.forward_in_f32(params, x),
            false => self.definition.forward(params, x, None),
        }
    }

    fn trace_features(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        self.definition.trace_features(tracer, x)
    }

    fn trace_outputs(&self, tracer: &mut Tracer, features: Value) -> Result<Value> {
        self.definition.trace_outputs(tracer, features)
    }

    fn linear_layers(&self) -> Vec<&MemberLinear> {
        self.definition.linear_layers()
    }

    fn normalizes_by_batch(&self) -> bool {
        self.definition.normalizes_by_batch()
    }

    fn operations(&self) -> Option<Vec<Operation<'_>>> {
        self.definition.operations()
    }
}
