//! Updates with shifted copies, for every critic: targets and losses are averages over the copies.

use std::collections::BTreeMap;

use sac_agents::{Agent, AgentSpec, Batch, SoftActorCritic, UpdateReport, metrics, noise::Stream};
use sac_envs::{Dtype, Space};
use tch::{Device, Kind, Tensor};

const SHAPE: [i64; 3] = [2, 17, 17];
const B: i64 = 4;
const A: i64 = 2;

/// Name of the critic, its settings in `[agent]`, and the number of members with noise of their own in their targets.
const CRITICS: &[(&str, &str, i64)] = &[
    ("scalar", "critic = { kind = 'scalar' }", 0),
    (
        "filtered",
        "critic = { kind = 'scalar', target_filter = { scheme = { kind = 'sigma_points', lambda = 1.0 } } }",
        0,
    ),
    ("dsac", "critic = { kind = 'dsac' }", 1),
    ("dsac_t", "critic = { kind = 'dsac_t' }", 2),
    (
        "quantile",
        "critic = { kind = 'quantile', members = 2, quantiles = 5 }",
        0,
    ),
    ("state_value", "critic = { kind = 'state_value' }", 0),
];

fn pixels() -> Space {
    let len = SHAPE.iter().product::<i64>() as usize;
    Space::Box {
        shape: SHAPE.map(|extent| extent as usize).to_vec(),
        low: vec![0.0; len],
        high: vec![255.0; len],
        dtype: Dtype::U8,
    }
}

/// An agent whose optimiser steps are proportional to gradients, so that rounding errors are not amplified.
fn agent(critic: &str, augmentation: &str) -> SoftActorCritic {
    tch::set_num_threads(1);
    let text = format!(
        "{critic}\naugmentation = {{ {augmentation} }}\nencoder_sharing = 'critic'\nbody.hidden = [8, 8]\n\
         encoder = {{ kind = 'conv', architecture = 'drq', channel_multiplier = 0.15, projection = 6 }}\n"
    );
    let mut spec: AgentSpec = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let steady: toml::Table = "learning_rate = 0.1\neps = 1.0".parse().expect("an optimiser");
    let mut table = toml::Table::try_from(&spec).expect("plain data");
    for part in ["policy", "critic"] {
        let part = table[part].as_table_mut().expect("a table");
        part.iter_mut()
            .filter(|(key, _)| key.ends_with("optimizer"))
            .for_each(|(_, value)| *value = steady.clone().into());
    }
    spec = table.try_into().expect("valid");
    let action = Space::boxed(A as usize, -1.0, 1.0);
    SoftActorCritic::new(&spec, "augmentation", (&pixels(), &action), 1, Device::Cpu).expect("valid")
}

fn batch(weighted: bool) -> Batch {
    let mut stream = Stream::derive(7, "batch", 0);
    let shape = [&[B], SHAPE.as_slice()].concat();
    let mut image = || (stream.uniform(&shape, Device::Cpu) * 256.0).floor();
    let (obs, next_obs) = (image(), image());
    let action = stream.normal(&[B, A], Device::Cpu).tanh();
    let reward = stream.normal(&[B], Device::Cpu);
    let discount = Tensor::full([B], 0.97, (Kind::Float, Device::Cpu));
    Batch {
        weight: weighted.then(|| Tensor::linspace(0.2, 1.0, B, (Kind::Float, Device::Cpu))),
        ..Batch::new(obs, action, reward, discount, next_obs)
    }
}

fn draws(seed: u64, count: i64) -> Vec<f32> {
    let normal = Stream::derive(seed, "draws", 0).normal(&[count], Device::Cpu);
    normal.try_into().expect("numbers")
}

/// Uniform numbers from which the offsets of `copies` copies are computed.
fn places(seed: u64, copies: i64) -> Vec<f32> {
    let uniform = Stream::derive(seed, "places", 0).uniform(&[copies * B * 2], Device::Cpu);
    uniform.try_into().expect("numbers")
}

