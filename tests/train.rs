//! Training does exactly what was asked: counts, folders, interruption.

use std::{fs, path::Path};

use crate::support::{
    Said, assert_has, assert_same_checkpoint, checkpoints, evaluations, folder, metrics, sac, train, train_arguments,
};
use sac::agents::compute::bfloat16_instructions;
use serde_json::Value;

#[test]
fn train_and_eval_print_one_json_object_and_nothing_else_when_quiet() {
    let here = folder();
    let said = train(here.path(), "run", "120", &["--seed", "5", "--quiet", "--json"]);
    assert_eq!(said.stderr, "", "quiet: {said}");
    let summary = said.json();
    assert_has(
        &summary,
        &["env", "algo", "seed", "env_steps", "grad_steps", "seconds", "run_dir"],
    );
    assert_eq!(
        (
            &summary["env"],
            &summary["algo"],
            &summary["seed"],
            &summary["env_steps"],
            &summary["grad_steps"]
        ),
        (&"Pendulum-v1".into(), &"sac".into(), &5.into(), &120.into(), &70.into())
    );
    assert_eq!(summary["run_dir"], "run");
    assert_eq!(summary["interrupted"], false);

    let scores = sac(
        here.path(),
        &["eval", "run", "--episodes", "3", "--seed", "1", "--json"],
    )
    .ok()
    .json();
    assert_has(
        &scores,
        &[
            "episodes",
            "mean_return",
            "std_return",
            "min_return",
            "max_return",
            "mean_length",
            "returns",
        ],
    );
    let returns: Vec<f64> = scores["returns"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert_eq!((returns.len(), &scores["mean_length"]), (3, &200.0.into()));
    let mean = returns.iter().sum::<f64>() / 3.0;
    assert!(
        (mean - scores["mean_return"].as_f64().expect("a number")).abs() < 1e-9,
        "{scores}"
    );
    let again = sac(
        here.path(),
        &["eval", "run", "--episodes", "3", "--seed", "1", "--json"],
    )
    .ok()
    .json();
    assert_eq!(scores, again, "the same seed gives the same episodes");
    let other = sac(
        here.path(),
        &["eval", "run", "--episodes", "3", "--seed", "2", "--json"],
    )
    .ok()
    .json();
    assert_ne!(scores["returns"], other["returns"], "another seed gives other episodes");
    for which in ["best", "last", "120"] {
        let scores = sac(
            here.path(),
            &["eval", "run", "--checkpoint", which, "--episodes", "1", "--json"],
        )
        .ok()
        .json();
        assert_eq!(scores["env_steps"], 120, "--checkpoint {which}");
    }
    sac(here.path(), &["eval", "run", "--episodes", "2", "--stochastic"]).ok();
}

#[test]
fn a_run_folder_holds_everything_that_is_promised() {
    let here = folder();
    train(here.path(), "run", "150", &[]);
    let run = here.path().join("run");
    for file in [
        "config.toml",
        "provenance.json",
        "metrics.jsonl",
        "eval.csv",
        "checkpoints/latest",
        "checkpoints/150/manifest.json",
        "best/manifest.json",
    ] {
        assert!(run.join(file).is_file(), "{file} is missing");
    }
    let names = crate::support::contents(&run);
    let events = names.keys().filter(|name| name.starts_with("events.out.tfevents."));
    assert_eq!(events.count(), 1, "{:?}", names.keys());
    let provenance: Value = serde_json::from_slice(&names["provenance.json"]).expect("JSON");
    assert_has(
        &provenance,
        &[
            "sac",
            "commit",
            "libtorch",
            "device",
            "threads",
            "processor",
            "command",
            "started_utc",
        ],
    );
}

#[test]
fn without_a_run_dir_the_folder_is_named_after_what_is_run() {
    let here = folder();
    let mut arguments = train_arguments("unused", "20", &["--seed", "7", "--json", "--quiet"]);
    arguments.drain(3..5);
    let names: Vec<String> = (0..2)
        .map(|_| {
            sac(here.path(), &arguments).ok().json()["run_dir"]
                .as_str()
                .expect("text")
                .to_string()
        })
        .collect();
    for name in &names {
        assert!(
            name.starts_with("runs/Pendulum-v1/sac/2") && name.contains("-s7"),
            "{name}"
        );
        assert!(here.path().join(name).join("config.toml").is_file(), "{name}");
    }
    assert_ne!(names[0], names[1], "two runs never share a folder");
}

#[test]
fn the_config_of_a_run_repeats_it() {
    let here = folder();
    train(
        here.path(),
        "first",
        "200",
        &["--seed", "3", "--num-envs", "2", "--set", "replay.n_step=3"],
    );
    let config = "first/config.toml";
    sac(
        here.path(),
        &["train", "--config", config, "--run-dir", "second", "--quiet"],
    )
    .ok();
    assert_same_checkpoint(
        &here.path().join("first/checkpoints/200"),
        &here.path().join("second/checkpoints/200"),
        "a run repeated from its config.toml",
    );
}

fn assert_exact_counts(num_envs: &str) {
    let here = folder();
    let more = [
        "--num-envs",
        num_envs,
        "--set",
        "train.warmup_env_steps=41",
        "--set",
        "train.updates_per_env_step=0.3",
        "--set",
        "eval.every={env_steps=60}",
        "--set",
        "checkpoint.every={env_steps=50}",
        "--set",
        "checkpoint.keep=100",
        "--set",
        "log.every={env_steps=35}",
        "--json",
    ];
    let summary = train(here.path(), "run", "200", &more).json();
    let run = here.path().join("run");
    // ⌊0.3 · (200 − 41)⌋ = ⌊47.7⌋
    assert_eq!(
        (&summary["env_steps"], &summary["grad_steps"]),
        (&200.into(), &47.into())
    );
    assert_eq!(checkpoints(&run), [50, 100, 150, 200]);
    let evaluated: Vec<u64> = evaluations(&run).iter().map(|(steps, _)| *steps).collect();
    assert_eq!(evaluated, [60, 120, 180, 200]);
    let rows = metrics(&run);
    let logged: Vec<&Value> = rows.iter().filter(|row| row.get("replay/size").is_some()).collect();
    let steps: Vec<u64> = logged.iter().filter_map(|row| row["env_steps"].as_u64()).collect();
    assert_eq!(steps, [35, 70, 105, 140, 175, 200]);
    for row in logged {
        let env_steps = row["env_steps"].as_u64().expect("a count");
        let due = (0.3 * env_steps.saturating_sub(41) as f64).floor() as u64;
        assert_eq!(
            row["grad_steps"], due,
            "the remainder of 0.3 updates per step is carried: {row}"
        );
        assert_eq!(
            row["replay/size"], env_steps as f64,
            "every step becomes one transition: {row}"
        );
    }
}

#[test]
fn three_environments_stop_evaluate_save_and_log_at_exact_counts() {
    assert_exact_counts("3");
}

#[test]
fn seven_environments_stop_evaluate_save_and_log_at_exact_counts() {
    assert_exact_counts("7");
}

#[test]
fn threaded_environments_train_to_the_same_bytes_as_serial_ones() {
    let here = folder();
    train(here.path(), "serial", "300", &["--num-envs", "5"]);
    train(
        here.path(),
        "threaded",
        "300",
        &["--num-envs", "5", "--set", "env.step_threads=2"],
    );
    assert_same_checkpoint(
        &here.path().join("serial/checkpoints/300"),
        &here.path().join("threaded/checkpoints/300"),
        "one thread against two",
    );
}

/// Sends a signal once there is something in a file of the run `cut`, and gives what it said.
#[cfg(unix)]
pub fn interrupted(folder: &Path, arguments: &[&str], file: &str, signal: &str) -> Said {
    use std::{process::Stdio, thread::sleep, time::Duration};
    // Whoever runs the tests may ignore SIGHUP, as `nohup` does.
    let mut command = std::process::Command::new("env");
    command
        .current_dir(folder)
        .arg("--default-signal=HUP")
        .arg(crate::support::binary())
        .args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let log = folder.join("cut").join(file);
    while fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended before the signal"
        );
        sleep(Duration::from_millis(2));
    }
    let kill = std::process::Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(kill.expect("kill is there").success());
    let output = child.wait_with_output().expect("it ends");
    Said::from_output(output, format!("{command:?}, {signal}"))
}

