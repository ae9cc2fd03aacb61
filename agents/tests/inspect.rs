//! Diagnostics of networks: for networks with known dormant units and ranks, and for every kind of encoder, critic and
//! policy.

use sac_agents::{
    Agent, AgentSpec, EncoderSharing, Inspection, SoftActorCritic,
    critic::{CriticSpec, DsacSpec, DsacTSpec, QuantileSpec, ScalarSpec, StateValueSpec},
    encoder::EncoderSpec,
    inspect::measures,
    nn::{Activations, BodySpec, ParamBlock, ParamLayout},
    noise::Stream,
    policy::{CategoricalSpec, FourierSpec, GumbelSpec, PolicySpec},
    temperature::{FixedTemperatureSpec, TemperatureSpec},
};
use sac_envs::{Dtype, Space};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

fn block(layout: ParamLayout) -> ParamBlock {
    tch::set_num_threads(1);
    ParamBlock::new(layout, &mut Stream::derive(5, "test", 0), &Default::default())
}

fn uniform(shape: &[i64]) -> Tensor {
    let count = shape.iter().product::<i64>();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919) % 1009) as f32 / 1009.0).collect();
    Tensor::from_slice(&values).reshape(shape)
}

#[test]
fn inactive_units_are_dormant_and_reduce_the_rank() {
    let spec = BodySpec::mlp(&[8, 4]);
    let mut layout = ParamLayout::default();
    let body = spec.build(3, &[1], None, &mut layout);
    let mut block = block(layout);
    let set = |block: &mut ParamBlock, name: &str, values: &Tensor| block.set(name, values).expect("fits");
    // First layer: all units except two are active.
    let mut bias = [10.0f32; 8];
    bias[1] = -1000.0;
    bias[6] = -1000.0;
    set(&mut block, "body.0.bias", &Tensor::from_slice(&bias));
    // Second layer: units 0 and 1 have one input each, unit 2 is inactive, unit 3 is a thousandth of unit 0.
    let mut weight = [[0.0f32; 4]; 8];
    (weight[0][0], weight[2][1], weight[0][3]) = (1.0, 1.0, 0.001);
    set(
        &mut block,
        "body.1.weight",
        &Tensor::from_slice(&weight.concat()).reshape([8, 4]),
    );
    set(
        &mut block,
        "body.1.bias",
        &Tensor::from_slice(&[0.0f32, 0.0, -1.0, 0.0]),
    );
    let mut activations = Activations::default();
    body.inspect(block.frozen(), &uniform(&[32, 3]), &mut activations);
    assert_eq!(measures::dormant_share(activations.layers()), Some(4.0 / 12.0));
    let features = activations.features.expect("the inputs of the last layer");
    assert_eq!(features.size(), [32, 4]);
    let (srank, effective_rank) = measures::ranks(&features);
    assert!(
        srank <= 2.0 && effective_rank <= 2.0,
        "the features span two directions: {srank}, {effective_rank}"
    );
}

#[test]
fn members_of_an_ensemble_are_measured_separately() {
    let spec = BodySpec::mlp(&[4]);
    let mut layout = ParamLayout::default();
    let body = spec.build(3, &[1], Some(2), &mut layout);
    let mut block = block(layout);
    // All units of the first member are inactive, and all units of the second are active.
    let bias = Tensor::from_slice(&[-1000.0f32, -1000.0, -1000.0, -1000.0, 10.0, 10.0, 10.0, 10.0]);
    block.set("body.0.bias", &bias.reshape([2, 1, 4])).expect("fits");
    let mut activations = Activations::default();
    body.inspect(block.frozen(), &uniform(&[32, 3]), &mut activations);
    assert_eq!(measures::dormant_share(activations.layers()), Some(0.5));
    let features = activations.features.expect("the inputs of the last layer");
    assert_eq!(features.size(), [2, 32, 4]);
    let (mean, _) = measures::ranks(&features);
    let (of_active, _) = measures::ranks(&features.select(0, 1));
    assert_eq!(mean, of_active / 2.0, "an inactive member has rank 0");
}

