//! Small agents with the settings of presets, and batches for them.

use sac_agents::{
    Agent, AgentSpec, Batch, Compute, SoftActorCritic, checkpoint::Section, nn::BodySpec, noise::Stream, presets,
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const OBS: i64 = 4;

/// The agent of a preset, with networks of the given widths.
pub fn spec(preset: &str, hidden: [i64; 2]) -> AgentSpec {
    let preset = presets::by_name(preset).expect("a preset");
    let table = preset.table();
    let mut spec: AgentSpec = table["agent"].clone().try_into().expect("a preset has an agent");
    for body in [Some(&mut spec.body), spec.critic_body.as_mut()].into_iter().flatten() {
        shrink(body, hidden);
    }
    spec
}

/// Gives a body layers of the given widths, or the first of them.
fn shrink(body: &mut BodySpec, hidden: [i64; 2]) {
    match body {
        BodySpec::Mlp(spec) => spec.hidden = hidden.to_vec(),
        BodySpec::Flash(spec) => spec.width = hidden[0],
        BodySpec::Simba(spec) => spec.width = hidden[0],
        BodySpec::SimbaV2(spec) => spec.width = hidden[0],
        BodySpec::BroNet(spec) => spec.width = hidden[0],
    }
}

pub fn agent_on(spec: &AgentSpec, seed: u64, compute: Compute) -> SoftActorCritic {
    let spaces = (&Space::unbounded(OBS as usize), &Space::boxed(2, -1.0, 1.0));
    SoftActorCritic::new(spec, "test", spaces, seed, compute).expect("the agent can be built")
}

/// A batch of `rows` random rows, drawn from `data`.
pub fn batch(data: &mut Stream, rows: i64, weighted: bool) -> Batch {
    let mut normal = |shape: &[i64]| data.normal(shape, Device::Cpu);
    let (obs, action, reward) = (normal(&[rows, OBS]), normal(&[rows, 2]).tanh(), normal(&[rows]));
    let discount = Tensor::full([rows], 0.97, (Kind::Float, Device::Cpu));
    Batch {
        weight: weighted.then(|| normal(&[rows]).abs()),
        ..Batch::new(obs, action, reward, discount, normal(&[rows, OBS]))
    }
}

/// Names and copies of all tensors in an agent's sections.
pub fn tensors(agent: &dyn Agent) -> Vec<(String, Tensor)> {
    let sections = agent.sections().expect("sections");
    let of_section = |section: &Section| {
        let names = section
            .tensor_names()
            .map(|name| (format!("{}/{name}", section.name()), name));
        let read = names.map(|(full, name)| (full, section.any_tensor(name).expect("a tensor").copy()));
        read.collect::<Vec<_>>()
    };
    sections.iter().flat_map(of_section).collect()
}