#[cfg(unix)]
fn assert_interruptible(signal: &str) {
    let here = folder();
    // Evaluations would make two of them differ: one more where the signal struck.
    let more = ["--set", "log.every={env_steps=100}", "--num-envs", "3", "--json"];
    let said = interrupted(
        here.path(),
        &train_arguments("cut", "4000", &more),
        "metrics.jsonl",
        signal,
    )
    .code(130)
    .says(&["sac train --resume cut"]);
    let summary = said.json();
    assert_eq!(summary["interrupted"], true);
    let at = summary["env_steps"].as_u64().expect("a count");
    assert!((100..4000).contains(&at), "stopped at {at}");
    let cut = here.path().join("cut");
    assert_eq!(
        checkpoints(&cut).last(),
        Some(&at),
        "a checkpoint of the last step is there"
    );

    let resumed = sac(here.path(), &["train", "--resume", "cut", "--json"]).ok().json();
    assert_eq!(
        (&resumed["env_steps"], &resumed["interrupted"]),
        (&4000.into(), &false.into())
    );
    train(here.path(), "whole", "4000", &more);
    assert_same_checkpoint(
        &here.path().join("whole/checkpoints/4000"),
        &cut.join("checkpoints/4000"),
        "interrupted and resumed against never interrupted",
    );
    let steps = |run: &Path| {
        metrics(run)
            .iter()
            .map(|row| row["env_steps"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(&cut), steps(&here.path().join("whole")), "rows of metrics.jsonl");
}

#[cfg(unix)]
#[test]
fn sigint_saves_exits_130_and_resume_completes_as_if_nothing_had_been() {
    assert_interruptible("-INT");
}

#[cfg(unix)]
#[test]
fn sigterm_saves_exits_130_and_resume_completes_as_if_nothing_had_been() {
    assert_interruptible("-TERM");
}

/// As when a terminal is closed.
#[cfg(unix)]
#[test]
fn sighup_saves_exits_130_and_resume_completes_as_if_nothing_had_been() {
    assert_interruptible("-HUP");
}

/// The first evaluation has episodes without end; when it is given up, the run is saved and repeats it on resume.
#[cfg(unix)]
#[test]
fn an_evaluation_without_end_is_interrupted_and_the_run_is_saved() {
    let here = folder();
    let more = [
        "--quiet",
        "--set",
        "log.every={env_steps=100}",
        "--set",
        "eval.every={env_steps=100}",
        "--set",
        "env.time_limit=1000000000",
    ];
    let begins = train_arguments("cut", "2000", &more);
    let resumes = vec!["train", "--resume", "cut", "--quiet"];
    for (attempt, arguments, file) in [("begun", begins, "metrics.jsonl"), ("resumed", resumes, ".lock")] {
        interrupted(here.path(), &arguments, file, "-INT").code(130);
        assert_eq!(checkpoints(&here.path().join("cut")), [100], "{attempt}");
        assert_eq!(metrics(&here.path().join("cut")).len(), 1, "{attempt}: the row at 100");
    }
}

#[test]
fn a_resumed_run_in_bfloat16_is_the_one_that_never_stopped_and_says_what_is_rounded() {
    let here = folder();
    if bfloat16_instructions().is_none() {
        return eprintln!("this processor has no bfloat16");
    }
    let more = |precision| ["--matmul-precision", precision];
    train(here.path(), "cut", "120", &more("medium")).says(&["medium: bfloat16 factors", "100 %"]);
    sac(here.path(), &["train", "--resume", "cut", "--steps", "180"])
        .ok()
        .says(&["medium: bfloat16 factors"]);
    train(here.path(), "whole", "180", &more("medium"));
    train(here.path(), "float32", "180", &more("highest"));
    let last = |name: &str| here.path().join(name).join("checkpoints/180");
    assert_same_checkpoint(&last("whole"), &last("cut"), "resumed against never interrupted");
    let critic = |name: &str| fs::read(last(name).join("critic.safetensors")).expect("a section");
    assert!(critic("whole") != critic("float32"), "rounding can be seen");
    // Policies act in float32, so that they are scored without asking what they learned in.
    sac(here.path(), &["eval", "cut", "--episodes", "1"]).ok();
}

#[test]
fn a_run_that_pauses_goes_on_as_if_it_had_not() {
    let here = folder();
    let here = here.path();
    train(here, "whole", "400", &[]);
    let said = train(here, "paused", "400", &["--pause-at", "150", "--json"]);
    assert_eq!(said.json()["env_steps"], 150, "{said}");
    assert_eq!(checkpoints(&here.join("paused")).last(), Some(&150));
    // Where it has paused already, there is nothing to do.
    sac(here, &["train", "--resume", "paused", "--pause-at", "150"]).ok();
    sac(here, &["train", "--resume", "paused", "--pause-at", "250"]).ok();
    let said = sac(here, &["train", "--resume", "paused", "--pause-at", "1000"]).ok();
    assert!(said.stdout.contains("finished 400 env steps"), "{said}");
    for file in ["checkpoints/400", "best"] {
        assert_same_checkpoint(&here.join("whole").join(file), &here.join("paused").join(file), file);
    }
    assert_eq!(evaluations(&here.join("whole")), evaluations(&here.join("paused")));
    sac(
        here,
        &["train", "--env", "Pendulum-v1", "--seeds", "1,2", "--pause-at", "10"],
    )
    .code(2)
    .says(&["--pause-at", "cannot be used with", "--seeds"]);
}

#[test]
fn resuming_a_finished_run_changes_nothing_and_more_steps_go_on() {
    let here = folder();
    train(here.path(), "run", "120", &[]);
    let run = here.path().join("run");
    let without_events = |run: &Path| {
        let mut files = crate::support::contents(run);
        files.retain(|name, _| !name.starts_with("events."));
        files
    };
    let before = without_events(&run);
    sac(here.path(), &["train", "--resume", "run"]).ok();
    assert!(before == without_events(&run), "a finished run, resumed, is as it was");
    sac(here.path(), &["train", "--resume", "run", "--steps", "110"])
        .code(2)
        .says(&["120 env steps already", "110"]);
    assert!(before == without_events(&run), "a refused resume changes nothing");
    let summary = sac(here.path(), &["train", "--resume", "run", "--steps", "180", "--json"])
        .ok()
        .json();
    assert_eq!(
        (&summary["env_steps"], &summary["grad_steps"]),
        (&180.into(), &130.into())
    );
    assert_eq!(
        evaluations(&run).iter().map(|(steps, _)| *steps).collect::<Vec<_>>(),
        [120, 180]
    );
    let best = evaluations(&run)
        .iter()
        .fold(f64::NEG_INFINITY, |best, (_, score)| best.max(*score));
    assert_eq!(
        summary["best_mean_return"], best,
        "the best score of the first part is remembered"
    );
}

/// Amid contacts, with statistics of observations on their way.
#[test]
#[cfg(feature = "mujoco")]
fn a_mujoco_run_with_normalised_observations_resumes_to_the_bit() {
    let here = folder();
    let arguments = |folder: &'static str, steps: &'static str| {
        let settings = [
            "agent.normalize_observations=true",
            "eval.every=never",
            "env.wrappers=[{kind=\"action_noise\", std=0.1}]",
        ];
        let mut all = vec!["train", "--env", "Hopper-v5", "--steps", steps, "--run-dir", folder];
        all.extend(crate::support::SMALL);
        settings.iter().for_each(|setting| all.extend(["--set", setting]));
        all
    };
    sac(here.path(), &arguments("whole", "400")).ok();
    sac(here.path(), &arguments("cut", "230")).ok();
    sac(here.path(), &["train", "--resume", "cut", "--steps", "400"]).ok();
    let [whole, cut] = ["whole", "cut"].map(|run| here.path().join(run).join("checkpoints/400"));
    crate::support::assert_same_checkpoint(&whole, &cut, "stopped at 230 and resumed");
}

/// Sets through attention with an encoder each, images through convolutions with a shared one.
#[test]
fn runs_with_encoders_resume_to_the_bit_and_can_be_scored() {
    let here = folder();
    let set = [
        "env.id=EntityReach-v0",
        "agent.encoder={kind='tokens', width=16, mixer={kind='soft_moe', expert_width=8, logit_noise=0.1}}",
    ];
    let images = [
        "env.id=Pendulum-v1",
        "env.wrappers=[{kind='pixels', width=16, height=16, grey=true}, {kind='frame_stack'}]",
        "agent.encoder={kind='conv', architecture='impala', channel_multiplier=0.25, projection=20}",
        "agent.encoder_sharing=critic",
    ];
    for (name, settings) in [("set", &set[..]), ("images", &images)] {
        let begin = |folder: &str, steps: &str| {
            let mut all = vec!["train", "--steps", steps, "--run-dir", folder];
            all.extend(crate::support::SMALL);
            settings.iter().for_each(|setting| all.extend(["--set", setting]));
            sac(here.path(), &all).ok();
        };
        let (whole, cut) = (format!("{name}-whole"), format!("{name}-cut"));
        begin(&whole, "160");
        begin(&cut, "110");
        sac(here.path(), &["train", "--resume", &cut, "--steps", "160"]).ok();
        let [one, other] = [&whole, &cut].map(|run| here.path().join(run).join("checkpoints/160"));
        // The cut run was scored at its end, so what it remembers of scores differs; what it learned does not.
        for file in ["policy.safetensors", "critic.safetensors", "replay.safetensors"] {
            let [one, other] = [&one, &other].map(|folder| fs::read(folder.join(file)).expect("written"));
            assert!(one == other, "{name}: {file} differs after a stop at 110");
        }
        let scores = ["best", "last"].map(|which| {
            let said = sac(
                here.path(),
                &["eval", &whole, "--checkpoint", which, "--episodes", "1", "--json"],
            );
            said.ok().json()["mean_return"].clone()
        });
        assert_eq!(
            scores[0], scores[1],
            "{name}: scored once, so the best policy is the last"
        );
    }
}
