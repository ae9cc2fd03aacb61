//! A policy's network with its optimiser: [`Policy`].

use tch::Tensor;

use super::{
    action::{ActionDraw, ActionKind},
    head::PolicyHead,
};
use crate::{
    batch::Batch,
    checkpoint::Section,
    encoder::{Encoder, SharedEncoder},
    error::Result,
    nn::{Activations, Body, ParamBlock, Params, Trainable},
    noise::Stream,
    schedule::GradSteps,
    target::TargetSpec,
};

/// Whose encoder a policy reads.
pub enum PolicyEncoder {
    /// Its own, in its block.
    Own(Box<dyn Encoder>),
    /// The critic's, which the critic trains.
    Shared(SharedEncoder),
}

impl PolicyEncoder {
    /// F.
    pub fn width(&self) -> i64 {
        match self {
            PolicyEncoder::Own(encoder) => encoder.width(),
            PolicyEncoder::Shared(encoder) => encoder.width(),
        }
    }

    fn multiply_adds(&self) -> i64 {
        match self {
            PolicyEncoder::Own(encoder) => encoder.multiply_adds(),
            PolicyEncoder::Shared(encoder) => encoder.multiply_adds(),
        }
    }

    /// Features `[B, F]` of `obs` `[B, …]`; `params` are those of the policy.
    fn features(&self, params: &Params, obs: &Tensor) -> Tensor {
        match self {
            PolicyEncoder::Own(encoder) => encoder.encode(params, obs, None),
            PolicyEncoder::Shared(encoder) => encoder.encode(obs),
        }
    }
}

/// A policy network with its optimiser.
pub struct Policy {
    pub(crate) encoder: PolicyEncoder,
    pub(crate) body: Box<dyn Body>,
    pub(crate) head: Box<dyn PolicyHead>,
    /// Encoder (if it is its own), head and body in one block.
    pub trainable: Trainable,
    /// A trailing copy, where next actions are drawn from a target.
    target: Option<ParamBlock>,
}

impl Policy {
    /// Puts a policy together. `trainable` holds the parameters of encoder (if it is its own), head and body.
    pub fn new(encoder: PolicyEncoder, body: Box<dyn Body>, head: Box<dyn PolicyHead>, trainable: Trainable) -> Self {
        Policy {
            encoder,
            body,
            head,
            trainable,
            target: None,
        }
    }

    /// Keeps a trailing copy from now on, which [`Policy::draw_next`] uses.
    #[must_use]
    pub fn with_target(mut self) -> Self {
        self.target = Some(self.trainable.params.detached_copy());
        self
    }

    /// How critics are to see its actions.
    pub fn actions(&self) -> ActionKind {
        self.head.actions()
    }

    /// How many numbers per observation its body gives to the head.
    pub fn head_inputs(&self) -> i64 {
        self.head.inputs()
    }

    /// Whether a critic trains the encoder that it reads.
    pub fn shares_encoder(&self) -> bool {
        matches!(self.encoder, PolicyEncoder::Shared(_))
    }

    /// Multiply-adds for one observation: of its encoder, whoever trains it, and of the rest.
    pub fn multiply_adds(&self) -> (i64, i64) {
        (self.encoder.multiply_adds(), self.body.mlp().multiply_adds())
    }

    /// Actions `[B, A]` as the environment takes them, in the form that critics take.
    pub fn encode(&self, actions: &Tensor) -> Tensor {
        self.head.encode(actions)
    }

    /// Moves annealed settings to their values after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        self.head.anneal(at);
    }

    /// Features `[B, F]` of `obs` `[B, …]`.
    pub(crate) fn features(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.encoder.features(params, obs)
    }

    /// What the head reads, `[B, inputs]`.
    fn inputs(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.forward(params, &self.features(params, obs), None)
    }

    /// The random numbers `[rows, …]` that `rows` draws take.
    pub fn noise(&self, rows: i64, stream: &mut Stream) -> Tensor {
        self.head.noise(rows, stream, self.trainable.params.device())
    }

    /// Draws actions for `obs [B, …]` through which gradients reach the policy's parameters.
    pub fn draw(&self, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        let params = self.trainable.views();
        self.head.draw(&params, &self.inputs(&params, obs), noise)
    }

    fn draw_with(&self, params: &Params, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        let _guard = tch::no_grad_guard();
        self.head.draw(params, &self.inputs(params, obs), noise)
    }

    /// Draws actions without a history.
    pub fn draw_frozen(&self, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        self.draw_with(self.trainable.params.frozen(), obs, noise)
    }

    /// Draws the actions `[K·B, …]` that would follow a batch, from the target if there is one, without a history.
    pub fn draw_next(&self, batch: &Batch, stream: &mut Stream) -> ActionDraw {
        let params = self.target.as_ref().unwrap_or(&self.trainable.params);
        let obs = &batch.next_obs;
        self.draw_with(params.frozen(), obs, &self.noise(obs.size()[0], stream))
    }

    /// Draws actions `[M·B, …]` at a batch's own observations, without a history.
    pub fn draw_now(&self, batch: &Batch, stream: &mut Stream) -> ActionDraw {
        self.draw_frozen(&batch.obs, &self.noise(batch.obs.size()[0], stream))
    }

    /// What the head reads for acting.
    fn inputs_to_act(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.act(params, &self.features(params, obs))
    }

    /// Actions `[rows, A]` for exploration at `obs [rows, …]`, as the environment takes them.
    pub fn explore(&self, obs: &Tensor, rows: i64, stream: &mut Stream) -> Tensor {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        let noise = self.noise(rows, stream);
        self.head.explore(params, &self.inputs_to_act(params, obs), &noise)
    }

    /// The action `[B, A]` without exploration, as the environment takes it.
    pub fn mode(&self, obs: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        self.head.mode(params, &self.inputs_to_act(params, obs))
    }

    /// Activations of its encoder, if that is its own, and of its body at `obs [B, …]`.
    pub fn inspect(&self, obs: &Tensor) -> (Option<Activations>, Activations) {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        let (mut of_encoder, mut of_body) = (Activations::default(), Activations::default());
        let (features, of_encoder) = match &self.encoder {
            PolicyEncoder::Own(encoder) => (encoder.inspect(params, obs, &mut of_encoder), Some(of_encoder)),
            PolicyEncoder::Shared(encoder) => (encoder.encode(obs), None),
        };
        self.body.mlp().inspect(params, &features, &mut of_body);
        (of_encoder, of_body)
    }

    /// Moves the target, if there is one and targets are due.
    pub fn follow(&mut self, rule: TargetSpec) {
        if let Some(target) = &mut self.target {
            rule.follow(target, &self.trainable.params);
        }
    }

    /// The section `policy`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("policy");
        self.trainable.save("policy", &mut section);
        if let Some(target) = &self.target {
            target.save("target", &mut section);
        }
        if let PolicyEncoder::Shared(encoder) = &self.encoder {
            encoder.save(&mut section);
        }
        section
    }

    /// Takes back what [`Policy::section`] wrote.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        self.trainable.load("policy", section)?;
        if let PolicyEncoder::Shared(encoder) = &mut self.encoder {
            encoder.load(section)?;
        }
        match &mut self.target {
            Some(target) => target.load("target", section),
            None => Ok(()),
        }
    }
}