/// Settings of an encoder, and its expected diagnostics.
struct Case {
    toml: &'static str,
    /// Shape of the observation.
    shape: &'static [usize],
    /// Whether the encoder has hidden units.
    units: bool,
    /// Number of slots of a soft mixture of experts.
    slots: Option<i64>,
    /// Number of tokens with attention weights.
    attention: Option<i64>,
    /// Height and width of the grid of tokens.
    grid: Option<[i64; 2]>,
}

const SET: &[usize] = &[5, 6];
const IMAGE: &[usize] = &[3, 40, 44];
const CASES: &[Case] = &[
    Case {
        toml: "kind='tokens'\nwidth=8\nprojection=6",
        shape: SET,
        units: true,
        slots: None,
        attention: Some(5),
        grid: None,
    },
    Case {
        toml: "kind='tokens'\nwidth=8\npooling={kind='simpool'}",
        shape: SET,
        units: false,
        slots: None,
        attention: Some(5),
        grid: None,
    },
    Case {
        toml: "kind='tokens'\nwidth=8\npooling={kind='mean'}\nmixer={kind='transformer', heads=2, hidden=8}",
        shape: SET,
        units: true,
        slots: None,
        attention: None,
        grid: None,
    },
    Case {
        toml: "kind='tokens'\nwidth=8\npooling={kind='cls'}\nmixer={kind='transformer', heads=2, hidden=8}",
        shape: SET,
        units: true,
        slots: None,
        attention: Some(6),
        grid: None,
    },
    Case {
        toml: "kind='tokens'\nwidth=8\npooling={kind='cls'}\nmixer={kind='soft_moe', experts=3, expert_width=8}",
        shape: SET,
        units: true,
        slots: Some(3),
        attention: None,
        grid: None,
    },
    Case {
        toml: "kind='tokens'\nwidth=8\ntokenization={kind='chunks', count=2, hidden=8}\npooling={kind='max'}",
        shape: &[4],
        units: true,
        slots: None,
        attention: None,
        grid: None,
    },
    Case {
        toml: "kind='conv'\nwidth=8\npooling={kind='adapool', heads=2}",
        shape: IMAGE,
        units: true,
        slots: None,
        attention: Some(2),
        grid: Some([1, 2]),
    },
    Case {
        toml: "kind='conv'\narchitecture='impala'\ntokenization={kind='per_patch', size=2}\npooling={kind='simpool'}\n\
               mixer={kind='soft_moe', experts=2, slots_per_expert=2, expert_width=8}",
        shape: IMAGE,
        units: true,
        slots: Some(4),
        attention: Some(9),
        grid: Some([3, 3]),
    },
    Case {
        toml: "kind='conv'\narchitecture='drq'\ntokenization={kind='per_feature'}",
        shape: IMAGE,
        units: true,
        slots: None,
        attention: None,
        grid: None,
    },
];

#[derive(Deserialize)]
struct File {
    encoder: EncoderSpec,
}

fn spec(toml: &str) -> EncoderSpec {
    let text = format!("[encoder]\n{toml}\n");
    let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    file.encoder
}

fn space(shape: &[usize]) -> Space {
    let mut space = Space::boxed(shape.iter().product(), 0.0, 255.0).reshaped(shape.to_vec());
    if let (Space::Box { dtype, .. }, 3) = (&mut space, shape.len()) {
        *dtype = Dtype::U8;
    }
    space
}

fn obs(rows: i64, shape: &[usize]) -> Tensor {
    let extents: Vec<i64> = shape.iter().map(|extent| *extent as i64).collect();
    uniform(&[&[rows], extents.as_slice()].concat()) * 200.0
}

