//! The entity tasks, and the gain from attention on them.

use sac_envs::{EntityReach, EntityTag, NumpyRng, Registry, Space};

type Policy = fn(&[f32], &mut NumpyRng, &mut [f32]);

const EPISODES: u64 = 40;

fn random(_obs: &[f32], rng: &mut NumpyRng, action: &mut [f32]) {
    Space::boxed(2, -1.0, 1.0).sample(rng, action);
}

fn options(text: &str) -> toml::Table {
    text.parse().expect("the test's TOML is valid")
}

/// Mean return of episodes with the seeds 0 to 39.
fn score(id: &str, text: &str, policy: Policy) -> f64 {
    let mut env = Registry::builtin().make(id, &options(text)).expect("registered");
    let (mut obs, mut action) = (vec![0.0; env.observation_space().len()], [0.0; 2]);
    let mut rng = NumpyRng::new(1);
    let mut sum = 0.0;
    for seed in 0..EPISODES {
        env.reset(Some(seed), &mut obs).expect("resets");
        loop {
            policy(&obs, &mut rng, &mut action);
            let outcome = env.step(&action, &mut obs).expect("steps");
            sum += outcome.reward;
            if outcome.status().is_over() {
                break;
            }
        }
    }
    sum / EPISODES as f64
}

/// The score of a policy on the manual page, such as `oracle 186.6`.
fn documented(id: &str, policy: &str) -> f64 {
    let registry = Registry::builtin();
    let text = &registry.get(id).expect("registered").manual.description;
    let (_, after) = text.rsplit_once(policy).expect("the manual page has the score");
    let number = after.trim_start().split([',', ' ']).next().expect("a number");
    number.trim_end_matches('.').parse().expect("a number")
}

const REACH: [(&str, Policy); 3] = [
    ("oracle", |obs, _, action| EntityReach::default().oracle(obs, action)),
    ("averaging all tokens", |obs, _, action| {
        EntityReach::default().averaging(obs, action);
    }),
    ("random", random),
];

const TAG: [(&str, Policy); 3] = [
    ("oracle", |obs, _, action| EntityTag::default().oracle(obs, action)),
    ("averaging all tokens", |obs, _, action| {
        EntityTag::default().averaging(obs, action);
    }),
    ("random", random),
];

#[test]
fn the_scores_on_the_manual_pages_are_those_of_the_policies() {
    for (id, policies) in [("EntityReach-v0", REACH), ("EntityTag-v0", TAG)] {
        for (name, policy) in policies {
            let (found, stated) = (score(id, "", policy), documented(id, name));
            // The returns of the forty episodes have a standard deviation of up to 30.
            assert!((found - stated).abs() < 15.0, "{id}, {name}: {found} against {stated}");
        }
    }
}

#[test]
fn averaging_all_tokens_loses_more_the_fewer_of_them_matter() {
    let all = |id, policies: [(&str, Policy); 3]| {
        [
            "signal_fraction = 1.0",
            "signal_fraction = 0.5",
            "signal_fraction = 0.125",
        ]
        .map(|options| [0, 1].map(|i| score(id, options, policies[i].1)))
    };
    let [
        [oracle, averaging],
        [oracle_half, averaging_half],
        [oracle_one, averaging_one],
    ] = all("EntityReach-v0", REACH);
    assert_eq!(oracle, averaging, "nothing to ignore");
    assert!(averaging_half < oracle_half - 5.0, "{averaging_half}, {oracle_half}");
    assert!(averaging_one < oracle_one - 80.0, "{averaging_one}, {oracle_one}");
    let [_, [oracle_half, averaging_half], [oracle_one, averaging_one]] = all("EntityTag-v0", TAG);
    assert!(averaging_half < oracle_half - 20.0, "{averaging_half}, {oracle_half}");
    assert!(averaging_one < oracle_one - 100.0, "{averaging_one}, {oracle_one}");
}

#[test]
fn the_observation_is_a_set_of_tokens_whose_size_is_an_option() {
    let registry = Registry::builtin();
    for id in ["EntityReach-v0", "EntityTag-v0"] {
        for (text, shape) in [("", [9, 6]), ("entities = 1", [2, 6]), ("entities = 128", [129, 6])] {
            let env = registry.make(id, &options(text)).expect("valid");
            assert_eq!(env.observation_space().shape(), shape);
        }
    }
}

#[test]
fn options_out_of_range_are_refused_with_the_range() {
    let registry = Registry::builtin();
    for (text, problem) in [
        (
            "entities = 0",
            "option `entities`: expected a whole number from 1 to 128, found 0",
        ),
        (
            "entities = -3",
            "option `entities`: expected a whole number from 1 to 128, found -3",
        ),
        (
            "entities = 129",
            "option `entities`: expected a whole number from 1 to 128, found 129",
        ),
        (
            "signal_fraction = 1.5",
            "option `signal_fraction`: expected a number from 0 to 1, found 1.5",
        ),
        (
            "signal_fraction = nan",
            "option `signal_fraction`: expected a number from 0 to 1, found NaN",
        ),
        (
            "radius_m = 0.0",
            "option `radius_m`: expected a positive number, found 0",
        ),
        (
            "agent_speed = inf",
            "option `agent_speed`: expected a positive number, found inf",
        ),
        (
            "entity_speed = -1",
            "option `entity_speed`: expected a positive number, found -1",
        ),
        ("entitys = 3", "did you mean `entities`?"),
    ] {
        let error = registry
            .make("EntityReach-v0", &options(text))
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains(problem), "{text}: {error}");
    }
}
