//! Full updates of agents with batch normalisation against golden data; `golden/batch_norm_updates/generate.py` derives
//! it in PyTorch.

use std::collections::BTreeMap;

use sac_agents::AgentSpec;

use crate::{
    full_update::{Case, equals_on},
    support::{implementations, read},
};

const DATA: &str = include_str!("golden/batch_norm_updates/data.json");

/// The derivation's settings. The eps of Adam is far above the rounding error of a gradient, because what a batch
/// normalisation takes away again has a gradient of 0.
const POLICY: &str = "policy = { kind = 'squashed_gaussian', optimizer = { eps = 1e-3 } }";
const CATEGORICAL: &str =
    "critic = { kind = 'categorical', atoms = 7, min = -2.0, max = 2.0, optimizer = { eps = 1e-3 } }";

fn check(case: &str, settings: &str) {
    let cases: BTreeMap<String, Case> = read(DATA);
    let spec: AgentSpec = toml::from_str(&format!("{POLICY}\n{settings}")).expect("settings of an agent");
    for compute in implementations() {
        equals_on(&spec, &cases[case], &compute);
    }
}

#[test]
fn an_update_with_the_body_and_critic_of_flashsac_equals_the_derivation() {
    let body = "body = { kind = 'flash', width = 4, blocks = 2, expansion = 2 }";
    check("flash", &format!("{body}\n{CATEGORICAL}"));
}

#[test]
fn an_update_with_the_body_and_critic_of_xqc_equals_the_derivation() {
    let body = "body = { hidden = [5, 5], batch_norm = { position = 'before_activation' }, unit_weights = true }";
    check("xqc", &format!("{body}\n{CATEGORICAL}"));
}

#[test]
fn an_update_without_target_parameters_and_with_batch_renormalisation_equals_the_derivation() {
    let renorm = "renorm = { warmup_batches = 5, largest_scale = 1.2, largest_shift = 0.3 }";
    let body = format!("body = {{ hidden = [5, 5], batch_norm = {{ position = 'after_activation', {renorm} }} }}");
    check(
        "crossq",
        &format!("{body}\ntargets.kind = 'none'\ncritic = {{ kind = 'scalar', optimizer = {{ eps = 1e-3 }} }}"),
    );
}
