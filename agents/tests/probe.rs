//! The nine probes: environments with known solutions (see `sac_envs::probe`).
//!
//! α is fixed at 0 unless a test says otherwise. Networks are small, the learning rate is high, and there is one
//! thread.

use crate::probes::{OPTIMIZER, assert_near, draws, fixed, mode, q, trained};
use sac_agents::{
    AgentSpec,
    critic::{CriticSpec, ScalarSpec},
    temperature::{LearnedTemperatureSpec, TemperatureSpec},
};
use tch::Kind;

fn spec(temperature: TemperatureSpec) -> AgentSpec {
    let critic = ScalarSpec {
        optimizer: OPTIMIZER,
        ..ScalarSpec::default()
    };
    crate::probes::spec(CriticSpec::Scalar(critic), temperature)
}

#[test]
fn p1_one_step_of_reward_one_is_worth_one() {
    let agent = trained("ProbeConstant-v0", &spec(fixed(0.0)), 600);
    assert_near("Q", q(&agent, 1.0, 0.2), 1.0, 0.03);
}

#[test]
fn p2_a_reward_one_step_ahead_is_worth_gamma() {
    let agent = trained("ProbeTwoStep-v0", &spec(fixed(0.0)), 1200);
    assert_near("Q at the second step", q(&agent, 1.0, 0.0), 1.0, 0.03);
    assert_near("Q at the start", q(&agent, 0.0, 0.0), 0.9, 0.03);
}

#[test]
fn p3_a_reward_equal_to_the_observation_is_its_value() {
    let agent = trained("ProbeSign-v0", &spec(fixed(0.0)), 800);
    assert_near("Q(+1)", q(&agent, 1.0, 0.0), 1.0, 0.04);
    assert_near("Q(-1)", q(&agent, -1.0, 0.0), -1.0, 0.04);
}

#[test]
fn p4_the_mode_finds_the_rewarded_action() {
    let mut agent = trained("ProbeTarget-v0", &spec(fixed(0.0)), 1200);
    assert_near("mode", mode(&mut agent, 1.0), 0.3, 0.05);
}

#[test]
fn p5_truncation_bootstraps_and_termination_does_not() {
    // With truncation the value is 1/(1 − γ) = 10. With termination after five steps and a constant observation, the
    // value that fits all steps best is 1/(1 − 0.8 γ) = 3.571.
    let endless = trained("ProbeEndless-v0", &spec(fixed(0.0)), 2500);
    assert_near("Q, truncated", q(&endless, 1.0, 0.0), 10.0, 0.5);
    let ending = trained("ProbeEnding-v0", &spec(fixed(0.0)), 2500);
    assert_near("Q, terminated", q(&ending, 1.0, 0.0), 1.0 / (1.0 - 0.8 * 0.9), 0.35);
}

#[test]
fn p6_the_policys_std_balances_reward_and_entropy() {
    // The maximum of −k σ² + α ln σ is at σ = √(α / 2k) = 0.10 for k = 10 and α = 0.2.
    let agent = trained("ProbeQuadratic-v0", &spec(fixed(0.2)), 3000);
    let (action, _) = draws(&agent, 1.0);
    assert_near("std", action.std(true).double_value(&[]), 0.1, 0.015);
    assert_near("mean", action.mean(Kind::Float).double_value(&[]), 0.0, 0.03);
}

#[test]
fn p7_a_noisy_reward_is_worth_its_mean() {
    let agent = trained("ProbeNoisy-v0", &spec(fixed(0.0)), 2500);
    // The mean of all 2,700 rewards has a standard error of 0.5/√2700 = 0.01.
    assert_near("Q", q(&agent, 1.0, 0.0), 1.0, 0.08);
}

fn learned() -> TemperatureSpec {
    TemperatureSpec::Learned(LearnedTemperatureSpec {
        optimizer: OPTIMIZER,
        ..LearnedTemperatureSpec::default()
    })
}

#[test]
fn p8_a_learned_temperature_falls_while_the_entropy_is_above_its_target() {
    // Without a reward the policy is uniform with entropy ln 2, above the target of −1, so the constraint is inactive.
    let agent = trained("ProbeFlat-v0", &spec(learned()), 2000);
    let (_, log_prob) = draws(&agent, 1.0);
    assert_near(
        "entropy",
        -log_prob.mean(Kind::Float).double_value(&[]),
        std::f64::consts::LN_2,
        0.05,
    );
    let alpha = agent.temperature().alpha().double_value(&[]);
    assert!(alpha < 0.05, "alpha fell from 1 to only {alpha}");
}

#[test]
fn p8_a_learned_temperature_brings_the_entropy_to_its_target() {
    // With the reward −k a² the constraint is active: ½ ln(2πe σ²) = −1 gives σ = 0.0890, and α = 2kσ² = 0.158.
    let agent = trained("ProbeQuadratic-v0", &spec(learned()), 4000);
    let (action, log_prob) = draws(&agent, 1.0);
    assert_near("entropy", -log_prob.mean(Kind::Float).double_value(&[]), -1.0, 0.15);
    assert_near("std", action.std(true).double_value(&[]), 0.0890, 0.012);
    assert_near("alpha", agent.temperature().alpha().double_value(&[]), 0.158, 0.05);
}

#[test]
fn p9_units_of_the_task_do_not_change_the_normalised_policy() {
    let mut agent = trained("ProbeTorque-v0", &spec(fixed(0.0)), 1200);
    assert_near("normalised mode", mode(&mut agent, 1.0), 0.3, 0.05);
}
