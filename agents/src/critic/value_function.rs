//! A learned function with everything that belongs to it: [`FunctionSpec`], [`ValueFunction`].

use tch::Tensor;

use super::{
    combination::Combination,
    network::{Network, NetworkContext},
    target_filter::{TargetFilter, TargetFilterSpec},
};
use crate::{
    checkpoint::Section,
    error::Result,
    nn::{Activations, AdamSpec, ParamBlock, ParamLayout, Params, Trainable},
    noise::Stream,
    policy::{ActionDraw, ActionKind, Actions, expectation},
    schedule::GradSteps,
    target::TargetSpec,
};

/// What a function reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionInput {
    /// States and actions.
    Actions,
    /// States alone.
    States,
}

/// A function that a critic learns.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionSpec {
    /// Its name in checkpoints.
    pub name: &'static str,
    /// What it reads.
    pub input: FunctionInput,
    /// E.
    pub members: i64,
    /// K: numbers per input and member.
    pub outputs: i64,
    /// Of all members together.
    pub optimizer: AdamSpec,
    /// Name of the trailing copy in checkpoints, where there is one.
    pub target: Option<&'static str>,
    /// Low-pass filter over the action of the target.
    pub target_filter: Option<TargetFilterSpec>,
}

/// Encoder, members, online and target parameters, optimiser and filter of one function.
pub struct ValueFunction {
    spec: FunctionSpec,
    pub(crate) network: Network,
    /// Encoder and all members in one block.
    pub online: Trainable,
    /// The trailing copy.
    pub target: Option<ParamBlock>,
    filter: Option<TargetFilter>,
}

impl ValueFunction {
    /// With initial weights from `init`; the target starts equal to the online parameters.
    pub fn build(spec: &FunctionSpec, context: &NetworkContext, init: &mut Stream) -> Self {
        let mut layout = ParamLayout::default();
        let network = match spec.input {
            FunctionInput::Actions => Network::of_actions(context, spec.outputs, spec.members, &mut layout),
            FunctionInput::States => Network::of_states(context, spec.outputs, spec.members, &mut layout),
        };
        let online = Trainable::new(layout, spec.optimizer, init, context.compute);
        let filter = match (&spec.target_filter, context.actions) {
            (None, _) => None,
            (Some(filter), ActionKind::Vector { width }) => {
                Some(TargetFilter::build(filter, width, context.compute.device))
            }
            (Some(_), ActionKind::Enumerated { .. }) => {
                unreachable!("a filter over enumerated actions is refused before anything is built")
            }
        };
        ValueFunction {
            target: spec.target.map(|_| online.params.detached_copy()),
            spec: spec.clone(),
            network,
            online,
            filter,
        }
    }

    /// E.
    pub fn members(&self) -> i64 {
        self.spec.members
    }

    /// The filter of the target, while it is active.
    pub fn filter(&self) -> Option<&TargetFilter> {
        self.filter.as_ref().and_then(TargetFilter::active)
    }

    /// The parameters of the target, as constants.
    pub fn target_params(&self) -> &Params {
        let target = self.target.as_ref();
        target.expect("a function whose target is asked for has one").frozen()
    }

    /// Those of the members `chosen` `[M]` alone.
    pub fn target_members(&self, chosen: &Tensor) -> Params {
        self.network.of_members(self.target_params(), chosen)
    }

    /// Outputs `[E, B, K]` of `action` `[B, A]` at `obs` `[B, …]`, without a history.
    pub fn at(&self, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.at(self.online.params.frozen(), obs, action, stream)
    }

    /// The same of the target.
    pub fn target_at(&self, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.at(self.target_params(), obs, action, stream)
    }

    /// The same with other parameters, such as those of some members.
    pub fn with(&self, params: &Params, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.at(params, obs, action, stream)
    }

    /// Outputs `[E, B, K]` of the target at the states `obs` `[B, …]`.
    pub fn target_of_state(&self, obs: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.of_state(self.target_params(), obs, stream)
    }

    /// Outputs `[E, B, n, K]` of every action at `obs` `[B, …]`, where actions are enumerated, without a history.
    pub fn of_all_actions(&self, obs: &Tensor, stream: &mut Stream) -> Tensor {
        self.network.of_all_actions(self.online.params.frozen(), obs, stream)
    }

    /// `value_of` the outputs `[E, B, K]` of `action` `[B, A]` at `obs` `[B, …]`: one number per row `[B]`, made of that row
    /// alone. Gradients reach `action` and not the parameters.
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

    /// The first output with parameters `params`, reduced over members, in expectation over a draw's actions: `[B]`.
    pub fn expected(
        &self,
        params: &Params,
        obs: &Tensor,
        draw: &ActionDraw,
        stream: &mut Stream,
        combination: Combination,
    ) -> Tensor {
        match &draw.actions {
            Actions::Sampled(action) => combination.apply(&self.network.at(params, obs, action, stream).select(-1, 0)),
            Actions::Weighted(probability) => {
                let all = self.network.of_all_actions(params, obs, stream).select(-1, 0); // [E, B, n]
                expectation(probability, &combination.apply(&all))
            }
        }
    }

    /// One step of the optimiser down `loss` of the outputs `[E, B, K]` of `action` `[B, A]` at `obs` `[B, …]`.
    pub fn minimize(
        &mut self,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
        loss: impl FnOnce(&Tensor) -> Tensor,
    ) {
        let out = self.network.at(&self.online.views(), obs, action, stream);
        self.online.descend(&loss(&out));
    }

    /// The same for a function of states.
    pub fn minimize_of_state(&mut self, obs: &Tensor, stream: &mut Stream, loss: impl FnOnce(&Tensor) -> Tensor) {
        let out = self.network.of_state(&self.online.views(), obs, stream);
        self.online.descend(&loss(&out));
    }

    /// Moves the target, which is due.
    pub(super) fn follow(&mut self, rule: TargetSpec) {
        if let Some(target) = &mut self.target {
            rule.follow(target, &self.online.params);
        }
    }

    /// Moves the filter's bandwidth to its value after `at` gradient steps.
    pub(super) fn anneal(&mut self, at: GradSteps) {
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
