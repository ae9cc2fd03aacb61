//! The network that critics share: observation and action in, numbers per member out.

use tch::{Kind, Tensor};

use super::{Combination, CriticContext};
use crate::{
    encoder::Encoder,
    inspect::Look,
    nn::{Mlp, ParamLayout, Params, Products, Trainable, explicit},
    noise::Stream,
    policy::{ActionDraw, ActionKind, Actions, expectation},
};

/// `E` members `f(s, a)` with `K` numbers each; encoder and members live in one parameter block, the encoder first.
pub struct Network {
    encoder: Box<dyn Encoder>,
    body: Mlp,
    actions: ActionKind,
    outputs: i64,
    members: i64,
}

impl Network {
    /// `outputs` numbers per state and action, from `members` members.
    pub fn of_actions(context: &CriticContext, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        let (extra, columns) = match context.actions {
            ActionKind::Vector { width } => (width, outputs),
            ActionKind::Enumerated { count } => (0, outputs * count),
        };
        Network::build(context, extra, columns, outputs, members, layout)
    }

    /// `outputs` numbers per state, whatever the action, from `members` members.
    pub fn of_states(context: &CriticContext, outputs: i64, members: i64, layout: &mut ParamLayout) -> Self {
        Network::build(context, 0, outputs, outputs, members, layout)
    }

    fn build(
        context: &CriticContext,
        extra: i64,
        columns: i64,
        outputs: i64,
        members: i64,
        layout: &mut ParamLayout,
    ) -> Self {
        let encoder = context.encoder.build(context.observation, layout);
        let inputs = encoder.width() + extra;
        Network {
            body: Mlp::ensemble(context.body, inputs, columns, members, layout),
            encoder,
            actions: context.actions,
            outputs,
            members,
        }
    }

    /// Multiply-adds for one observation and action, of all members together.
    pub fn multiply_adds(&self) -> i64 {
        self.encoder.multiply_adds() + self.body.multiply_adds()
    }

    /// E.
    pub fn members(&self) -> i64 {
        self.members
    }

    /// Parameters of the members `chosen` `[M]` alone; with them every other method is of M members.
    pub fn of_members(&self, params: &Params, chosen: &Tensor) -> Params {
        self.body.of_members(params, chosen)
    }

    /// Numbers `[E, B, K]` of `action` `[B, A]` at `obs` `[B, …]`. Where actions are enumerated, `action` is the index
    /// `[B, 1]`; otherwise it may hold several batches one after the other, `[n·B, A]`, each taken at the same `obs`, and
    /// so does the result.
    pub fn at(&self, params: &Params, obs: &Tensor, action: &Tensor, noise: &mut Stream) -> Tensor {
        match self.actions {
            ActionKind::Vector { .. } => {
                let x = self.input(params, obs, action, Some(&mut *noise));
                self.body.forward_learning(params, &x, noise)
            }
            ActionKind::Enumerated { .. } => {
                let all = self.of_all_actions(params, obs, noise); // [E, B, n, K]
                let index = action.to_kind(Kind::Int64).view([1, -1, 1, 1]); // [1, B, 1, 1]
                all.gather(2, &index.expand([all.size()[0], -1, -1, self.outputs], false), false)
                    .squeeze_dim(2)
            }
        }
    }

    /// What the members read, `[n·B, F + A]`, where actions are vectors.
    fn input(&self, params: &Params, obs: &Tensor, action: &Tensor, noise: Option<&mut Stream>) -> Tensor {
        let mut features = self.encoder.encode(params, obs, noise); // [B, F]
        let copies = action.size()[0] / obs.size()[0];
        if copies > 1 {
            features = features.repeat([copies, 1]);
        }
        explicit::side_by_side(&features, action)
    }

    /// From now on members make the products of passes by hand like this.
    pub fn set_products(&mut self, products: Products) {
        self.body.set_products(products);
    }

    /// Whether passes with these parameters on the CPU are made by hand.
    pub fn goes_by_hand(&self, params: &Params) -> bool {
        self.body.goes_by_hand(params)
    }

    /// What encoder and members show of themselves for `action` `[B, A]` at `obs` `[B, …]`, without noise.
    pub fn inspect(&self, params: &Params, obs: &Tensor, action: &Tensor) -> (Look, Look) {
        let (mut encoder, mut body) = (Look::default(), Look::default());
        let features = self.encoder.inspect(params, obs, &mut encoder); // [B, F]
        let x = match self.actions {
            ActionKind::Vector { .. } => Tensor::cat(&[&features, action], 1), // [B, F + A]
            ActionKind::Enumerated { .. } => features,
        };
        self.body.inspect(params, &x, &mut body);
        (encoder, body)
    }

    /// Numbers `[E, B, n, K]` of every action at `obs` `[B, …]`; only where actions are enumerated.
    pub fn of_all_actions(&self, params: &Params, obs: &Tensor, noise: &mut Stream) -> Tensor {
        let features = self.encoder.encode(params, obs, Some(&mut *noise)); // [B, F]
        let out = self.body.forward_learning(params, &features, noise); // [E, B, n·K]
        out.view([out.size()[0], obs.size()[0], -1, self.outputs])
    }

