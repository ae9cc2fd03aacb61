//! What the agent does: [`Policy`] = encoder, body and a distribution over actions.

pub mod squashed_gaussian;

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

pub use squashed_gaussian::{SquashedGaussian, SquashedGaussianSpec};

use crate::{
    checkpoint::Section,
    encoder::{Encoder, EncoderSpec},
    error::{Error, Result},
    nn::{AdamSpec, BodySpec, Mlp, ParamLayout, Params, Trainable},
    noise::Stream,
};

/// Which distribution over actions. Default: squashed Gaussian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PolicySpec {
    /// tanh of a diagonal Gaussian, for boxes.
    SquashedGaussian(SquashedGaussianSpec),
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
        }
    }

    /// Builds the head for an action space.
    ///
    /// # Errors
    /// [`Error::UnsupportedSpace`].
    pub fn build(&self, env: &str, action: &Space) -> Result<Box<dyn PolicyHead>> {
        match self {
            PolicySpec::SquashedGaussian(spec) => match action {
                Space::Box { .. } if action.is_bounded() => {
                    Ok(Box::new(SquashedGaussian::new(spec, action.len() as i64)))
                }
                _ => Err(Error::UnsupportedSpace {
                    what: "action",
                    space: action.to_string(),
                    env: env.to_string(),
                    by: "the squashed Gaussian policy",
                    reason: "it needs a box with finite bounds",
                }),
            },
        }
    }
}

/// Actions drawn from a policy, with their density.
pub struct ActionDraw {
    /// `[B, A]`, in [-1, 1].
    pub action: Tensor,
    /// `[B]`, nats, density with respect to the normalised box.
    pub log_prob: Tensor,
}

/// A distribution over actions, given numbers from the body.
pub trait PolicyHead: Send {
    /// How many numbers per sample it reads.
    fn inputs(&self) -> i64;

    /// How many standard normal numbers per sample a draw takes.
    fn noise_width(&self) -> i64;

    /// Actions as a differentiable function of `inputs [B, inputs()]` and standard normal `noise [B, noise_width()]`.
    fn draw(&self, inputs: &Tensor, noise: &Tensor) -> ActionDraw;

    /// The action `[B, A]` to take when no exploration is wanted.
    fn mode(&self, inputs: &Tensor) -> Tensor;
}

/// A policy network with its optimiser.
pub struct Policy {
    encoder: Box<dyn Encoder>,
    body: Mlp,
    head: Box<dyn PolicyHead>,
    /// Encoder and body in one block.
    pub trainable: Trainable,
}

impl Policy {
    /// Puts a policy together; initial weights come from `init`.
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
        let head = spec.build(env, action)?;
        let mut layout = ParamLayout::default();
        let encoder = encoder.build(&observation.shape(), &mut layout);
        let body = Mlp::single(body, encoder.width(), head.inputs(), &mut layout);
        let trainable = Trainable::new(layout, spec.optimizer(), init, device);
        Ok(Policy {
            encoder,
            body,
            head,
            trainable,
        })
    }

    fn inputs(&self, params: &Params, obs: &Tensor) -> Tensor {
        self.body.forward(params, &self.encoder.encode(params, obs)) // [B, inputs]
    }

    /// The noise `[rows, ·]` that so many draws take.
    pub fn noise(&self, rows: i64, stream: &mut Stream) -> Tensor {
        stream.normal(&[rows, self.head.noise_width()], self.trainable.params.flat().device())
    }

    /// Draws actions for `obs [B, …]` through which gradients reach the policy's parameters.
    pub fn draw(&self, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        self.head.draw(&self.inputs(&self.trainable.params.views(), obs), noise)
    }

    /// Draws actions without a history.
    pub fn draw_frozen(&self, obs: &Tensor, noise: &Tensor) -> ActionDraw {
        let _guard = tch::no_grad_guard();
        self.head.draw(&self.inputs(self.trainable.params.frozen(), obs), noise)
    }

    /// The action `[B, A]` without exploration, without a history.
    pub fn mode(&self, obs: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.head.mode(&self.inputs(self.trainable.params.frozen(), obs))
    }

    /// The section `policy`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("policy");
        self.trainable.save("policy", &mut section);
        section
    }

    /// Takes back what [`Policy::section`] wrote.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        self.trainable.load("policy", section)
    }
}
