//! Event files, read with TensorBoard's own reader.
//!
//! Needs a Python with TensorBoard in `SAC_TEST_PYTHON`, as `cargo xtask test` sets it.

use std::{collections::BTreeMap, fs, path::Path, process::Command, thread::sleep, time::Duration};

use crate::support::{SMALL, folder, metrics, python, sac, train, train_arguments};
use serde_json::Value;

fn read(python: &str, run: &Path) -> Value {
    read_with(python, &[], run)
}

fn read_with(python: &str, flags: &[&str], folder: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tensorboard/read_events.py");
    let output = Command::new(python)
        .arg(script)
        .args(flags)
        .arg(folder)
        .output()
        .expect("the interpreter starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the reader failed:\n{error}");
    serde_json::from_slice(&output.stdout).expect("the reader prints JSON")
}

/// Steps and values by tag, as `metrics.jsonl` has them, rounded to the f32 of an event.
fn expected(run: &Path) -> BTreeMap<String, Vec<(u64, f32)>> {
    let mut scalars: BTreeMap<String, Vec<(u64, f32)>> = BTreeMap::new();
    for row in metrics(run) {
        let step = row["env_steps"].as_u64().expect("a count");
        for (tag, value) in row.as_object().expect("an object") {
            if tag.contains('/') {
                let value = value.as_f64().unwrap_or_else(|| panic!("{tag} is no number: {row}")) as f32;
                scalars.entry(tag.clone()).or_default().push((step, value));
            }
        }
    }
    scalars
}

fn found(report: &Value) -> BTreeMap<String, Vec<(u64, f32)>> {
    let scalars = report["scalars"].as_object().expect("scalars").iter();
    scalars
        .map(|(tag, points)| {
            let points = points.as_array().expect("points").iter();
            let points = points.map(|point| {
                (
                    point[0].as_u64().expect("a step"),
                    point[1].as_f64().expect("a value") as f32,
                )
            });
            (tag.clone(), points.collect())
        })
        .collect()
}

const RUN: &[&str] = &[
    "--num-envs",
    "2",
    "--set",
    "log.every={env_steps=50}",
    "--set",
    "eval.every={env_steps=100}",
    "--set",
    "checkpoint.every={env_steps=400}",
];

#[test]
fn tensorboard_reads_every_metric_at_its_env_step_with_the_value_of_metrics_jsonl() {
    let Some(python) = python() else { return };
    let here = folder();
    train(here.path(), "run", "450", RUN);
    let run = here.path().join("run");
    let report = read(&python, &run);
    let found = found(&report);
    // What SAC has no use for, others log.
    let mut tags: Vec<String> = found.keys().cloned().collect();
    for (name, algo, sampler) in [("spread", "dsac-t", "prioritized"), ("value", "sac-v1", "uniform")] {
        let sampler = format!("replay.sampler={sampler}");
        let small_critic = "agent.critic_body={hidden=[16, 16]}";
        train(
            here.path(),
            name,
            "100",
            &["--algo", algo, "--set", &sampler, "--set", small_critic],
        );
        let report = read(&python, &here.path().join(name));
        tags.extend(self::found(&report).into_keys());
    }
    for (name, setting) in [
        ("atoms", "agent.critic={kind='categorical', min=-2000.0, max=0.0}"),
        ("optimist", "agent.exploration={kind='optimistic'}"),
    ] {
        train(here.path(), name, "100", &["--set", setting]);
        tags.extend(self::found(&read(&python, &here.path().join(name))).into_keys());
    }
    train(here.path(), "encoder", "100", ENCODER);
    tags.extend(self::found(&read(&python, &here.path().join("encoder"))).into_keys());
    unstable(here.path(), "unstable");
    tags.extend(self::found(&read(&python, &here.path().join("unstable"))).into_keys());
    let task = [
        "train",
        "--env",
        "PointReach-v0",
        "--steps",
        "250",
        "--run-dir",
        "goals",
    ];
    sac(
        here.path(),
        &[&task[..], SMALL, &["--set", "eval.every={env_steps=250}"]].concat(),
    )
    .ok();
    tags.extend(self::found(&read(&python, &here.path().join("goals"))).into_keys());
    for tag in all_metrics() {
        assert!(tags.contains(&tag), "{tag} is missing among {tags:?}");
    }
    let expected = expected(&run);
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (tag, points) in &expected {
        assert_eq!(*points, found[tag], "{tag}");
    }
    let steps = |tag: &str| found[tag].iter().map(|(step, _)| *step).collect::<Vec<_>>();
    assert_eq!(steps("train/n_updates"), [50, 100, 150, 200, 250, 300, 350, 400, 450]);
    // The warm-up's random steps have no speed.
    assert_eq!(steps("time/fps"), [100, 150, 200, 250, 300, 350, 400, 450]);
    assert_eq!(steps("eval/mean_reward"), [100, 200, 300, 400, 450]);
}

