//! Settings of policies: [`PolicySpec`], [`HeadSettings`].

use std::sync::Arc;

use sac_envs::Space;
use serde::{Deserialize, Serialize};

use super::{
    categorical::{Categorical, CategoricalSpec},
    discrete::{MAX_ENUMERATED, Positions},
    fourier::{FourierHead, FourierSpec},
    gumbel::{Gumbel, GumbelSpec},
    head::PolicyHead,
    squashed_gaussian::{SquashedGaussian, SquashedGaussianSpec},
};
use crate::{
    custom::{Choice, Custom},
    error::{Error, Result},
    nn::AdamSpec,
    spec_problems::SpecProblems,
};

/// Settings of a distribution over actions that is defined outside this crate.
pub trait HeadSettings: Send + Sync {
    /// Builds the head for an action space that [`HeadSettings::misfit`] does not refuse.
    fn build(&self, action: &Space) -> Box<dyn PolicyHead>;

    /// Why the distribution does not support an action space; `None` if it does.
    fn misfit(&self, _action: &Space) -> Option<String> {
        None
    }

    /// Settings of the optimiser of the policy network.
    fn optimizer(&self) -> AdamSpec {
        AdamSpec::default()
    }

    /// Reports values that are out of range, by their keys, which begin with `agent.policy`.
    fn check(&self, _problems: &mut SpecProblems) {}
}

/// The distribution over actions and its settings. Default: squashed Gaussian.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PolicySpec {
    /// tanh of a diagonal Gaussian, for boxes.
    SquashedGaussian(SquashedGaussianSpec),
    /// A non-negative Fourier series per coordinate, which can be multimodal, for boxes.
    Fourier(FourierSpec),
    /// Softmax over enumerated actions, for discrete spaces.
    Categorical(CategoricalSpec),
    /// Softmax per position, with one-hot samples through which gradients pass, for discrete spaces.
    #[serde(rename = "gumbel_softmax")]
    Gumbel(GumbelSpec),
    /// A distribution that is defined outside this crate: [`PolicySpec::custom`].
    #[serde(skip)]
    Custom(Custom<dyn HeadSettings>),
}

impl Default for PolicySpec {
    fn default() -> Self {
        PolicySpec::SquashedGaussian(SquashedGaussianSpec::default())
    }
}

impl Choice for PolicySpec {
    type Part = dyn HeadSettings;

    fn custom(&self) -> Option<&Custom<dyn HeadSettings>> {
        match self {
            PolicySpec::Custom(custom) => Some(custom),
            _ => None,
        }
    }
}

impl PolicySpec {
    /// A distribution that is defined outside this crate. `kind` is its name in files.
    ///
    /// # Errors
    /// When TOML cannot hold the settings.
    pub fn custom(kind: &str, settings: impl HeadSettings + Serialize + 'static) -> Result<Self> {
        let settings = Arc::new(settings);
        let part: Arc<dyn HeadSettings> = settings.clone();
        Ok(PolicySpec::Custom(Custom::new("agent.policy", kind, &*settings, part)?))
    }

    /// Settings of the optimiser.
    pub fn optimizer(&self) -> AdamSpec {
        match self {
            PolicySpec::SquashedGaussian(spec) => spec.optimizer,
            PolicySpec::Fourier(spec) => spec.optimizer,
            PolicySpec::Categorical(spec) => spec.optimizer,
            PolicySpec::Gumbel(spec) => spec.optimizer,
            PolicySpec::Custom(custom) => custom.part().optimizer(),
        }
    }

    /// Applies `change` to the settings of the optimiser.
    pub(crate) fn change_optimizer(&mut self, change: impl Fn(AdamSpec) -> AdamSpec) {
        let optimizer = match self {
            PolicySpec::SquashedGaussian(spec) => &mut spec.optimizer,
            PolicySpec::Fourier(spec) => &mut spec.optimizer,
            PolicySpec::Categorical(spec) => &mut spec.optimizer,
            PolicySpec::Gumbel(spec) => &mut spec.optimizer,
            PolicySpec::Custom(_) => return,
        };
        *optimizer = change(*optimizer);
    }

    /// The name in a file.
    pub fn kind(&self) -> &str {
        match self {
            PolicySpec::SquashedGaussian(_) => "squashed_gaussian",
            PolicySpec::Fourier(_) => "fourier",
            PolicySpec::Categorical(_) => "categorical",
            PolicySpec::Gumbel(_) => "gumbel_softmax",
            PolicySpec::Custom(custom) => custom.kind(),
        }
    }

    /// Reports values that are out of range.
    pub(crate) fn check(&self, problems: &mut SpecProblems) {
        match self {
            PolicySpec::SquashedGaussian(spec) => spec.check(problems),
            PolicySpec::Fourier(spec) => spec.check(problems),
            PolicySpec::Categorical(_) => {}
            PolicySpec::Gumbel(spec) => spec.check(problems),
            PolicySpec::Custom(custom) => custom.part().check(problems),
        }
        self.optimizer().check(problems, "agent.policy.optimizer");
    }

    /// Why the distribution does not support an action space; `None` if it does.
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
                "this enumerates at most {MAX_ENUMERATED} combinations of actions; \"gumbel_softmax\" has no limit"
            )),
            (PolicySpec::Categorical(_) | PolicySpec::Gumbel(_), None) => Some("this is for discrete actions".into()),
            (PolicySpec::Custom(custom), _) => custom.part().misfit(action),
        }
    }

    /// Builds the head for an action space. `env` is the name of the environment in errors.
    ///
    /// # Errors
    /// [`Error::UnsupportedSpace`].
    pub fn build(&self, env: &str, action: &Space) -> Result<Box<dyn PolicyHead>> {
        let refused = |by, reason| Err(unsupported(env, action, by, reason));
        let action_dim = action.len() as i64;
        match (self, Positions::of(action)) {
            (PolicySpec::SquashedGaussian(spec), None) if action.is_bounded() => {
                Ok(Box::new(SquashedGaussian::new(spec, action_dim)))
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
            (PolicySpec::Custom(custom), _) => Ok(custom.part().build(action)),
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
