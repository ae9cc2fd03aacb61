//! Evaluations that end a run (`eval.stop_at`), and evaluations in an environment of their own (`eval.env`).

use std::{fs, path::Path};

use crate::support::{assert_same_checkpoint, checkpoints, contents, evaluations, folder, sac, train, train_arguments};

/// Evaluated at 100, 200 …; every score of Pendulum is above −10000.
const EVERY_100: &[&str] = &["--json", "--set", "eval.every={env_steps=100}"];
const REACHED_AT_ONCE: &[&str] = &["--set", "eval.stop_at=-10000"];

/// `sac train --resume` with `--json`.
fn resume(here: &Path, more: &[&str]) -> serde_json::Value {
    let arguments = [&["train", "--resume", "run", "--json"][..], more].concat();
    sac(here, &arguments).ok().json()
}

#[test]
fn a_return_that_is_reached_ends_the_run_and_a_resume_leaves_it_at_that() {
    let here = folder();
    let run = here.path().join("run");
    let said = train(here.path(), "run", "500", &[EVERY_100, REACHED_AT_ONCE].concat());
    let scores = evaluations(&run);
    let [(100, score)] = scores[..] else {
        panic!("{scores:?}")
    };
    let summary = said.json();
    assert_eq!(
        (&summary["env_steps"], &summary["interrupted"]),
        (&100.into(), &false.into())
    );
    assert_eq!(summary["ended_early_at"], summary["eval_mean_return"]);
    let told = format!("ended early, at env step 100: an evaluation had a mean return of {score:.2}");
    said.says(&[&told, "eval.stop_at", "sac train --resume run --set eval.stop_at=inf"]);
    assert_eq!(checkpoints(&run), [100]);

    let before = contents(&run);
    for more in [&[][..], &["--steps", "900"], &["--set", "eval.stop_at=-9000"]] {
        let summary = resume(here.path(), more);
        assert_eq!(summary["env_steps"], 100, "{more:?}");
        assert!(summary["ended_early_at"].is_number(), "{more:?}");
        let after = contents(&run);
        for (name, bytes) in &before {
            let may_differ = name == "config.toml" || name.contains("tfevents");
            assert!(may_differ || after[name] == *bytes, "{more:?}: {name}");
        }
    }
    let plain = ["train", "--resume", "run"];
    let said = sac(here.path(), &plain).ok();
    assert!(said.stdout.starts_with("finished early at 100 env steps"), "{said}");
    let said = sac(here.path(), &[&plain[..], &["--quiet"]].concat()).ok();
    assert!(!said.stderr.contains("ended early"), "{said}");
}

#[test]
fn a_run_that_ended_early_goes_on_as_if_it_had_not() {
    // With the evaluation due at the end, and with one more at the end.
    for beside in ["false", "true"] {
        let here = folder();
        let beside = format!("eval.beside_training={beside}");
        let more = [EVERY_100, &["--set", &beside]].concat();
        train(here.path(), "straight", "330", &more);
        let early = train(here.path(), "run", "330", &[&more[..], REACHED_AT_ONCE].concat()).json();
        assert!(early["env_steps"].as_u64() <= Some(200), "{early}");
        let summary = resume(here.path(), &["--set", "eval.stop_at=inf"]);
        assert_eq!(
            (&summary["env_steps"], &summary["ended_early_at"]),
            (&330.into(), &().into())
        );
        let [straight, run] = ["straight", "run"].map(|run| here.path().join(run));
        for part in ["checkpoints/330", "best"] {
            assert_same_checkpoint(&straight.join(part), &run.join(part), &format!("{beside}, {part}"));
        }
        let due = |run: &Path| -> Vec<(u64, f64)> {
            let all = evaluations(run).into_iter();
            all.filter(|(at, _)| at % 100 == 0).collect()
        };
        assert_eq!(due(&run), due(&straight), "{beside}");
    }
}

