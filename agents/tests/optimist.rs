//! A second policy that explores: one full update against golden data (`golden/optimist_update`), how it acts, and what it
//! learns.

use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, SoftActorCritic,
    exploration::{ExplorationSpec, OptimisticSpec},
    noise::Stream,
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

use crate::full_update::one_update_equals;

const OBS: i64 = 3;
const ACTIONS: i64 = 2;

fn agent(exploration: ExplorationSpec) -> SoftActorCritic {
    let spec: AgentSpec = toml::from_str("body.hidden = [16, 16]").expect("settings of an agent");
    let spec = AgentSpec { exploration, ..spec };
    let spaces = (
        &Space::unbounded(OBS as usize),
        &Space::boxed(ACTIONS as usize, -1.0, 1.0),
    );
    SoftActorCritic::new(&spec, "test", spaces, 3, Device::Cpu).expect("the agent can be built")
}

fn optimistic(spec: OptimisticSpec) -> SoftActorCritic {
    agent(ExplorationSpec::Optimistic(spec))
}

#[test]
fn an_update_with_an_optimistic_policy_equals_the_derivation() {
    let spec = AgentSpec {
        exploration: ExplorationSpec::Optimistic(OptimisticSpec {
            weight_decay: 2.0,
            adjustment_learning_rate: 1e-3,
            ..OptimisticSpec::default()
        }),
        ..AgentSpec::default()
    };
    one_update_equals(spec, include_str!("golden/optimist_update/data.json"));
}

/// At the beginning its shift is near 0.
#[test]
fn it_explores_with_less_noise_and_evaluation_does_not_use_it() {
    const ROWS: usize = 10_000;
    let (mut second, mut plain) = (
        optimistic(OptimisticSpec {
            std_factor: 0.5,
            ..OptimisticSpec::default()
        }),
        agent(ExplorationSpec::Independent),
    );
    let obs = [0.7f32, -0.4, 1.1].repeat(ROWS);
    let explored = |agent: &mut SoftActorCritic| {
        let mut actions = vec![0.0f32; ROWS * ACTIONS as usize];
        agent.explore(0..ROWS, &obs, &mut Stream::derive(1, "explore", 0), &mut actions);
        Tensor::from_slice(&actions).view([-1, ACTIONS]).atanh()
    };
    let (of_second, of_plain) = (explored(&mut second), explored(&mut plain));
    let std = |x: &Tensor| x.std_dim([0i64].as_slice(), true, false);
    let ratio = std(&of_second) / std(&of_plain);
    let off = (ratio - 0.5).abs().max().double_value(&[]);
    assert!(off < 1e-3, "half as much noise, but for {off}");
    let mean = |x: &Tensor| x.mean_dim([0i64].as_slice(), false, Kind::Float);
    let shift = (mean(&of_second) - mean(&of_plain)).abs().max().double_value(&[]);
    assert!(shift < 0.05, "{shift}");

    let act = |agent: &mut SoftActorCritic| {
        let mut actions = vec![0.0f32; ACTIONS as usize];
        let mut stream = Stream::derive(1, "evaluate", 0);
        agent.act(&obs[..OBS as usize], ActMode::Evaluate, &mut stream, &mut actions);
        actions
    };
    assert_eq!(act(&mut second), act(&mut plain), "both have the same first policy");
}

/// Where the divergence is below its target, optimism grows and the divergence gets cheaper, and the other way around.
#[test]
fn the_divergence_moves_towards_its_target_and_optimism_with_it() {
    for (kl_target, grows) in [(10.0, true), (1e-9, false)] {
        let mut agent = optimistic(OptimisticSpec {
            kl_target,
            adjustment_learning_rate: 1e-2,
            ..OptimisticSpec::default()
        });
        let mut stream = Stream::derive(2, "update", 0);
        let mut normal = |shape: &[i64]| stream.normal(shape, Device::Cpu);
        let discount = Tensor::full([32], 0.9, (Kind::Float, Device::Cpu));
        let batch = Batch::new(
            normal(&[32, OBS]),
            normal(&[32, ACTIONS]).tanh(),
            normal(&[32]),
            discount,
            normal(&[32, OBS]),
        );
        let mut at = || {
            let report = agent.update(&batch, &mut stream).read();
            ["train/optimism", "train/optimism_kl_weight", "train/optimism_kl"].map(|name| {
                let found = report.iter().find(|(metric, _)| *metric == name);
                found.unwrap_or_else(|| panic!("no {name}")).1
            })
        };
        let first = at();
        assert!(
            (first[0] - 1.0).abs() < 1e-4 && (first[1] - 0.25).abs() < 1e-4,
            "{first:?}"
        );
        let last = (0..100).map(|_| at()).last().expect("an update");
        assert_eq!(last[0] > first[0], grows, "optimism: {first:?}, {last:?}");
        assert_eq!(
            last[1] < first[1],
            grows,
            "weight of the divergence: {first:?}, {last:?}"
        );
        assert!(last[2] > 0.0, "the policies differ: {last:?}");
    }
}

#[test]
fn other_policies_and_values_out_of_range_are_refused_by_their_key() {
    for (settings, key) in [
        ("exploration.kind = 'optimistic'\npolicy.kind = 'fourier'", "kind"),
        ("exploration = { kind = 'optimistic', std_factor = 0.0 }", "std_factor"),
        ("exploration = { kind = 'optimistic', kl_target = -1.0 }", "kl_target"),
        (
            "exploration = { kind = 'optimistic', initial_optimism = 0.0 }",
            "initial_optimism",
        ),
        (
            "exploration = { kind = 'optimistic', initial_kl_weight = 1e9 }",
            "initial_kl_weight",
        ),
        (
            "exploration = { kind = 'optimistic', learning_rate = 0.0 }",
            "learning_rate",
        ),
        (
            "exploration = { kind = 'optimistic', adjustment_learning_rate = 2.0 }",
            "adjustment_learning_rate",
        ),
    ] {
        let spec: AgentSpec = toml::from_str(settings).expect("settings of an agent");
        let keys: Vec<String> = spec.problems().into_iter().map(|problem| problem.key).collect();
        assert_eq!(keys, [format!("agent.exploration.{key}")], "{settings}");
    }
}
