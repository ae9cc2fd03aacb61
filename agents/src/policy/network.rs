//! A policy network with its optimiser: [`Policy`].

use sac_policy::{Draft, Value};
use tch::Tensor;

use super::{
    action::{ActionDraw, ActionKind},
    head::PolicyHead,
    optimist::{Gaussian, Optimist, OptimistStep},
};
use crate::{
    batch::Batch,
    checkpoint::Section,
    compute::Compute,
    encoder::{Encoder, SharedEncoder},
    error::Result,
    nn::{Activations, Body, MemberLinear, ParamBlock, Params, Tracer, Trainable},
    noise::Stream,
    schedule::GradSteps,
    target::TargetSpec,
};

/// The encoder of a policy.
pub enum PolicyEncoder {
    /// The policy's own encoder, with parameters in the policy's block.
    Own(Box<dyn Encoder>),
    /// The critic's encoder, trained by the critic.
    Shared(SharedEncoder),
}

impl PolicyEncoder {
    /// F, the number of features.
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

    /// Features `[B, F]` of `obs` `[B, …]`. `params` are the policy's parameters.
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
    /// Parameters of head, body and an own encoder, in one block.
    pub trainable: Trainable,
    /// Target parameters, if next actions are drawn from a target policy.
    target: Option<ParamBlock>,
    /// The second policy, if one explores.
    optimist: Option<Box<Optimist>>,
}

impl Policy {
    /// Makes a policy. `trainable` holds the parameters of head, body and an own encoder.
    pub fn new(encoder: PolicyEncoder, body: Box<dyn Body>, head: Box<dyn PolicyHead>, trainable: Trainable) -> Self {
        Policy {
            encoder,
            body,
            head,
            trainable,
            target: None,
            optimist: None,
        }
    }

    /// Adds target parameters, which [`Policy::draw_next`] uses from now on.
    #[must_use]
    pub fn with_target(mut self) -> Self {
        self.target = Some(self.trainable.params.detached_copy());
        self
    }

    /// Adds a second policy, which explores from now on.
    #[must_use]
    pub fn with_optimist(mut self, optimist: Optimist) -> Self {
        self.optimist = Some(Box::new(optimist));
        self
    }

    /// Mixes freshly drawn initial values into the parameters, with weight `share`, and forgets the optimiser's moments.
    /// Target parameters become a copy.
    pub(crate) fn reset(&mut self, share: f64, stream: &mut Stream, compute: &Compute) {
        self.trainable.reset(share, stream, compute);
        if let Some(target) = &mut self.target {
            target.move_towards(&self.trainable.params, 1.0);
        }
        if let Some(optimist) = &mut self.optimist {
            optimist.reset(share, stream, compute);
        }
    }

    /// The representation of its actions for critics.
    pub fn actions(&self) -> ActionKind {
        self.head.actions()
    }

    /// Number of outputs of the body per observation, which are the head's inputs.
    pub fn head_inputs(&self) -> i64 {
        self.head.inputs()
    }

    /// Whether the policy uses the critic's encoder.
    pub fn shares_encoder(&self) -> bool {
        matches!(self.encoder, PolicyEncoder::Shared(_))
    }

    /// The linear layers after the encoder, in the order of a pass.
    pub fn linear_layers(&self) -> Vec<&MemberLinear> {
        self.body.linear_layers()
    }

    /// Multiply-adds for one observation: of the encoder, own or shared, and of the rest.
    pub fn multiply_adds(&self) -> (i64, i64) {
        (self.encoder.multiply_adds(), self.body.multiply_adds())
    }

    /// Encodes actions `[B, A]` of the environment for critics.
    pub fn encode(&self, actions: &Tensor) -> Tensor {
        self.head.encode(actions)
    }