#[test]
fn beside_training_the_run_ends_where_the_score_is_taken() {
    let here = folder();
    let more = [EVERY_100, REACHED_AT_ONCE, &["--set", "eval.beside_training=true"]].concat();
    let summary = train(here.path(), "run", "5000", &more).json();
    let ended_at = summary["env_steps"].as_u64().expect("a count");
    assert!((100..=200).contains(&ended_at), "{summary}");
    assert!(summary["ended_early_at"].is_number());
    let resumed = resume(here.path(), &[]);
    assert_eq!(resumed["env_steps"], ended_at);
    assert_eq!(resumed["ended_early_at"], summary["ended_early_at"]);
}

#[test]
fn an_evaluation_of_the_end_and_a_return_out_of_reach_end_nothing_early() {
    let here = folder();
    let late = ["--json", "--set", "eval.every={env_steps=1000}"];
    let summary = train(here.path(), "run", "100", &[&late[..], REACHED_AT_ONCE].concat()).json();
    assert_eq!(
        (&summary["env_steps"], &summary["ended_early_at"]),
        (&100.into(), &().into())
    );
    assert_eq!(resume(here.path(), &["--steps", "150"])["env_steps"], 150);
    let summary = train(
        here.path(),
        "far",
        "250",
        &[EVERY_100, &["--set", "eval.stop_at=1.0"]].concat(),
    );
    assert_eq!(summary.json()["env_steps"], 250);
    assert!(!summary.stderr.contains("ended early"), "{summary}");
}

#[test]
fn every_seed_ends_at_its_own_evaluation() {
    let here = folder();
    let more = [EVERY_100, REACHED_AT_ONCE, &["--seeds", "1,2"]].concat();
    let said = train(here.path(), "runs", "300", &more);
    let replicates = said.json()["replicates"].as_array().cloned().unwrap_or_default();
    assert_eq!(replicates.len(), 2);
    for one in &replicates {
        assert_eq!((&one["env_steps"], &one["error"]), (&100.into(), &().into()));
        assert_eq!(one["ended_early_at"], one["eval_mean_return"]);
    }
    said.says(&["seed 1: ended early", "seed 2: ended early"]);
    let table = sac(here.path(), &["train", "--resume", "runs"]).ok().stdout;
    assert!(table.contains("seed 2: finished early at 100 env steps"), "{table}");
}

#[test]
fn a_return_to_stop_at_needs_evaluations_and_is_a_number() {
    let here = folder();
    let config = |more: &[&str]| sac(here.path(), &[&["config", "--env", "Pendulum-v1"][..], more].concat());
    config(&["--set", "eval.every=never", "--set", "eval.stop_at=-200"])
        .code(2)
        .says(&["eval.stop_at = -200", "eval.every"]);
    config(&["--set", "eval.stop_at=nan"]).code(2).says(&["eval.stop_at"]);
    config(&["--set", "eval.stop_at=soon"]).code(2).says(&["eval.stop_at"]);
    config(&["--set", "eval.every=never", "--set", "eval.stop_at=inf"]).ok();
    let said = config(&["--set", "eval.stop_at=-200"]).ok();
    assert!(said.stdout.contains("stop_at = -200.0"), "{said}");
}

/// Trains 120 steps, evaluated at the end, and returns the score.
fn score(here: &Path, run: &str, more: &[&str]) -> f64 {
    train(here, run, "120", more);
    let scores = evaluations(&here.join(run));
    let [(120, score)] = scores[..] else {
        panic!("{scores:?}")
    };
    score
}

/// The score that `sac eval` gives a run for the episodes of evaluations.
fn score_of(here: &Path, run: &str, more: &[&str]) -> f64 {
    let arguments = [
        "eval",
        run,
        "--checkpoint",
        "last",
        "--episodes",
        "2",
        "--seed",
        "10000",
        "--json",
    ];
    let said = sac(here, &[&arguments[..], more].concat()).ok().json();
    said["mean_return"].as_f64().expect("a number")
}

