//! A policy's network with its optimiser: [`Policy`].

use std::cell::RefCell;

use sac_envs::Space;
use tch::{Device, Tensor};

use super::{ActionDraw, ActionKind, HeadTape, PolicyHead, PolicySpec};
use crate::{
    batch::Batch,
    checkpoint::Section,
    encoder::{Encoder, EncoderSpec, SharedEncoder},
    error::Result,
    inspect::Look,
    nn::{
        BodySpec, Mlp, ParamBlock, ParamLayout, Params, Products, Trainable,
        explicit::{self, Tape},
        numbers::numbers,
    },
    noise::Stream,
    schedule::GradSteps,
    target::TargetSpec,
};

/// A policy's draw by hand.
pub struct DrawnByHand {
    /// Without a history.
    pub draw: ActionDraw,
    head: Box<dyn HeadTape>,
    body: Tape,
}

/// Whose encoder a policy reads.
enum PolicyEncoder {
    /// Its own, in its block.
    Own(Box<dyn Encoder>),
    /// The critic's.
    Shared(SharedEncoder),
}

impl PolicyEncoder {
    fn width(&self) -> i64 {
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
}

/// A policy network with its optimiser.
pub struct Policy {
    encoder: PolicyEncoder,
    body: Mlp,
    head: Box<dyn PolicyHead>,
    /// Encoder (if it is its own), head and body in one block.
    pub trainable: Trainable,
    /// What trails behind, where next actions are drawn from a target.
    target: Option<ParamBlock>,
}

impl Policy {
    /// Puts a policy together; initial weights come from `init`. Nothing is left out of its body, whatever the body
    /// says.
    ///
    /// # Errors
    /// When the head cannot serve the action space.
    pub fn build(
        spec: &PolicySpec,
        encoder: &EncoderSpec,
        body: &BodySpec,
        env: &str,
        spaces: (&Space, &Space),
        init: &mut Stream,
        device: Device,
    ) -> Result<Self> {
        let (observation, action) = spaces;
        let mut layout = ParamLayout::default();
        let encoder = PolicyEncoder::Own(encoder.build(observation, &mut layout));
        Policy::assemble(spec, encoder, body, (env, action), layout, init, device)
    }

    /// The same, on an encoder that a critic trains.
    ///
    /// # Errors
    /// When the head cannot serve the action space.
    pub fn build_on(
        spec: &PolicySpec,
        encoder: SharedEncoder,
        body: &BodySpec,
        env: &str,
        action: &Space,
        init: &mut Stream,
        device: Device,
    ) -> Result<Self> {
        let (encoder, layout) = (PolicyEncoder::Shared(encoder), ParamLayout::default());
        Policy::assemble(spec, encoder, body, (env, action), layout, init, device)
    }

    fn assemble(
        spec: &PolicySpec,
        encoder: PolicyEncoder,
        body: &BodySpec,
        (env, action): (&str, &Space),
        mut layout: ParamLayout,
        init: &mut Stream,
        device: Device,
    ) -> Result<Self> {
        let head = spec.build(env, action, &mut layout)?;
        let body = Mlp::single(body, encoder.width(), head.inputs(), &mut layout);
        let trainable = Trainable::new(layout, spec.optimizer(), init, device);
        Ok(Policy {
            encoder,
            body,
            head,
            trainable,
            target: None,
        })
    }

    /// Keeps a trailing copy from now on, which [`Policy::draw_next`] uses.
    #[must_use]
    pub fn with_target(mut self) -> Self {
        self.target = Some(self.trainable.params.detached_copy());
        self
    }

    /// What learns, and what trails behind, if something does.
    pub(crate) fn state(&mut self) -> (&mut Trainable, Option<&mut ParamBlock>) {
        (&mut self.trainable, self.target.as_mut())
    }

    /// How critics are to see its actions.
    pub fn actions(&self) -> ActionKind {
        self.head.actions()
    }

    /// Whether its passes on the CPU are made by hand.
    pub fn goes_by_hand(&self) -> bool {
        self.body.goes_by_hand(self.trainable.params.frozen())
    }

    /// How many numbers per observation its network gives to the head.
    pub fn numbers(&self) -> i64 {
        self.head.inputs()
    }

    /// Whether a critic trains the encoder that it reads.
    pub fn shares_encoder(&self) -> bool {
        matches!(self.encoder, PolicyEncoder::Shared(_))
    }

    /// Multiply-adds for one observation: its encoder's, whoever trains it, and the rest.
    pub fn multiply_adds(&self) -> (i64, i64) {
        (self.encoder.multiply_adds(), self.body.multiply_adds())
    }

    /// Actions `[B, A]` as the environment takes them, as critics take them.
    pub fn encode(&self, actions: &Tensor) -> Tensor {
        self.head.encode(actions)
    }

