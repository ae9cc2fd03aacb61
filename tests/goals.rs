//! Tasks with goals, from the outside.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{SMALL, folder, metrics, sac};

#[test]
fn a_task_that_says_whether_it_is_solved_has_success_rates_and_others_have_none() {
    for (env, says) in [("PointReach-v0", true), ("Pendulum-v1", false)] {
        let here = folder();
        let own = [
            "train",
            "--env",
            env,
            "--steps",
            "120",
            "--num-envs",
            "2",
            "--run-dir",
            "run",
            "--set",
            "env.time_limit=20",
            "--set",
            "log.every={env_steps=60}",
            "--set",
            "eval.every={env_steps=60}",
        ];
        sac(here.path(), &[&own, SMALL].concat()).ok();
        let rows = metrics(&here.path().join("run"));
        for tag in ["rollout/success_rate", "eval/success_rate"] {
            let rates: Vec<&Value> = rows.iter().filter_map(|row| row.get(tag)).collect();
            assert_eq!(rates.len(), if says { 2 } else { 0 }, "{env}: {tag}");
            assert!(
                rates
                    .iter()
                    .all(|rate| rate.as_f64().is_some_and(|rate| (0.0..=1.0).contains(&rate))),
                "{rates:?}"
            );
        }
        let csv = fs::read_to_string(here.path().join("run/eval.csv")).expect("evaluated");
        let last: Vec<&str> = csv.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
        assert!(
            last.len() == 2 && last.iter().all(|cell| cell.parse::<f64>().is_ok() == says),
            "{csv}"
        );
        let scores = sac(here.path(), &["eval", "run", "--episodes", "2", "--json"])
            .ok()
            .json();
        assert_eq!(scores.get("success_rate").is_some(), says, "{scores}");
    }
}

#[test]
fn the_page_of_a_task_says_where_its_goals_lie() {
    let here = folder();
    let page = sac(here.path(), &["envs", "PointReach-v0"]).ok().stdout;
    assert!(
        page.contains("- goals in it: achieved_goal 0..2, desired_goal 2..4, observation 4..6"),
        "{page}"
    );
    let json = sac(here.path(), &["envs", "PointReach-v0", "--json"]).ok().json();
    assert_eq!(json["goals"]["desired"], serde_json::json!({"start": 2, "end": 4}));
    let other = sac(here.path(), &["envs", "Pendulum-v1", "--json"]).ok().json();
    assert_eq!(other["goals"], Value::Null);
}

const HINDSIGHT: &[&str] = &["--env", "PointReach-v0", "--set", "replay.hindsight={}"];

#[test]
fn hindsight_is_refused_where_it_cannot_work_and_says_why() {
    let here = folder();
    for (arguments, words) in [
        (
            &["--env", "Pendulum-v1", "--set", "replay.hindsight={}"][..],
            &["replay.hindsight", "the task has no goals"][..],
        ),
        (
            &[HINDSIGHT, &["--set", "replay.n_step=3"]].concat(),
            &["replay.n_step", "expected 1 with replay.hindsight"],
        ),
        (
            &[HINDSIGHT, &["--set", "replay.sampler=prioritized"]].concat(),
            &["replay.sampler", "\"uniform\" with replay.hindsight"],
        ),
        (
            &[HINDSIGHT, &["--set", "env.wrappers=[{kind='action_repeat'}]"]].concat(),
            &["replay.hindsight", "a wrapper around it"],
        ),
        (
            &[HINDSIGHT, &["--set", "replay.hindsight.k=0"]].concat(),
            &["replay.hindsight.k", "between 1 and 1000"],
        ),
        (
            &[HINDSIGHT, &["--set", "replay.hindsight.strategy=past"]].concat(),
            &["replay.hindsight.strategy", "future", "final", "episode"],
        ),
    ] {
        sac(here.path(), &[&["train"], arguments].concat()).code(2).says(words);
    }
}

#[test]
fn a_resumed_run_with_hindsight_ends_as_if_it_had_never_stopped() {
    let here = folder();
    let own = [
        "--num-envs",
        "3",
        "--set",
        "env.time_limit=20",
        "--set",
        "train.pipelined=true",
    ];
    let begin = |run: &str, steps: &str| {
        let arguments = [&["train", "--run-dir", run, "--steps", steps], HINDSIGHT, &own, SMALL].concat();
        sac(here.path(), &arguments).ok();
    };
    begin("straight", "240");
    // In the middle of the episodes of all three environments.
    begin("resumed", "132");
    sac(here.path(), &["train", "--resume", "resumed", "--steps", "240"]).ok();
    let files = |run: &str| {
        let manifest = here.path().join(run).join("checkpoints/240/manifest.json");
        let text = fs::read_to_string(Path::new(&manifest)).expect("a checkpoint");
        let manifest: Value = serde_json::from_str(&text).expect("JSON");
        manifest["files"].clone()
    };
    assert!(
        files("straight")["replay.safetensors"].is_object(),
        "{}",
        files("straight")
    );
    assert_eq!(files("straight"), files("resumed"));
}