/// A run on a cheetah with so long a time step that MuJoCo warns.
fn unstable(folder: &Path, run: &str) {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join(".native/gymnasium/envs/mujoco/assets");
    let model = fs::read_to_string(assets.join("half_cheetah.xml")).expect("set-up has run");
    let unstable = model.replacen("timestep=\"0.01\"", "timestep=\"0.2\"", 1);
    assert!(unstable != model, "the model has this time step");
    fs::write(folder.join("unstable.xml"), unstable).expect("writable");
    let task = [
        "train",
        "--env",
        "HalfCheetah-v5",
        "--set",
        "env.xml_file=./unstable.xml",
    ];
    let arguments = [&task[..], &["--steps", "100", "--run-dir", run], SMALL].concat();
    sac(folder, &arguments)
        .ok()
        .says(&["Nan, Inf or huge value in QACC", "training goes on"]);
}

/// A soft mixture and attention, with layers that have units.
const ENCODER: &[&str] = &[
    "--set",
    "agent.encoder={kind=\"tokens\", tokenization={kind=\"chunks\", count=4, hidden=16}, width=8, \
     mixer={kind=\"soft_moe\", experts=2, slots_per_expert=2, expert_width=8}}",
    "--set",
    "eval.every={env_steps=50}",
];

/// Names of all metrics, their places filled with everything that they stand for.
fn all_metrics() -> Vec<String> {
    use sac::agents::metrics::{ALL, ENCODERS, PARTS, filled};
    let of = |tag: &str| -> Vec<String> {
        let (place, values) = match tag {
            tag if tag.contains("{part}") => ("part", PARTS),
            tag if tag.contains("{encoder}") => ("encoder", ENCODERS),
            tag => return vec![tag.to_string()],
        };
        let fill = |value: &&str| filled(tag, &[(place, value), ("i", "1")]);
        values.iter().map(fill).collect()
    };
    ALL.iter().flat_map(|tag| of(tag)).collect()
}

