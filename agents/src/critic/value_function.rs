//! A learned value function with target parameters, optimiser and filter: [`FunctionSpec`], [`ValueFunction`].

use tch::Tensor;

use super::{
    combination::Combination,
    network::{Companions, Network, NetworkContext},
    target_filter::{TargetFilter, TargetFilterSpec},
};
use crate::{
    batch::Batch,
    checkpoint::Section,
    compute::Compute,
    error::Result,
    nn::{Activations, AdamSpec, ParamBlock, ParamLayout, Params, Trainable},
    noise::Stream,
    policy::{ActionDraw, ActionKind, Actions, expectation},
    schedule::GradSteps,
    target::TargetSpec,
};

/// The inputs of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionInput {
    /// States and actions.
    Actions,
    /// States only.
    States,
}

/// Description of a function that a critic learns.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSpec {
    /// Name in checkpoints.
    pub name: &'static str,
    /// The function's inputs.
    pub input: FunctionInput,
    /// E, the number of members.
    pub members: i64,
    /// K, the number of outputs per input and member.
    pub outputs: i64,
    /// Optimiser of all members.
    pub optimizer: AdamSpec,
    /// Name of the target parameters in checkpoints, if the function has any.
    pub target: Option<&'static str>,
    /// Low-pass filter over the action of the target.
    pub target_filter: Option<TargetFilterSpec>,
}

impl FunctionSpec {
    fn has_target_params(&self, context: &NetworkContext) -> bool {
        self.target.is_some() && context.targets.has_parameters()
    }
}

/// A learned function: network, online and target parameters, optimiser and target filter.
pub struct ValueFunction {
    spec: FunctionSpec,
    /// Encoder and members.
    pub network: Network,
    /// Online parameters of encoder and all members, with their optimiser.
    pub online: Trainable,
    /// Target parameters; `None` if targets are computed with the online ones.
    pub target: Option<ParamBlock>,
    filter: Option<TargetFilter>,
}

/// A function as targets are computed with it: with its target parameters, and detached.
///
/// Batch normalisation uses the statistics of the rows together with those of the batch that is learned from.
pub struct TargetFunction<'a> {
    function: &'a ValueFunction,
    params: TargetParams<'a>,
    companions: Companions<'a>,
}

enum TargetParams<'a> {
    Own(&'a Params),
    /// Of some members, or for normalisation by batches.
    Derived(Params),
}

impl<'a> TargetFunction<'a> {
    fn params(&self) -> &Params {
        match &self.params {
            TargetParams::Own(params) => params,
            TargetParams::Derived(params) => params,
        }
    }

    /// The members `chosen` `[M]` of the function.
    pub fn members(&self, chosen: &Tensor) -> Self {
        TargetFunction {
            params: TargetParams::Derived(self.function.network.of_members(self.params(), chosen)),
            ..*self
        }
    }

    /// The target filter, if it is active.
    pub fn filter(&self) -> Option<&'a TargetFilter> {
        self.function.filter()
    }

    /// Outputs `[E, B, K]` for `action` `[B, A]` at `obs` `[B, …]`.
    pub fn at(&self, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Tensor {
        let network = &self.function.network;
        network.at_with(self.params(), self.companions, obs, action, stream)
    }

    /// Outputs `[E, B, K]` at the states `obs` `[B, …]`.
    pub fn of_state(&self, obs: &Tensor, stream: &mut Stream) -> Tensor {
        self.function.network.of_state(self.params(), obs, stream)
    }

    /// The first output, reduced over members: `[B]`. For a draw with probabilities, the expectation over its actions.
    pub fn expected(&self, obs: &Tensor, draw: &ActionDraw, stream: &mut Stream, combination: Combination) -> Tensor {
        expected(draw, combination, |action| match action {
            Some(action) => self.at(obs, action, stream),
            None => {
                let network = &self.function.network;
                network.of_all_actions_with(self.params(), self.companions.obs, obs, stream)
            }
        })
    }
}