    /// Moves what is annealed to its value after so many gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        self.head.anneal(at);
    }

    /// From now on its body makes the products of passes by hand like this, wherever it learns or teaches. It acts in
    /// `f32`.
    pub fn set_products(&mut self, products: Products) {
        self.body.set_products(products);
    }

    /// `[B, F]`.
    fn features(&self, params: &Params, obs: &Tensor) -> Tensor {
        match &self.encoder {
            PolicyEncoder::Own(encoder) => encoder.encode(params, obs, None),
            PolicyEncoder::Shared(encoder) => encoder.encode(obs),
        }
    }

    /// What the head reads, `[B, inputs]`, where it learns or teaches.
    fn inputs(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.forward(params, &self.features(params, obs))
    }

    /// The same where it acts.
    fn inputs_to_act(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.forward_in_float32(params, &self.features(params, obs))
    }

    /// The random numbers `[rows, …]` that so many draws take.
    pub fn noise(&self, rows: i64, stream: &mut Stream) -> Tensor {
        self.head.noise(rows, stream, self.trainable.params.flat().device())
    }

    /// Draws actions for `obs [B, …]` through which gradients reach the policy's parameters.
    pub fn draw(&self, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        let params = self.trainable.views();
        self.head.draw(&params, &self.inputs(&params, obs), noise)
    }

    fn draw_with(&self, params: &Params, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        let _guard = tch::no_grad_guard();
        let inputs = self.inputs(params, obs);
        match self.head.draw_by_hand(&inputs, noise) {
            Some((draw, _)) => draw,
            None => self.head.draw(params, &inputs, noise),
        }
    }

    /// [`Policy::draw`] without autograd, where that can be, for [`Policy::climb`].
    pub fn draw_by_hand(&self, obs: &Tensor, noise: &Tensor) -> Option<DrawnByHand> {
        let _guard = tch::no_grad_guard();
        if !self.head.draws_by_hand() {
            return None;
        }
        let params = self.trainable.params.frozen();
        let (inputs, body) = self.body.taped(params, &self.features(params, obs))?;
        let (draw, head) = self.head.draw_by_hand(&inputs, noise)?;
        Some(DrawnByHand { draw, head, body })
    }

    /// One step down the mean over rows of `α·log π − v`, where `slope` `[B, W]` is ∂v/∂action. There is an α for each
    /// replicate.
    pub fn climb(&mut self, drawn: &DrawnByHand, slope: &[f32], alphas: &[f32]) {
        let replicates = self.trainable.params.frozen().replicates();
        let rows = (numbers(&drawn.draw.log_prob).len() / replicates) as f32;
        let of_log_prob: Vec<f32> = alphas.iter().map(|alpha| alpha / rows).collect();
        let of_inputs = drawn.head.backward(slope, -1.0 / rows, &of_log_prob);
        self.trainable.descend_from(&drawn.body, &of_inputs);
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

    /// Writes actions `[rows, A]` at a few `obs [rows, O]`, flattened, to try out with `noise` and without exploration
    /// without. `false`, with nothing written and drawn, where libtorch has to be asked: it takes ten times as long for one
    /// row, nearly all of it to fetch its own code after an update went through the caches.
    pub fn act_by_hand(&self, obs: &[f32], rows: usize, noise: Option<&mut Stream>, actions: &mut [f32]) -> bool {
        thread_local! {
            static NOISE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        let params = self.trainable.params.frozen();
        let reads_obs = matches!(&self.encoder, PolicyEncoder::Own(encoder) if encoder.is_identity());
        let serves = reads_obs && self.head.draws_by_hand() && self.body.serves_few_rows(params, rows);
        if !serves || !explicit::readable(self.trainable.params.flat()) {
            return false;
        }
        NOISE.with_borrow_mut(|drawn| {
            drawn.resize(actions.len(), 0.0);
            let noise = noise.map(|noise| {
                noise.normal_into(drawn);
                &drawn[..]
            });
            let act = |inputs: &[f32]| self.head.act_by_hand(inputs, noise, actions);
            self.body.at_few_rows(params, obs, act).unwrap_or(false)
        })
    }

    /// Actions `[rows, A]` to try out at `obs [rows, …]`, as the environment takes them.
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

    /// What its encoder, if that is its own, and its body show of themselves at `obs [B, …]`.
    pub fn inspect(&self, obs: &Tensor) -> (Option<Look>, Look) {
        let _guard = tch::no_grad_guard();
        let params = self.trainable.params.frozen();
        let (mut seen, mut body) = (Look::default(), Look::default());
        let (features, own) = match &self.encoder {
            PolicyEncoder::Own(encoder) => (encoder.inspect(params, obs, &mut seen), Some(seen)),
            PolicyEncoder::Shared(encoder) => (encoder.encode(obs), None),
        };
        self.body.inspect(params, &features, &mut body);
        (own, body)
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
