//! Forward and backward passes of networks with normalisation, dropout or residual blocks over slices: [`Chain`].
//!
//! A chain is a list of steps, each with a hand-written backward pass. [`crate::nn::Mlp`] and
//! [`crate::nn::residual::Residual`] are the definitions; `agents/tests/fused.rs` compares them. The equations of the
//! normalisations are in [`sac_kernels::norm`].
//!
//! One thread computes all steps of a member, whose rows depend on each other under batch normalisation.

mod backward;
mod forward;

use std::sync::{Arc, Mutex, PoisonError};

use sac_kernels::{Activation, ThreadPool, bfloat16::Bfloat16, norm::rows::RowMoments};
use tch::Tensor;

use super::dense::nth;
use crate::{
    compute::Compute,
    nn::{BatchNorm, MemberLinear, Operation, ParamIndex, Params},
    slices::as_slice,
};

/// The values that a step reads.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// The input of the pass.
    Input,
    /// The output of a step.
    Step(usize),
}

/// A step of a pass. A ReLU belongs to the step before it.
#[derive(Clone, Debug)]
enum Step {
    Linear {
        weight: ParamIndex,
        bias: Option<ParamIndex>,
        inputs: usize,
        relu: bool,
    },
    BatchNorm {
        norm: Box<BatchNorm>,
        relu: bool,
    },
    /// Layer normalisation, or RMS normalisation without a shift.
    RowNorm {
        gain: ParamIndex,
        shift: Option<ParamIndex>,
        eps: f32,
        relu: bool,
    },
    Activate(Activation),
    /// Changes the output of the step before it in place. The number is the index among all dropouts.
    Dropout(f64, usize),
    /// Computes nothing. The backward pass adds the gradient that goes around the block.
    BeginBlock,
    /// Adds the block's input.
    EndBlock(Source),
}

/// A step with its place among the others.
#[derive(Clone, Debug)]
struct Placed {
    step: Step,
    from: Source,
    /// Number of outputs.
    width: usize,
}

impl Placed {
    /// Number of values per row that it reads.
    fn inputs(&self) -> usize {
        match self.step {
            Step::Linear { inputs, .. } => inputs,
            _ => self.width,
        }
    }
}

/// A network as a list of steps, the last of which is a linear layer.
#[derive(Clone)]
pub(crate) struct Chain {
    steps: Vec<Placed>,
    inputs: usize,
    /// Number of parameters and running statistics of all steps.
    params: usize,
    is_single: bool,
    threads: ThreadPool,
    rounding: Option<Bfloat16>,
    /// Values of earlier passes, whose memory is used again.
    spare: Arc<Mutex<Vec<Values>>>,
}

/// The values of a member's pass, by step.
type Values = Vec<StepValues>;

/// The values that a step keeps for the steps after it and for the backward pass.
#[derive(Default)]
struct StepValues {
    out: Vec<f32>,
    columns: ColumnMoments,
    rows: Vec<RowMoments>,
}

