//! The multi-layer perceptron that policies and critics share: [`BodySpec`], [`Mlp`].

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::{
    inspect::Look,
    nn::{
        activation::Activation,
        explicit::{self, Dense, DenseLayer, Pass, Taped},
        layout::{Init, ParamIndex, ParamLayout},
        numbers::numbers,
        params::Params,
        precision::Products,
    },
    noise::Stream,
};

/// Hidden layers of a network. Default: two layers of 256 with ReLU (SAC 2018b, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BodySpec {
    /// Units per hidden layer.
    pub hidden: Vec<i64>,
    /// Between layers; the output is linear.
    pub activation: Activation,
    /// Normalises each hidden layer's sums over its units, before the activation (Ba et al. 2016), with a learned gain
    /// and shift.
    pub layer_norm: bool,
    /// Probability that a unit of a hidden layer is left out, in [0, 1), before the normalisation. Critics only: it is
    /// at work wherever they learn or teach, targets included (Hiraoka et al. 2022, DroQ).
    pub dropout: f64,
}

impl Default for BodySpec {
    fn default() -> Self {
        BodySpec {
            hidden: vec![256, 256],
            activation: Activation::Relu,
            layer_norm: false,
            dropout: 0.0,
        }
    }
}

/// Added to the variance of a normalised layer; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;

struct Layer {
    weight: ParamIndex,
    bias: ParamIndex,
    /// Gain and shift.
    norm: Option<(ParamIndex, ParamIndex)>,
    inputs: i64,
    outputs: i64,
}

/// A perceptron, or `E` of them side by side with weights `[E, in, out]`.
pub struct Mlp {
    layers: Vec<Layer>,
    activation: Activation,
    dropout: f64,
    members: Option<i64>,
    /// The same layers for passes by hand, where there are only such as those can take.
    dense: Option<Dense>,
    /// Of passes by hand.
    products: Products,
}

/// Where it acts: fewer rows are cheaper without copying weights into panels. Where it learns, passes are by hand whatever
/// the rows, so that those of several replicates are made like those of one.
const LEAST_ROWS_TO_ACT: i64 = 16;