/// A stream with the numbers that an update draws, in their order: offsets of next observations, offsets of
/// observations, noise of actions, noise of targets, noise of the actor's actions. `next` and `now` hold a seed per
/// copy of next observations and observations; the seeds of actions are those of the observations at which they are
/// drawn.
fn script(critic: &str, noisy_members: i64, next: &[u64], now: &[u64], is_augmented: bool) -> Stream {
    let mut script = Vec::new();
    if is_augmented {
        next.iter().for_each(|seed| script.extend(places(*seed, 1)));
        now.iter().for_each(|seed| script.extend(places(1000 + *seed, 1)));
    }
    // The state-value critic needs actions at the observations, the others at the next observations.
    let acting = if critic == "state_value" { now } else { next };
    acting.iter().for_each(|seed| script.extend(draws(*seed, B * A)));
    script.extend(draws(500, noisy_members * B));
    script.extend(draws(501, B * A));
    Stream::scripted(script)
}

fn parameters(agent: &SoftActorCritic) -> BTreeMap<String, Tensor> {
    let sections = agent.sections().expect("written down");
    let tensors = sections.iter().flat_map(|section| {
        let names: Vec<String> = section.tensor_names().map(str::to_string).collect();
        names
            .into_iter()
            .filter(|name| !name.contains("adam"))
            .map(|name| {
                (
                    format!("{}/{name}", section.name()),
                    section.any_tensor(&name).expect("listed"),
                )
            })
            .collect::<Vec<_>>()
    });
    tensors.collect()
}

fn value(report: &UpdateReport, name: &str) -> f64 {
    let actual = report.read().into_iter().find(|(other, _)| *other == name);
    actual.expect("reported").1
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-5 * b.abs().max(1.0)
}