/// Statistics with which columns were normalised, and the corrections of batch renormalisation, `[n]` each.
#[derive(Default)]
struct ColumnMoments {
    mean: Vec<f32>,
    /// Biased.
    variance: Vec<f32>,
    inverse_std: Vec<f32>,
    /// r and d.
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// The values that a forward pass keeps for the backward pass.
pub(crate) struct ChainTape {
    chain: Chain,
    inputs: Inputs,
    /// By member.
    values: Vec<Values>,
}

impl Drop for ChainTape {
    fn drop(&mut self) {
        self.chain.give_back(std::mem::take(&mut self.values));
    }
}

/// The inputs of a pass.
struct Inputs {
    /// `[B, in]`.
    x: Tensor,
    /// By dropout; none if it is inactive.
    dropped: Vec<Dropped>,
    /// Whether batch normalisation uses the statistics of the batch.
    by_batch: bool,
    rounding: Option<Bfloat16>,
}

/// What a dropout does with the units `[E, B, width]` of a pass.
struct Dropped {
    /// The dropped units, in ascending order.
    units: Vec<usize>,
    /// The factor of all others.
    factor: f32,
}

impl Dropped {
    /// Changes the units or gradients `x` `[B, width]` of the member `index`.
    fn apply(&self, index: usize, x: &mut [f32]) {
        x.iter_mut().for_each(|x| *x *= self.factor);
        let (first, end) = (index * x.len(), (index + 1) * x.len());
        let begin = self.units.partition_point(|unit| *unit < first);
        let own = self.units[begin..].iter().take_while(|unit| **unit < end);
        own.for_each(|unit| x[unit - first] = 0.0);
    }
}

/// The inputs of a pass as slices, which threads share.
struct Pass<'a> {
    chain: &'a Chain,
    /// B.
    rows: usize,
    x: &'a [f32],
    dropped: &'a [Dropped],
    by_batch: bool,
    rounding: Option<Bfloat16>,
}

impl Inputs {
    fn pass<'a>(&'a self, chain: &'a Chain) -> Pass<'a> {
        Pass {
            chain,
            rows: self.x.size()[0] as usize,
            x: as_slice(&self.x),
            dropped: &self.dropped,
            by_batch: self.by_batch,
            rounding: self.rounding,
        }
    }
}

/// The parameters of one member by position in the layout.
struct Member<'a>(Vec<&'a [f32]>);

impl<'a> Member<'a> {
    fn of(&self, index: ParamIndex) -> &'a [f32] {
        self.0[index.position()]
    }
}

impl Chain {
    /// The chain of `operations`; `None` if their order has no fused form.
    pub(crate) fn of(operations: &[Operation], compute: &Compute, rounding: Option<Bfloat16>) -> Option<Self> {
        let linear = |operation: &Operation| match operation {
            Operation::Linear(linear) => Some((linear.extents().0 as usize, linear.is_single())),
            _ => None,
        };
        let (inputs, is_single) = operations.iter().find_map(linear)?;
        linear(operations.last()?)?;
        let mut chain = Chain {
            steps: Vec::new(),
            inputs,
            params: 0,
            is_single,
            threads: compute.threads.clone(),
            rounding,
            spare: Arc::default(),
        };
        let mut block = None;
        operations
            .iter()
            .try_for_each(|operation| chain.add(operation, &mut block))?;
        Some(chain)
    }

    /// Adds an operation. `block` is the input of the current block, if there is one.
    fn add(&mut self, operation: &Operation, block: &mut Option<Source>) -> Option<()> {
        let (from, width) = match self.steps.iter().rposition(|placed| placed.step.has_output()) {
            None => (Source::Input, self.inputs),
            Some(last) => (Source::Step(last), self.steps[last].width),
        };
        let step = match operation {
            Operation::Linear(linear) => return self.add_linear(linear, from),
            Operation::Activate(Activation::Relu) if self.steps.last_mut().is_some_and(Step::merge_relu) => {
                return Some(());
            }
            // It replaces its input, which nothing else may read.
            Operation::Activate(_) if from == Source::Input || *block == Some(from) => return None,
            Operation::Activate(activation) => Step::Activate(*activation),
            Operation::Dropout(share) => {
                let is_after_linear = matches!(self.steps.last()?.step, Step::Linear { .. });
                let dropouts = self.steps.iter().filter(|placed| placed.step.drops_units()).count();
                is_after_linear.then_some(Step::Dropout(*share, dropouts))?
            }
            Operation::BatchNorm(norm) => {
                self.params += 4 + usize::from(norm.batches.is_some());
                Step::BatchNorm {
                    norm: Box::new((*norm).clone()),
                    relu: false,
                }
            }
            Operation::LayerNorm(norm) => {
                self.params += 2;
                Step::RowNorm {
                    gain: norm.gain,
                    shift: Some(norm.shift),
                    eps: norm.eps as f32,
                    relu: false,
                }
            }
            Operation::RmsNorm(norm) => {
                self.params += 1;
                Step::RowNorm {
                    gain: norm.gain,
                    shift: None,
                    eps: norm.eps as f32,
                    relu: false,
                }
            }
            Operation::BeginBlock => {
                let is_nested = block.replace(from).is_some();
                (!is_nested).then_some(Step::BeginBlock)?
            }
            Operation::EndBlock => Step::EndBlock(block.take()?),
        };
        self.steps.push(Placed { step, from, width });
        Some(())
    }