impl Mlp {
    /// One network. Adds `weight [in, out]` and `bias [out]` per layer to `layout`, with `layer_norm` also `gain [out]`
    /// and `shift [out]` per hidden layer.
    pub fn single(spec: &BodySpec, inputs: i64, outputs: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, None, layout)
    }

    /// `members` independent networks: the same parameters with shapes `[E, in, out]` and `[E, 1, out]`.
    pub fn ensemble(spec: &BodySpec, inputs: i64, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        Mlp::build(spec, inputs, outputs, Some(members), layout)
    }

    fn build(spec: &BodySpec, inputs: i64, outputs: i64, members: Option<i64>, layout: &mut ParamLayout) -> Self {
        let mut layers = Vec::new();
        let mut fan_in = inputs;
        for (index, width) in spec.hidden.iter().chain([&outputs]).enumerate() {
            let (weight_shape, bias_shape) = match members {
                None => (vec![fan_in, *width], vec![*width]),
                Some(members) => (vec![members, fan_in, *width], vec![members, 1, *width]),
            };
            let linear = Init::Linear { fan_in };
            let mut add = |name: &str, shape: &[i64], init| layout.add(format!("body.{index}.{name}"), shape, init);
            layers.push(Layer {
                weight: add("weight", &weight_shape, linear),
                bias: add("bias", &bias_shape, linear),
                norm: (spec.layer_norm && index < spec.hidden.len()).then(|| {
                    let gain = add("gain", &bias_shape, Init::Constant(1.0));
                    (gain, add("shift", &bias_shape, Init::Constant(0.0)))
                }),
                inputs: fan_in,
                outputs: *width,
            });
            fan_in = *width;
        }
        let dense = |layer: &Layer| DenseLayer {
            weight: layer.weight,
            bias: layer.bias,
            inputs: layer.inputs as usize,
            outputs: layer.outputs as usize,
        };
        Mlp {
            dense: (!spec.layer_norm && spec.dropout == 0.0).then(|| Dense {
                is_single: members.is_none(),
                layers: layers.iter().map(dense).collect(),
                activation: spec.activation,
            }),
            layers,
            activation: spec.activation,
            dropout: spec.dropout,
            members,
            products: Products::default(),
        }
    }

    /// From now on passes by hand make their products like this.
    pub fn set_products(&mut self, products: Products) {
        self.products = products;
    }

    /// Multiply-adds for one sample, of all members together.
    pub fn multiply_adds(&self) -> i64 {
        let of_one: i64 = self.layers.iter().map(|layer| layer.inputs * layer.outputs).sum();
        of_one * self.members.unwrap_or(1)
    }

    /// `x [B, in]` to `[B, out]`, or to `[E, B, out]` for an ensemble. Nothing is left out.
    pub fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        self.pass(params, x, self.products, None, None)
    }

    /// The same with products in `f32`, whatever was set: what acts is to do the same on every processor, and however
    /// many rows it is asked about at once.
    pub fn forward_in_float32(&self, params: &Params, x: &Tensor) -> Tensor {
        if explicit::rows(x) >= LEAST_ROWS_TO_ACT {
            return self.pass(params, x, Products::default(), None, None);
        }
        let of_few_rows = self.of_few_rows(params, x);
        of_few_rows.unwrap_or_else(|| self.through_libtorch(params, x, None, None))
    }

    /// Whether [`Mlp::at_few_rows`] serves so many.
    pub(crate) fn serves_few_rows(&self, params: &Params, rows: usize) -> bool {
        let is_few = (rows as i64) < LEAST_ROWS_TO_ACT;
        is_few && self.members.is_none() && params.replicates() == 1 && self.goes_by_hand(params)
    }

    /// A single network's numbers `[rows, out]` at a few rows `x` `[rows, in]`, in `f32` and with the same bits on every
    /// processor, for `read`. `None` where there is more to it than layers.
    pub(crate) fn at_few_rows<R>(&self, params: &Params, x: &[f32], read: impl FnOnce(&[f32]) -> R) -> Option<R> {
        Some(self.dense.as_ref()?.at_few_rows(params, x, read))
    }

    /// Notes in `look` what hidden units do with `x [B, in]`, and what the last layer reads. Nothing is left out.
    pub fn inspect(&self, params: &Params, x: &Tensor, look: &mut Look) {
        drop(self.pass(params, x, Products::default(), None, Some(look)));
    }

    /// The same while learning: units are left out if the body says so, which draws from `noise` layer by layer.
    pub fn forward_learning(&self, params: &Params, x: &Tensor, noise: &mut Stream) -> Tensor {
        self.pass(params, x, self.products, (self.dropout > 0.0).then_some(noise), None)
    }

    /// The same parameters with the members `chosen` `[M]` only, in that order.
    pub fn of_members(&self, params: &Params, chosen: &Tensor) -> Params {
        let mine = |index: ParamIndex| {
            self.layers.iter().any(|layer| {
                let (gain, shift) = layer.norm.unzip();
                [Some(layer.weight), Some(layer.bias), gain, shift].contains(&Some(index))
            })
        };
        params.map(|index, param| match mine(index) {
            true => param.index_select(0, chosen),
            false => param.shallow_clone(),
        })
    }

    /// Whether passes with these parameters on the CPU are made by hand.
    pub fn goes_by_hand(&self, params: &Params) -> bool {
        self.dense.as_ref().is_some_and(|dense| dense.is_all_of(params))
    }

    /// The pass by hand, where it can be made: without a history; or as a leaf of the graph, noted for the one who will
    /// descend.
    fn by_hand(&self, params: &Params, x: &Tensor, products: Products) -> Option<Tensor> {
        let dense = self.dense.as_ref()?;
        if !dense.serves(params, x) {
            return None;
        }
        if !dense.learns(params) {
            return Some(dense.forward(params, x, products, false).0);
        }
        let passes = params.passes().filter(|_| dense.is_all_of(params))?;
        let (out, tape) = dense.forward(params, x, products, true);
        let out = out.set_requires_grad(true);
        let pass = Pass {
            out: out.shallow_clone(),
            tape: tape?,
        };
        explicit::note(passes, pass);
        Some(out)
    }

    /// What `value_of` makes of the result at `x [B, in]`, a number per row `[B]`, each made of its own row; with the
    /// gradient that it has by x, and none by the parameters. `None` where that cannot be done by hand.
    ///
    /// The result is `value + (x − sg[x]) · sg[∂value/∂x]`: the same number with the same gradient.
    pub fn value_at(&self, params: &Params, x: &Tensor, value_of: &dyn Fn(&Tensor) -> Tensor) -> Option<Tensor> {
        let dense = self.dense.as_ref()?;
        if !x.requires_grad() {
            return None;
        }
        let at = x.detach();
        if !dense.serves(params, &at) || dense.learns(params) {
            return None;
        }
        let (out, tape) = dense.forward(params, &at, self.products, true);
        let out = out.set_requires_grad(true);
        let value = value_of(&out); // [B]
        let of_out = Tensor::run_backward(&[value.sum(Kind::Float)], &[&out], false, false);
        let of_out = of_out[0].contiguous();
        let slope = tape?.to_input(params, numbers(&of_out), 0..self.inputs());
        let slope = Tensor::from_slice(&slope).view_as(&at); // [B, in]
        let change = ((x - at) * slope).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float);
        Some(value.detach() + change)
    }

    /// A pass by hand at `x [B, in]` whose gradient the caller takes further itself. `None` where it cannot be made so.
    pub(crate) fn taped(&self, params: &Params, x: &Tensor) -> Option<Taped> {
        let dense = self.dense.as_ref()?;
        if !dense.serves(params, x) || !dense.is_all_of(params) {
            return None;
        }
        let (out, tape) = dense.forward(params, x, self.products, true);
        Some((out, tape?))
    }

    /// A pass by hand at `x [B, in]` there and back, as [`Dense::there_and_back`]. `None` where it cannot be made so.
    pub(crate) fn there_and_back<R: Send>(
        &self,
        params: &Params,
        x: &Tensor,
        of_params: &mut [f32],
        loss: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
    ) -> Option<(Tensor, Vec<R>)> {
        let dense = self.dense.as_ref()?;
        if !dense.serves(params, x) || !dense.is_all_of(params) {
            return None;
        }
        Some(dense.there_and_back(params, x, self.products, of_params, loss))
    }

    /// Numbers that a sample has.
    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].inputs as usize
    }

    /// `[E, B, out]`, or `[B, out]` of a single network.
    fn shaped(&self, out: Tensor) -> Tensor {
        match self.members {
            None => out.squeeze_dim(0),
            Some(_) => out,
        }
    }

    /// The same product by product for a few rows, as when acting: libtorch's products, the rest by hand.
    fn of_few_rows(&self, params: &Params, x: &Tensor) -> Option<Tensor> {
        let dense = self.dense.as_ref()?;
        let serves = dense.serves(params, x) && !dense.learns(params) && params.replicates() == 1;
        if self.members.is_some() || self.activation != Activation::Relu || !serves {
            return None;
        }
        let last = self.layers.len() - 1;
        let mut h: Option<Tensor> = None;
        for (index, layer) in self.layers.iter().enumerate() {
            let mut z = h.as_ref().unwrap_or(x).mm(&params[layer.weight]); // [B, outputs]
            explicit::finish_rows(&mut z, &params[layer.bias], index < last);
            h = Some(z);
        }
        h
    }

    fn pass(
        &self,
        params: &Params,
        x: &Tensor,
        products: Products,
        noise: Option<&mut Stream>,
        look: Option<&mut Look>,
    ) -> Tensor {
        let by_hand = match look {
            None => self.by_hand(params, x, products),
            Some(_) => None,
        };
        by_hand.unwrap_or_else(|| self.through_libtorch(params, x, noise, look))
    }

    fn through_libtorch(
        &self,
        params: &Params,
        x: &Tensor,
        mut noise: Option<&mut Stream>,
        mut look: Option<&mut Look>,
    ) -> Tensor {
        if params.replicates() > 1 {
            return self.side_by_side(params, x);
        }
        let last = self.layers.len() - 1;
        let mut x = match self.members {
            None => x.shallow_clone(),
            // As many as the parameters have, which may be some of all.
            Some(_) => {
                let members = params[self.layers[0].weight].size()[0];
                x.unsqueeze(0).expand([members, -1, -1], false) // [E, B, in]
            }
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (&params[layer.weight], &params[layer.bias]);
            if let (Some(look), true) = (&mut look, index == last) {
                look.features = Some(x.shallow_clone());
            }
            // Product first, bias after: a product that adds to its output is slower (docs/performance.md).
            x = match self.members {
                None => x.mm(weight),
                // Batched products into a single column take ten times as long as the same sums written out.
                Some(_) if layer.outputs == 1 => {
                    (x * weight.transpose(1, 2)).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float) // [E, B, 1]
                }
                Some(_) => x.bmm(weight),
            };
            x += bias;
            if index == last {
                break;
            }
            if let Some(noise) = &mut noise {
                x *= noise.kept_units(&x.size(), self.dropout, x.device());
            }
            if let Some((gain, shift)) = layer.norm {
                let normed = x.layer_norm::<Tensor>([layer.outputs], None, None, LAYER_NORM_EPS, false);
                x = normed * &params[gain];
                x += &params[shift];
            }
            x = self.activation.apply(x);
            match (&mut look, self.members) {
                (None, _) => {}
                (Some(look), None) => look.units(&x),
                (Some(look), Some(_)) => look.members(&x),
            }
        }
        x
    }

    /// The same for several replicates, with parameters that have that dimension: `x [R·B, in]`, the rows of each replicate
    /// together, to `[R·B, out]`, or to `[E, R·B, out]` for an ensemble. Nothing is left out.
    fn side_by_side(&self, params: &Params, x: &Tensor) -> Tensor {
        let replicates = params.replicates() as i64;
        // [R, in, out] or [R, E, in, out] to [E, R, in, out]; what has one row, alike.
        let before_rows = |index: ParamIndex, width: i64| {
            let param = &params[index];
            match self.members {
                None => param.view([1, replicates, -1, width]),
                Some(_) => param.transpose(0, 1),
            }
        };
        let mut x = x.view([1, replicates, -1, self.layers[0].inputs]); // [1, R, B, in]
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let of = |index| before_rows(index, layer.outputs);
            let weight = of(layer.weight);
            x = match layer.outputs {
                1 => (x * weight.transpose(-2, -1)).sum_dim_intlist([-1i64].as_slice(), true, Kind::Float),
                _ => x.matmul(&weight),
            } + of(layer.bias); // [E, R, B, out]
            if index == last {
                break;
            }
            if let Some((gain, shift)) = layer.norm {
                let normed = x.layer_norm::<Tensor>([layer.outputs], None, None, LAYER_NORM_EPS, false);
                x = normed * of(gain) + of(shift);
            }
            x = self.activation.apply(x);
        }
        self.shaped(x.flatten(1, 2))
    }
}
