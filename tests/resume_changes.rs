//! Going on with a run otherwise: other settings, a branch, a new run from what was learned, without the replay, longer.

use std::{fs, path::Path};

use sac::prelude::*;
use serde_json::Value;

use crate::support::{assert_same_checkpoint, checkpoints, contents, evaluations, folder, sac, train};

fn provenance(run: &Path) -> Value {
    let text = fs::read_to_string(run.join("provenance.json")).expect("there");
    serde_json::from_str(&text).expect("JSON")
}

fn grad_steps(run: &Path, at: u64) -> u64 {
    let text = fs::read_to_string(run.join(format!("checkpoints/{at}/manifest.json"))).expect("there");
    let manifest: Value = serde_json::from_str(&text).expect("JSON");
    manifest["grad_steps"].as_u64().expect("a count")
}

const LEARNING_RATE: &str = "agent.policy.optimizer.learning_rate";
const NO_EVAL: &[&str] = &["--quiet", "--set", "eval.every=never"];

#[test]
fn a_learning_rate_changes_on_resume_and_is_kept_and_noted() {
    let here = folder();
    train(here.path(), "run", "120", NO_EVAL);
    let set = format!("{LEARNING_RATE}=1e-5");
    let longer = |steps: &str, more: &[&str]| {
        let all = [&["train", "--resume", "run", "--quiet", "--steps", steps], more].concat();
        sac(here.path(), &all)
    };
    longer("160", &["--set", &set]).ok();
    let run = here.path().join("run");
    let config = fs::read_to_string(run.join("config.toml")).expect("there");
    assert!(config.contains("learning_rate = 0.00001"), "{config}");
    assert_eq!(provenance(&run)["resumed"][0]["changed"][LEARNING_RATE], "0.00001");
    // It holds from now on.
    longer("200", &[]).ok();
    assert_eq!(provenance(&run)["resumed"][1]["changed"][LEARNING_RATE], Value::Null);

    let before = contents(&run);
    longer("240", &["--set", "agent.gamma=0.5", "--set", "train.batch_size=8"])
        .code(2)
        .says(&[
            "agent.gamma = 0.5: cannot change in the middle of a run, which was begun with 0.99 (--set)",
            "train.batch_size",
        ]);
    longer("240", &["--set", "agent.gama=0.5"])
        .code(2)
        .says(&["agent.gama", "did you mean"]);
    assert!(contents(&run) == before, "what is refused changes nothing");

    // A file that somebody edited is refused also where a flag would be taken.
    let edited = config.replace("learning_rate = 0.00001", "learning_rate = 0.00002");
    fs::write(run.join("config.toml"), edited).expect("writable");
    longer("240", &[])
        .code(2)
        .says(&[LEARNING_RATE, "begun with 0.00001", "config.toml"]);
}

#[test]
fn updates_per_step_are_counted_from_where_they_change() {
    let here = folder();
    train(here.path(), "run", "150", NO_EVAL);
    let run = here.path().join("run");
    assert_eq!(grad_steps(&run, 150), 100, "one for each step after a warm-up of 50");
    let resume = |steps: &str, rate: &str| {
        let set = format!("train.updates_per_env_step={rate}");
        sac(
            here.path(),
            &["train", "--resume", "run", "--quiet", "--steps", steps, "--set", &set],
        )
        .ok();
    };
    resume("170", "2");
    assert_eq!(grad_steps(&run, 170), 140);
    resume("190", "0.5");
    assert_eq!(grad_steps(&run, 190), 150);
    sac(here.path(), &["train", "--resume", "run", "--quiet", "--steps", "210"]).ok();
    assert_eq!(grad_steps(&run, 210), 160);
}

