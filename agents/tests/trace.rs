//! Graphs act as the agents from which they were traced: every encoder, every head, and what is around them.

use std::sync::Arc;

use sac_agents::{ActMode, Agent, AgentSpec, Error, SoftActorCritic, nn::Params, noise::Stream};
use sac_envs::{Dtype, Space};
use sac_policy::{Draft, Interpreter};
use tch::{Device, Tensor};

/// The largest difference, relative to the range of normalised actions.
const TOLERANCE: f32 = 1e-5;
const OBSERVATIONS: usize = 10_000;
const ROWS: usize = 500;

fn vector(len: usize) -> Space {
    Space::boxed(len, -3.0, 3.0)
}

fn image(side: usize) -> Space {
    let mut space = Space::boxed(3 * side * side, 0.0, 255.0).reshaped(vec![3, side, side]);
    if let Space::Box { dtype, .. } = &mut space {
        *dtype = Dtype::U8;
    }
    space
}

fn agent(settings: &str, observation: &Space, action: &Space) -> SoftActorCritic {
    tch::set_num_threads(1);
    let spec: AgentSpec = toml::from_str(settings).unwrap_or_else(|error| panic!("{settings}: {error}"));
    let agent = SoftActorCritic::new(&spec, "probe", (observation, action), 5, Device::Cpu)
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    // Larger weights than the first ones: actions spread over the whole range.
    let _ = agent.policy().trainable.params.data().g_mul_scalar_(1.5);
    agent
}

/// Observations of the space: random ones, and corners as every tenth.
fn observations(space: &Space, rows: usize, stream: &mut Stream) -> Vec<f32> {
    let width = space.len();
    let mut obs = vec![0.0; rows * width];
    for (index, row) in obs.chunks_exact_mut(width).enumerate() {
        space.sample(stream.rng(), row);
        if let (Space::Box { low, high, .. }, 0) = (space, index % 10) {
            for (x, (low, high)) in row.iter_mut().zip(low.iter().zip(high)) {
                *x = if stream.index(2) == 0 { *low } else { *high };
            }
        }
    }
    obs
}

/// The largest difference between the actions of an agent and of its graph.
fn largest_error(settings: &str, observation: &Space, action: &Space, is_drawn: bool) -> f32 {
    let mut agent = agent(settings, observation, action);
    let mut stream = Stream::derive(9, "trace", 0);
    for _ in 0..3 {
        agent.observe(&observations(observation, 20, &mut stream));
    }
    let mut draft = Draft::new(&observation.shape()).expect("has numbers");
    let obs = draft.observation();
    let output = agent
        .trace(&mut draft, obs, is_drawn)
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    let graph = draft
        .finish(output)
        .unwrap_or_else(|error| panic!("{settings}: {error}"));
    let width = graph.noise().map_or(0, |noise| noise.len);
    let mut interpreter = Interpreter::new(Arc::new(graph));
    let mut largest = 0.0f32;
    for _ in 0..OBSERVATIONS / ROWS {
        let obs = observations(observation, ROWS, &mut stream);
        let mut actions = vec![0.0; ROWS * action.len()];
        let mut noise = vec![0.0; ROWS * width];
        stream.uniform_into(0.0, 1.0, &mut noise);
        match is_drawn {
            true => agent.act_with_noise(&obs, &noise, &mut actions).expect("has a graph"),
            false => agent.act(&obs, ActMode::Evaluate, &mut stream, &mut actions),
        }
        for (ours, theirs) in interpreter.run(ROWS, &obs, &noise).iter().zip(&actions) {
            let error = (ours - theirs).abs() / 2.0;
            largest = largest.max(if error.is_nan() { f32::INFINITY } else { error });
        }
    }
    largest
}

const SMALL: &str = "body.hidden = [16, 16]\ncritic_body.hidden = [8]\n";

fn assert_traced(cases: &[&str], observation: &Space, action: &Space, is_drawn: bool) {
    for settings in cases {
        let error = largest_error(&format!("{SMALL}{settings}"), observation, action, is_drawn);
        eprintln!("{error:e} of {settings:?}, drawn: {is_drawn}");
        assert!(error <= TOLERANCE, "{settings}: {error:e}");
    }
}