/// The rows that are normalised together with those that are learned from.
fn companions<'a>(batch: &'a Batch, next: &'a ActionDraw) -> Companions<'a> {
    Companions {
        obs: &batch.next_obs,
        action: next.drawn(),
    }
}

/// The first output of a function, reduced over members: `[B]`. `of` gives its outputs for drawn actions, `[E, B, K]`, or
/// for all actions, `[E, B, n, K]`, over which the expectation is taken.
fn expected(draw: &ActionDraw, combination: Combination, of: impl FnOnce(Option<&Tensor>) -> Tensor) -> Tensor {
    let reduced = combination.apply(&of(draw.drawn()).select(-1, 0)); // [B] or [B, n]
    match &draw.actions {
        Actions::Sampled(_) => reduced,
        Actions::Weighted(probability) => expectation(probability, &reduced),
    }
}

impl ValueFunction {
    /// Builds the function with initial weights drawn from `init`. Target parameters start as a copy of them.
    pub fn build(spec: &FunctionSpec, context: &NetworkContext, init: &mut Stream) -> Self {
        let (network, layout) = ValueFunction::network(spec, context);
        let online = Trainable::new(layout, spec.optimizer, init, context.compute);
        let filter = match (&spec.target_filter, context.actions) {
            (None, _) => None,
            (Some(filter), ActionKind::Vector { width }) => {
                Some(TargetFilter::build(filter, width, context.compute.device))
            }
            (Some(_), ActionKind::Enumerated { .. }) => {
                unreachable!("no filter over enumerated actions: checked in the specification")
            }
        };
        ValueFunction {
            target: spec.has_target_params(context).then(|| online.params.detached_copy()),
            spec: spec.clone(),
            network,
            online,
            filter,
        }
    }

    fn network(spec: &FunctionSpec, context: &NetworkContext) -> (Network, ParamLayout) {
        let mut layout = ParamLayout::default();
        let network = match spec.input {
            FunctionInput::Actions => Network::of_actions(context, spec.outputs, spec.members, &mut layout),
            FunctionInput::States => Network::of_states(context, spec.outputs, spec.members, &mut layout),
        };
        (network, layout)
    }

    /// Bytes that a function takes, its optimiser and a gradient included, without allocating it.
    pub fn bytes(spec: &FunctionSpec, context: &NetworkContext) -> u64 {
        let (_, layout) = ValueFunction::network(spec, context);
        let of_target = if spec.has_target_params(context) {
            layout.bytes()
        } else {
            0
        };
        Trainable::bytes(&layout) + of_target
    }

    /// E, the number of members.
    pub fn members(&self) -> i64 {
        self.spec.members
    }

    /// The target filter, if it is active.
    pub fn filter(&self) -> Option<&TargetFilter> {
        self.filter.as_ref().and_then(TargetFilter::active)
    }

    /// The function as targets of `batch` are computed with it.
    ///
    /// # Panics
    /// When the function is declared without a target.
    pub fn of_target<'a>(&'a self, batch: &'a Batch) -> TargetFunction<'a> {
        assert!(
            self.spec.target.is_some(),
            "only functions with a target are evaluated with it"
        );
        let params = self.target.as_ref().unwrap_or(&self.online.params).frozen();
        TargetFunction {
            function: self,
            params: match self.network.normalizes_by_batch() {
                true => TargetParams::Derived(params.by_batch()),
                false => TargetParams::Own(params),
            },
            companions: Companions {
                obs: &batch.obs,
                action: Some(&batch.action),
            },
        }
    }

    /// Outputs `[E, B, K]` for `action` `[B, A]` at `obs` `[B, …]`, detached.
    pub fn at(&self, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.at(self.online.params.frozen(), obs, action, stream)
    }

    /// Outputs `[E, B, n, K]` for each of n enumerated actions at `obs` `[B, …]`, detached.
    pub fn of_all_actions(&self, obs: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.of_all_actions(self.online.params.frozen(), obs, stream)
    }

