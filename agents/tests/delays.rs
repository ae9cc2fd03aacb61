//! Delays of policy, temperature and targets: which parameters move in which update.

use sac_agents::{Agent, AgentSpec, Compute, DelaySpec, NextAction, SoftActorCritic, noise::Stream};
use tch::Tensor;

use crate::{small, support::implementations};

/// The values that each delay is about: of the policy, α, and of the critic's target.
fn values(agent: &SoftActorCritic) -> [Tensor; 3] {
    let sections = agent.sections().expect("sections");
    let critic = sections.iter().find(|section| section.name() == "critic");
    let critic = critic.expect("a critic");
    let of_target = critic.tensor_names().find(|name| name.starts_with("target/"));
    let of_target = of_target.expect("a target").to_string();
    [
        agent.policy().trainable.params.flat().copy(),
        agent.temperature().alpha().copy(),
        critic.any_tensor(&of_target).expect("a tensor").copy(),
    ]
}

/// The updates, counted from 1, after which the policy, α and the targets had changed.
fn changes(delay: DelaySpec, compute: &Compute) -> [Vec<usize>; 3] {
    let spec = AgentSpec {
        delay,
        next_action: NextAction::Target,
        ..small::spec("sac", [8, 8])
    };
    let mut agent = small::agent_on(&spec, 1, compute.clone());
    let (mut data, mut stream) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    let mut found = [const { Vec::new() }; 3];
    for update in 1..=6 {
        let before = values(&agent);
        agent.update(&small::batch(&mut data, 8, false), &mut stream);
        for ((found, before), after) in found.iter_mut().zip(before).zip(values(&agent)) {
            if before != after {
                found.push(update);
            }
        }
    }
    found
}

#[test]
fn each_part_moves_in_its_own_period() {
    let every = |period: usize| (1..=6).filter(|update| update % period == 0).collect::<Vec<_>>();
    for compute in implementations() {
        for (policy, targets, temperature) in [(1, 1, None), (2, 3, None), (3, 2, Some(1)), (1, 1, Some(2))] {
            let delay = DelaySpec {
                policy,
                targets,
                temperature,
            };
            let expected = [policy, temperature.unwrap_or(policy), targets].map(|period| every(period as usize));
            assert_eq!(changes(delay, &compute), expected, "{delay:?}");
        }
    }
}