    /// Numbers `[E, B, K]` of the states `obs` `[B, …]` alone; only for networks of states.
    pub fn of_state(&self, params: &Params, obs: &Tensor, noise: &mut Stream) -> Tensor {
        let features = self.encoder.encode(params, obs, Some(&mut *noise)); // [B, F]
        self.body.forward_learning(params, &features, noise)
    }

    /// What `value_of` makes of the numbers `[E, B, K]` of `action` `[B, A]` at `obs` `[B, …]`: one number per row `[B]`,
    /// made of that row alone. Gradients reach `action`.
    pub fn value(
        &self,
        params: &Params,
        obs: &Tensor,
        action: &Tensor,
        noise: &mut Stream,
        value_of: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        if matches!(self.actions, ActionKind::Vector { .. }) {
            let x = self.input(params, obs, action, Some(&mut *noise));
            let by_hand = self.body.value_at(params, &x, &value_of);
            return by_hand.unwrap_or_else(|| value_of(&self.body.forward_learning(params, &x, noise)));
        }
        value_of(&self.at(params, obs, action, noise))
    }

    /// What the members read where passes by hand can be made; `None` where autograd is needed.
    fn input_by_hand(&self, params: &Params, obs: &Tensor, action: &Tensor) -> Option<Tensor> {
        let is_vector = matches!(self.actions, ActionKind::Vector { .. });
        // An encoder with parameters may want noise, and goes through autograd.
        let can = is_vector && self.goes_by_hand(params) && explicit::readable(action);
        can.then(|| self.input(params, obs, action, None))
    }

    /// One step of `online`, its parameters, down a loss of which every member's part is its own, by hand: numbers
    /// `[E, R·B, K]` of `action` `[R·B, A]` at `obs` `[R·B, …]`, and what `loss` says of each unit, e·R + r. It is given a
    /// unit and its numbers `[B, K]`, and writes their gradient. `None`, and no step, where autograd is needed.
    pub(crate) fn descend<S: Send>(
        &self,
        online: &mut Trainable,
        obs: &Tensor,
        action: &Tensor,
        loss: impl Fn(usize, &[f32], &mut [f32]) -> S + Sync,
    ) -> Option<(Tensor, Vec<S>)> {
        let x = self.input_by_hand(online.params.frozen(), obs, action)?;
        online.descend_along(|params, gradient| self.body.there_and_back(params, &x, gradient, loss))
    }

    /// The smallest or mean first number over members, in expectation over a draw's actions: `[B]`.
    pub fn expected(
        &self,
        params: &Params,
        obs: &Tensor,
        draw: &ActionDraw,
        noise: &mut Stream,
        combination: Combination,
    ) -> Tensor {
        match &draw.actions {
            Actions::Sampled(action) => self.value(params, obs, action, noise, |all| combination.of_first(all)),
            Actions::Weighted(probability) => {
                let all = self.of_all_actions(params, obs, noise).select(-1, 0); // [E, B, n]
                expectation(probability, &combination.apply(&all))
            }
        }
    }

    /// The smallest or mean, over members, of the mean of their first `count` numbers, at `action` `[B, A]` and with its
    /// gradient by that, without autograd. `None` where that cannot be.
    pub fn slope(
        &self,
        params: &Params,
        obs: &Tensor,
        action: &Tensor,
        combination: Combination,
        count: usize,
    ) -> Option<Slope> {
        let x = self.input_by_hand(params, obs, action)?;
        let (out, tape) = self.body.taped(params, &x)?; // [E, B, K]
        let (value, of_out) = combination.with_gradient(&out, count);
        let features = self.encoder.width() as usize;
        let of_action = tape.to_input(params, &of_out, features..self.body.inputs());
        Some(Slope { value, of_action })
    }
}

/// A value and where it rises.
pub struct Slope {
    /// `[B]`.
    pub value: Vec<f32>,
    /// ∂value/∂action, `[B, A]`.
    pub of_action: Vec<f32>,
}

/// What an actor climbs: the smallest or mean, over members of a network, of the mean of their first numbers.
pub struct Climbed<'a> {
    /// Of action values.
    pub network: &'a Network,
    /// Its own, which learn nothing by it.
    pub params: &'a Params,
    /// Over members.
    pub combination: Combination,
    /// How many of a member's numbers, at least 1.
    pub count: usize,
}

impl Climbed<'_> {
    pub(super) fn value(&self, obs: &Tensor, draw: &ActionDraw, noise: &mut Stream) -> Tensor {
        let Climbed {
            network,
            params,
            combination,
            count,
        } = *self;
        if count == 1 {
            return network.expected(params, obs, draw, noise, combination);
        }
        network.value(params, obs, draw.sampled(), noise, |all| {
            let first = all.narrow(-1, 0, count as i64); // [E, B, count]
            let mean_over = |dims: &[i64]| first.mean_dim(dims, false, Kind::Float);
            match combination {
                Combination::Mean => mean_over(&[0, 2]),
                Combination::Min => combination.apply(&mean_over(&[2])),
            }
        })
    }

    pub(super) fn slope(&self, obs: &Tensor, action: &Tensor) -> Option<Slope> {
        let Climbed {
            network,
            params,
            combination,
            count,
        } = *self;
        network.slope(params, obs, action, combination, count)
    }
}
