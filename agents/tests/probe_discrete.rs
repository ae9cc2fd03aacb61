//! Probes (see `sac_envs::probe`) of policies with discrete actions.
//!
//! In P1 to P5 and P7 the reward does not depend on the action, or it suffices to find the best of a few actions. They
//! run with three actions for -1, 0 and 1. D1 to D3 are probes for discrete actions with closed forms of their own.

use crate::probes::{OPTIMIZER, assert_near, column, draws, fixed, mode, q, trained, trained_in};
use sac_agents::{
    AgentSpec, SoftActorCritic,
    critic::{CriticSpec, DsacTSpec, QuantileSpec, ScalarSpec, StateValueSpec},
    nn::BodySpec,
    noise::Stream,
    policy::{CategoricalSpec, GumbelSpec, PolicySpec},
    temperature::{LearnedTemperatureSpec, TargetEntropy, TemperatureSpec},
};
use sac_envs::{
    Dynamics, EnvEntry, NumpyRng, Registry, Space, Transition,
    probe::{Choice, Constant, Ending, Endless, Flat, Fork, Noisy, Pair, Sign, Target, TwoStep},
};
use tch::Kind;

fn categorical() -> PolicySpec {
    PolicySpec::Categorical(CategoricalSpec { optimizer: OPTIMIZER })
}

/// With a low softmax temperature, at which the gradient of samples is nearly that of their expectation.
fn gumbel() -> PolicySpec {
    PolicySpec::Gumbel(GumbelSpec {
        softmax_temperature: 0.2,
        optimizer: OPTIMIZER,
        ..GumbelSpec::default()
    })
}

fn scalar() -> CriticSpec {
    CriticSpec::Scalar(ScalarSpec {
        optimizer: OPTIMIZER,
        ..ScalarSpec::default()
    })
}

fn state_value() -> CriticSpec {
    CriticSpec::StateValue(StateValueSpec {
        optimizer: OPTIMIZER,
        value_optimizer: OPTIMIZER,
        ..StateValueSpec::default()
    })
}

fn spec(policy: PolicySpec, critic: CriticSpec, temperature: TemperatureSpec) -> AgentSpec {
    AgentSpec {
        policy,
        ..crate::probes::spec(critic, temperature)
    }
}

/// A task with one action coordinate from -1 to 1, whose discrete actions 0, 1, 2 stand for -1, 0, 1.
#[derive(Clone)]
struct InThirds<D>(D);

impl<D: Dynamics> Dynamics for InThirds<D> {
    type State = D::State;

    fn observation_space(&self) -> Space {
        self.0.observation_space()
    }

    fn action_space(&self) -> Space {
        Space::Discrete { n: 3 }
    }

    fn initial(&self, rng: &mut NumpyRng) -> D::State {
        self.0.initial(rng)
    }

    fn step(&self, state: &mut D::State, action: &[f32], rng: &mut NumpyRng) -> Transition {
        self.0.step(state, &[action[0] - 1.0], rng)
    }

    fn observe(&self, state: &D::State, obs: &mut [f32]) {
        self.0.observe(state, obs);
    }
}

fn registry_in_thirds() -> Registry {
    let mut registry = Registry::builtin();
    registry.register(EnvEntry::new("Constant-v0", "P1", || InThirds(Constant)));
    registry.register(EnvEntry::new("TwoStep-v0", "P2", || InThirds(TwoStep)));
    registry.register(EnvEntry::new("Sign-v0", "P3", || InThirds(Sign)));
    registry.register(EnvEntry::new("Target-v0", "P4", || InThirds(Target)));
    registry.register(EnvEntry::new("Endless-v0", "P5", || InThirds(Endless)).with_time_limit(5));
    registry.register(EnvEntry::new("Ending-v0", "P5", || InThirds(Ending)));
    registry.register(EnvEntry::new("Noisy-v0", "P7", || InThirds(Noisy)));
    registry.register(EnvEntry::new("Flat-v0", "P8", || InThirds(Flat)));
    registry
}

