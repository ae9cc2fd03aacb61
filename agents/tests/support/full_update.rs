//! Comparison of a full update of an agent with golden data.
//!
//! The first step of Adam moves every parameter by about the learning rate, for any size of the gradient. The gradient
//! is therefore compared too, by means of Adam's first moment.

use std::collections::BTreeMap;

use sac_agents::{Agent, AgentSpec, Compute, checkpoint::Section, nn::BodySpec, noise::Stream};
use serde::Deserialize;

use crate::support::{Dims, Stored, agent_with, batch, implementations, named, read, relative_difference};

#[derive(Deserialize)]
pub struct Case {
    dims: Dims,
    batch: BTreeMap<String, Vec<f64>>,
    noise: Vec<f64>,
    before: BTreeMap<String, Stored>,
    pub after: BTreeMap<String, Stored>,
    pub moments: BTreeMap<String, Vec<f64>>,
    metrics: BTreeMap<String, f64>,
    td_error: Vec<f64>,
    /// Parameters whose gradient is 0.
    #[serde(default)]
    still: Vec<String>,
}

/// Tolerance for single precision in a few layers of width 5.
const TOLERANCE: f64 = 1e-5;

/// [`update_equals`] for a file with a single case.
#[allow(dead_code, reason = "not every test that includes this file has such a file")]
pub fn one_update_equals(spec: AgentSpec, data: &str) {
    update_equals(spec, &read(data));
}

/// Asserts that one update of an agent with `spec` and the case's widths gives the case's losses, gradients and
/// parameters, with the fused and with the reference implementation. Returns the state after the update.
pub fn update_equals(spec: AgentSpec, case: &Case) -> Vec<Section<'static>> {
    let [fused, reference] = implementations();
    update_equals_on(&spec, case, &reference);
    update_equals_on(&spec, case, &fused)
}

fn update_equals_on(spec: &AgentSpec, case: &Case, compute: &Compute) -> Vec<Section<'static>> {
    let spec = AgentSpec {
        body: BodySpec::mlp(&[case.dims.hidden; 2]),
        ..spec.clone()
    };
    equals_on(&spec, case, compute)
}

/// [`update_equals`] with the bodies of `spec`, and with one implementation.
pub fn equals_on(spec: &AgentSpec, case: &Case, compute: &Compute) -> Vec<Section<'static>> {
    let mut agent = agent_with(spec, &case.dims, &case.before, compute);
    let mut stream = Stream::scripted(case.noise.iter().map(|value| *value as f32));
    let report = agent.update(&batch(&case.dims, &case.batch), &mut stream);
    let actual: BTreeMap<_, _> = report.read().into_iter().collect();
    for (name, expected) in &case.metrics {
        let difference = (actual[name.as_str()] - expected).abs() / expected.abs().max(1.0);
        assert!(difference < TOLERANCE, "{name}: {} {expected}", actual[name.as_str()]);
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
        let actual = named(&sections, name);
        let moved = relative_difference(&actual, &case.before[name].data, 1e-1);
        let difference = relative_difference(&actual, &expected.data, 1e-1);
        assert!(difference < TOLERANCE, "{name}: {difference}");
        assert!(
            moved > TOLERANCE || case.still.contains(name),
            "{name} did not change, so the comparison proves nothing"
        );
    }
    let is_new = |name: &&String| !case.after.contains_key(*name);
    assert_eq!(
        case.before.keys().filter(is_new).count(),
        0,
        "every parameter is compared"
    );
    sections
}
