//! Every valid combination of agent settings is built, trained, saved and resumed exactly. Every other combination is
//! rejected with a reason.

use std::collections::BTreeSet;

use sac_agents::{
    Agent, AgentSpec, Batch, Error, SoftActorCritic,
    checkpoint::{self, Checkpoint},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const OBS: i64 = 3;
/// Enough rows for the fused passes.
const BATCH: i64 = 16;

/// Number of updates before the checkpoint.
const SAVED_AT: u64 = 10;
/// Total number of updates. Annealing ends between the checkpoint and the last update.
const UPDATES: u64 = 20;

/// The values of one axis: a name, and the settings in `[agent]`.
type Axis = &'static [(&'static str, &'static str)];

const CRITICS: Axis = &[
    ("one", "critic.kind = 'scalar'\ncritic.members = 1"),
    ("twin", "critic.kind = 'scalar'"),
    (
        "redq",
        "critic.kind = 'scalar'\ncritic.members = 5\ncritic.target_members = { random = 2 }\ncritic.actor_value = 'mean'",
    ),
    (
        "bl",
        "critic.kind = 'scalar'\ncritic.target_filter = { kernel = { kind = 'gaussian' }, bandwidth = 0.1 }",
    ),
    (
        "bl dsac-t",
        "critic.kind = 'dsac_t'\ncritic.target_filter = { scheme = { kind = 'sigma_points', lambda = 1.0 } }",
    ),
    (
        "bl dsac",
        "critic.kind = 'dsac'\ncritic.target_filter = { kernel = { kind = 'boxcar' }, order = 'min_then_filter' }",
    ),
    (
        "bl tqc",
        "critic.kind = 'quantile'\ncritic.members = 2\ncritic.quantiles = 3\ncritic.dropped_per_member = 1\n\
         critic.target_filter = { anneal = { to = 0.0, over_grad_steps = 15 } }",
    ),
    ("dsac-t", "critic = { kind = 'dsac_t', form = 'published' }"),
    ("dsac", "critic.kind = 'dsac'"),
    (
        "tqc",
        "critic.kind = 'quantile'\ncritic.members = 3\ncritic.quantiles = 5\ncritic.dropped_per_member = 1",
    ),
    ("sac-v1", "critic.kind = 'state_value'"),
    ("categorical", "critic = { kind = 'categorical', atoms = 9 }"),
    (
        "bl hl-gauss",
        "critic.kind = 'categorical'\ncritic.members = 3\ncritic.atoms = 5\ncritic.target = { hl_gauss = 0.75 }\n\
         critic.actor_value = 'mean'\ncritic.target_filter = { kernel = { kind = 'gaussian' }, bandwidth = 0.1 }",
    ),
];

const POLICIES: Axis = &[
    ("gaussian", "policy.kind = 'squashed_gaussian'"),
    (
        "independent std",
        "policy = { kind = 'squashed_gaussian', std = 'state_independent' }",
    ),
    (
        "tanh bounds",
        "policy = { kind = 'squashed_gaussian', log_std_bounds = 'tanh', log_std_min = -5.0 }",
    ),
    (
        "softplus",
        "policy = { kind = 'squashed_gaussian', log_std_bounds = 'softplus' }",
    ),
    ("fourier", "policy = { kind = 'fourier', frequencies = 4 }"),
    ("categorical", "policy.kind = 'categorical'"),
    (
        "gumbel",
        "policy = { kind = 'gumbel_softmax', anneal = { to = 0.5, over_grad_steps = 15, curve = 'exponential' } }",
    ),
];

/// Choices that are combined with every critic and policy, but only with one temperature and one body in turn. This gives
/// half as many combinations more instead of eight times as many.
const IN_TURNS: &[&str] = &[
    "independent std",
    "tanh bounds",
    "softplus",
    "fourier",
    "gumbel",
    "crossq",
    "simba",
    "simba v2",
    "residual",
    "none",
    "resets",
    "gsde",
    "optimistic",
];

const TEMPERATURES: Axis = &[
    ("learned", "temperature.kind = 'learned'"),
    (
        "paper",
        "temperature = { kind = 'learned', objective = 'alpha', initial_alpha = 0.1 }",
    ),
    ("nats", "temperature = { kind = 'learned', target_entropy = 0.3 }"),
    (
        "uniform",
        "temperature = { kind = 'learned', target_entropy = { of_uniform = 0.9, falling_to = 0.2, over_grad_steps = 15 } }",
    ),
    ("fixed", "temperature = { kind = 'fixed', alpha = 0.2 }"),
];

const BODIES: Axis = &[
    ("plain", ""),
    (
        "droq",
        "critic_body = { hidden = [8, 8], layer_norm = true, dropout = 0.1 }\nbody.activation = 'gelu'",
    ),
    (
        "crossq",
        "body.batch_norm = { position = 'after_activation', renorm = { warmup_batches = 12 } }\n\
         critic_body = { kind = 'mlp', hidden = [8, 8], batch_norm = {}, unit_weights = true }",
    ),
    (
        "simba",
        "critic_body = { kind = 'simba', width = 8, blocks = 1, expansion = 2 }",
    ),
    (
        "simba v2",
        "critic_body = { kind = 'simba_v2', width = 8, blocks = 1, expansion = 2 }",
    ),
    (
        "residual",
        "critic_body = { kind = 'flash', width = 8, blocks = 1, expansion = 2 }\nbody.activation = 'tanh'",
    ),
];

const REST: Axis = &[
    ("default", ""),
    (
        "delayed",
        "delay = { policy = 2, targets = 3, temperature = 1 }\nnext_action = 'target'\nnormalize_observations = true\n\
         body.initial_weights = 'glorot'",
    ),
    ("hard", "targets = { kind = 'hard', every_grad_steps = 7 }"),
    (
        "resets",
        "resets = { at_grad_steps = [3, 15], share = 0.8 }\nnext_action = 'target'",
    ),
    (
        "gsde",
        "exploration = { kind = 'gsde', hold_env_steps = 7 }\nnext_action = 'target'",
    ),
    (
        "optimistic",
        "exploration = { kind = 'optimistic', kl_target = 0.01 }\nresets = { at_grad_steps = [7] }",
    ),
    (
        "none",
        "targets = { kind = 'none' }\nreward_scaling = { largest_return = 5.0 }\nexploration = { kind = 'repeated' }",
    ),
];

/// A random batch in the form of a replay's, optionally with weights.
fn batch((observation, action): (&Space, &Space), weighted: bool, stream: &mut Stream) -> Batch {
    let width = action.len();
    let mut actions = vec![0.0f32; BATCH as usize * width];
    actions
        .chunks_exact_mut(width)
        .for_each(|row| action.sample(stream.rng(), row));
    let mut normal = |shape: &[i64]| stream.normal(shape, Device::Cpu);
    let extents = observation.shape().into_iter().map(|extent| extent as i64);
    let rows: Vec<i64> = [BATCH].into_iter().chain(extents).collect();
    let (obs, next_obs, reward) = (normal(&rows), normal(&rows), normal(&[BATCH]));
    // Rows of three steps; the first row ends in a termination.
    let discount = Tensor::full([BATCH], 0.97f64.powi(3), (Kind::Float, Device::Cpu));
    let _ = discount.get(0).fill_(0.0);
    let actions = Tensor::from_slice(&actions).reshape([BATCH, width as i64]);
    let mut batch = Batch::new(obs, actions, reward, discount, next_obs);
    batch.weight = weighted.then(|| Tensor::linspace(0.1, 1.0, BATCH, (Kind::Float, Device::Cpu)));
    batch
}

fn learn(agent: &mut SoftActorCritic, spaces: (&Space, &Space), weighted: bool, updates: std::ops::Range<u64>) {
    for update in updates {
        let mut stream = Stream::derive(update, "composition", 0);
        let batch = batch(spaces, weighted, &mut stream);
        let obs = vec![0.5 + update as f32; spaces.0.len()];
        agent.observe(&obs);
        agent.explore(0..1, &obs, &mut stream, &mut vec![0.0; spaces.1.len()]);
        agent.observe_reward(0, update as f64, update % 4 == 3);
        let report = agent.update(&batch, &mut stream);
        assert_eq!(
            report.td_error.is_some(),
            weighted,
            "TD errors are reported if and only if rows have weights"
        );
    }
}

fn saved(agent: &SoftActorCritic, path: &std::path::Path) -> Checkpoint {
    let sections = agent.sections().expect("written down");
    checkpoint::write(path, EnvSteps(0), GradSteps(0), &sections).expect("written");
    Checkpoint::read(path, &[]).expect("whole")
}

/// Asserts that an agent learns, and that it resumes exactly from a checkpoint. `files` is a folder for checkpoints.
fn learns_and_resumes_exactly(
    name: &str,
    mut agent: SoftActorCritic,
    build: impl Fn() -> Result<SoftActorCritic, Error>,
    spaces: (&Space, &Space),
    weighted: bool,
    files: &std::path::Path,
) {
    learn(&mut agent, spaces, weighted, 0..SAVED_AT);
    let halfway = saved(&agent, &files.join("halfway"));
    learn(&mut agent, spaces, weighted, SAVED_AT..UPDATES);
    assert!(agent.is_finite(), "{name}");
    let straight = saved(&agent, &files.join("straight"));
    let mut other = build().expect("built before");
    other.load(&halfway).unwrap_or_else(|e| panic!("{name}: {e}"));
    learn(&mut other, spaces, weighted, SAVED_AT..UPDATES);
    let resumed = saved(&other, &files.join("resumed"));
    assert_eq!(
        straight.manifest.files, resumed.manifest.files,
        "{name}: the resumed agent differs"
    );
    assert_ne!(
        straight.manifest.files, halfway.manifest.files,
        "{name}: nothing was learned"
    );
}

/// For one action space, so that the spaces are tested in parallel.
fn every_combination_learns_and_resumes_exactly_or_is_rejected_with_a_reason(space: &str, action: &Space) {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut valid, mut rejected) = (0, 0);
    let mut built = BTreeSet::new();
    let observation = Space::unbounded(OBS as usize);
    for (critic, policy, temperature, body, rest) in all() {
        let name = format!(
            "{space} {} {} {} {} {}",
            critic.0, policy.0, temperature.0, body.0, rest.0
        );
        let text = [
            critic.1,
            policy.1,
            temperature.1,
            body.1,
            rest.1,
            "body.hidden = [8, 8]",
        ]
        .join("\n");
        let spec: AgentSpec = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}\n{text}"));
        let build = || SoftActorCritic::new(&spec, "composition", (&observation, action), 3, Device::Cpu);
        let problems: Vec<_> = spec.problems().into_iter().chain(spec.space_problems(action)).collect();
        if !problems.is_empty() {
            assert!(
                problems
                    .iter()
                    .all(|p| p.key.starts_with("agent.") && !p.problem.is_empty()),
                "{name}"
            );
            let error = build()
                .err()
                .unwrap_or_else(|| panic!("{name}: built in spite of {problems:?}"));
            assert!(
                matches!(error, Error::Spec { .. } | Error::UnsupportedSpace { .. }),
                "{name}: {error}"
            );
            rejected += 1;
            continue;
        }
        let agent = match build() {
            Ok(agent) => agent,
            Err(Error::UnsupportedSpace { .. }) => {
                rejected += 1;
                continue;
            }
            Err(other) => panic!("{name}: {other}"),
        };
        let rest = folder.path().join(valid.to_string());
        learns_and_resumes_exactly(&name, agent, build, (&observation, action), valid % 2 == 0, &rest);
        built.insert((critic.0, policy.0));
        valid += 1;
    }
    eprintln!("{space}: {valid} combinations learn, {rejected} are rejected");
    // A mistake in the lists above must not cause everything to be rejected.
    let expected: BTreeSet<_> = pairs()
        .filter(|(critic, policy)| is_served(space, critic, policy))
        .collect();
    assert_eq!(built, expected, "{space}");
    assert!(valid > 60 && rejected > 60, "{space}: {valid} and {rejected}");
}

