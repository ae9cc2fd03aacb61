//! The manual pages are up to date and true.

use sac_envs::{Env, NumpyRng, Registry, Space};

/// If the environment variable `UPDATE_MANUALS` is set, the pages are written before they are compared.
#[test]
#[cfg(feature = "mujoco")]
fn manuals_md_has_the_current_page_of_every_task() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/manuals.md");
    let page = |entry: &sac_envs::EnvEntry| entry.page(&toml::Table::new()).expect("its own defaults");
    let pages: Vec<String> = Registry::builtin().entries().iter().map(page).collect();
    let expected = pages.join("\n");
    if std::env::var_os("UPDATE_MANUALS").is_some() {
        std::fs::write(path, &expected).expect("writable");
    }
    let found = std::fs::read_to_string(path).expect("committed");
    let differs = found
        .lines()
        .zip(expected.lines())
        .find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "manuals.md is out of date at {differs:?}; run `UPDATE_MANUALS=1 cargo test -p sac-envs --features mujoco \
         --test all manuals`"
    );
}

/// Rewards of so many random actions, or of random corners of the action space.
fn rewards(env: &mut dyn Env, corners: bool, steps: usize) -> Vec<f64> {
    let mut rng = NumpyRng::new(3);
    let (mut obs, mut action) = (
        vec![0.0; env.observation_space().len()],
        vec![0.0; env.action_space().len()],
    );
    let space = env.action_space().clone();
    env.reset(Some(1), &mut obs).expect("resets");
    let mut rewards = Vec::new();
    for _ in 0..steps {
        match &space {
            Space::Box { low, high, .. } if corners => {
                for ((a, low), high) in action.iter_mut().zip(low).zip(high) {
                    *a = if rng.uniform(0.0, 1.0) < 0.5 { *low } else { *high };
                }
            }
            space => space.sample(&mut rng, &mut action),
        }
        let outcome = env.step(&action, &mut obs).expect("steps");
        rewards.push(outcome.reward);
        if outcome.status().is_over() {
            env.reset(None, &mut obs).expect("resets");
        }
    }
    rewards
}

#[test]
fn rewards_stay_within_their_range_and_a_range_of_one_number_is_that_number() {
    for entry in Registry::builtin().entries() {
        let [low, high] = entry.manual.reward_range;
        let steps = if entry.family == "fetch" { 300 } else { 1500 };
        for corners in [false, true] {
            let mut env = entry.make(&toml::Table::new()).expect("its own defaults");
            for reward in rewards(&mut *env, corners, steps) {
                assert!(
                    low <= reward && reward <= high,
                    "{}: {reward} is not in [{low}, {high}]",
                    entry.id
                );
            }
        }
        assert!(low <= high, "{}", entry.id);
    }
}

#[test]
fn a_page_depends_on_the_options() {
    let registry = Registry::builtin();
    let entry = registry.get("ProbeQuadratic-v0").expect("registered");
    let options = "k = 3.0\nwrappers = [{ kind = 'reward_scale' }]".parse().expect("TOML");
    let page = entry.page(&options).expect("valid options");
    assert!(page.contains("Between -3 and 0 per step"), "{page}");
    assert!(page.contains("RewardScale"), "{page}");
    assert!(page.contains("| `k` |") && page.contains("| `time_limit` |"), "{page}");
}
