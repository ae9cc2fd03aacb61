//! Full updates of the critics other than SAC's against golden data; see `golden/README.md`.

use crate::full_update::one_update_equals;
use sac_agents::{
    AgentSpec,
    critic::{
        CriticSpec, DsacSpec, DsacTSpec, QuantileSpec, StateValueSpec, TargetFilterSpec,
        dsac_t::{Form, SigmaRule},
        target_filter::{Bandwidth, FilterOrder},
    },
};

fn with(critic: CriticSpec) -> AgentSpec {
    AgentSpec {
        critic,
        ..AgentSpec::default()
    }
}

fn dsac_t(sigma_rule: SigmaRule) -> AgentSpec {
    with(CriticSpec::DsacT(DsacTSpec {
        sigma_rule,
        ..DsacTSpec::default()
    }))
}

#[test]
fn an_update_of_dsac_t_equals_the_derivation() {
    one_update_equals(dsac_t(SigmaRule::Nll), include_str!("golden/dsac_t/nll.json"));
}

#[test]
fn an_update_of_dsac_t_by_the_references_rule_equals_the_derivation() {
    one_update_equals(
        dsac_t(SigmaRule::Reference),
        include_str!("golden/dsac_t/reference.json"),
    );
}

#[test]
fn an_update_of_dsac_t_in_its_published_form_equals_the_derivation() {
    let critic = DsacTSpec {
        form: Form::Published,
        ..DsacTSpec::default()
    };
    one_update_equals(
        with(CriticSpec::DsacT(critic)),
        include_str!("golden/dsac_t/published.json"),
    );
}

#[test]
fn an_update_of_dsac_equals_the_derivation() {
    let critic = DsacSpec {
        td_bound: 1.0,
        ..DsacSpec::default()
    };
    one_update_equals(with(CriticSpec::Dsac(critic)), include_str!("golden/dsac/data.json"));
}

#[test]
fn an_update_of_tqc_equals_the_derivation() {
    let critic = QuantileSpec {
        members: 3,
        quantiles: 4,
        dropped_per_member: 1,
        ..QuantileSpec::default()
    };
    one_update_equals(
        with(CriticSpec::Quantile(critic)),
        include_str!("golden/quantile/data.json"),
    );
}

/// A filter with four samples of a Gaussian, reflected at the bounds, as in the derivations.
fn filter(order: FilterOrder) -> Option<TargetFilterSpec> {
    Some(TargetFilterSpec {
        bandwidth: Bandwidth::All(0.4),
        order,
        ..TargetFilterSpec::default()
    })
}

#[test]
fn an_update_of_dsac_t_with_band_limited_targets_equals_the_derivation() {
    let critic = DsacTSpec {
        target_filter: filter(FilterOrder::FilterThenMin),
        ..DsacTSpec::default()
    };
    one_update_equals(
        with(CriticSpec::DsacT(critic)),
        include_str!("golden/bl_dsac_t/data.json"),
    );
}

#[test]
fn an_update_of_tqc_with_band_limited_targets_equals_the_derivation() {
    let critic = QuantileSpec {
        members: 3,
        quantiles: 4,
        dropped_per_member: 1,
        target_filter: filter(FilterOrder::MinThenFilter),
        ..QuantileSpec::default()
    };
    one_update_equals(
        with(CriticSpec::Quantile(critic)),
        include_str!("golden/bl_quantile/data.json"),
    );
}

#[test]
fn an_update_of_the_first_sac_equals_the_derivation() {
    one_update_equals(
        with(CriticSpec::StateValue(StateValueSpec::default())),
        include_str!("golden/state_value/data.json"),
    );
}