#[test]
fn every_head_for_boxes_acts_as_its_graph() {
    let heads = [
        "policy.kind = 'squashed_gaussian'",
        "policy = { kind = 'squashed_gaussian', std = 'state_independent', initial_log_std = -0.5 }",
        "policy = { kind = 'squashed_gaussian', log_std_bounds = 'tanh', log_std_min = -5.0 }",
        "policy = { kind = 'squashed_gaussian', log_std_bounds = 'softplus' }",
        "policy = { kind = 'fourier', frequencies = 4, base_amplitude = 0.5 }",
        "exploration = { kind = 'gsde', initial_log_std = -0.5, largest_mean = 0.1 }",
        "exploration.kind = 'gsde'\npolicy = { kind = 'squashed_gaussian', log_std_bounds = 'softplus' }",
    ];
    for is_drawn in [false, true] {
        assert_traced(&heads, &vector(5), &Space::boxed(2, -1.0, 1.0), is_drawn);
    }
}

#[test]
fn every_head_for_indices_acts_as_its_graph() {
    let target = "temperature = { kind = 'learned', target_entropy = 0.3 }";
    let heads = ["categorical", "gumbel_softmax"].map(|kind| format!("policy.kind = '{kind}'\n{target}"));
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    for action in [Space::Discrete { n: 5 }, Space::MultiDiscrete { n: vec![2, 3, 2] }] {
        for is_drawn in [false, true] {
            assert_traced(&heads, &vector(5), &action, is_drawn);
        }
    }
}

#[test]
fn bodies_with_blocks_act_as_their_graphs() {
    let (observation, action) = (vector(4), Space::boxed(3, -1.0, 1.0));
    for (kind, std) in [
        ("flash", "state_dependent"),
        ("simba", "state_dependent"),
        ("simba_v2", "state_dependent"),
        ("simba_v2", "state_independent"),
        ("bro_net", "state_dependent"),
    ] {
        let settings = format!(
            "body = {{ kind = '{kind}', width = 8 }}\npolicy = {{ kind = 'squashed_gaussian', std = '{std}' }}\n\
             critic_body.hidden = [8]"
        );
        let error = largest_error(&settings, &observation, &action, false);
        eprintln!("{error:e} of {kind} with {std} σ");
        assert!(error <= TOLERANCE, "{settings}: {error:e}");
    }
}

#[test]
fn bodies_and_normalisation_act_as_their_graphs() {
    let bodies = [
        "body.activation = 'gelu'\nbody.layer_norm = true",
        "body.activation = 'silu'",
        "body.activation = 'tanh'",
        "body.activation = 'elu'\nnormalize_observations = true",
        "normalize_observations = true",
    ];
    assert_traced(&bodies, &vector(4), &Space::boxed(3, -1.0, 1.0), false);
}

#[test]
fn every_tokenization_of_vectors_and_sets_acts_as_its_graph() {
    let action = Space::boxed(2, -1.0, 1.0);
    let vectors = [
        "encoder = { kind = 'tokens', tokenization = { kind = 'per_dimension' }, width = 8 }",
        "encoder = { kind = 'tokens', tokenization = { kind = 'chunks', count = 4, hidden = 32 }, width = 8 }",
        "encoder = { kind = 'tokens', tokenization = { kind = 'per_sample' }, width = 8, projection = 6 }",
    ];
    assert_traced(&vectors, &vector(6), &action, false);
    let sets = [
        "encoder = { kind = 'flat' }",
        "encoder = { kind = 'tokens', width = 8, position_embedding = 'learned' }\nnormalize_observations = true",
        "encoder = { kind = 'tokens', width = 8, projection = 10 }\nencoder_sharing = 'critic'",
    ];
    assert_traced(&sets, &vector(15).reshaped(vec![5, 3]), &action, false);
}