    /// Sets annealed settings to their values after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        self.head.anneal(at);
        self.trainable.anneal(at);
    }

    /// Features `[B, F]` of `obs` `[B, …]`.
    pub(crate) fn features(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.encoder.features(params, obs)
    }

    /// The head's inputs at `obs [B, …]`: `[B, inputs]`.
    fn inputs(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.forward(params, &self.features(params, obs), None)
    }

    /// Draws the random numbers `[rows, …]` for `rows` actions.
    pub fn noise(&self, rows: i64, stream: &mut Stream) -> Tensor {
        self.head.noise(rows, stream, self.trainable.params.device())
    }

    /// Draws the random numbers `[1, …]` that exploration holds for an environment over several steps.
    pub fn noise_to_hold(&self, stream: &mut Stream) -> Tensor {
        self.head.noise_to_hold(1, stream, self.trainable.params.device())
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

    /// Draws actions for `obs [B, …]`, detached.
    pub fn draw_frozen(&self, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        self.draw_with(self.trainable.params.frozen(), obs, noise)
    }

    /// Draws actions at the next observations `[K·B, …]` of a batch, from the target policy if there is one, detached.
    pub fn draw_next(&self, batch: &Batch, stream: &mut Stream) -> ActionDraw {
        let params = self.target.as_ref().unwrap_or(&self.trainable.params);
        let obs = &batch.next_obs;
        self.draw_with(params.frozen(), obs, &self.noise(obs.size()[0], stream))
    }

    /// Draws actions at the observations `[M·B, …]` of a batch, detached.
    pub fn draw_now(&self, batch: &Batch, stream: &mut Stream) -> ActionDraw {
        self.draw_frozen(&batch.obs, &self.noise(batch.obs.size()[0], stream))
    }

    /// The head's inputs at `obs [rows, …]` for acting: `[rows, inputs]`, always in `f32`.
    fn inputs_to_act(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.act(params, &self.features(params, obs))
    }

    /// Actions `[rows, A]` for exploration at `obs [rows, …]`, for given noise, as the environment takes them.
    pub fn explore(&self, obs: &Tensor, noise: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        self.head.explore(params, &self.inputs_to_act(params, obs), noise)
    }

    /// Actions `[rows, A]` for exploration at `obs [rows, …]`, for noise that is held, as the environment takes them.
    pub fn explore_holding(&self, obs: &Tensor, noise: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        self.head
            .explore_holding(params, &self.inputs_to_act(params, obs), noise)
    }

    /// The Gaussian before squashing at `obs [B, …]`, detached; `None` of other heads.
    fn gaussian(&self, obs: &Tensor) -> Option<Gaussian> {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        let features = self.features(params, obs);
        let inputs = self.body.forward(params, &features, None);
        let (mean, log_std) = self.head.gaussian(params, &inputs)?;
        Some(Gaussian {
            features,
            mean,
            log_std,
        })
    }

    /// Whether a second policy explores.
    pub fn is_optimistic(&self) -> bool {
        self.optimist.is_some()
    }

    /// Actions `[rows, A]` of the second policy at `obs [rows, …]`, for given noise; `None` if there is none.
    pub(crate) fn explore_optimistically(&self, obs: &Tensor, noise: &Tensor) -> Option<Tensor> {
        Some(self.optimist.as_ref()?.explore(&self.gaussian(obs)?, noise))
    }

    /// Makes a step of the second policy, if there is one, at `obs [B, …]` and for given noise. `value` gives the optimistic
    /// value `[B]` of actions `[B, A]`.
    pub(crate) fn optimist_step(
        &mut self,
        obs: &Tensor,
        noise: &Tensor,
        value: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> Option<OptimistStep> {
        let at = self.gaussian(obs)?;
        Some(self.optimist.as_mut()?.learn(&at, noise, value))
    }

    /// Whether every learned parameter is finite. Waits for the device.
    pub(crate) fn is_finite(&self) -> bool {
        let optimist = self.optimist.as_ref();
        self.trainable.params.is_finite() && optimist.is_none_or(|optimist| optimist.is_finite())
    }

    /// Parameters and multiply-adds of the second policy, if there is one.
    pub(crate) fn cost_of_optimist(&self) -> Option<(i64, i64)> {
        let optimist = self.optimist.as_ref()?;
        Some((optimist.parameter_count(), optimist.multiply_adds()))
    }

    /// Number of learned parameters, without target parameters.
    pub(crate) fn parameter_count(&self) -> i64 {
        let of_optimist = self.cost_of_optimist().map_or(0, |(parameters, _)| parameters);
        self.trainable.params.learned_count() + of_optimist
    }

    /// Actions `[B, A]` without exploration at `obs [B, …]`, as the environment takes them.
    pub fn mode(&self, obs: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        self.head.mode(params, &self.inputs_to_act(params, obs))
    }

    /// Adds the policy to a graph: actions `[A]` as the environment takes them, for a normalised observation. They are
    /// those of [`Policy::mode`], or with `is_drawn` those of [`Policy::explore`] with the noise of the graph.
    ///
    /// # Errors
    /// [`crate::Error::NotExportable`] when the encoder or the head does not say what it computes; when a parameter is not
    /// finite.
    pub fn trace(&self, draft: &mut Draft, obs: Value, is_drawn: bool) -> Result<Value> {
        let params = &self.trainable.params;
        let features = match &self.encoder {
            PolicyEncoder::Own(encoder) => {
                encoder.trace(&mut Tracer::new(draft, params.frozen(), params.names()), obs)?
            }
            PolicyEncoder::Shared(encoder) => encoder.trace(draft, obs)?,
        };
        let mut tracer = Tracer::new(draft, params.frozen(), params.names());
        let inputs = self.body.trace(&mut tracer, features)?;
        self.head.trace(&mut tracer, inputs, is_drawn)
    }

    /// Activations of an own encoder and of the body at `obs [B, …]`.
    pub fn inspect(&self, obs: &Tensor) -> (Option<Activations>, Activations) {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        let (mut of_encoder, mut of_body) = (Activations::default(), Activations::default());
        let (features, of_encoder) = match &self.encoder {
            PolicyEncoder::Own(encoder) => (encoder.inspect(params, obs, &mut of_encoder), Some(of_encoder)),
            PolicyEncoder::Shared(encoder) => (encoder.encode(obs), None),
        };
        self.body.inspect(params, &features, &mut of_body);
        (of_encoder, of_body)
    }

    /// Moves target parameters, if there are any, by `rule`. To be called when targets are due.
    pub fn follow(&mut self, rule: TargetSpec) {
        if let Some(target) = &mut self.target {
            rule.follow(target, &self.trainable.params);
        }
    }

    /// The checkpoint section `policy`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("policy");
        self.trainable.save("policy", &mut section);
        if let Some(target) = &self.target {
            target.save("target", &mut section);
        }
        if let PolicyEncoder::Shared(encoder) = &self.encoder {
            encoder.save(&mut section);
        }
        if let Some(optimist) = &self.optimist {
            optimist.save(&mut section);
        }
        section
    }

    /// Restores the state from a section written by [`Policy::section`].
    ///
    /// # Errors
    /// When the section does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        self.trainable.load("policy", section)?;
        if let PolicyEncoder::Shared(encoder) = &mut self.encoder {
            encoder.load(section)?;
        }
        if let Some(optimist) = &mut self.optimist {
            optimist.load(section)?;
        }
        match &mut self.target {
            Some(target) => target.load("target", section),
            None => Ok(()),
        }
    }
}