#[test]
fn inspecting_an_encoder_changes_nothing_and_records_all_its_parts() {
    for case in CASES {
        let (name, mut layout) = (case.toml, ParamLayout::default());
        let encoder = spec(case.toml).build(&space(case.shape), &mut layout);
        let block = block(layout);
        let obs = obs(7, case.shape);
        let mut activations = Activations::default();
        let seen = encoder.inspect(block.frozen(), &obs, &mut activations);
        assert_eq!(
            seen,
            encoder.encode(block.frozen(), &obs, None),
            "{name}: the same features"
        );
        assert_eq!(activations.features.as_ref(), Some(&seen), "{name}");
        assert_eq!(!activations.layers().is_empty(), case.units, "{name}: hidden units");
        assert_eq!(activations.grid, case.grid, "{name}: grid");
        let sums_to_one = |weights: &Tensor, dim: i64| {
            let sums = weights.sum_dim_intlist([dim].as_slice(), false, Kind::Float);
            assert!(
                (sums - 1.0).abs().max().double_value(&[]) < 1e-5,
                "{name}: weights sum to one"
            );
        };
        let attention = activations.attention.as_ref();
        assert_eq!(
            attention.map(Tensor::size),
            case.attention.map(|m| vec![7, m]),
            "{name}: attention"
        );
        attention.inspect(|weights| sums_to_one(weights, 1));
        let slots = activations.routing.as_ref().map(|(dispatch, combine, _)| {
            sums_to_one(dispatch, 1);
            sums_to_one(combine, 2);
            dispatch.size()[2]
        });
        assert_eq!(slots, case.slots, "{name}: slots");
    }
}

fn inspect(spec: &AgentSpec, shape: &[usize], action: &Space) -> Inspection {
    tch::set_num_threads(1);
    let small = AgentSpec {
        body: BodySpec::mlp(&[16, 16]),
        ..spec.clone()
    };
    let mut agent = SoftActorCritic::new(&small, "test", (&space(shape), action), 3, Device::Cpu).expect("valid");
    let obs = obs(20, shape).flatten(0, -1);
    let mut rows = vec![0.0f32; obs.numel()];
    obs.copy_data(&mut rows, obs.numel());
    assert!(
        agent.inspect(&[]).values.is_empty(),
        "no diagnostics without observations"
    );
    agent.inspect(&rows)
}

fn names(inspection: &Inspection) -> Vec<&str> {
    inspection.values.iter().map(|(name, _)| name.as_str()).collect()
}

const BODIES: [&str; 6] = [
    "policy/dormant_share",
    "policy/srank",
    "policy/effective_rank",
    "critic/dormant_share",
    "critic/srank",
    "critic/effective_rank",
];

#[test]
fn every_critic_and_policy_has_diagnostics_of_its_body() {
    let hand = Space::boxed(2, -1.0, 1.0);
    let critics = [
        CriticSpec::Scalar(ScalarSpec::default()),
        CriticSpec::Dsac(DsacSpec::default()),
        CriticSpec::DsacT(DsacTSpec::default()),
        CriticSpec::Quantile(QuantileSpec::default()),
        CriticSpec::StateValue(StateValueSpec::default()),
    ];
    let mut specs: Vec<(AgentSpec, &Space)> = Vec::new();
    for critic in critics {
        let spec = AgentSpec {
            critic,
            ..AgentSpec::default()
        };
        specs.push((spec, &hand));
    }
    let choice = Space::Discrete { n: 4 };
    for (policy, action) in [
        (PolicySpec::Fourier(FourierSpec::default()), &hand),
        (PolicySpec::Categorical(CategoricalSpec::default()), &choice),
        (PolicySpec::Gumbel(GumbelSpec::default()), &choice),
    ] {
        let spec = AgentSpec {
            policy,
            temperature: TemperatureSpec::Fixed(FixedTemperatureSpec { alpha: 0.1 }),
            ..AgentSpec::default()
        };
        specs.push((spec, action));
    }
    for (spec, action) in specs {
        let inspection = inspect(&spec, &[6], action);
        assert_eq!(names(&inspection), BODIES, "{spec:?}");
        assert!(inspection.images.is_empty());
        for (name, value) in &inspection.values {
            let range = match name.ends_with("dormant_share") {
                true => 0.0..=1.0,
                false => 1.0..=16.0,
            };
            assert!(range.contains(value), "{name} = {value} with {spec:?}");
        }
    }
}