#[test]
fn every_combination_for_a_box() {
    every_combination_learns_and_resumes_exactly_or_is_rejected_with_a_reason("box", &Space::boxed(2, -1.0, 1.0));
}

#[test]
fn every_combination_for_discrete_actions() {
    every_combination_learns_and_resumes_exactly_or_is_rejected_with_a_reason("discrete", &Space::Discrete { n: 3 });
}

#[test]
fn every_combination_for_tuples_of_discrete_actions() {
    let space = Space::MultiDiscrete { n: vec![2, 3] };
    every_combination_learns_and_resumes_exactly_or_is_rejected_with_a_reason("tuple", &space);
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let names = |axis: Axis| axis.iter().map(|choice| choice.0);
    names(CRITICS).flat_map(move |critic| names(POLICIES).map(move |policy| (critic, policy)))
}

/// Whether a critic and a policy can be combined in an action space.
fn is_served(space: &str, critic: &str, policy: &str) -> bool {
    match policy {
        // Enumerated actions need a critic with one value per action.
        "categorical" => space != "box" && ["one", "twin", "redq", "sac-v1"].contains(&critic),
        // One-hot vectors have no neighbours over which a target filter could average.
        "gumbel" => space != "box" && !critic.starts_with("bl"),
        _ => space == "box",
    }
}

