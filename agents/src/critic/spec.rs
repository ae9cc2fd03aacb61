//! Settings of critics: [`CriticSpec`], [`CriticSettings`].

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tch::Device;

use super::{
    Critic,
    categorical::{CategoricalCritic, CategoricalCriticSpec},
    dsac::{DsacCritic, DsacSpec},
    dsac_t::{DsacTCritic, DsacTSpec},
    quantile::{QuantileCritic, QuantileSpec},
    scalar::{ScalarCritic, ScalarSpec},
    state_value::{StateValueCritic, StateValueSpec},
    target_filter::TargetFilterSpec,
};
use crate::{
    custom::{Choice, Custom},
    error::Result,
    nn::AdamSpec,
    spec_problems::SpecProblems,
    target::TargetSpec,
};

/// Settings of a critic that is defined outside this crate.
pub trait CriticSettings: Send + Sync {
    /// The critic's equations.
    fn build(&self) -> Box<dyn Critic>;

    /// Reports values that are out of range, by their keys, which begin with `agent.critic`.
    fn check(&self, _problems: &mut SpecProblems) {}

    /// Whether the critic supports policies that enumerate their actions.
    fn enumerates(&self) -> bool {
        false
    }
}

/// The kind of critic and its settings. Default: scalar with two members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CriticSpec {
    /// An ensemble of scalar action values.
    Scalar(ScalarSpec),
    /// A normal distribution of the soft return, learned from samples of the target distribution.
    Dsac(DsacSpec),
    /// Twin normal distributions of the soft return, with the three refinements of DSAC-T.
    DsacT(DsacTSpec),
    /// Quantiles of the soft return; the target omits the largest ones.
    Quantile(QuantileSpec),
    /// A categorical distribution of the soft return over a fixed support.
    Categorical(CategoricalCriticSpec),
    /// Action values and a separate state value, as in the first version of SAC.
    StateValue(StateValueSpec),
    /// A critic that is defined outside this crate: [`CriticSpec::custom`].
    #[serde(skip)]
    Custom(Custom<dyn CriticSettings>),
}

impl Default for CriticSpec {
    fn default() -> Self {
        CriticSpec::Scalar(ScalarSpec::default())
    }
}

impl Choice for CriticSpec {
    type Part = dyn CriticSettings;

    fn custom(&self) -> Option<&Custom<dyn CriticSettings>> {
        match self {
            CriticSpec::Custom(custom) => Some(custom),
            _ => None,
        }
    }
}

impl CriticSpec {
    /// A critic that is defined outside this crate. `kind` is its name in files.
    ///
    /// # Errors
    /// When TOML cannot hold the settings.
    pub fn custom(kind: &str, settings: impl CriticSettings + Serialize + 'static) -> Result<Self> {
        let settings = Arc::new(settings);
        let part: Arc<dyn CriticSettings> = settings.clone();
        Ok(CriticSpec::Custom(Custom::new("agent.critic", kind, &*settings, part)?))
    }

    /// The critic's equations. `targets` sets the rate of statistics that follow as fast as target parameters.
    pub fn build(&self, targets: TargetSpec, device: Device) -> Box<dyn Critic> {
        match self {
            CriticSpec::Scalar(spec) => Box::new(ScalarCritic::new(spec)),
            CriticSpec::Dsac(spec) => Box::new(DsacCritic::new(spec)),
            CriticSpec::DsacT(spec) => Box::new(DsacTCritic::new(spec, targets)),
            CriticSpec::Quantile(spec) => Box::new(QuantileCritic::new(spec, device)),
            CriticSpec::Categorical(spec) => Box::new(CategoricalCritic::new(spec)),
            CriticSpec::StateValue(spec) => Box::new(StateValueCritic::new(spec)),
            CriticSpec::Custom(custom) => custom.part().build(),
        }
    }

    /// Reports values that are out of range.
    pub(crate) fn check(&self, problems: &mut SpecProblems) {
        match self {
            CriticSpec::Scalar(spec) => spec.check(problems),
            CriticSpec::Dsac(spec) => spec.check(problems),
            CriticSpec::DsacT(spec) => spec.check(problems),
            CriticSpec::Quantile(spec) => spec.check(problems),
            CriticSpec::Categorical(spec) => spec.check(problems),
            CriticSpec::StateValue(spec) => spec.check(problems),
            CriticSpec::Custom(custom) => custom.part().check(problems),
        }
    }

    /// The name in a file.
    pub fn kind(&self) -> &str {
        match self {
            CriticSpec::Scalar(_) => "scalar",
            CriticSpec::Dsac(_) => "dsac",
            CriticSpec::DsacT(_) => "dsac_t",
            CriticSpec::Quantile(_) => "quantile",
            CriticSpec::Categorical(_) => "categorical",
            CriticSpec::StateValue(_) => "state_value",
            CriticSpec::Custom(custom) => custom.kind(),
        }
    }

    /// Whether the critic supports policies that enumerate their actions.
    pub fn enumerates(&self) -> bool {
        match self {
            // A filter averages over actions near a drawn one; enumerated actions have no neighbours.
            CriticSpec::Scalar(spec) => spec.target_filter.is_none(),
            CriticSpec::StateValue(_) => true,
            // The expectation of samples or sorted atoms over actions is not implemented.
            CriticSpec::Dsac(_) | CriticSpec::DsacT(_) | CriticSpec::Quantile(_) | CriticSpec::Categorical(_) => false,
            CriticSpec::Custom(custom) => custom.part().enumerates(),
        }
    }

    /// Settings of the optimisers, by their keys. A critic that is defined outside this crate keeps them to itself.
    pub fn optimizers(&self) -> Vec<(&'static str, AdamSpec)> {
        let mut spec = self.clone();
        let optimizers = spec.optimizers_mut().into_iter();
        optimizers.map(|(key, optimizer)| (key, *optimizer)).collect()
    }

    /// [`CriticSpec::optimizers`], to be changed.
    pub(crate) fn optimizers_mut(&mut self) -> Vec<(&'static str, &mut AdamSpec)> {
        const KEY: &str = "agent.critic.optimizer";
        match self {
            CriticSpec::Scalar(spec) => vec![(KEY, &mut spec.optimizer)],
            CriticSpec::Dsac(spec) => vec![(KEY, &mut spec.optimizer)],
            CriticSpec::DsacT(spec) => vec![(KEY, &mut spec.optimizer)],
            CriticSpec::Quantile(spec) => vec![(KEY, &mut spec.optimizer)],
            CriticSpec::Categorical(spec) => vec![(KEY, &mut spec.optimizer)],
            CriticSpec::StateValue(spec) => vec![
                (KEY, &mut spec.optimizer),
                ("agent.critic.value_optimizer", &mut spec.value_optimizer),
            ],
            CriticSpec::Custom(_) => Vec::new(),
        }
    }

    /// The target filter, if there is one.
    pub fn target_filter(&self) -> Option<&TargetFilterSpec> {
        match self {
            CriticSpec::Scalar(spec) => spec.target_filter.as_ref(),
            CriticSpec::Dsac(spec) => spec.target_filter.as_ref(),
            CriticSpec::DsacT(spec) => spec.target_filter.as_ref(),
            CriticSpec::Quantile(spec) => spec.target_filter.as_ref(),
            CriticSpec::Categorical(spec) => spec.target_filter.as_ref(),
            // The target is a value of states, so there is no action to filter over.
            CriticSpec::StateValue(_) => None,
            // It is a part of the functions that the critic describes, and checked by the critic's settings.
            CriticSpec::Custom(_) => None,
        }
    }
}
