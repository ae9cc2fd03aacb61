//! Comparison with the numbers of NumPy and Gymnasium, bit for bit. The generators of the data are in `tests/golden/`,
//! next to the data.

use sac_envs::classic::{CartPoleState, CartPoleSwingUp};
use sac_envs::{Dtype, Dynamics, Env, NumpyRng, Registry, Space};
use serde_json::Value;

fn golden(path: &str) -> Value {
    read(&format!("{}/tests/golden/{path}", env!("CARGO_MANIFEST_DIR")))
}

/// The data of the file named by the environment variable, otherwise the committed data. For comparisons that are too
/// large to commit.
fn golden_or(variable: &str, path: &str) -> Value {
    std::env::var(variable).map_or_else(|_| golden(path), |big| read(&big))
}

fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn float(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn floats(value: &Value) -> Vec<f64> {
    items(value).iter().map(float).collect()
}

fn floats_32(value: &Value) -> Vec<f32> {
    items(value).iter().map(|x| float(x) as f32).collect()
}

fn integers(value: &Value) -> Vec<u64> {
    items(value)
        .iter()
        .map(|x| x.as_u64().expect("a whole number"))
        .collect()
}

fn hex(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("0x…");
    u64::from_str_radix(digits, 16).expect("hexadecimal digits")
}

fn draws<T>(count: usize, draw: impl FnMut() -> T) -> Vec<T> {
    std::iter::repeat_with(draw).take(count).collect()
}

#[test]
fn every_draw_of_the_generator_is_numpys() {
    let data = golden("numpy_rng/data.json");
    for case in items(&data["generators"]) {
        let rng = &mut NumpyRng::new(hex(&case["seed"]));
        let seed = &case["seed"];
        let words: Vec<u64> = items(&case["next_u64"]).iter().map(hex).collect();
        assert_eq!(draws(4, || rng.next_u64()), words, "next_u64, seed {seed}");
        assert_eq!(
            draws(4, || rng.random()),
            floats(&case["random"]),
            "random, seed {seed}"
        );
        assert_eq!(
            draws(4, || rng.uniform(-2.0, 5.0)),
            floats(&case["uniform_-2_5"]),
            "uniform, seed {seed}"
        );
        assert_eq!(
            draws(3, || rng.integers(10)),
            integers(&case["integers_10"]),
            "integers(10), seed {seed}"
        );
        assert_eq!(
            rng.random(),
            float(&case["random_between"]),
            "random between two halves, seed {seed}"
        );
        for (key, n, count) in [
            ("integers_1000003", 1_000_003, 4),
            ("integers_2**32", 1 << 32, 2),
            ("integers_2**40", 1 << 40, 2),
            ("integers_3*2**30", 3 << 30, 9),
        ] {
            assert_eq!(
                draws(count, || rng.integers(n)),
                integers(&case[key]),
                "{key}, seed {seed}"
            );
        }
        assert_eq!(
            draws(6, || rng.standard_normal()),
            floats(&case["standard_normal"]),
            "normal, seed {seed}"
        );
        let exponential = floats(&case["standard_exponential"]);
        assert_eq!(
            draws(6, || rng.standard_exponential()),
            exponential,
            "exponential, seed {seed}"
        );
    }
}

/// Reads `SAC_PARITY_DRAWS` instead of the committed data if it is set.
#[test]
fn the_rare_branches_of_the_ziggurats_are_numpys() {
    let data = &golden_or("SAC_PARITY_DRAWS", "numpy_rng/data.json")["rare_branches"];
    let rng = &mut NumpyRng::new(data["seed"].as_u64().expect("a seed"));
    let count = data["draws"].as_u64().expect("a count") as usize;
    let fold = |draws: &[f64]| draws.iter().fold(0, |xor, x| xor ^ x.to_bits());
    let largest = |draws: &[f64]| draws.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    let normal = draws(count, || rng.standard_normal());
    assert_eq!(
        (fold(&normal), largest(&normal)),
        (hex(&data["normal_xor"]), float(&data["normal_max"]))
    );
    let exponential = draws(count, || rng.standard_exponential());
    let expected = (hex(&data["exponential_xor"]), float(&data["exponential_max"]));
    assert_eq!((fold(&exponential), largest(&exponential)), expected);
}

#[test]
fn seeded_samples_of_spaces_are_gymnasiums() {
    for case in items(&golden("numpy_rng/data.json")["samples"]) {
        let name = case["space"].as_str().expect("a name");
        let bounds = |key: &str| -> Vec<f32> {
            items(&case[key])
                .iter()
                .map(|text| text.as_str().expect("a bound").parse().expect("a number"))
                .collect()
        };
        let counts = || integers(&case["n"]).into_iter().map(|n| n as usize).collect::<Vec<_>>();
        let space = match name {
            "discrete" => Space::Discrete { n: counts()[0] },
            "multi_discrete" => Space::MultiDiscrete { n: counts() },
            "bytes" => Space::Box {
                shape: vec![4],
                low: bounds("low"),
                high: bounds("high"),
                dtype: Dtype::U8,
            },
            _ => Space::vector(bounds("low"), bounds("high")),
        };
        let rng = &mut NumpyRng::new(case["seed"].as_u64().expect("a seed"));
        let mut sample = vec![0.0; space.len()];
        for (i, expected) in items(&case["draws"]).iter().enumerate() {
            space.gymnasium_sample(rng, &mut sample);
            assert_eq!(sample, floats_32(expected), "{name}, draw {i}");
        }
    }
}

/// Reads `SAC_PARITY_TRACES` instead of the committed traces if it is set.
#[test]
fn trajectories_of_the_classic_tasks_are_gymnasiums() {
    let data = golden_or("SAC_PARITY_TRACES", "classic/traces.json");
    let registry = Registry::builtin();
    let mut steps = 0;
    for case in items(&data["cases"]) {
        let id = case["id"].as_str().expect("an id");
        let options = toml::Table::try_from(&case["options"]).expect("a table");
        let mut entry = registry.get(id).expect("registered").into_owned();
        entry = entry.with_time_limit(case["time_limit"].as_u64().expect("a limit"));
        let mut env = entry.make(&options).expect("valid options");
        let mut obs = vec![0.0; env.observation_space().len()];
        let mut seed = case["seed"].as_u64();
        for (i, event) in items(&case["events"]).iter().enumerate() {
            let place = || format!("{id} {options:?}, seed {}, event {i}", case["seed"]);
            match items(event) {
                [expected] => {
                    env.reset(seed.take(), &mut obs).expect("resets");
                    assert_eq!(obs, floats_32(expected), "{}: reset", place());
                }
                [expected, action, reward, terminated, truncated] => {
                    let outcome = env.step(&floats_32(action), &mut obs).expect("steps");
                    assert_eq!(outcome.reward.to_bits(), float(reward).to_bits(), "{}: reward", place());
                    assert_eq!(obs, floats_32(expected), "{}: observation", place());
                    let ends = (terminated.as_bool(), truncated.as_bool());
                    assert_eq!(
                        (Some(outcome.terminated), Some(outcome.truncated)),
                        ends,
                        "{}: end",
                        place()
                    );
                    steps += 1;
                }
                other => panic!("{}: {other:?} is no event", place()),
            }
        }
    }
    assert!(steps > 1000, "only {steps} steps were compared");
}

#[test]
fn the_swing_up_agrees_with_mujoco() {
    let data = golden("swing_up/data.json");
    let every = data["every"].as_u64().expect("a count") as usize;
    let states: Vec<Vec<f64>> = items(&data["states"]).iter().map(floats).collect();
    let task = CartPoleSwingUp::default();
    let mut state = CartPoleState {
        position_m: states[0][0],
        theta_rad: states[0][1],
        velocity_m_s: states[0][2],
        theta_dot_rad_s: states[0][3],
    };
    for (k, expected) in states.iter().enumerate().skip(1) {
        for i in (k - 1) * every..k * every {
            let control = 0.5 * (0.045 * i as f64).cos();
            task.step(&mut state, &[control as f32], &mut NumpyRng::new(0));
        }
        let found = [
            state.position_m,
            state.theta_rad,
            state.velocity_m_s,
            state.theta_dot_rad_s,
        ];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-12,
                "after {} steps {found} against {expected}",
                k * every
            );
        }
    }
}
