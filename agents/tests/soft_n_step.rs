//! Soft n-step returns: what an agent makes of the entropies in a batch, and how it estimates them.

use sac_agents::{Agent, Batch, Compute, SoftActorCritic, critic::CriticSpec, noise::Stream};
use tch::{Device, Kind, Tensor};

use crate::{small, support::implementations};

/// The tensors of an agent after an update with what `change` makes of a batch of eight rows.
fn after_update(preset: &str, compute: &Compute, change: impl Fn(&SoftActorCritic, Batch) -> Batch) -> Vec<Tensor> {
    let mut agent = small::agent_on(&small::spec(preset, [8, 8]), 1, compute.clone());
    let batch = small::batch(&mut Stream::derive(1, "data", 0), 8, false);
    let batch = change(&agent, batch);
    agent.update(&batch, &mut Stream::derive(2, "update", 0));
    small::tensors(&agent).into_iter().map(|(_, tensor)| tensor).collect()
}

#[test]
fn entropies_count_as_rewards_of_alpha_times_as_much() {
    let entropy = || Tensor::linspace(-1.0, 2.0, 8, (Kind::Float, Device::Cpu));
    for preset in ["sac", "tqc", "dsac-t", "sac-v1"] {
        for compute in implementations() {
            let soft = after_update(preset, &compute, |_, batch| Batch {
                entropy: Some(entropy()),
                ..batch
            });
            let rewarded = after_update(preset, &compute, |agent, batch| Batch {
                reward: &batch.reward + agent.temperature().alpha() * entropy(),
                ..batch
            });
            let plain = after_update(preset, &compute, |_, batch| batch);
            assert!(soft == rewarded, "{preset}");
            assert!(soft != plain, "{preset}");
        }
    }
}

#[test]
fn scaled_rewards_leave_entropies_as_they_are() {
    let mut spec = small::spec("sac", [8, 8]);
    assert!(matches!(spec.critic, CriticSpec::Scalar(_)));
    spec.reward_scaling = Some(Default::default());
    let update = |reward: f64, entropy: Option<f64>| {
        let mut agent = small::agent_on(&spec, 1, Compute::default());
        // Returns of 0 and 4: their standard deviation is 2.
        agent.observe_reward(0, 0.0, true);
        agent.observe_reward(0, 4.0, true);
        let of_rows = |value: f64| Tensor::full([8], value, (Kind::Float, Device::Cpu));
        let batch = Batch {
            reward: of_rows(reward),
            entropy: entropy.map(of_rows),
            ..small::batch(&mut Stream::derive(1, "data", 0), 8, false)
        };
        assert_eq!(agent.temperature().alpha().double_value(&[]), 1.0);
        agent.update(&batch, &mut Stream::derive(2, "update", 0));
        small::tensors(&agent)
    };
    assert!(
        update(1.0, Some(0.25)) == update(1.5, None),
        "(1 / 2) + 1 · 0.25 = 1.5 / 2"
    );
}

#[test]
fn an_entropy_is_minus_the_log_density_of_a_draw() {
    let mut agent = small::agent_on(&small::spec("sac", [8, 8]), 1, Compute::default());
    let obs = [0.3f32, -1.0, 0.5, 2.0, 1.0, 1.0, -1.0, 0.0];
    let mut drawn = [0.0; 2];
    agent.entropy(&obs, &mut Stream::derive(5, "explore", 0), &mut drawn);
    let rows = Tensor::from_slice(&obs).reshape([2, 4]);
    let policy = agent.policy();
    let noise = policy.noise(2, &mut Stream::derive(5, "explore", 0));
    let expected = Vec::<f64>::try_from(-policy.draw_frozen(&rows, &noise).log_prob.to_kind(Kind::Double));
    assert_eq!(expected.expect("numbers"), drawn);
}
