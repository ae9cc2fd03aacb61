//! The network of a value function: [`Network`].

use sac_envs::Space;
use sac_kernels::bfloat16::Bfloat16;
use tch::{Kind, Tensor};

use crate::{
    compute::Compute,
    encoder::{BuildEncoder, Encoder},
    fused,
    nn::{Activations, Body, BodySpec, MemberLinear, ParamLayout, Params},
    noise::Stream,
    policy::ActionKind,
    target::TargetSpec,
};

/// The settings shared by all networks of a critic.
pub struct NetworkContext<'a> {
    /// Builder of the encoder.
    pub encoder: &'a BuildEncoder,
    /// Hidden layers.
    pub body: &'a BodySpec,
    /// Observation space.
    pub observation: &'a Space,
    /// Representation of the actions.
    pub actions: ActionKind,
    /// How target parameters follow, if there are any.
    pub targets: TargetSpec,
    /// Device, threads, precision and implementation.
    pub compute: &'a Compute,
    /// The bfloat16 arithmetic of fused products; `None` for `f32`.
    pub rounding: Option<Bfloat16>,
}

/// An encoder, and an ensemble of `E` members with `K` outputs each. Their parameters are in one block, the encoder's
/// first.
pub struct Network {
    encoder: Box<dyn Encoder>,
    body: Box<dyn Body>,
    /// Number of the encoder's parameters. The members' parameters follow them.
    of_encoder: usize,
    actions: ActionKind,
    outputs: i64,
}

/// Rows that a network normalises together with those of a pass: states `[B, …]` and actions `[B, A]`.
///
/// Only passes that learn, and those of targets, of networks with batch normalisation depend on them. Source: Bhatt et
/// al. 2024, "CrossQ" (arXiv 1902.05605), section 3: (s, a) and (s', a') in one batch.
#[derive(Clone, Copy)]
pub struct Companions<'a> {
    /// States `[B, …]`.
    pub obs: &'a Tensor,
    /// Actions `[B, A]`; `None` if actions are enumerated or no input of the network.
    pub action: Option<&'a Tensor>,
}

impl Network {
    /// A network with `outputs` numbers per state and action, and `members` members.
    pub fn of_actions(context: &NetworkContext, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        let (extra, columns) = match context.actions {
            ActionKind::Vector { width } => (width, outputs),
            ActionKind::Enumerated { count } => (0, outputs * count),
        };
        Network::build(context, (extra, columns), outputs, members, layout)
    }

    /// A network with `outputs` numbers per state, and `members` members.
    pub fn of_states(context: &NetworkContext, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        Network::build(context, (0, outputs), outputs, members, layout)
    }

    fn build(
        context: &NetworkContext,
        (extra, columns): (i64, i64),
        outputs: i64,
        members: i64,
        layout: &mut ParamLayout,
    ) -> Self {
        let encoder = (context.encoder)(context.observation, layout);
        let of_encoder = layout.len();
        let inputs = encoder.width() + extra;
        let body = context.body.build(inputs, &[columns], Some(members), layout);
        Network {
            body: fused::body(body, context.compute, context.rounding),
            encoder,
            of_encoder,
            actions: context.actions,
            outputs,
        }
    }

    /// The members' linear layers after the encoder, in the order of a pass.
    pub fn linear_layers(&self) -> Vec<&MemberLinear> {
        self.body.linear_layers()
    }

    /// Multiply-adds of encoder and all members for one observation and action.
    pub fn multiply_adds(&self) -> i64 {
        self.encoder.multiply_adds() + self.body.multiply_adds()
    }

    /// The members without their encoder.
    pub(crate) fn body(&self) -> &dyn Body {
        &*self.body
    }

    /// F, the number of features. In the members' inputs the features precede the action.
    pub(crate) fn features(&self) -> i64 {
        self.encoder.width()
    }

    /// The parameters of the members `chosen` `[M]`. With them, the outputs of all other methods have M members.
    pub fn of_members(&self, params: &Params, chosen: &Tensor) -> Params {
        params.map(|index, param| match index.position() < self.of_encoder {
            true => param.shallow_clone(),
            false => param.index_select(0, chosen),
        })
    }

    /// Whether a pass that learns normalises over its batch.
    pub fn normalizes_by_batch(&self) -> bool {
        self.body.normalizes_by_batch()
    }

    /// [`Network::at`], normalised together with `companions`.
    pub fn at_with(
        &self,
        params: &Params,
        companions: Companions,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
    ) -> Tensor {
        match (self.normalizes_by_batch(), self.actions) {
            (true, ActionKind::Vector { .. }) => {
                let x = self.input_with(params, companions, obs, action, stream);
                let out = self.body.forward(params, &x, Some(stream));
                out.narrow(1, 0, action.size()[0]) // [E, n·B, K]
            }
            (true, ActionKind::Enumerated { .. }) => {
                let all = self.of_all_actions_with(params, companions.obs, obs, stream);
                self.chosen(&all, action)
            }
            (false, _) => self.at(params, obs, action, stream),
        }
    }

