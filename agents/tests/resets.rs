//! Networks that begin anew on a schedule.

use sac_agents::{
    Agent, AgentSpec, Compute, NextAction, SoftActorCritic,
    noise::Stream,
    resets::{ResetPart, ResetSpec},
};
use tch::Tensor;

use crate::{
    small,
    support::{implementations, named},
};

/// An agent after two updates, with resets after the second.
fn agent(resets: Option<ResetSpec>, compute: &Compute) -> SoftActorCritic {
    let spec = AgentSpec {
        resets,
        next_action: NextAction::Target,
        ..small::spec("sac", [8, 8])
    };
    let mut agent = small::agent_on(&spec, 1, compute.clone());
    let (mut data, mut stream) = (Stream::derive(1, "data", 0), Stream::derive(2, "update", 0));
    for _ in 0..2 {
        agent.update(&small::batch(&mut data, 8, false), &mut stream);
    }
    agent
}

fn resets(share: f64, of: &[ResetPart]) -> Option<ResetSpec> {
    Some(ResetSpec {
        at_grad_steps: vec![2],
        share,
        of: of.to_vec(),
        ..ResetSpec::default()
    })
}

fn tensor(agent: &SoftActorCritic, name: &str) -> Tensor {
    named(&agent.sections().expect("sections"), name)
}

const POLICY: &str = "policy/body.0.weight";
const CRITIC: &str = "critic/body.0.weight";

#[test]
fn what_is_reset_begins_anew_and_the_rest_goes_on() {
    for compute in implementations() {
        let without = agent(None, &compute);
        let fresh = small::agent_on(&small::spec("sac", [8, 8]), 1, compute.clone());
        let critic_alone = agent(resets(1.0, &[ResetPart::Critic]), &compute);
        assert_eq!(tensor(&critic_alone, POLICY), tensor(&without, POLICY));
        assert_ne!(tensor(&critic_alone, CRITIC), tensor(&without, CRITIC));
        assert_ne!(
            tensor(&critic_alone, CRITIC),
            tensor(&fresh, CRITIC),
            "new values are not those of the start"
        );
        let q = critic_alone.critic().q();
        let target = q.target.as_ref().expect("a target");
        assert_eq!(target.data(), q.online.params.data());
        let moments = tensor(&critic_alone, "critic/adam.second");
        assert_eq!(moments.abs().max().double_value(&[]), 0.0);
        assert_eq!(tensor(&critic_alone, "critic/adam.steps").int64_value(&[0]), 0);
        assert_eq!(tensor(&critic_alone, "policy/adam.steps").int64_value(&[0]), 2);

        let whole = agent(resets(1.0, &ResetSpec::default().of), &compute);
        assert_eq!(whole.temperature().alpha(), fresh.temperature().alpha());
        assert_ne!(whole.temperature().alpha(), without.temperature().alpha());
        assert_ne!(tensor(&whole, POLICY), tensor(&without, POLICY));
    }
}

#[test]
fn a_share_below_one_keeps_a_part_of_the_old_values() {
    for compute in implementations() {
        let old = tensor(&agent(None, &compute), CRITIC);
        let new = tensor(&agent(resets(1.0, &[ResetPart::Critic]), &compute), CRITIC);
        let mixed = tensor(&agent(resets(0.25, &[ResetPart::Critic]), &compute), CRITIC);
        let error = (mixed - (old * 0.75 + new * 0.25)).abs().max().double_value(&[]);
        assert!(error < 1e-6, "{error}");
    }
}

#[test]
fn schedules_that_cannot_be_kept_are_refused_with_their_key() {
    let problems = |text: &str| -> Vec<String> {
        let spec: AgentSpec = toml::from_str(text).expect("settings of an agent");
        spec.problems().into_iter().map(|problem| problem.key).collect()
    };
    for (text, key) in [
        ("resets = {}", "agent.resets.at_grad_steps"),
        ("resets.every_grad_steps = 0", "agent.resets.every_grad_steps"),
        ("resets.at_grad_steps = [5, 5]", "agent.resets.at_grad_steps"),
        ("resets.at_grad_steps = [0, 5]", "agent.resets.at_grad_steps"),
        (
            "resets = { every_grad_steps = 5, at_grad_steps = [5] }",
            "agent.resets.at_grad_steps",
        ),
        ("resets = { every_grad_steps = 5, share = 0.0 }", "agent.resets.share"),
        ("resets = { every_grad_steps = 5, of = [] }", "agent.resets.of"),
        (
            "critic = { kind = 'scalar', optimizer = { weight_decay = -1.0 } }",
            "agent.critic.optimizer.weight_decay",
        ),
        (
            "policy = { kind = 'squashed_gaussian', optimizer = { max_gradient_norm = 0.0 } }",
            "agent.policy.optimizer.max_gradient_norm",
        ),
    ] {
        assert_eq!(problems(text), [key], "{text}");
    }
}