fn passes_the_probes(policy: PolicySpec, critic: CriticSpec) {
    let registry = registry_in_thirds();
    let greedy = spec(policy, critic, fixed(0.0));
    let train = |id: &str, updates| trained_in(&registry, id, &greedy, updates);
    let constant = train("Constant-v0", 500);
    assert_near("P1: Q", q(&constant, 1.0, 2.0), 1.0, 0.04);

    let two_step = train("TwoStep-v0", 1000);
    assert_near("P2: Q at the second step", q(&two_step, 1.0, 1.0), 1.0, 0.04);
    assert_near("P2: Q at the start", q(&two_step, 0.0, 1.0), 0.9, 0.04);

    let sign = train("Sign-v0", 600);
    assert_near("P3: Q(+1)", q(&sign, 1.0, 0.0), 1.0, 0.05);
    assert_near("P3: Q(-1)", q(&sign, -1.0, 0.0), -1.0, 0.05);

    let mut target = train("Target-v0", 1000);
    for (action, reward) in [(0.0, -1.69), (1.0, -0.09), (2.0, -0.49)] {
        assert_near("P4: Q", q(&target, 1.0, action), reward, 0.1);
    }
    assert_near("P4: mode", mode(&mut target, 1.0), 1.0, 0.0);

    let endless = train("Endless-v0", 1600);
    assert_near("P5: Q, truncated", q(&endless, 1.0, 1.0), 10.0, 0.6);
    let ending = train("Ending-v0", 1600);
    assert_near("P5: Q, terminated", q(&ending, 1.0, 1.0), 1.0 / (1.0 - 0.8 * 0.9), 0.45);

    let noisy = train("Noisy-v0", 1000);
    assert_near("P7: Q", q(&noisy, 1.0, 1.0), 1.0, 0.1);
}

#[test]
fn enumerated_actions_pass_the_probes() {
    passes_the_probes(categorical(), scalar());
}

#[test]
fn enumerated_actions_pass_the_probes_with_a_state_value() {
    passes_the_probes(categorical(), state_value());
}

#[test]
fn one_hot_draws_pass_the_probes() {
    passes_the_probes(gumbel(), scalar());
}

#[test]
fn one_hot_draws_pass_the_probes_with_distributional_critics() {
    passes_the_probes(
        gumbel(),
        CriticSpec::DsacT(DsacTSpec {
            optimizer: OPTIMIZER,
            ..DsacTSpec::default()
        }),
    );
    passes_the_probes(
        gumbel(),
        CriticSpec::Quantile(QuantileSpec {
            members: 2,
            quantiles: 5,
            dropped_per_member: 0,
            optimizer: OPTIMIZER,
            ..QuantileSpec::default()
        }),
    );
}

/// Frequency of each choice of a position when exploring at an observation.
fn frequencies(agent: &SoftActorCritic, obs: f32, position: i64, choices: usize) -> Vec<f64> {
    const ROWS: i64 = 40_000;
    let obs = column(&[obs]).expand([ROWS, 1], false);
    let noise = agent.policy().noise(ROWS, &mut Stream::derive(3, "tried", 0));
    let explored = agent.policy().explore(&obs, &noise);
    let explored = explored.select(1, position);
    let share = |choice: usize| explored.eq(choice as i64).to_kind(Kind::Double).mean(Kind::Double);
    (0..choices).map(|choice| share(choice).double_value(&[])).collect()
}

