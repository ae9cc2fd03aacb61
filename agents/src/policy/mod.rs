//! What the agent does: [`Policy`] = encoder, body and a distribution over actions.

pub mod categorical;
pub mod discrete;
pub mod fourier;
pub mod gumbel;
pub mod squashed_gaussian;

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub use categorical::{Categorical, CategoricalSpec};
pub use fourier::{FourierHead, FourierSpec};
pub use gumbel::{Gumbel, GumbelSpec};
pub use squashed_gaussian::{LogStdBounds, SquashedGaussian, SquashedGaussianSpec, StdSource};

use crate::{
    batch::Batch,
    checkpoint::Section,
    encoder::{Encoder, EncoderSpec, SharedEncoder},
    error::{Error, Result},
    inspect::Look,
    nn::{AdamSpec, BodySpec, Mlp, ParamBlock, ParamLayout, Params, Products, Trainable},
    noise::Stream,
    schedule::GradSteps,
    spec_check::SpecProblems,
    target::TargetSpec,
};
use discrete::{MOST_ENUMERATED, Positions};

/// Which distribution over actions. Default: squashed Gaussian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PolicySpec {
    /// tanh of a diagonal Gaussian, for boxes.
    SquashedGaussian(SquashedGaussianSpec),
    /// A non-negative Fourier series per coordinate, with several modes if need be, for boxes.
    Fourier(FourierSpec),
    /// Softmax over enumerated actions, for discrete spaces.
    Categorical(CategoricalSpec),
    /// Softmax per position with one-hot draws through which gradients pass, for discrete spaces.
    #[serde(rename = "gumbel_softmax")]
    Gumbel(GumbelSpec),
}

impl Default for PolicySpec {
    fn default() -> Self {
        PolicySpec::SquashedGaussian(SquashedGaussianSpec::default())
    }
}

impl PolicySpec {
    /// Settings of the optimiser.
    pub fn optimizer(&self) -> AdamSpec {
        match self {
            PolicySpec::SquashedGaussian(spec) => spec.optimizer,
            PolicySpec::Fourier(spec) => spec.optimizer,
            PolicySpec::Categorical(spec) => spec.optimizer,
            PolicySpec::Gumbel(spec) => spec.optimizer,
        }
    }

    /// What a file calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            PolicySpec::SquashedGaussian(_) => "squashed_gaussian",
            PolicySpec::Fourier(_) => "fourier",
            PolicySpec::Categorical(_) => "categorical",
            PolicySpec::Gumbel(_) => "gumbel_softmax",
        }
    }

    /// Values that are out of their range, the optimiser's apart.
    pub(crate) fn check(&self, problems: &mut SpecProblems) {
        match self {
            PolicySpec::SquashedGaussian(spec) => spec.check(problems),
            PolicySpec::Fourier(spec) => spec.check(problems),
            PolicySpec::Categorical(_) => {}
            PolicySpec::Gumbel(spec) => spec.check(problems),
        }
    }

    /// Why it cannot act in a space, if it cannot.
    pub(crate) fn misfit(&self, action: &Space) -> Option<String> {
        let combinations = Positions::of(action).map(|positions| positions.combinations());
        match (self, combinations) {
            (PolicySpec::SquashedGaussian(_) | PolicySpec::Fourier(_), None) if action.is_bounded() => None,
            (PolicySpec::SquashedGaussian(_), _) => {
                Some("this squashed Gaussian needs a box with finite bounds".into())
            }
            (PolicySpec::Fourier(_), _) => Some("this Fourier series needs a box with finite bounds".into()),
            (PolicySpec::Categorical(_), Some(Some(_))) | (PolicySpec::Gumbel(_), Some(_)) => None,
            (PolicySpec::Categorical(_), Some(None)) => Some(format!(
                "this enumerates combinations of actions, at most {MOST_ENUMERATED}; \"gumbel_softmax\" does not"
            )),
            (PolicySpec::Categorical(_) | PolicySpec::Gumbel(_), None) => Some("this is for discrete actions".into()),
        }
    }

    /// Builds the head for an action space and adds parameters of its own, if it has any, to `layout`.
    ///
    /// # Errors
    /// [`Error::UnsupportedSpace`].
    pub fn build(&self, env: &str, action: &Space, layout: &mut ParamLayout) -> Result<Box<dyn PolicyHead>> {
        let refused = |by, reason| Err(unsupported(env, action, by, reason));
        let action_dim = action.len() as i64;
        match (self, Positions::of(action)) {
            (PolicySpec::SquashedGaussian(spec), None) if action.is_bounded() => {
                Ok(Box::new(SquashedGaussian::new(spec, action_dim, layout)))
            }
            (PolicySpec::SquashedGaussian(_), _) => {
                refused("the squashed Gaussian policy", "it needs a box with finite bounds")
            }
            (PolicySpec::Fourier(spec), None) if action.is_bounded() => {
                Ok(Box::new(FourierHead::new(spec, action_dim)))
            }
            (PolicySpec::Fourier(_), _) => refused("the Fourier policy", "it needs a box with finite bounds"),
            (PolicySpec::Categorical(_), Some(positions)) => match Categorical::new(positions) {
                Some(head) => Ok(Box::new(head)),
                None => refused("the categorical policy", "there are too many combinations to enumerate"),
            },
            (PolicySpec::Gumbel(spec), Some(positions)) => Ok(Box::new(Gumbel::new(spec, positions))),
            (PolicySpec::Categorical(_), None) => refused("the categorical policy", "it is for discrete actions"),
            (PolicySpec::Gumbel(_), None) => refused("the Gumbel-Softmax policy", "it is for discrete actions"),
        }
    }
}

