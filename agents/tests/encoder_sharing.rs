//! Separate and shared encoders: which loss trains them, and which parameters the policy uses.

use std::collections::BTreeMap;

use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, SoftActorCritic,
    checkpoint::{self, Checkpoint, Section},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const SHAPE: [usize; 2] = [5, 3];
const BATCH: i64 = 16;
/// The default τ of Polyak averaging.
const TAU: f64 = 0.005;
/// A learning rate with which a policy does not change.
const FROZEN_RATE: f64 = 1e-60;

const CRITICS: [&str; 5] = ["scalar", "dsac", "dsac_t", "quantile", "state_value"];

fn agent(sharing: &str, critic: &str, policy_rate: f64) -> SoftActorCritic {
    tch::set_num_threads(1);
    let text = format!(
        "encoder = {{ kind = 'tokens', width = 8, mixer = {{ kind = 'transformer', heads = 2 }} }}\n\
         encoder_sharing = '{sharing}'\nbody.hidden = [8, 8]\ncritic.kind = '{critic}'\n\
         policy.kind = 'squashed_gaussian'\npolicy.optimizer.learning_rate = {policy_rate:?}\n"
    );
    let spec: AgentSpec = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let (observation, action) = (
        Space::unbounded(15).reshaped(SHAPE.to_vec()),
        Space::boxed(2, -1.0, 1.0),
    );
    SoftActorCritic::new(&spec, "sharing", (&observation, &action), 1, Device::Cpu).expect("valid")
}

fn obs(seed: u64) -> Tensor {
    Stream::derive(seed, "sharing", 0).normal(&[BATCH, 5, 3], Device::Cpu)
}

fn update(agent: &mut SoftActorCritic, seed: u64) {
    let mut stream = Stream::derive(seed, "sharing", 1);
    let action = stream.normal(&[BATCH, 2], Device::Cpu).tanh();
    let reward = stream.normal(&[BATCH], Device::Cpu);
    let discount = Tensor::full([BATCH], 0.99, (Kind::Float, Device::Cpu));
    let batch = Batch::new(obs(seed), action, reward, discount, obs(seed + 100));
    agent.update(&batch, &mut stream);
}

/// Parameters whose names begin with `prefix`, by the rest of their names.
fn parameters(agent: &SoftActorCritic, prefix: &str) -> BTreeMap<String, Tensor> {
    let sections = agent.sections().expect("written down");
    let of = |section: &Section| {
        let names: Vec<String> = section.tensor_names().map(str::to_string).collect();
        let matching = names
            .into_iter()
            .filter_map(|name| Some((name.strip_prefix(prefix)?.to_string(), name)));
        matching
            .map(|(rest, name)| (rest, section.any_tensor(&name).expect("listed")))
            .collect::<Vec<_>>()
    };
    sections.iter().flat_map(of).collect()
}

/// The actor's loss, attached to the autograd graph.
fn actor_loss(agent: &SoftActorCritic) -> Tensor {
    let mut stream = Stream::derive(5, "sharing", 2);
    let (obs, policy) = (obs(5), agent.policy());
    let draw = policy.draw(&obs, &policy.noise(BATCH, &mut stream));
    (&draw.log_prob * 0.2 - agent.critic().actor_value(&obs, &draw, &mut stream)).mean(Kind::Float)
}

