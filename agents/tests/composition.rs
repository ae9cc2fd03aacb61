//! Every legal combination of the axes is built, learns for a while, is saved, and goes on exactly where it was. Every
//! other is refused, with a reason.

use sac_agents::{
    Agent, AgentSpec, Batch, Error, SoftActorCritic,
    checkpoint::{self, Checkpoint},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const OBS: i64 = 3;
const BATCH: i64 = 8;

/// Updates before what is resumed was saved, and in all; what is annealed ends in between.
const SAVED_AT: u64 = 15;
const UPDATES: u64 = 30;

/// Choices of one axis: name, and what stands in `[agent]` for it.
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
    ("dsac-t", "critic.kind = 'dsac_t'"),
    ("dsac", "critic.kind = 'dsac'"),
    (
        "tqc",
        "critic.kind = 'quantile'\ncritic.members = 3\ncritic.quantiles = 5\ncritic.dropped_per_member = 1",
    ),
    ("sac-v1", "critic.kind = 'state_value'"),
];

const POLICIES: Axis = &[
    ("gaussian", "policy.kind = 'squashed_gaussian'"),
    ("categorical", "policy.kind = 'categorical'"),
    (
        "gumbel",
        "policy = { kind = 'gumbel_softmax', anneal = { to = 0.5, over_grad_steps = 20, curve = 'exponential' } }",
    ),
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
        "temperature = { kind = 'learned', target_entropy = { of_uniform = 0.9, falling_to = 0.2, over_grad_steps = 20 } }",
    ),
    ("fixed", "temperature = { kind = 'fixed', alpha = 0.2 }"),
];

const BODIES: Axis = &[
    ("plain", ""),
    (
        "droq",
        "critic_body = { hidden = [8, 8], layer_norm = true, dropout = 0.1 }\nbody.activation = 'gelu'",
    ),
];

const REST: Axis = &[
    ("default", ""),
    (
        "delayed",
        "delay = { policy = 2, targets = 3 }\nnext_action = 'target'\nnormalize_observations = true",
    ),
    ("hard", "targets = { kind = 'hard', every_grad_steps = 7 }"),
];