type Choice = &'static (&'static str, &'static str);

fn all() -> Vec<(Choice, Choice, Choice, Choice, Choice)> {
    let mut all = Vec::new();
    for (place, critic) in CRITICS.iter().enumerate() {
        for policy in POLICIES {
            for (offset, rest) in REST.iter().enumerate() {
                let turn = place * REST.len() + offset;
                for (t, temperature) in TEMPERATURES.iter().enumerate() {
                    for (b, body) in BODIES.iter().enumerate() {
                        let is_turn = (t, b) == (turn % TEMPERATURES.len(), turn % BODIES.len());
                        let in_turns = [policy.0, body.0, rest.0].iter().any(|name| IN_TURNS.contains(name));
                        if is_turn || !in_turns {
                            all.push((critic, policy, temperature, body, rest));
                        }
                    }
                }
            }
        }
    }
    all
}

/// Encoders: name, shape of the observation, and settings in `[agent]`.
const ENCODERS: &[(&str, &[usize], &str)] = &[
    (
        "adapool",
        &[5, 3],
        "encoder = { kind = 'tokens', width = 8 }\nnormalize_observations = true",
    ),
    (
        "noisy experts, shared",
        &[5, 3],
        "encoder = { kind = 'tokens', width = 8, mixer = { kind = 'soft_moe', expert_width = 6, logit_noise = 0.5 }, \
         pooling = { kind = 'simpool' } }\nencoder_sharing = 'critic'\ncritic.kind = 'dsac_t'\nnext_action = 'target'",
    ),
    (
        "transformer over coordinates",
        &[3],
        "encoder = { kind = 'tokens', width = 8, tokenization = { kind = 'per_dimension' }, mixer = { kind = 'transformer', \
         heads = 2, hidden = 6 }, pooling = { kind = 'cls' } }\ncritic.kind = 'scalar'\ncritic.members = 5\n\
         critic.target_members = { random = 2 }\ndelay = { policy = 2, targets = 3 }",
    ),
    (
        "chunks, state value, shared",
        &[3],
        "encoder = { kind = 'tokens', width = 6, tokenization = { kind = 'chunks', count = 3, hidden = 12 }, \
         pooling = { kind = 'flatten' } }\nencoder_sharing = 'critic'\ncritic.kind = 'state_value'",
    ),
    (
        "residual convolutions, experts, filter, shared",
        &[2, 9, 9],
        "encoder = { kind = 'conv', architecture = 'impala', channel_multiplier = 0.2, mixer = { kind = 'soft_moe', experts = 2, \
         expert_width = 6 }, pooling = { kind = 'mean' } }\nencoder_sharing = 'critic'\n\
         critic = { kind = 'scalar', target_filter = { bandwidth = 0.1 } }\ntargets = { kind = 'hard', every_grad_steps = 7 }",
    ),
    (
        "plain convolutions",
        &[1, 17, 17],
        "encoder = { kind = 'conv', architecture = 'drq', channel_multiplier = 0.2, layer_norm = true, projection = 6 }\n\
         critic.kind = 'quantile'",
    ),
];

#[test]
fn encoders_learn_and_resume_exactly() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let action = Space::boxed(2, -1.0, 1.0);
    for (place, (name, shape, text)) in ENCODERS.iter().enumerate() {
        let spec: AgentSpec =
            toml::from_str(&format!("{text}\nbody.hidden = [8, 8]")).unwrap_or_else(|e| panic!("{name}: {e}"));
        let observation = Space::unbounded(shape.iter().product()).reshaped(shape.to_vec());
        let spaces = (&observation, &action);
        let build = || SoftActorCritic::new(&spec, "composition", spaces, 3, Device::Cpu);
        let agent = build().unwrap_or_else(|e| panic!("{name}: {e}"));
        learns_and_resumes_exactly(
            name,
            agent,
            build,
            spaces,
            place % 2 == 0,
            &folder.path().join(place.to_string()),
        );
    }
}