    fn add_linear(&mut self, linear: &MemberLinear, from: Source) -> Option<()> {
        let ((weight, bias), (inputs, outputs)) = (linear.params(), linear.extents());
        self.params += 1 + usize::from(bias.is_some());
        self.steps.push(Placed {
            step: Step::Linear {
                weight,
                bias,
                inputs: inputs as usize,
                relu: false,
            },
            from,
            width: outputs as usize,
        });
        Some(())
    }

    /// Whether `params` consists of the parameters of these steps only, so that the backward pass gives the whole
    /// gradient.
    pub(crate) fn covers(&self, params: &Params) -> bool {
        params.count() == self.params
    }

    /// Whether gradients are to reach the parameters.
    pub(super) fn learns(&self, params: &Params) -> bool {
        params.learns(self.last_linear().0)
    }

    /// Whether a pass with a stream draws from it.
    pub(super) fn draws(&self) -> bool {
        self.steps.iter().any(|placed| placed.step.drops_units())
    }

    /// Number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// The same chain in `f32`.
    pub(super) fn in_f32(&self) -> Self {
        Chain {
            rounding: None,
            ..self.clone()
        }
    }

    /// Weight and number of inputs of the output layer.
    fn last_linear(&self) -> (ParamIndex, usize) {
        match self.steps[self.steps.len() - 1].step {
            Step::Linear { weight, inputs, .. } => (weight, inputs),
            _ => unreachable!("the last step is linear: checked in Chain::of"),
        }
    }

    /// Number of outputs.
    fn outputs(&self) -> usize {
        self.steps[self.steps.len() - 1].width
    }

    /// The parameters by member. `params` may be those of some members only.
    fn members<'a>(&self, params: &'a Params) -> Vec<Member<'a>> {
        let (weight, inputs) = self.last_linear();
        let count = params.values(weight).len() / (inputs * self.outputs());
        let of_member = |member: usize| {
            let values = params.positions().map(|index| params.values(index));
            Member(values.map(|values| nth(values, member, values.len() / count)).collect())
        };
        (0..count).map(of_member).collect()
    }

    /// Memory for the values of `members` passes.
    fn values(&self, members: usize) -> Vec<Values> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || self.steps.iter().map(|_| StepValues::default()).collect();
        (0..members).map(|_| spare.pop().unwrap_or_else(fresh)).collect()
    }

    fn give_back(&self, values: Vec<Values>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).extend(values);
    }
}

impl Step {
    /// Gives the step a ReLU; false if it cannot have one.
    fn merge_relu(placed: &mut Placed) -> bool {
        match &mut placed.step {
            Step::Linear { relu, .. } | Step::BatchNorm { relu, .. } | Step::RowNorm { relu, .. } => {
                *relu = true;
                true
            }
            _ => false,
        }
    }

    fn has_relu(&self) -> bool {
        match self {
            Step::Linear { relu, .. } | Step::BatchNorm { relu, .. } | Step::RowNorm { relu, .. } => *relu,
            _ => false,
        }
    }

    fn drops_units(&self) -> bool {
        matches!(self, Step::Dropout(..))
    }

    /// Whether it has an output of its own.
    fn has_output(&self) -> bool {
        !matches!(self, Step::Dropout(..) | Step::BeginBlock)
    }
}