    /// Applies `value_of` to the outputs `[E, B, K]` for `action` `[B, A]` at `obs` `[B, …]`. It returns one number per
    /// row, `[B]`, that depends on that row alone. Gradients reach `action` but not the parameters.
    pub fn value(
        &self,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
        value_of: &dyn Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        let params = self.online.params.frozen();
        self.network.value(params, obs, action, stream, value_of)
    }

    /// The first output, reduced over members: `[B]`, detached. For a draw with probabilities, the expectation over its
    /// actions.
    pub fn expected(&self, obs: &Tensor, draw: &ActionDraw, stream: &mut Stream, combination: Combination) -> Tensor {
        expected(draw, combination, |action| match action {
            Some(action) => self.at(obs, action, stream),
            None => self.of_all_actions(obs, stream),
        })
    }

    /// Makes one optimiser step on `loss` of the outputs `[E, B, K]` for the actions of `batch`. Batch normalisation
    /// uses the statistics of the batch together with those of its next observations and the actions `next`.
    pub fn minimize(
        &mut self,
        batch: &Batch,
        next: &ActionDraw,
        stream: &mut Stream,
        loss: impl FnOnce(&Tensor) -> Tensor,
    ) {
        let views = self.online.views();
        let companions = companions(batch, next);
        let out = self
            .network
            .at_with(&views, companions, &batch.obs, &batch.action, stream);
        self.online.descend(&loss(&out));
    }

    /// The members' inputs of [`ValueFunction::minimize`], if actions are vectors: those of the batch, `[M·B, F + A]`, and
    /// after them the others that are normalised together with them.
    pub(crate) fn input_to_learn(
        &self,
        params: &Params,
        batch: &Batch,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Tensor {
        let companions = companions(batch, next);
        self.network
            .input_with(params, companions, &batch.obs, &batch.action, stream)
    }

    /// Makes one optimiser step on `loss` of the outputs `[E, B, K]` at the states `obs` `[B, …]`.
    pub fn minimize_of_state(&mut self, obs: &Tensor, stream: &mut Stream, loss: impl FnOnce(&Tensor) -> Tensor) {
        let out = self.network.of_state(&self.online.views(), obs, stream);
        self.online.descend(&loss(&out));
    }

    /// Moves the target parameters by `rule`. To be called when targets are due.
    pub(super) fn follow(&mut self, rule: TargetSpec) {
        if let Some(target) = &mut self.target {
            rule.follow(target, &self.online.params);
        }
    }

    /// Mixes freshly drawn initial values into the parameters, with weight `share`, and forgets the optimiser's moments.
    /// Target parameters become a copy.
    pub(super) fn reset(&mut self, share: f64, stream: &mut Stream, compute: &Compute) {
        self.online.reset(share, stream, compute);
        if let Some(target) = &mut self.target {
            target.move_towards(&self.online.params, 1.0);
        }
    }

    /// Sets learning rate and the filter's bandwidth to their values after `at` gradient steps.
    pub(super) fn anneal(&mut self, at: GradSteps) {
        self.online.anneal(at);
        if let Some(filter) = &mut self.filter {
            filter.anneal(at);
        }
    }

    /// Activations of encoder and members for `action` `[B, A]` at `obs` `[B, …]`.
    pub(super) fn inspect(&self, obs: &Tensor, action: &Tensor) -> (Activations, Activations) {
        self.network.inspect(self.online.params.frozen(), obs, action)
    }

    pub(super) fn save(&self, section: &mut Section) {
        self.online.save(self.spec.name, section);
        if let (Some(target), Some(name)) = (&self.target, self.spec.target) {
            target.save(name, section);
        }
    }

    pub(super) fn load(&mut self, section: &Section) -> Result<()> {
        self.online.load(self.spec.name, section)?;
        match (&mut self.target, self.spec.target) {
            (Some(target), Some(name)) => target.load(name, section),
            _ => Ok(()),
        }
    }
}
