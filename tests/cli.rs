//! The command line: what each command prints, and that training does exactly what was asked.

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::{
    Said, assert_same_checkpoint, checkpoints, command, evaluations, folder, metrics, sac, train, train_arguments,
};

fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("an object: {value}"));
    object.keys().map(String::as_str).collect()
}

#[track_caller]
fn assert_has(value: &Value, wanted: &[&str]) {
    let keys = keys(value);
    for key in wanted {
        assert!(keys.contains(key), "`{key}` is missing among {keys:?}");
    }
}

/// Commands and words that their help must explain.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "train",
            "eval",
            "rollout",
            "envs",
            "algos",
            "config",
            "doctor",
            "bench",
            "Exit codes",
            "interrupted",
        ],
    ),
    (
        &["train"],
        &[
            "--env",
            "--algo",
            "--config",
            "--set",
            "--steps",
            "--seed",
            "--num-envs",
            "--device",
            "--threads",
            "--run-dir",
            "--resume",
            "--quiet",
            "--json",
        ],
    ),
    (
        &["eval"],
        &[
            "<RUN>",
            "--checkpoint",
            "--episodes",
            "--seed",
            "--stochastic",
            "--json",
        ],
    ),
    (
        &["rollout"],
        &["--env", "--seed", "--steps", "--actions", "--policy", "--out"],
    ),
    (&["envs"], &["[ID]", "--json"]),
    (&["algos"], &["[NAME]", "--json"]),
    (&["config"], &["--env", "--algo", "--set", "--json"]),
    (&["doctor"], &["--json"]),
    (&["bench"], &["update", "env"]),
    (
        &["bench", "update"],
        &["--obs-dim", "--act-dim", "--batch", "--hidden", "--threads", "--json"],
    ),
    (&["bench", "env"], &["--env", "--num-envs", "--threads", "--json"]),
];

#[test]
fn every_command_explains_itself() {
    let here = folder();
    for (command, words) in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let said = sac(here.path(), &arguments).ok();
        for word in *words {
            assert!(said.stdout.contains(word), "`{word}` is not explained: {said}");
        }
        assert_eq!(said.stderr, "", "help is data: {said}");
    }
}