fn unsupported(env: &str, action: &Space, by: &'static str, reason: &'static str) -> Error {
    Error::UnsupportedSpace {
        what: "action",
        space: action.to_string(),
        env: env.to_string(),
        by,
        reason,
    }
}

/// How critics see actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// As numbers that they take as input: a box, or one-hot vectors through which gradients pass.
    Vector {
        /// W.
        width: i64,
    },
    /// As one of so many, each with an output of its own.
    Enumerated {
        /// n.
        count: i64,
    },
}

/// What a policy would do: drawn actions, or the probability of each.
pub enum Actions {
    /// `[B, W]`: one action per row, in the coordinates that critics take.
    Sampled(Tensor),
    /// `[B, n]`: the probability of every action; expectations are exact.
    Weighted(Tensor),
}

/// Actions of a policy, with their density.
pub struct ActionDraw {
    /// Drawn or weighted.
    pub actions: Actions,
    /// `[B]`, nats: of the drawn action, with respect to the normalised box; or, for discrete actions, its expectation.
    pub log_prob: Tensor,
}

impl ActionDraw {
    /// Given actions `[B, W]`, as if there were no others: for asking a critic about them.
    pub fn given(action: Tensor) -> Self {
        ActionDraw {
            log_prob: Tensor::zeros(action.size()[0], (Kind::Float, action.device())),
            actions: Actions::Sampled(action),
        }
    }

    /// The drawn actions `[B, W]`.
    ///
    /// # Panics
    /// When the policy enumerates: configurations in which that could happen are refused before anything is built.
    pub fn sampled(&self) -> &Tensor {
        match &self.actions {
            Actions::Sampled(action) => action,
            Actions::Weighted(_) => panic!("this critic needs drawn actions; spec_check refuses the combination"),
        }
    }
}

/// A distribution over actions, given numbers from the body.
pub trait PolicyHead: Send {
    /// How many numbers per sample it reads.
    fn inputs(&self) -> i64;

    /// How critics are to see its actions.
    fn actions(&self) -> ActionKind;

    /// The random numbers `[rows, …]` that so many draws take.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor;

    /// Actions as a differentiable function of `inputs [B, inputs()]`, given their noise.
    fn draw(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw;

    /// Actions `[B, A]` to try out, as the environment takes them: normalised for a box, indices otherwise.
    fn explore(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor;

    /// The action `[B, A]` to take when no exploration is wanted, as the environment takes it.
    fn mode(&self, params: &Params, inputs: &Tensor) -> Tensor;

    /// Actions `[B, A]` as the environment takes them, as critics take them: `[B, W]`, or indices `[B, 1]` where they
    /// are enumerated.
    fn encode(&self, actions: &Tensor) -> Tensor {
        actions.shallow_clone()
    }

    /// Moves what is annealed to its value after so many gradient steps.
    fn anneal(&mut self, _at: GradSteps) {}
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

    /// Moves the target, if there is one. `at` counts gradient steps, this one included.
    pub fn follow(&mut self, rule: TargetSpec, at: GradSteps) {
        if let Some(target) = &mut self.target {
            rule.follow(target, &self.trainable.params, at);
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

/// `Σ_a π(a)·x(a)` per row: `probability` and `values` are `[B, n]`, the result `[B]`.
pub fn expectation(probability: &Tensor, values: &Tensor) -> Tensor {
    (probability * values).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}
