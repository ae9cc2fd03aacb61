//! Full updates with discrete actions against golden data; see `golden/README.md`.

use crate::full_update::one_update_equals;
use sac_agents::{
    AgentSpec,
    policy::{CategoricalSpec, GumbelSpec, PolicySpec},
    temperature::{LearnedTemperatureSpec, TargetEntropy, TemperatureSpec},
};

fn with(policy: PolicySpec) -> AgentSpec {
    AgentSpec {
        policy,
        temperature: TemperatureSpec::Learned(LearnedTemperatureSpec {
            target_entropy: TargetEntropy::OfUniform(0.9),
            ..LearnedTemperatureSpec::default()
        }),
        ..AgentSpec::default()
    }
}

#[test]
fn an_update_of_the_categorical_policy_equals_the_derivation() {
    let policy = PolicySpec::Categorical(CategoricalSpec::default());
    one_update_equals(with(policy), include_str!("golden/categorical/data.json"));
}

#[test]
fn an_update_of_the_gumbel_softmax_policy_equals_the_derivation() {
    let policy = PolicySpec::Gumbel(GumbelSpec {
        softmax_temperature: 0.7,
        ..GumbelSpec::default()
    });
    one_update_equals(with(policy), include_str!("golden/gumbel/data.json"));
}
