//! Full updates of agents with residual bodies, decaying weights and shortened gradients against golden data;
//! `golden/residual_updates/generate.py` derives it with PyTorch's AdamW.

use std::collections::BTreeMap;

use sac_agents::AgentSpec;

use crate::{
    full_update::{Case, equals_on},
    support::{implementations, read},
};

const DATA: &str = include_str!("golden/residual_updates/data.json");

fn check(case: &str, optimizer: &str, settings: &str) {
    let cases: BTreeMap<String, Case> = read(DATA);
    let settings = settings.replace("OPTIMIZER", optimizer);
    let spec: AgentSpec = toml::from_str(&settings).expect("settings of an agent");
    for compute in implementations() {
        equals_on(&spec, &cases[case], &compute);
    }
}

#[test]
fn an_update_with_the_body_and_the_decay_of_simba_equals_the_derivation() {
    check(
        "simba",
        "optimizer = { eps = 1e-3, weight_decay = 2.0 }",
        "body = { kind = 'simba', width = 4, blocks = 2, expansion = 2 }
         policy = { kind = 'squashed_gaussian', OPTIMIZER }
         critic = { kind = 'scalar', OPTIMIZER }",
    );
}

#[test]
fn an_update_with_the_body_critic_and_temperature_of_simba_v2_equals_the_derivation() {
    check(
        "simba_v2",
        "optimizer = { eps = 1e-3 }",
        "body = { kind = 'simba_v2', width = 4, blocks = 2, expansion = 2 }
         policy = { kind = 'squashed_gaussian', log_std_bounds = 'tanh', log_std_min = -10.0, OPTIMIZER }
         critic = { kind = 'categorical', atoms = 7, min = -2.0, max = 2.0, OPTIMIZER }
         temperature = { kind = 'learned', objective = 'alpha' }",
    );
}

#[test]
fn an_update_with_the_body_of_bro_and_shortened_gradients_equals_the_derivation() {
    check(
        "bro",
        "optimizer = { eps = 1e-3, weight_decay = 2.0, max_gradient_norm = 0.05 }",
        "body = { kind = 'bro_net', width = 4, blocks = 2 }
         policy = { kind = 'squashed_gaussian', OPTIMIZER }
         critic = { kind = 'quantile', members = 2, quantiles = 3, dropped_per_member = 0, OPTIMIZER }",
    );
}