#[test]
fn every_mixer_and_pooling_acts_as_its_graph() {
    let (set, action) = (vector(15).reshaped(vec![5, 3]), Space::boxed(2, -1.0, 1.0));
    let mixers = [
        "{ kind = 'mlp', hidden = 12 }",
        "{ kind = 'soft_moe', experts = 3, expert_width = 12 }",
        "{ kind = 'soft_moe', experts = 2, slots_per_expert = 3, normalize = false, expert_depth = 2, expert_width = 9 }",
        "{ kind = 'transformer', heads = 2, hidden = 12 }",
    ];
    let poolings = [
        "{ kind = 'flatten' }",
        "{ kind = 'mean' }",
        "{ kind = 'max' }",
        "{ kind = 'cls' }",
        "{ kind = 'adapool', heads = 2 }",
        "{ kind = 'adapool', query = { index = 1 } }",
        "{ kind = 'adapool', query = 'learned' }",
        "{ kind = 'simpool' }",
    ];
    // Every mixer with two poolings, which is every pooling with one mixer.
    for (index, pooling) in poolings.iter().enumerate() {
        // A CLS token needs a mixer that mixes.
        let mixer = mixers[(index + 3) % mixers.len()];
        let mixer = if pooling.contains("cls") { mixers[3] } else { mixer };
        let settings = format!("encoder = {{ kind = 'tokens', width = 8, mixer = {mixer}, pooling = {pooling} }}");
        assert_traced(&[&settings], &set, &action, false);
    }
}

#[test]
fn every_encoder_of_images_acts_as_its_graph() {
    let action = Space::boxed(2, -1.0, 1.0);
    let small = "channel_multiplier = 0.125";
    let cases = [
        (36, "architecture = 'nature', layer_norm = true".to_string()),
        (
            21,
            "architecture = 'drq', tokenization = { kind = 'per_patch', size = 3 }, pooling = { kind = 'mean' }".to_string(),
        ),
        (
            9,
            "architecture = 'impala', layer_norm = true, tokenization = { kind = 'per_feature' }, width = 6, projection = 8"
                .to_string(),
        ),
        (
            36,
            "architecture = 'nature', tokenization = { kind = 'per_sample' }, width = 6".to_string(),
        ),
    ];
    for (side, settings) in cases {
        let settings = format!("encoder = {{ kind = 'conv', {settings}, {small} }}");
        assert_traced(&[&settings], &image(side), &action, false);
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let (observation, action) = (vector(3), Space::boxed(1, -1.0, 1.0));
    let mut agent = agent(SMALL, &observation, &action);
    let _ = agent.policy().trainable.params.data().get(3).fill_(f64::NAN);
    let mut draft = Draft::new(&[3]).expect("has numbers");
    let obs = draft.observation();
    let error = agent.trace(&mut draft, obs, false).expect_err("NaN");
    assert!(error.to_string().contains("`body.0.weight`: NaN at index 3"), "{error}");
}

#[test]
fn a_head_that_does_not_say_what_it_computes_is_refused() {
    struct Silent;
    impl sac_agents::policy::PolicyHead for Silent {
        fn inputs(&self) -> i64 {
            1
        }
        fn actions(&self) -> sac_agents::policy::ActionKind {
            sac_agents::policy::ActionKind::Vector { width: 1 }
        }
        fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
            stream.normal(&[rows, 1], device)
        }
        fn draw(&self, _params: &Params, inputs: &Tensor, _noise: &Tensor) -> sac_agents::policy::ActionDraw {
            sac_agents::policy::ActionDraw {
                actions: sac_agents::policy::Actions::Sampled(inputs.tanh()),
                log_prob: inputs.select(1, 0),
            }
        }
        fn explore(&self, _params: &Params, inputs: &Tensor, _noise: &Tensor) -> Tensor {
            inputs.tanh()
        }
        fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
            inputs.tanh()
        }
    }
    let (observation, action) = (vector(3), Space::boxed(1, -1.0, 1.0));
    let (spec, compute) = (AgentSpec::default(), sac_agents::Compute::default());
    let parts = sac_agents::AgentParts::of(&spec, "probe", &action, &compute)
        .expect("fits")
        .with_head(Box::new(Silent));
    let mut agent =
        SoftActorCritic::assemble(&spec, parts, "probe", (&observation, &action), 1, compute).expect("fits");
    let mut draft = Draft::new(&[3]).expect("has numbers");
    let obs = draft.observation();
    let error = agent.trace(&mut draft, obs, false).expect_err("silent");
    assert!(matches!(error, Error::NotExportable(_)), "{error}");
}