    /// The members' inputs `[n·B, F + A]`, if actions are vectors, and after them those of the `companions` if the network
    /// normalises by batches.
    pub(crate) fn input_with(
        &self,
        params: &Params,
        companions: Companions,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
    ) -> Tensor {
        let own = self.input(params, obs, action, Some(&mut *stream));
        match companions.action.filter(|_| self.normalizes_by_batch()) {
            None => own,
            Some(other) => {
                let others = self.input(params, companions.obs, other, Some(stream));
                Tensor::cat(&[&own, &others], 0)
            }
        }
    }

    /// [`Network::of_all_actions`], normalised together with the states `companions` `[B, …]`.
    pub fn of_all_actions_with(
        &self,
        params: &Params,
        companions: &Tensor,
        obs: &Tensor,
        stream: &mut Stream,
    ) -> Tensor {
        match self.normalizes_by_batch() {
            false => self.of_all_actions(params, obs, stream),
            true => {
                let both = Tensor::cat(&[obs, companions], 0);
                self.of_all_actions(params, &both, stream).narrow(1, 0, obs.size()[0])
            }
        }
    }

    /// The outputs `[E, B, K]` of the actions with index `action` `[B, 1]`, of those of all actions `[E, B, n, K]`.
    fn chosen(&self, all: &Tensor, action: &Tensor) -> Tensor {
        let index = action.to_kind(Kind::Int64).view([1, -1, 1, 1]); // [1, B, 1, 1]
        all.gather(2, &index.expand([all.size()[0], -1, -1, self.outputs], false), false)
            .squeeze_dim(2)
    }

    /// Outputs `[E, B, K]` for `action` `[B, A]` at `obs` `[B, …]`.
    ///
    /// If actions are enumerated, `action` is the index `[B, 1]`. Otherwise it may hold n batches of actions for the
    /// same `obs` one after the other, `[n·B, A]`; the result is then `[E, n·B, K]`.
    pub fn at(&self, params: &Params, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Tensor {
        match self.actions {
            ActionKind::Vector { .. } => {
                let x = self.input(params, obs, action, Some(&mut *stream));
                self.body.forward(params, &x, Some(stream))
            }
            ActionKind::Enumerated { .. } => {
                let all = self.of_all_actions(params, obs, stream); // [E, B, n, K]
                self.chosen(&all, action)
            }
        }
    }

    /// The members' inputs `[n·B, F + A]`, if actions are vectors.
    pub(crate) fn input(&self, params: &Params, obs: &Tensor, action: &Tensor, stream: Option<&mut Stream>) -> Tensor {
        let mut features = self.encoder.encode(params, obs, stream); // [B, F]
        let copies = action.size()[0] / obs.size()[0];
        if copies > 1 {
            features = features.repeat([copies, 1]);
        }
        Tensor::cat(&[&features, action], 1)
    }

    /// Activations of encoder and members for `action` `[B, A]` at `obs` `[B, …]`, without dropout or other noise.
    pub fn inspect(&self, params: &Params, obs: &Tensor, action: &Tensor) -> (Activations, Activations) {
        let (mut of_encoder, mut of_body) = (Activations::default(), Activations::default());
        let features = self.encoder.inspect(params, obs, &mut of_encoder); // [B, F]
        let x = match self.actions {
            ActionKind::Vector { .. } => Tensor::cat(&[&features, action], 1), // [B, F + A]
            ActionKind::Enumerated { .. } => features,
        };
        self.body.inspect(params, &x, &mut of_body);
        (of_encoder, of_body)
    }

    /// Outputs `[E, B, n, K]` for each of n enumerated actions at `obs` `[B, …]`.
    pub fn of_all_actions(&self, params: &Params, obs: &Tensor, stream: &mut Stream) -> Tensor {
        let out = self.of_state(params, obs, stream); // [E, B, n·K]
        out.view([out.size()[0], obs.size()[0], -1, self.outputs])
    }

    /// Outputs of the members at `obs` `[B, …]`, without an action as input: `[E, B, K]` of a network of states.
    pub fn of_state(&self, params: &Params, obs: &Tensor, stream: &mut Stream) -> Tensor {
        let features = self.encoder.encode(params, obs, Some(&mut *stream)); // [B, F]
        self.body.forward(params, &features, Some(stream))
    }

    /// Applies `value_of` to the outputs `[E, B, K]` for `action` `[B, A]` at `obs` `[B, …]`. It returns one number per
    /// row, `[B]`, that depends on that row alone. Gradients reach `action`.
    pub fn value(
        &self,
        params: &Params,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
        value_of: &dyn Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        match self.actions {
            ActionKind::Vector { .. } => {
                let x = self.input(params, obs, action, Some(&mut *stream));
                self.body.value(params, &x, stream, value_of)
            }
            ActionKind::Enumerated { .. } => value_of(&self.at(params, obs, action, stream)),
        }
    }
}