#[test]
fn a_mixture_has_diagnostics_of_experts_and_a_shared_encoder_appears_once() {
    let file = "kind='tokens'\nwidth=8\nmixer={kind='soft_moe', experts=3, slots_per_expert=2, expert_width=8}";
    let hand = Space::boxed(2, -1.0, 1.0);
    let mut agent = AgentSpec {
        encoder: spec(file),
        ..AgentSpec::default()
    };
    let separate = inspect(&agent, SET, &hand);
    agent.encoder_sharing = EncoderSharing::Critic;
    let shared = inspect(&agent, SET, &hand);
    for (inspection, encoders) in [(&separate, 2), (&shared, 1)] {
        assert_eq!(inspection.images.len(), 2 * encoders, "attention and dispatch");
        let of_policy = names(inspection).iter().any(|name| name.starts_with("policy_encoder/"));
        assert_eq!(of_policy, encoders == 2);
        let get = |name: &str| {
            let actual = inspection.values.iter().find(|(other, _)| other == name);
            actual
                .unwrap_or_else(|| panic!("{name} is missing: {:?}", names(inspection)))
                .1
        };
        let sum = |kind: &str, count: usize| -> f64 {
            (0..count)
                .map(|i| get(&format!("critic_encoder/{kind}_{i}_combine_share")))
                .sum()
        };
        assert!((sum("expert", 3) - 1.0).abs() < 1e-5 && (sum("slot", 6) - 1.0).abs() < 1e-5);
        // Initially the weights over five tokens and six slots are nearly uniform.
        for (name, most) in [
            ("critic_encoder/dispatch_entropy", 5f64.ln()),
            ("critic_encoder/expert_2_dispatch_entropy", 5f64.ln()),
            ("critic_encoder/slot_5_dispatch_entropy", 5f64.ln()),
            ("critic_encoder/combine_entropy", 6f64.ln()),
            ("critic_encoder/attention_entropy", 5f64.ln()),
        ] {
            let value = get(name);
            assert!(
                (0.5 * most..=most + 1e-5).contains(&value),
                "{name} = {value}, at most {most}"
            );
        }
    }
}

#[test]
fn the_attention_over_an_image_is_drawn_beside_its_frame() {
    let agent = AgentSpec {
        encoder: spec("kind='conv'\nwidth=8\npooling={kind='adapool'}"),
        ..AgentSpec::default()
    };
    let inspection = inspect(&agent, IMAGE, &Space::boxed(2, -1.0, 1.0));
    let tags: Vec<&str> = inspection.images.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["policy_encoder/attention", "critic_encoder/attention"]);
    for (tag, image) in &inspection.images {
        // Frame and map of 44 × 40, scaled by 2, for four observations.
        assert_eq!(
            (image.size.width, image.size.height),
            (2 * 88 + 4, 4 * 80 + 3 * 4),
            "{tag}"
        );
    }
}

#[test]
fn diagnostics_of_a_diverged_network_are_nan() {
    let mut layout = ParamLayout::default();
    let body = BodySpec::default().build(3, &[1], None, &mut layout);
    let mut block = block(layout);
    block
        .set(
            "body.0.bias",
            &Tensor::full([256], f64::NAN, (Kind::Float, Device::Cpu)),
        )
        .expect("fits");
    let mut activations = Activations::default();
    body.inspect(block.frozen(), &uniform(&[8, 3]), &mut activations);
    let mut inspection = Inspection::default();
    inspection.add("policy", &activations);
    assert_eq!(inspection.values.len(), 3);
    assert!(
        inspection.values.iter().all(|(_, value)| value.is_nan()),
        "{:?}",
        inspection.values
    );
}