fn spaces() -> [(&'static str, Space); 3] {
    [
        ("box", Space::boxed(2, -1.0, 1.0)),
        ("discrete", Space::Discrete { n: 3 }),
        ("tuple", Space::MultiDiscrete { n: vec![2, 3] }),
    ]
}

/// A batch as a replay would make it; with weights if rows count differently.
fn batch(action: &Space, weighted: bool, stream: &mut Stream) -> Batch {
    let width = action.len();
    let mut actions = vec![0.0f32; BATCH as usize * width];
    actions
        .chunks_exact_mut(width)
        .for_each(|row| action.sample(stream.rng(), row));
    let mut normal = |shape: &[i64]| stream.normal(shape, Device::Cpu);
    let (obs, next_obs, reward) = (normal(&[BATCH, OBS]), normal(&[BATCH, OBS]), normal(&[BATCH]));
    // Rows of three steps, one of which ended.
    let discount = Tensor::full([BATCH], 0.97f64.powi(3), (Kind::Float, Device::Cpu));
    let _ = discount.get(0).fill_(0.0);
    let actions = Tensor::from_slice(&actions).reshape([BATCH, width as i64]);
    let mut batch = Batch::new(obs, actions, reward, discount, next_obs);
    batch.weight = weighted.then(|| Tensor::linspace(0.1, 1.0, BATCH, (Kind::Float, Device::Cpu)));
    batch
}

fn learn(agent: &mut SoftActorCritic, action: &Space, weighted: bool, updates: std::ops::Range<u64>) {
    for update in updates {
        let mut stream = Stream::derive(update, "composition", 0);
        let batch = batch(action, weighted, &mut stream);
        agent.observe(&vec![0.5 + update as f32; OBS as usize]);
        let report = agent.update(&batch, &mut stream);
        assert_eq!(
            report.td_error.is_some(),
            weighted,
            "errors are given where rows are ranked"
        );
    }
}

fn saved(agent: &SoftActorCritic, path: &std::path::Path) -> Checkpoint {
    let sections = agent.sections().expect("written down");
    checkpoint::write(path, EnvSteps(0), GradSteps(0), &sections).expect("written");
    Checkpoint::read(path, &[]).expect("whole")
}

#[test]
fn every_combination_learns_and_resumes_exactly_or_is_refused_with_a_reason() {
    tch::set_num_threads(1);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut legal, mut refused) = (0, 0);
    let mut done = std::collections::BTreeSet::new();
    for (space_name, action) in spaces() {
        let observation = Space::unbounded(OBS as usize);
        let mut index = 0;
        for (critic, policy, temperature, body, rest) in all() {
            let name = format!(
                "{space_name} {} {} {} {} {}",
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
            let build = || SoftActorCritic::new(&spec, "composition", (&observation, &action), 3, Device::Cpu);
            let problems: Vec<_> = spec
                .problems()
                .into_iter()
                .chain(spec.space_problems(&action))
                .collect();
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
                refused += 1;
                continue;
            }
            let mut agent = match build() {
                Ok(agent) => agent,
                Err(Error::UnsupportedSpace { .. }) => {
                    refused += 1;
                    continue;
                }
                Err(other) => panic!("{name}: {other}"),
            };
            // Discrete spaces share the combinations between them, for the time that all of them take.
            index += 1;
            let skipped = match space_name {
                "discrete" => index % 2 == 0,
                "tuple" => index % 2 == 1,
                _ => false,
            };
            if skipped {
                continue;
            }
            let weighted = legal % 2 == 0;
            learn(&mut agent, &action, weighted, 0..SAVED_AT);
            let halfway = saved(&agent, &folder.path().join(format!("{legal}-halfway")));
            learn(&mut agent, &action, weighted, SAVED_AT..UPDATES);
            assert!(agent.is_finite(), "{name}");
            let straight = saved(&agent, &folder.path().join(format!("{legal}-straight")));
            let mut other = build().expect("built before");
            other.load(&halfway).unwrap_or_else(|e| panic!("{name}: {e}"));
            learn(&mut other, &action, weighted, SAVED_AT..UPDATES);
            let resumed = saved(&other, &folder.path().join(format!("{legal}-resumed")));
            assert_eq!(
                straight.manifest.files, resumed.manifest.files,
                "{name}: resumed elsewhere"
            );
            assert_ne!(
                straight.manifest.files, halfway.manifest.files,
                "{name}: nothing was learned"
            );
            done.insert(format!("{space_name} {} {}", critic.0, policy.0));
            legal += 1;
        }
    }
    eprintln!("{legal} combinations learn, {refused} are refused");
    // So that a mistake in the lists above cannot refuse everything.
    let expected: std::collections::BTreeSet<String> = served().collect();
    assert_eq!(done, expected);
    assert!(legal > 60 && refused > 60, "{legal} and {refused}");
}

/// Which critics learn with which policy in which space.
fn served() -> impl Iterator<Item = String> {
    let critics = |can: fn(&str) -> bool| CRITICS.iter().map(|critic| critic.0).filter(move |name| can(name));
    let name = |space: &'static str, policy: &'static str| move |critic| format!("{space} {critic} {policy}");
    let in_box = critics(|_| true).map(name("box", "gaussian"));
    in_box.chain(["discrete", "tuple"].into_iter().flat_map(move |space| {
        // Enumerated actions have an expectation where a critic has one number for each.
        let enumerated = critics(|name| ["one", "twin", "redq", "sac-v1"].contains(&name));
        // One-hot vectors are vectors, but have no neighbours to filter over.
        let drawn = critics(|name| name != "bl");
        enumerated
            .map(name(space, "categorical"))
            .chain(drawn.map(name(space, "gumbel")))
    }))
}

type Choice = &'static (&'static str, &'static str);

fn all() -> impl Iterator<Item = (Choice, Choice, Choice, Choice, Choice)> {
    CRITICS.iter().flat_map(|critic| {
        POLICIES.iter().flat_map(move |policy| {
            TEMPERATURES.iter().flat_map(move |temperature| {
                BODIES
                    .iter()
                    .flat_map(move |body| REST.iter().map(move |rest| (critic, policy, temperature, body, rest)))
            })
        })
    })
}
