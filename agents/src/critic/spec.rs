//! Which critic: [`CriticSpec`].

use serde::{Deserialize, Serialize};
use tch::Device;

use super::{
    Critic,
    dsac::{DsacCritic, DsacSpec},
    dsac_t::{DsacTCritic, DsacTSpec},
    quantile::{QuantileCritic, QuantileSpec},
    scalar::{ScalarCritic, ScalarSpec},
    state_value::{StateValueCritic, StateValueSpec},
    target_filter::TargetFilterSpec,
};
use crate::{spec_problems::SpecProblems, target::TargetSpec};

/// Which critic. Default: scalar, two members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CriticSpec {
    /// One number per state and action, several members.
    Scalar(ScalarSpec),
    /// A normal distribution of the soft return, learned from samples of its target.
    Dsac(DsacSpec),
    /// Twin normal distributions of the soft return, with the three refinements of DSAC-T.
    DsacT(DsacTSpec),
    /// Quantiles of the soft return, the largest of which are left out of the target.
    Quantile(QuantileSpec),
    /// A value of states beside action values, as in SAC's first version.
    StateValue(StateValueSpec),
}

impl Default for CriticSpec {
    fn default() -> Self {
        CriticSpec::Scalar(ScalarSpec::default())
    }
}

impl CriticSpec {
    /// Its equations. `targets` says how fast targets follow, for statistics that follow at the same rate.
    pub fn build(&self, targets: TargetSpec, device: Device) -> Box<dyn Critic> {
        match self {
            CriticSpec::Scalar(spec) => Box::new(ScalarCritic::new(spec)),
            CriticSpec::Dsac(spec) => Box::new(DsacCritic::new(spec)),
            CriticSpec::DsacT(spec) => Box::new(DsacTCritic::new(spec, targets)),
            CriticSpec::Quantile(spec) => Box::new(QuantileCritic::new(spec, device)),
            CriticSpec::StateValue(spec) => Box::new(StateValueCritic::new(spec)),
        }
    }

    /// Notes values that are out of their range, keys from `agent` on.
    pub(crate) fn check(&self, problems: &mut SpecProblems) {
        match self {
            CriticSpec::Scalar(spec) => spec.check(problems),
            CriticSpec::Dsac(spec) => spec.check(problems),
            CriticSpec::DsacT(spec) => spec.check(problems),
            CriticSpec::Quantile(spec) => spec.check(problems),
            CriticSpec::StateValue(spec) => spec.check(problems),
        }
    }

    /// Its name in a file.
    pub fn kind(&self) -> &'static str {
        match self {
            CriticSpec::Scalar(_) => "scalar",
            CriticSpec::Dsac(_) => "dsac",
            CriticSpec::DsacT(_) => "dsac_t",
            CriticSpec::Quantile(_) => "quantile",
            CriticSpec::StateValue(_) => "state_value",
        }
    }

    /// Whether it can score actions that are enumerated: a policy's probabilities instead of its draws.
    pub fn enumerates(&self) -> bool {
        match self {
            // A filter averages over neighbours of a drawn action; enumerated ones have none.
            CriticSpec::Scalar(spec) => spec.target_filter.is_none(),
            CriticSpec::StateValue(_) => true,
            // Samples of distributions and sorted atoms have no expectation over actions here.
            CriticSpec::Dsac(_) | CriticSpec::DsacT(_) | CriticSpec::Quantile(_) => false,
        }
    }

    /// The filter over the action of the target, if there is one.
    pub fn target_filter(&self) -> Option<&TargetFilterSpec> {
        match self {
            CriticSpec::Scalar(spec) => spec.target_filter.as_ref(),
            CriticSpec::Dsac(spec) => spec.target_filter.as_ref(),
            CriticSpec::DsacT(spec) => spec.target_filter.as_ref(),
            CriticSpec::Quantile(spec) => spec.target_filter.as_ref(),
            // Its target is a value of states: there is no action to filter over.
            CriticSpec::StateValue(_) => None,
        }
    }
}