fn softmax(rewards: &[f64], alpha: f64) -> Vec<f64> {
    let weights: Vec<f64> = rewards.iter().map(|reward| (reward / alpha).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

fn entropy(probabilities: &[f64]) -> f64 {
    -probabilities.iter().map(|p| p * p.ln()).sum::<f64>()
}

fn assert_all_near(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    for (actual, expected) in actual.iter().zip(expected) {
        assert_near(what, *actual, *expected, tolerance);
    }
}

/// An agent with linear critics. For functions that are linear in one-hot actions, the gradient of samples has no bias
/// at a softmax temperature of 0.
fn linear(spec: AgentSpec) -> AgentSpec {
    AgentSpec {
        critic_body: Some(BodySpec::mlp(&[])),
        ..spec
    }
}

const ALPHA: f64 = 0.2;

#[test]
fn d1_the_policy_is_the_softmax_of_the_rewards() {
    let expected = softmax(&Choice::REWARDS, ALPHA); // 0.17, 0.77, 0.06
    for (what, agent, tolerance) in [
        (
            "categorical",
            trained("ProbeChoice-v0", &spec(categorical(), scalar(), fixed(ALPHA)), 2000),
            0.02,
        ),
        (
            "gumbel",
            trained("ProbeChoice-v0", &linear(spec(gumbel(), scalar(), fixed(ALPHA))), 3000),
            0.04,
        ),
    ] {
        for (action, reward) in Choice::REWARDS.iter().enumerate() {
            assert_near(what, q(&agent, 1.0, action as f32), *reward, 0.03);
        }
        assert_all_near(what, &frequencies(&agent, 1.0, 0, 3), &expected, tolerance);
    }
}

#[test]
fn d2_the_value_of_a_step_includes_the_entropy_of_the_next_step() {
    const ALPHA: f64 = 0.5;
    let agent = trained("ProbeFork-v0", &spec(categorical(), scalar(), fixed(ALPHA)), 4000);
    let soft_value = |rewards: &[f64]| ALPHA * rewards.iter().map(|r| (r / ALPHA).exp()).sum::<f64>().ln();
    let start = [&Fork::LEFT_REWARDS, &Fork::RIGHT_REWARDS].map(|rewards| 0.9 * soft_value(rewards)); // γ = 0.9
    assert_near("Q(start, left)", q(&agent, 0.0, 0.0), start[0], 0.03);
    assert_near("Q(start, right)", q(&agent, 0.0, 1.0), start[1], 0.03);
    assert_all_near(
        "at the start",
        &frequencies(&agent, 0.0, 0, 2),
        &softmax(&start, ALPHA),
        0.03,
    );
    let left = softmax(&Fork::LEFT_REWARDS, ALPHA);
    assert_all_near("at the left", &frequencies(&agent, -1.0, 0, 2), &left, 0.03);
    assert_all_near("at the right", &frequencies(&agent, 1.0, 0, 2), &[0.5, 0.5], 0.03);
}

#[test]
fn d2_values_of_drawn_actions_include_the_entropy_of_the_policy() {
    const ALPHA: f64 = 0.5;
    let agent = trained("ProbeFork-v0", &spec(gumbel(), scalar(), fixed(ALPHA)), 4000);
    for (choice, obs, rewards) in [(0.0, -1.0, Fork::LEFT_REWARDS), (1.0, 1.0, Fork::RIGHT_REWARDS)] {
        let policy = frequencies(&agent, obs, 0, 2);
        let reward: f64 = policy.iter().zip(rewards).map(|(p, reward)| p * reward).sum();
        let value = 0.9 * (reward + ALPHA * entropy(&policy));
        assert_near("Q(start)", q(&agent, 0.0, choice), value, 0.04);
    }
}

#[test]
fn d3_a_pair_of_choices_follows_the_product_of_two_softmaxes() {
    let (first, second) = (
        softmax(&Pair::FIRST_REWARDS, ALPHA),
        softmax(&Pair::SECOND_REWARDS, ALPHA),
    );
    for (what, agent, tolerance) in [
        (
            "categorical",
            trained("ProbePair-v0", &spec(categorical(), scalar(), fixed(ALPHA)), 2500),
            0.02,
        ),
        (
            "gumbel",
            trained("ProbePair-v0", &linear(spec(gumbel(), scalar(), fixed(ALPHA))), 3000),
            0.04,
        ),
    ] {
        assert_all_near(what, &frequencies(&agent, 1.0, 0, 2), &first, tolerance);
        assert_all_near(what, &frequencies(&agent, 1.0, 1, 3), &second, tolerance);
        if what == "gumbel" {
            let (_, log_prob) = draws(&agent, 1.0);
            let of_positions = [(0, 2), (1, 3)].map(|(position, n)| entropy(&frequencies(&agent, 1.0, position, n)));
            let expected = of_positions.iter().sum();
            assert_near("entropy", -log_prob.mean(Kind::Float).double_value(&[]), expected, 0.02);
        }
    }
}

fn learned(part: f64) -> TemperatureSpec {
    TemperatureSpec::Learned(LearnedTemperatureSpec {
        optimizer: OPTIMIZER,
        target_entropy: TargetEntropy::OfUniform(part),
        ..LearnedTemperatureSpec::default()
    })
}

#[test]
fn p8_a_learned_temperature_brings_the_entropy_to_a_fraction_of_the_uniform_entropy() {
    // The α for which the softmax of the rewards has the target entropy, by bisection.
    let target = 0.6 * 3.0f64.ln();
    let (mut low, mut high) = (0.01, 10.0);
    for _ in 0..60 {
        let alpha = 0.5 * (low + high);
        if entropy(&softmax(&Choice::REWARDS, alpha)) < target {
            low = alpha;
        } else {
            high = alpha;
        }
    }
    let agent = trained("ProbeChoice-v0", &spec(categorical(), scalar(), learned(0.6)), 4000);
    let policy = frequencies(&agent, 1.0, 0, 3);
    assert_near("entropy", entropy(&policy), target, 0.03);
    assert_near("alpha", agent.temperature().alpha().double_value(&[]), low, 0.02);
}

#[test]
fn p8_a_learned_temperature_falls_without_a_reward() {
    let agent = trained_in(
        &registry_in_thirds(),
        "Flat-v0",
        &spec(categorical(), scalar(), learned(0.6)),
        2000,
    );
    assert_near("entropy", entropy(&frequencies(&agent, 1.0, 0, 3)), 3.0f64.ln(), 0.02);
    let alpha = agent.temperature().alpha().double_value(&[]);
    assert!(alpha < 0.1, "alpha fell from 1 to only {alpha}");
}