#[test]
fn a_shared_encoder_is_trained_by_the_critics_loss_alone() {
    for critic in CRITICS {
        let block = |agent: &SoftActorCritic| agent.critic().encoder_block().flat().shallow_clone();
        let shared = agent("critic", critic, 3e-4);
        let loss = actor_loss(&shared);
        let gradients = Tensor::run_backward(&[&loss], &[&block(&shared)], true, false);
        assert!(
            !gradients[0].defined(),
            "{critic}: the actor's loss depends on parameters of the critic"
        );
        assert!(
            parameters(&shared, "policy/encoder.").is_empty(),
            "the policy has no encoder of its own"
        );

        // The encoder after an update does not depend on the actor's step.
        let (mut trained, mut frozen) = (agent("critic", critic, 1e-2), agent("critic", critic, FROZEN_RATE));
        let before = trained.critic().encoder_block().named();
        update(&mut trained, 0);
        update(&mut frozen, 0);
        let after: BTreeMap<_, _> = trained.critic().encoder_block().named().into_iter().collect();
        let with_frozen_policy: BTreeMap<_, _> = frozen.critic().encoder_block().named().into_iter().collect();
        assert_ne!(
            parameters(&trained, "policy/body."),
            parameters(&frozen, "policy/body."),
            "{critic}"
        );
        for (name, values) in before.iter().filter(|(name, _)| name.starts_with("encoder.")) {
            assert_eq!(
                after[name], with_frozen_policy[name],
                "{critic}: {name} depends on the actor's step"
            );
            // Attention is invariant to a common shift of all keys, so some shifts get no gradient.
            assert!(
                after[name] != *values || name.ends_with(".shift"),
                "{critic}: {name} did not change"
            );
        }
    }
}

#[test]
fn a_separate_policy_encoder_is_trained_by_the_actors_loss_alone() {
    let mut separate = agent("separate", "scalar", 3e-4);
    let gradient = Tensor::run_backward(
        &[actor_loss(&separate)],
        &[separate.policy().trainable.params.flat()],
        false,
        false,
    );
    let own = separate.policy().trainable.params.count_of("encoder.");
    assert!(own > 0 && gradient[0].narrow(0, 0, own).abs().max().double_value(&[]) > 1e-6);
    let before = parameters(&separate, "policy/encoder.");
    update(&mut separate, 0);
    assert_ne!(before, parameters(&separate, "policy/encoder."));
    let mut frozen = agent("separate", "scalar", FROZEN_RATE);
    let before = parameters(&frozen, "policy/encoder.");
    update(&mut frozen, 0);
    assert_eq!(
        before,
        parameters(&frozen, "policy/encoder."),
        "the critic's loss does not change the policy's encoder"
    );
}

#[test]
fn the_policy_uses_updates_of_a_shared_encoder_immediately() {
    let mut frozen = agent("critic", "scalar", FROZEN_RATE);
    let before = (frozen.policy().mode(&obs(1)), parameters(&frozen, "policy/body."));
    update(&mut frozen, 0);
    assert_eq!(
        parameters(&frozen, "policy/body."),
        before.1,
        "the policy's own parameters did not change"
    );
    assert_ne!(frozen.policy().mode(&obs(1)), before.0);
}

#[test]
fn the_target_encoder_follows_by_polyak_averaging() {
    let mut shared = agent("critic", "scalar", 3e-4);
    let before = parameters(&shared, "target/encoder.");
    update(&mut shared, 0);
    let (after, online) = (
        parameters(&shared, "target/encoder."),
        parameters(&shared, "critic/encoder."),
    );
    assert!(!after.is_empty() && after.len() == online.len());
    for (name, old) in &before {
        let expected = old + (&online[name] - old) * TAU;
        let difference = (&after[name] - expected).abs().max().double_value(&[]);
        assert!(difference < 1e-7, "{name}: {difference}");
    }
}

#[test]
fn a_saved_policy_acts_with_the_encoder_that_it_was_saved_with() {
    let mut shared = agent("critic", "scalar", 1e-3);
    (0..20).for_each(|seed| update(&mut shared, seed));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("policy");
    let section = shared.policy_section().expect("written down");
    checkpoint::write(&path, EnvSteps(0), GradSteps(0), &[section]).expect("written");
    let mut fresh = agent("critic", "scalar", 1e-3);
    let act = |agent: &mut SoftActorCritic| {
        let obs: Vec<f32> = obs(7).flatten(0, -1).try_into().expect("numbers");
        let mut actions = vec![0.0f32; 2 * BATCH as usize];
        agent.act(&obs, ActMode::Evaluate, &mut Stream::derive(0, "none", 0), &mut actions);
        actions
    };
    assert_ne!(act(&mut fresh), act(&mut shared));
    fresh
        .load_policy(&Checkpoint::read(&path, &[]).expect("whole"))
        .expect("fits");
    assert_eq!(act(&mut fresh), act(&mut shared));
}
