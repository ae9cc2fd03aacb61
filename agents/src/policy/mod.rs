//! What the agent does: [`Policy`] = encoder, body and a distribution over actions.

pub mod categorical;
pub mod discrete;
pub mod fourier;
pub mod gumbel;
mod network;
pub mod squashed_gaussian;

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

pub use categorical::{Categorical, CategoricalSpec};
pub use fourier::{FourierHead, FourierSpec};
pub use gumbel::{Gumbel, GumbelSpec};
pub use network::{DrawnByHand, Policy};
pub use squashed_gaussian::{LogStdBounds, SquashedGaussian, SquashedGaussianSpec, StdSource};

use crate::{
    error::{Error, Result},
    nn::{AdamSpec, ParamLayout, Params},
    noise::Stream,
    schedule::GradSteps,
    spec_check::SpecProblems,
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

    /// Whether [`PolicyHead::draw_by_hand`] can be.
    fn draws_by_hand(&self) -> bool {
        false
    }

    /// [`PolicyHead::draw`] without a history, and what its gradient is made of, both without autograd. `None` where the
    /// head or these `inputs` cannot be served so.
    fn draw_by_hand(&self, _inputs: &Tensor, _noise: &Tensor) -> Option<(ActionDraw, Box<dyn HeadTape>)> {
        None
    }

    /// Chooses actions `[B, A]` from the numbers `inputs` `[B, inputs]` that it reads, without autograd: with `noise`
    /// `[B, A]` of standard normal draws such as [`PolicyHead::explore`], without it such as [`PolicyHead::mode`]. `false`, and
    /// nothing chosen, where that cannot be; it can wherever [`PolicyHead::draws_by_hand`].
    fn act_by_hand(&self, _inputs: &[f32], _noise: Option<&[f32]>, _actions: &mut [f32]) -> bool {
        false
    }

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

/// What a draw by hand leaves for its gradient.
pub trait HeadTape {
    /// The gradient `[B, inputs]` of a loss by what the head read, from that by its actions, which is `of_action` `[B, W]` times
    /// `scale`, and by every row's log-probability: one number for all rows, or as many as there are equal parts of them.
    fn backward(&self, of_action: &[f32], scale: f32, of_log_prob: &[f32]) -> Vec<f32>;
}

/// `Σ_a π(a)·x(a)` per row: `probability` and `values` are `[B, n]`, the result `[B]`.
pub fn expectation(probability: &Tensor, values: &Tensor) -> Tensor {
    (probability * values).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}