#[test]
fn a_branch_is_the_run_that_the_original_would_have_become() {
    let here = folder();
    train(
        here.path(),
        "run",
        "120",
        &["--quiet", "--set", "eval.every={env_steps=60}"],
    );
    let before = contents(&here.path().join("run"));
    let branch = [
        "train",
        "--resume",
        "run",
        "--run-dir",
        "branch",
        "--steps",
        "200",
        "--quiet",
    ];
    sac(here.path(), &branch).ok();
    assert!(
        contents(&here.path().join("run")) == before,
        "the original stays as it is"
    );
    let noted = provenance(&here.path().join("branch"));
    let from = noted["resumed"][0]["branched_from"].as_str().expect("noted");
    assert!(
        Path::new(from).ends_with("run") && Path::new(from).is_absolute(),
        "{from}"
    );

    sac(here.path(), &["train", "--resume", "run", "--steps", "200", "--quiet"]).ok();
    let last = |run: &str| here.path().join(run).join("checkpoints/200");
    assert_same_checkpoint(&last("run"), &last("branch"), "branched against resumed");
    assert_eq!(
        evaluations(&here.path().join("run")),
        evaluations(&here.path().join("branch"))
    );

    sac(here.path(), &branch).code(2).says(&["branch", "exists"]);
    let refused = [
        "train",
        "--resume",
        "run",
        "--run-dir",
        "other",
        "--steps",
        "300",
        "--set",
        "agent.gamma=0.5",
    ];
    sac(here.path(), &refused).code(2).says(&["agent.gamma"]);
    assert!(!here.path().join("other").exists());
}

#[test]
fn a_new_run_begins_with_what_another_has_learned() {
    let here = folder();
    train(here.path(), "first", "120", NO_EVAL);
    let mut more = NO_EVAL.to_vec();
    more.extend(["--init-from", "first", "--seed", "7"]);
    // It ends within the warm-up: nothing more is learned.
    train(here.path(), "second", "20", &more);
    let registry = Registry::builtin();
    let load = |run: &str| Policy::load_with(here.path().join(run), &registry).expect("a policy");
    let (mut first, mut second) = (load("first"), load("second"));
    for obs in [[1.0, 0.0, 0.0], [0.0, 1.0, -3.0], [-1.0, 0.0, 8.0]] {
        assert_eq!(
            first.act(&obs).expect("an action"),
            second.act(&obs).expect("an action")
        );
    }
    assert_eq!(grad_steps(&here.path().join("second"), 20), 0);
    let from = provenance(&here.path().join("second"));
    assert!(
        from["init_from"].as_str().is_some_and(|path| path.ends_with("first")),
        "{from}"
    );
    // It learns, saves and resumes as any other.
    sac(
        here.path(),
        &["train", "--resume", "second", "--quiet", "--steps", "90"],
    )
    .ok();

    for (arguments, words) in [
        (
            &["--env", "MountainCarContinuous-v0", "--init-from", "first"][..],
            &["MountainCarContinuous-v0"][..],
        ),
        (
            &["--env", "Pendulum-v1", "--init-from", "nowhere"],
            &["nowhere", "no such folder"],
        ),
        (
            &[
                "--env",
                "Pendulum-v1",
                "--init-from",
                "first",
                "--set",
                "agent.body.hidden=[8]",
            ],
            &["first", "its networks are not those of this run", "has shape"],
        ),
        (&["--resume", "second", "--init-from", "first"], &["--init-from"]),
    ] {
        let all = [
            &["train", "--steps", "100", "--threads", "1", "--run-dir", "third"],
            arguments,
        ]
        .concat();
        sac(here.path(), &all).code(2).says(words);
        assert!(!here.path().join("third").exists(), "{arguments:?}");
    }
}