#[test]
fn tensorboard_shows_the_weights_of_tokens_and_slots_as_images() {
    use sac::agents::metrics::{ENCODERS, IMAGES, filled};
    let Some(python) = python() else { return };
    let here = folder();
    train(here.path(), "run", "120", ENCODER);
    let run = here.path().join("run");
    let report = read(&python, &run);
    let images = report["images"].as_object().expect("images");
    let fill = |tag: &&str| {
        ENCODERS
            .iter()
            .map(|encoder| filled(tag, &[("encoder", encoder)]))
            .collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = IMAGES.iter().flat_map(fill).collect();
    expected.sort();
    let mut found: Vec<String> = images.keys().cloned().collect();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(report["images_tab"], Value::from(expected), "the IMAGES tab lists them");
    for (tag, events) in images {
        let events = events.as_array().expect("events");
        let steps: Vec<u64> = events.iter().filter_map(|event| event[0].as_u64()).collect();
        assert_eq!(steps, [50, 100, 120], "{tag}: one per evaluation");
        for event in events {
            assert_eq!(event[1], 4 * 16, "{tag}: four tokens of 16 pixels");
            assert_eq!([&event[1], &event[2]], [&event[3][0], &event[3][1]], "{tag}");
        }
    }
    let numbers = fs::read_to_string(run.join("metrics.jsonl")).expect("there");
    assert!(
        !numbers.contains("critic_encoder/attention\""),
        "images are for TensorBoard only"
    );
    let plain = here.path().join("plain");
    train(here.path(), "plain", "120", RUN);
    assert_eq!(read(&python, &plain)["images"], serde_json::json!({}));
}

#[test]
fn tensorboard_shows_the_hyperparameters_and_the_configuration() {
    let Some(python) = python() else { return };
    let here = folder();
    train(here.path(), "run", "100", &["--seed", "23"]);
    let run = here.path().join("run");
    let report = read(&python, &run);
    assert_eq!(report["ended"], true, "the HPARAMS tab learns that the run succeeded");
    let groups = report["hparams_tab"].as_array().expect("groups");
    assert_eq!(groups.len(), 1, "the HPARAMS tab lists the run: {groups:?}");
    for hparams in [&report["hparams"], &groups[0]] {
        for (key, value) in [
            ("train.seed", Value::from(23.0)),
            ("train.batch_size", 16.0.into()),
            ("agent.gamma", 0.99.into()),
            ("agent.critic.kind", "scalar".into()),
            ("agent.body.hidden", "[16, 16]".into()),
            ("agent.temperature.target_entropy", (-1.0).into()),
            ("env.id", "Pendulum-v1".into()),
            ("env.g", 10.0.into()),
        ] {
            assert_eq!(hparams[key], value, "{key}");
        }
    }
    let text = report["text"]["config"][0]
        .as_str()
        .expect("the configuration is in the TEXT tab");
    let config = fs::read_to_string(run.join("config.toml")).expect("there");
    assert_eq!(text, format!("```toml\n{config}```\n"));
}

#[test]
fn every_run_has_a_row_of_its_own_among_the_hyperparameters() {
    let Some(python) = python() else { return };
    let here = folder();
    // A small sweep, seeds of one configuration, and a run that was resumed.
    for (name, gamma) in [("low", "0.9"), ("high", "0.95")] {
        let gamma = format!("agent.gamma={gamma}");
        train(here.path(), &format!("runs/{name}"), "60", &["--set", &gamma]);
    }
    train(here.path(), "runs/seeds", "60", &["--seeds", "7-8"]);
    sac(here.path(), &["train", "--resume", "runs/low", "--steps", "80"]).ok();
    let rows = read_with(&python, &["--hparams"], &here.path().join("runs"));
    let rows = rows.as_array().expect("rows");
    let mut found: Vec<String> = rows
        .iter()
        .map(|row| format!("γ {} seed {}", row["agent.gamma"], row["train.seed"]))
        .collect();
    found.sort();
    let expected = [
        "γ 0.9 seed 1.0",
        "γ 0.95 seed 1.0",
        "γ 0.99 seed 7.0",
        "γ 0.99 seed 8.0",
    ];
    assert_eq!(found, expected, "{rows:?}");
}

#[test]
fn after_a_kill_and_a_resume_tensorboard_shows_no_point_twice_and_none_of_the_lost_part() {
    let Some(python) = python() else { return };
    let here = folder();
    let mut command = crate::support::command(here.path(), &train_arguments("run", "2400", RUN));
    let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("starts");
    // Rows behind the checkpoint at 400 are logged, and then lost.
    let run = here.path().join("run");
    let logged = || fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    while !logged().contains("\"env_steps\":550,") {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended before it was killed"
        );
        sleep(Duration::from_millis(2));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("ends");
    sac(here.path(), &["train", "--resume", "run"]).ok();
    let report = read(&python, &run);
    let (expected, found) = (expected(&run), found(&report));
    for (tag, points) in &expected {
        assert_eq!(*points, found[tag], "{tag}");
    }
    let steps: Vec<u64> = found["train/n_updates"].iter().map(|(step, _)| *step).collect();
    assert_eq!(
        steps,
        (1..=48).map(|row| 50 * row).collect::<Vec<_>>(),
        "every point once"
    );
    let files = crate::support::contents(&run)
        .into_keys()
        .filter(|name| name.starts_with("events."))
        .count();
    assert_eq!(files, 2, "one event file a process");
}