#[test]
fn the_version_is_the_packages() {
    let said = sac(folder().path(), &["--version"]).ok();
    assert_eq!(said.stdout, format!("sac {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn envs_lists_each_with_its_spaces_and_shows_the_page_of_one() {
    let here = folder();
    let said = sac(here.path(), &["envs"]).ok();
    let pendulum = said.stdout.lines().find(|line| line.starts_with("Pendulum-v1"));
    let pendulum = pendulum.unwrap_or_else(|| panic!("Pendulum-v1 is missing: {said}"));
    for word in ["Box[3]", "Box[1] in [-2, 2]", "200"] {
        assert!(pendulum.contains(word), "`{word}` is missing: {pendulum}");
    }
    let list = sac(here.path(), &["envs", "--json"]).ok().json();
    let ids: Vec<&str> = list
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|entry| entry["id"].as_str())
        .collect();
    assert!(
        ids.contains(&"MountainCarContinuous-v0") && ids.contains(&"ProbeConstant-v0"),
        "{ids:?}"
    );

    let page = sac(here.path(), &["envs", "Pendulum-v1"]).ok();
    for word in [
        "observation space",
        "action space",
        "time limit         200",
        "g = 10",
        "TimeLimit(200) > Checked > Pendulum-v1",
    ] {
        assert!(page.stdout.contains(word), "`{word}` is missing: {page}");
    }
    let entry = sac(here.path(), &["envs", "Pendulum-v1", "--json"]).ok().json();
    assert_has(
        &entry,
        &[
            "id",
            "family",
            "summary",
            "observation_space",
            "action_space",
            "time_limit",
            "options",
        ],
    );
    assert_eq!(entry["options"]["g"], 10.0);
}

#[test]
fn algos_lists_presets_and_prints_one_with_sources() {
    let here = folder();
    let said = sac(here.path(), &["algos"]).ok();
    assert!(said.stdout.starts_with("sac "), "{said}");
    let preset = sac(here.path(), &["algos", "sac"]).ok();
    assert!(preset.stdout.contains("gamma = 0.99"), "{preset}");
    assert!(
        preset.stdout.contains("# table 1"),
        "values have their sources: {preset}"
    );
    preset.stdout.parse::<toml::Table>().expect("the preset is TOML");
    let json = sac(here.path(), &["algos", "sac", "--json"]).ok().json();
    assert_eq!(json["agent"]["gamma"], 0.99);
}

#[test]
fn config_says_where_each_value_comes_from_and_reads_back_to_itself() {
    let here = folder();
    fs::write(
        here.path().join("mine.toml"),
        "[env]\nid = \"Pendulum-v1\"\n[train]\nbatch_size = 64\nseed = 4\n",
    )
    .expect("writable");
    let arguments = [
        "config",
        "--config",
        "mine.toml",
        "--set",
        "agent.gamma=0.98",
        "--set",
        "eval.every=never",
        "--seed",
        "9",
    ];
    let first = sac(here.path(), &arguments).ok();
    for (value, origin) in [
        ("batch_size = 64", "mine.toml"),
        ("gamma = 0.98", "--set"),
        ("seed = 9", "--seed"),
        ("warmup_env_steps = 1000", "preset sac"),
        ("target_entropy = -1.0", "preset sac"),
    ] {
        let line = first.stdout.lines().find(|line| line.starts_with(value));
        let line = line.unwrap_or_else(|| panic!("`{value}` is missing: {first}"));
        assert!(
            line.ends_with(&format!("# {origin}")),
            "`{line}` does not name {origin}"
        );
    }
    fs::write(here.path().join("resolved.toml"), &first.stdout).expect("writable");
    let resolved = |file: &str, more: &[&str]| {
        let mut arguments = vec!["config", "--json", "--config", file];
        arguments.extend_from_slice(more);
        sac(here.path(), &arguments).ok().json()
    };
    assert_eq!(
        resolved("mine.toml", &arguments[3..]),
        resolved("resolved.toml", &[]),
        "the printed configuration, fed back, is itself"
    );
}

#[test]
fn set_can_name_the_environment_and_the_algorithm() {
    let here = folder();
    let by_set = sac(here.path(), &["config", "--set", "env.id=Pendulum-v1", "--json"])
        .ok()
        .json();
    let by_flag = sac(here.path(), &["config", "--env", "Pendulum-v1", "--json"])
        .ok()
        .json();
    assert_eq!(by_set, by_flag, "the shipped experiment applies either way");
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", "algo=sacc"])
        .code(2)
        .says(&["unknown algorithm `sacc`", "did you mean `sac`?"]);
}

#[test]
fn the_shipped_experiment_is_named_and_none_skips_it() {
    let here = folder();
    let steps = |more: &[&str]| {
        let mut arguments = vec!["config", "--env", "Pendulum-v1", "--json"];
        arguments.extend_from_slice(more);
        sac(here.path(), &arguments).ok().json()["train"]["total_env_steps"].clone()
    };
    assert_eq!(
        (steps(&[]), steps(&["--config", "none"])),
        (20_000.into(), 1_000_000.into())
    );
    let said = train(here.path(), "run", "10", &[]);
    let first = said.stderr.lines().next().unwrap_or_default();
    assert_eq!(
        first,
        "training Pendulum-v1 with sac, configs/Pendulum-v1/sac.toml (--config none skips it)"
    );
    assert!(said.stderr.contains("Box[3]"), "the header shows the spaces: {said}");
}

#[test]
fn doctor_names_libtorch_and_a_fix_for_whatever_is_missing() {
    let here = folder();
    let report = sac(here.path(), &["doctor", "--json"]).ok().json();
    let findings = report["findings"].as_array().expect("findings");
    for what in ["libtorch", "MuJoCo", "CUDA", "threads", "SIMD", "memory"] {
        let finding = findings.iter().find(|finding| finding["what"] == what);
        let finding = finding.unwrap_or_else(|| panic!("{what} is missing in {report}"));
        assert!(
            finding["found"].is_string() || finding["fix"].is_string(),
            "neither found nor a fix: {finding}"
        );
    }
    assert!(
        findings[0]["found"]
            .as_str()
            .is_some_and(|found| found.starts_with("2.11")),
        "{report}"
    );
    assert!(sac(here.path(), &["doctor"]).ok().stdout.contains("libtorch"));
}

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
    let names = support::contents(&run);
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

/// Sends a signal once the run has logged something, and gives what it said.
#[cfg(unix)]
fn interrupted(folder: &Path, arguments: &[&str], signal: &str) -> Said {
    use std::{process::Stdio, thread::sleep, time::Duration};
    let mut command = command(folder, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let log = folder.join("cut/metrics.jsonl");
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
    let said = interrupted(here.path(), &train_arguments("cut", "4000", &more), signal)
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

#[test]
fn resuming_a_finished_run_changes_nothing_and_more_steps_go_on() {
    let here = folder();
    train(here.path(), "run", "120", &[]);
    let run = here.path().join("run");
    let without_events = |run: &Path| {
        let mut files = support::contents(run);
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

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Gymnasium's trajectories, made for the environments' own tests.
fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envs/tests/golden/classic/traces.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// What a list of numbers reads back to, as the `f32` that an agent gets.
fn bits(list: &Value) -> Vec<u32> {
    let numbers = list.as_array().expect("a list").iter();
    numbers
        .map(|number| (number.as_f64().expect("a number") as f32).to_bits())
        .collect()
}

#[test]
fn rollout_prints_the_trajectory_of_gymnasium_to_the_last_bit() {
    let here = folder();
    let golden = golden();
    let limits = [("Pendulum-v1", 200), ("MountainCarContinuous-v0", 999)];
    let mut compared = 0;
    for case in golden["cases"].as_array().expect("cases") {
        let id = case["id"].as_str().expect("an id");
        let events = case["events"].as_array().expect("events");
        // Only the first episode where the golden file has a shorter time limit than the environment.
        let limit = limits.iter().find(|(known, _)| *known == id).map(|(_, limit)| *limit);
        let is_own_limit = case["time_limit"].as_u64() == limit;
        let first_end = events
            .iter()
            .skip(1)
            .position(|event| event.as_array().is_none_or(|event| event.len() == 1));
        let until = if is_own_limit {
            events.len()
        } else {
            first_end.map_or(events.len(), |end| end + 1)
        };
        let events = &events[..until];
        let actions: Vec<&Value> = events
            .iter()
            .filter(|event| event.as_array().is_some_and(|event| event.len() == 5))
            .map(|event| &event[1])
            .collect();
        fs::write(
            here.path().join("actions.json"),
            serde_json::to_string(&actions).expect("JSON"),
        )
        .expect("writable");
        let seed = case["seed"].to_string();
        let mut arguments = vec!["rollout", "--env", id, "--seed", &seed, "--actions", "actions.json"];
        let options: Vec<String> = case["options"]
            .as_object()
            .expect("options")
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        options.iter().for_each(|option| arguments.extend(["--set", option]));
        let printed = lines(&sac(here.path(), &arguments).ok().stdout);
        for (line, event) in printed.iter().zip(events) {
            let both = (bits(&line["obs"]), bits(&event[0]));
            assert_eq!(both.0, both.1, "{id}, seed {seed}, t = {}", line["t"]);
            if event.as_array().is_some_and(|event| event.len() == 5) {
                assert_eq!(bits(&line["action"]), bits(&event[1]), "{id}, t = {}", line["t"]);
                assert_eq!(line["reward"], event[2], "{id}, t = {}", line["t"]);
                assert_eq!(line["terminated"], event[3], "{id}, t = {}", line["t"]);
                if is_own_limit {
                    assert_eq!(line["truncated"], event[4], "{id}, t = {}", line["t"]);
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 100, "only {compared} steps were compared");
}

#[test]
fn rollout_writes_the_documented_lines_and_begins_again_after_an_end() {
    let here = folder();
    let said = sac(
        here.path(),
        &["rollout", "--env", "Pendulum-v1", "--seed", "3", "--steps", "405"],
    )
    .ok();
    let lines = lines(&said.stdout);
    // One line per reset, one per step; no reset after the last step.
    assert_eq!(lines.len(), 405 + 3);
    let mut t = 0;
    for line in &lines {
        if line["t"] == 0 {
            assert_eq!(keys(line), ["t", "obs"]);
        } else {
            assert_eq!(keys(line), ["t", "action", "obs", "reward", "terminated", "truncated"]);
            assert_eq!(line["t"], t + 1);
            assert_eq!(
                (&line["terminated"], &line["truncated"]),
                (&false.into(), &(line["t"] == 200).into())
            );
        }
        t = line["t"].as_u64().expect("a count");
    }
    let resets: Vec<usize> = (0..lines.len()).filter(|i| lines[*i]["t"] == 0).collect();
    assert_eq!(resets, [0, 201, 402]);
    assert_ne!(lines[0]["obs"], lines[201]["obs"], "the second reset is not seeded");
    for line in &lines {
        for number in line["obs"].as_array().expect("a list") {
            let shortest = (number.as_f64().expect("a number") as f32).to_string();
            let printed: f32 = number.to_string().parse().expect("a number");
            assert_eq!(printed.to_string(), shortest, "an observation prints as an f32");
            assert!(
                number.to_string().len() <= 16,
                "{number} is not the shortest form of an f32"
            );
        }
    }
    let again = sac(
        here.path(),
        &["rollout", "--env", "Pendulum-v1", "--seed", "3", "--steps", "405"],
    )
    .ok();
    assert_eq!(said.stdout, again.stdout, "the same seed prints the same bytes");

    sac(
        here.path(),
        &[
            "rollout",
            "--env",
            "Pendulum-v1",
            "--seed",
            "3",
            "--steps",
            "405",
            "--out",
            "out.jsonl",
        ],
    )
    .ok();
    assert_eq!(
        fs::read_to_string(here.path().join("out.jsonl")).expect("written"),
        said.stdout
    );
}

#[test]
fn rollout_takes_a_policy_which_acts_in_the_environments_units() {
    let here = folder();
    train(here.path(), "run", "150", &[]);
    let said = sac(
        here.path(),
        &["rollout", "--policy", "run", "--steps", "20", "--seed", "1"],
    )
    .ok();
    let with_policy = lines(&said.stdout);
    assert_eq!(with_policy.len(), 21);
    for line in &with_policy[1..] {
        let torque_nm = line["action"][0].as_f64().expect("a number");
        assert!(torque_nm.abs() <= 2.0, "{line}");
    }
    // Fed back, the actions give the same trajectory.
    let actions: Vec<&Value> = with_policy[1..].iter().map(|line| &line["action"]).collect();
    fs::write(
        here.path().join("a.json"),
        serde_json::to_string(&actions).expect("JSON"),
    )
    .expect("writable");
    let arguments = ["rollout", "--env", "Pendulum-v1", "--seed", "1", "--actions", "a.json"];
    assert_eq!(sac(here.path(), &arguments).ok().stdout, said.stdout);
}

#[test]
fn bench_update_reports_the_rate_the_floor_and_their_ratio() {
    let arguments = [
        "bench",
        "update",
        "--obs-dim",
        "5",
        "--act-dim",
        "2",
        "--batch",
        "8",
        "--hidden",
        "16,16",
        "--threads",
        "1",
        "--seconds",
        "0.1",
        "--json",
    ];
    let report = sac(folder().path(), &arguments).ok().json();
    assert_has(
        &report,
        &[
            "updates_per_second",
            "gemm_floor_updates_per_second",
            "ratio",
            "threads",
            "batch",
            "obs_dim",
            "act_dim",
            "hidden",
        ],
    );
    let number = |key: &str| report[key].as_f64().unwrap_or_else(|| panic!("{key}: {report}"));
    let (rate, floor) = (number("updates_per_second"), number("gemm_floor_updates_per_second"));
    assert!(rate > 0.0 && floor > 0.0, "{report}");
    assert!((number("ratio") - rate / floor).abs() < 1e-9, "{report}");
    assert_eq!(
        (&report["threads"], &report["hidden"]),
        (&1.into(), &serde_json::json!([16, 16]))
    );
}

#[test]
fn bench_env_reports_steps_per_second() {
    let arguments = [
        "bench",
        "env",
        "--env",
        "Pendulum-v1",
        "--num-envs",
        "4",
        "--threads",
        "2",
        "--seconds",
        "0.1",
        "--json",
    ];
    let report = sac(folder().path(), &arguments).ok().json();
    assert!(
        report["env_steps_per_second"].as_f64().is_some_and(|rate| rate > 0.0),
        "{report}"
    );
    assert_eq!(
        (&report["env"], &report["num_envs"], &report["threads"]),
        (&"Pendulum-v1".into(), &4.into(), &2.into())
    );
}