#[test]
fn the_replay_is_saved_with_all_checkpoints_with_the_last_or_with_none() {
    let here = folder();
    let begin = |run: &str, replay: &str| {
        let replay = format!("checkpoint.replay={replay}");
        let more = [NO_EVAL, &["--set", "checkpoint.every={env_steps=60}", "--set", &replay]].concat();
        train(here.path(), run, "120", &more);
    };
    let has_replay = |run: &str, at: u64| {
        let folder = here.path().join(run).join(format!("checkpoints/{at}"));
        folder.join("replay.safetensors").is_file()
    };
    for (run, saved) in [("all", [true, true]), ("last", [false, true]), ("none", [false, false])] {
        begin(run, run);
        assert_eq!(checkpoints(&here.path().join(run)), [60, 120]);
        assert_eq!([60, 120].map(|at| has_replay(run, at)), saved, "{run}");
        sac(here.path(), &["train", "--resume", run, "--steps", "220", "--quiet"]).ok();
    }
    let last = |run: &str| here.path().join(run).join("checkpoints/220");
    let bytes = |run: &str, file: &str| fs::read(last(run).join(file)).expect("there");
    for file in ["critic.safetensors", "policy.safetensors", "replay.safetensors"] {
        assert!(bytes("all", file) == bytes("last", file), "resumed exactly: {file}");
    }
    assert_eq!(grad_steps(&here.path().join("all"), 220), 170);
    // 70 updates by 120, and one for each step after 50 more in which the replay was filled.
    assert_eq!(grad_steps(&here.path().join("none"), 220), 70 + 50);
    // A run that saved none can save them from now on, and one that did can stop.
    for (run, replay) in [("none", "all"), ("all", "none")] {
        let replay = format!("checkpoint.replay={replay}");
        sac(
            here.path(),
            &["train", "--resume", run, "--steps", "240", "--quiet", "--set", &replay],
        )
        .ok();
    }
    assert!(has_replay("none", 240) && !has_replay("all", 240));
}

#[test]
fn a_replay_that_stays_in_an_older_checkpoint_is_no_fault_of_the_new_one() {
    let here = folder();
    let every = ["--set", "checkpoint.every={env_steps=60}"];
    train(here.path(), "run", "120", &[NO_EVAL, &every].concat());
    fs::write(here.path().join("run/checkpoints/60/state.json"), "{").expect("writable");
    let keep = ["--set", "checkpoint.replay=last", "--set", "checkpoint.keep=5"];
    let resume = ["train", "--resume", "run", "--steps", "130", "--quiet"];
    let said = sac(here.path(), &[&resume[..], &keep].concat()).ok();
    assert!(said.stderr.contains("an older checkpoint keeps its replay"), "{said}");
    assert!(!said.stderr.contains("no checkpoint"), "{said}");
    let latest = fs::read_to_string(here.path().join("run/checkpoints/latest")).expect("there");
    assert_eq!(latest.trim(), "130");
    sac(here.path(), &["train", "--resume", "run", "--steps", "140", "--quiet"]).ok();
}

#[test]
fn a_longer_run_has_the_best_policy_of_one_that_never_ended_before() {
    // Evaluated at 100, 200 and at the end.
    let every = [
        "--quiet",
        "--set",
        "eval.every={env_steps=100}",
        "--set",
        "checkpoint.every={env_steps=50}",
    ];
    for seed in ["1", "2", "3"] {
        let here = folder();
        let more = [&every[..], &["--seed", seed]].concat();
        train(here.path(), "straight", "330", &more);
        for (steps, run) in [("70", "early"), ("230", "late")] {
            train(here.path(), run, steps, &more);
            let branch = format!("{run} branch");
            let longer = ["train", "--resume", run, "--steps", "330", "--quiet"];
            sac(here.path(), &[&longer[..], &["--run-dir", &branch]].concat()).ok();
            let [one, other] = ["straight", &branch].map(|run| here.path().join(run).join("best"));
            assert_same_checkpoint(&one, &other, &format!("seed {seed}, {branch}"));
            sac(here.path(), &longer).ok();
            let [one, other] = ["straight", run].map(|run| here.path().join(run));
            for part in ["checkpoints/300", "checkpoints/330", "best"] {
                assert_same_checkpoint(
                    &one.join(part),
                    &other.join(part),
                    &format!("seed {seed}, {run}, {part}"),
                );
            }
        }
    }
}