#[test]
fn equal_copies_change_nothing() {
    for (name, critic, noisy_members) in CRITICS {
        for weighted in [false, true] {
            let mut plain = agent(critic, "kind = 'none'");
            let expected = plain.update(&batch(weighted), &mut script(name, *noisy_members, &[1], &[1], false));
            let mut augmented = agent(
                critic,
                "kind = 'random_shift', pad = 0, target_draws = 3, value_draws = 2",
            );
            let mut stream = script(name, *noisy_members, &[1, 1, 1], &[1, 1], true);
            let actual = augmented.update(&batch(weighted), &mut stream);
            for metric in [
                metrics::CRITIC_LOSS,
                metrics::TARGET_MEAN,
                metrics::ACTOR_LOSS,
                metrics::ENTROPY,
            ] {
                let (actual, expected) = (value(&actual, metric), value(&expected, metric));
                assert!(
                    is_near(actual, expected),
                    "{name}: {metric} is {actual}, expected {expected}"
                );
            }
            let start = parameters(&agent(critic, "kind = 'none'"));
            let (found_after, expected_after) = (parameters(&augmented), parameters(&plain));
            assert!(
                expected_after.iter().any(|(key, values)| start[key] != *values),
                "{name}"
            );
            for (key, expected) in &expected_after {
                let error = (&found_after[key] - expected).abs().max().double_value(&[]);
                assert!(error < 1e-5, "{name}: {key} differs by {error}");
            }
            let errors = |report: &UpdateReport| {
                report
                    .td_error
                    .as_ref()
                    .map(|errors| Vec::<f32>::try_from(errors).expect("one per row"))
            };
            match (errors(&actual), errors(&expected)) {
                (Some(actual), Some(expected)) => {
                    assert_eq!((actual.len(), weighted), (B as usize, true), "{name}");
                    let near = actual
                        .iter()
                        .zip(&expected)
                        .all(|(a, b)| is_near(f64::from(*a), f64::from(*b)));
                    assert!(near, "{name}: {actual:?} {expected:?}");
                }
                (None, None) => assert!(!weighted, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_target_of_k_copies_is_the_mean_of_the_targets_of_each() {
    for (name, critic, noisy_members) in CRITICS {
        let target = |draws: i64, next: &[u64]| {
            let mut agent = agent(
                critic,
                &format!("kind = 'random_shift', pad = 3, target_draws = {draws}"),
            );
            let report = agent.update(&batch(false), &mut script(name, *noisy_members, next, &[9], true));
            value(&report, metrics::TARGET_MEAN)
        };
        let single = [target(1, &[1]), target(1, &[2]), target(1, &[3])];
        assert!(!is_near(single[0], single[1]), "{name}: {single:?} should differ");
        let (actual, expected) = (target(3, &[1, 2, 3]), single.iter().sum::<f64>() / 3.0);
        assert!(is_near(actual, expected), "{name}: {actual}, expected {expected}");
    }
}

#[test]
fn a_loss_of_m_copies_is_the_mean_of_the_losses_of_each() {
    for (name, critic, noisy_members) in CRITICS {
        // DSAC-T's gradient weights depend on the whole batch, and the state-value critic updates V first.
        if ["dsac_t", "state_value"].contains(name) {
            continue;
        }
        for weighted in [false, true] {
            let losses = |draws: i64, now: &[u64]| {
                let mut agent = agent(
                    critic,
                    &format!("kind = 'random_shift', pad = 3, value_draws = {draws}"),
                );
                let stream = &mut script(name, *noisy_members, &[9], now, true);
                let report = agent.update(&batch(weighted), stream);
                [metrics::CRITIC_LOSS, metrics::ACTOR_LOSS].map(|metric| value(&report, metric))
            };
            let single = [losses(1, &[1])[0], losses(1, &[2])[0]];
            assert!(!is_near(single[0], single[1]), "{name}: {single:?} should differ");
            let actual = losses(2, &[1, 2])[0];
            let expected = (single[0] + single[1]) / 2.0;
            assert!(is_near(actual, expected), "{name}: {actual}, expected {expected}");
        }
    }
}

/// A policy that enumerates its actions takes an expectation at every copy.
#[test]
fn enumerated_actions_can_be_augmented() {
    for critic in ["scalar", "state_value"] {
        let text = format!(
            "critic = {{ kind = '{critic}' }}\npolicy = {{ kind = 'categorical' }}\nbody.hidden = [8]\n\
             augmentation = {{ kind = 'random_shift', pad = 2, target_draws = 2, value_draws = 3 }}\n\
             temperature = {{ kind = 'fixed', alpha = 0.1 }}"
        );
        let spec: AgentSpec = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let action = Space::Discrete { n: 3 };
        let mut agent = SoftActorCritic::new(&spec, "test", (&pixels(), &action), 1, Device::Cpu).expect("valid");
        let batch = Batch {
            action: Tensor::from_slice(&[0.0f32, 1.0, 2.0, 1.0]).view([B, 1]),
            ..batch(true)
        };
        let report = agent.update(&batch, &mut Stream::derive(1, "update", 0));
        assert_eq!(report.td_error.as_ref().expect("errors").size(), [B], "{critic}");
        assert!(
            agent.is_finite() && report.read().iter().all(|(_, value)| value.is_finite()),
            "{critic}"
        );
    }
}

#[test]
fn augmentation_that_does_not_fit_is_rejected_with_an_alternative() {
    let problems = |augmentation: &str, observation: &Space| {
        let spec: AgentSpec = toml::from_str(&format!("augmentation = {{ {augmentation} }}")).expect("readable");
        let actual = spec
            .problems()
            .into_iter()
            .chain(spec.observation_problems(observation));
        actual
            .map(|problem| format!("{} = {}: {}", problem.key, problem.value, problem.problem))
            .collect::<Vec<_>>()
    };
    let shift = "kind = 'random_shift'";
    let vector = Space::unbounded(3);
    let refused = problems(shift, &vector);
    assert!(
        refused.len() == 1 && refused[0].contains("moves images") && refused[0].contains("kind = \"pixels\""),
        "{refused:?}"
    );
    let build = |augmentation: &str, observation: &Space| {
        let spec: AgentSpec = toml::from_str(&format!("augmentation = {{ {augmentation} }}")).expect("readable");
        let action = Space::boxed(1, -1.0, 1.0);
        SoftActorCritic::new(&spec, "test", (observation, &action), 1, Device::Cpu).map(|_| ())
    };
    assert!(build(shift, &vector).is_err() && build(shift, &pixels()).is_ok());
    let refused = problems("kind = 'random_shift', pad = 17", &pixels());
    assert!(
        refused.len() == 1 && refused[0].contains("17 x 17; use at most 16"),
        "{refused:?}"
    );
    assert_eq!(
        problems("kind = 'random_shift', pad = 16", &pixels()),
        Vec::<String>::new()
    );
    let refused = problems(
        "kind = 'random_shift', pad = -1, target_draws = 0, value_draws = 0",
        &pixels(),
    );
    assert_eq!(
        refused,
        [
            "agent.augmentation.pad = -1: at least 0",
            "agent.augmentation.target_draws = 0: between 1 and 64",
            "agent.augmentation.value_draws = 0: between 1 and 64",
        ]
    );
    assert_eq!(problems("kind = 'none'", &vector), Vec::<String>::new());
}