#[test]
fn evaluations_in_training_take_place_in_their_own_environment() {
    let here = folder();
    let plain = score(here.path(), "plain", &[]);
    let light = score(here.path(), "light", &["--set", "eval.env.g=1.0"]);
    assert_ne!(plain, light);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-6 * a.abs();
    assert!(close(light, score_of(here.path(), "plain", &["--set", "g=1.0"])));
    // `sac eval` keeps to the environment of training.
    assert!(close(plain, score_of(here.path(), "light", &[])));
    let policy = |run: &str| {
        let files = contents(&here.path().join(run).join("checkpoints/120"));
        let policies = files.into_iter().filter(|(name, _)| name.contains("policy"));
        policies.collect::<Vec<_>>()
    };
    assert!(!policy("plain").is_empty());
    assert_eq!(policy("plain"), policy("light"), "training is the same");

    let noise = ["--set", "env.wrappers=[{kind=\"action_noise\", std=0.5}]"];
    let noisy = score(here.path(), "noisy", &noise);
    let quiet = score(
        here.path(),
        "quiet",
        &[&noise[..], &["--set", "eval.env.wrappers=[]"]].concat(),
    );
    assert_ne!(noisy, quiet);
    assert!(close(quiet, score_of(here.path(), "noisy", &["--set", "wrappers=[]"])));
}

#[test]
fn options_of_the_evaluation_environment_are_checked_and_shown() {
    let here = folder();
    let config = |more: &[&str]| sac(here.path(), &[&["config", "--env", "Pendulum-v1"][..], more].concat());
    let said = config(&["--set", "eval.env.g=9.81"]).ok().stdout;
    let (_, table) = said.split_once("[eval.env]\n").expect("the table is shown");
    let line = table.lines().next().unwrap_or_default();
    assert!(line.starts_with("g = 9.81") && line.ends_with("# --set"), "{said}");
    assert!(!config(&[]).ok().stdout.contains("eval.env"));

    config(&["--set", "eval.env.gg=9.81", "--set", "eval.env.g=\"x\""])
        .code(2)
        .says(&["eval.env.gg = 9.81", "eval.env.g = \"x\""]);
    config(&["--set", "eval.env.num_envs=3"])
        .code(2)
        .says(&["eval.env.num_envs = 3"]);
    config(&["--set", "eval.env.g=nan"]).code(2).says(&["eval.env.g = nan"]);
    config(&["--set", "eval.env=5"])
        .code(2)
        .says(&["eval.env = 5", "table"]);
    config(&["--set", "eval.env.wrappers=[{kind=\"action_noise\", std=-1.0}]"])
        .code(2)
        .says(&["eval.env.wrappers[0]", "std is -1"]);
    config(&["--set", "eval.env.wrappers=[{kind=\"frame_stack\"}]"])
        .code(2)
        .says(&[
            "eval.env",
            "training has observations of 3 numbers (Box[3]",
            "evaluation observations of 9 numbers (Box[9]",
        ]);
}

#[test]
fn a_resumed_run_may_be_evaluated_in_another_environment() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    resume(here.path(), &["--steps", "120", "--set", "eval.env.g=1.0"]);
    let text = fs::read_to_string(here.path().join("run/config.toml")).expect("there");
    assert!(text.contains("[eval.env]\ng = 1.0"), "{text}");
    let arguments = ["train", "--resume", "run", "--steps", "180", "--set", "eval.env.gg=1.0"];
    sac(here.path(), &arguments).code(2).says(&["eval.env.gg"]);
    let arguments = train_arguments("none", "60", &["--set", "eval.env.gg=1.0"]);
    sac(here.path(), &arguments).code(2).says(&["eval.env.gg"]);
    assert!(!here.path().join("none").exists());
}

#[test]
fn a_policy_for_stacked_frames_is_not_scored_on_single_ones() {
    let here = folder();
    train(
        here.path(),
        "run",
        "60",
        &["--set", "env.wrappers=[{kind=\"frame_stack\"}]"],
    );
    for command in [&["eval", "run"][..], &["play", "run", "--out", "film.gif"]] {
        let arguments = [command, &["--set", "wrappers=[]"]].concat();
        sac(here.path(), &arguments).code(2).says(&[
            "its policy takes observations of 9 numbers (Box[9])",
            "Pendulum-v1 has observations of 3 numbers (Box[3])",
        ]);
    }
}
