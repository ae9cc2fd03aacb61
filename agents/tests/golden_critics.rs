//! Full updates of the critics beside SAC's own, derived elsewhere: see `golden/README.md`.
//!
//! After one step Adam has moved every parameter by about its learning rate, whatever the size of the gradient. The
//! gradient itself is therefore compared too, as Adam's first moment holds it.

mod support;

use std::collections::BTreeMap;

use sac_agents::{
    Agent, AgentSpec,
    critic::{
        CriticSpec, DsacSpec, DsacTSpec, QuantileSpec, StateValueSpec, TargetFilterSpec,
        dsac_t::SigmaRule,
        target_filter::{Bandwidth, FilterOrder},
    },
    nn::BodySpec,
    noise::Stream,
};
use serde::Deserialize;
use support::{Dims, Stored, agent_with, batch, named, read, relative_difference};

#[derive(Deserialize)]
struct Case {
    dims: Dims,
    batch: BTreeMap<String, Vec<f64>>,
    noise: Vec<f64>,
    before: BTreeMap<String, Stored>,
    after: BTreeMap<String, Stored>,
    moments: BTreeMap<String, Vec<f64>>,
    metrics: BTreeMap<String, f64>,
    td_error: Vec<f64>,
}

/// Largest difference that single precision may make in a few layers of width 5.
const TOLERANCE: f64 = 1e-5;

fn one_update_equals(critic: CriticSpec, data: &str) {
    let case: Case = read(data);
    let spec = AgentSpec {
        body: BodySpec {
            hidden: vec![case.dims.hidden; 2],
            ..BodySpec::default()
        },
        critic,
        ..AgentSpec::default()
    };
    let mut agent = agent_with(&spec, &case.dims, &case.before);
    let mut noise = Stream::scripted(case.noise.iter().map(|value| *value as f32));
    let report = agent.update(&batch(&case.dims, &case.batch), &mut noise);
    let found: BTreeMap<_, _> = report.read().into_iter().collect();
    for (name, expected) in &case.metrics {
        let difference = (found[name.as_str()] - expected).abs() / expected.abs().max(1.0);
        assert!(difference < TOLERANCE, "{name}: {} {expected}", found[name.as_str()]);
    }
    let td_error = report.td_error.expect("the batch has weights");
    let difference = relative_difference(&td_error, &case.td_error, 1.0);
    assert!(difference < TOLERANCE, "TD error: {difference}");

    let sections = agent.sections().expect("sections");
    for (name, expected) in &case.moments {
        let scale = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
        let difference = relative_difference(&named(&sections, name), expected, scale);
        assert!(difference < TOLERANCE, "{name}: {difference}");
    }
    for (name, expected) in &case.after {
        let found = named(&sections, name);
        let moved = relative_difference(&found, &case.before[name].data, 1e-1);
        let difference = relative_difference(&found, &expected.data, 1e-1);
        assert!(difference < TOLERANCE, "{name}: {difference}");
        assert!(moved > TOLERANCE, "{name} did not move, so the comparison sees nothing");
    }
    let is_new = |name: &&String| !case.after.contains_key(*name);
    assert_eq!(case.before.keys().filter(is_new).count(), 0, "all of it was compared");
}

fn dsac_t(sigma_rule: SigmaRule) -> CriticSpec {
    CriticSpec::DsacT(DsacTSpec {
        sigma_rule,
        ..DsacTSpec::default()
    })
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
fn an_update_of_dsac_equals_the_derivation() {
    let critic = DsacSpec {
        td_bound: 1.0,
        ..DsacSpec::default()
    };
    one_update_equals(CriticSpec::Dsac(critic), include_str!("golden/dsac/data.json"));
}

#[test]
fn an_update_of_tqc_equals_the_derivation() {
    let critic = QuantileSpec {
        members: 3,
        quantiles: 4,
        dropped_per_member: 1,
        ..QuantileSpec::default()
    };
    one_update_equals(CriticSpec::Quantile(critic), include_str!("golden/quantile/data.json"));
}

/// Four draws from a Gaussian, reflected at the bounds, as the derivations have it.
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
    one_update_equals(CriticSpec::DsacT(critic), include_str!("golden/bl_dsac_t/data.json"));
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
        CriticSpec::Quantile(critic),
        include_str!("golden/bl_quantile/data.json"),
    );
}

#[test]
fn an_update_of_the_first_sac_equals_the_derivation() {
    one_update_equals(
        CriticSpec::StateValue(StateValueSpec::default()),
        include_str!("golden/state_value/data.json"),
    );
}