#[test]
fn a_run_with_annealed_learning_rates_goes_on_where_they_were() {
    let here = folder();
    let annealed = ["policy", "critic", "temperature"]
        .map(|part| format!("agent.{part}.optimizer.anneal={{to=0.0, over_grad_steps=200, curve=\"cosine\"}}"));
    let mut more = vec!["--quiet"];
    annealed.iter().for_each(|set| more.extend(["--set", set]));
    train(here.path(), "plain", "330", &["--quiet"]);
    train(here.path(), "straight", "330", &more);
    train(here.path(), "run", "170", &more);
    sac(here.path(), &["train", "--resume", "run", "--steps", "330", "--quiet"]).ok();
    let checkpoint = |run: &str| here.path().join(run).join("checkpoints/330");
    assert_same_checkpoint(&checkpoint("straight"), &checkpoint("run"), "annealed");
    let policy = |run: &str| contents(&checkpoint(run))["policy.safetensors"].clone();
    assert_ne!(policy("plain"), policy("run"));

    // A schedule is a learning rate, which may change.
    let end = "agent.policy.optimizer.anneal.to=1e-4";
    let arguments = ["train", "--resume", "run", "--steps", "360", "--quiet", "--set", end];
    sac(here.path(), &arguments).ok();
    let config = fs::read_to_string(here.path().join("run/config.toml")).expect("there");
    assert!(config.contains("to = 0.0001"), "{config}");
    for (wrong, problem) in [
        ("{to=-1.0, over_grad_steps=9}", "anneal.to = -1.0"),
        ("{to=0.0, over_grad_steps=0}", "anneal.over_grad_steps = 0"),
        ("{to=0.0, over_grad_steps=9, curve=\"step\"}", "linear, cosine"),
        ("{to=0.0}", "over_grad_steps"),
    ] {
        let set = format!("agent.critic.optimizer.anneal={wrong}");
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", &set])
            .code(2)
            .says(&["agent.critic.optimizer.anneal", problem]);
    }
}

#[test]
fn a_model_file_is_found_from_any_folder_and_has_to_be_the_one_that_the_run_was_begun_with() {
    let here = folder();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join(".native/gymnasium/envs/mujoco/assets");
    let model = fs::read_to_string(assets.join("inverted_pendulum.xml")).expect("set-up has run");
    fs::write(here.path().join("model.xml"), &model).expect("writable");
    let more = [
        NO_EVAL,
        &["--env", "InvertedPendulum-v5", "--set", "env.xml_file=./model.xml"],
    ]
    .concat();
    let arguments = [
        &["train", "--run-dir", "run", "--steps", "80"],
        crate::support::SMALL,
        &more,
    ]
    .concat();
    sac(here.path(), &arguments).ok();

    let elsewhere = folder();
    let run = here.path().join("run");
    let run = run.to_str().expect("UTF-8");
    let resume = |steps: &str, more: &[&str]| {
        let all = [&["train", "--resume", run, "--quiet", "--steps", steps], more].concat();
        sac(elsewhere.path(), &all)
    };
    resume("100", &[]).ok();
    sac(elsewhere.path(), &["eval", run, "--episodes", "1"]).ok();

    let heavier = model.replacen("gravity=\"0 0 -9.81\"", "gravity=\"0 0 -9.82\"", 1);
    assert!(heavier != model, "the model has this gravity");
    fs::write(here.path().join("model.xml"), heavier).expect("writable");
    resume("120", &[]).code(1).says(&["another model than", "model.xml"]);

    // Moved: the stored path leads nowhere, and a flag says where the file is now.
    fs::remove_file(here.path().join("model.xml")).expect("there");
    fs::write(elsewhere.path().join("moved.xml"), &model).expect("writable");
    resume("120", &[]).code(2).says(&["env.xml_file", "model.xml"]);
    sac(
        elsewhere.path(),
        &["eval", run, "--episodes", "1", "--set", "xml_file=./moved.xml"],
    )
    .ok();
    resume("120", &["--set", "env.xml_file=./moved.xml"]).ok();
    resume("140", &[]).ok();
}
