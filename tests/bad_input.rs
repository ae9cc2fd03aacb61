//! Everything that a user, a disk or an environment can get wrong: a clear answer, the right exit code, nothing lost.

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sac::{Error, agents, prelude::*, run};
use serde::{Deserialize, Serialize};
use support::{Said, assert_same_checkpoint, binary, checkpoints, command, contents, folder, metrics, sac, train};

#[test]
fn an_unknown_environment_is_answered_with_the_nearest() {
    let here = folder();
    for arguments in [
        &["train", "--env", "Pendulum-v0"][..],
        &["rollout", "--env", "pendulum-v1"],
        &["envs", "Pendelum-v1"],
        &["config", "--env", "Pendulum"],
        &["bench", "env", "--env", "Pendulum-v9"],
    ] {
        sac(here.path(), arguments).code(2).says(&[
            "error: unknown environment `",
            "did you mean `Pendulum-v1`?",
            "hint: `sac envs`",
        ]);
    }
    sac(here.path(), &["train", "--env", "Chess-v0"])
        .code(2)
        .says(&["unknown environment `Chess-v0`\n"]);
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn an_unknown_algorithm_is_answered_with_the_nearest() {
    let here = folder();
    for arguments in [
        &["train", "--env", "Pendulum-v1", "--algo", "SAC2"][..],
        &["config", "--env", "Pendulum-v1", "--algo", "sacc"],
        &["algos", "saac"],
        &["bench", "update", "--algo", "sax"],
    ] {
        sac(here.path(), arguments)
            .code(2)
            .says(&["error: unknown algorithm `", "did you mean `sac`?", "`sac algos`"]);
    }
    assert!(contents(here.path()).is_empty(), "nothing is left behind");
}

#[test]
fn all_configuration_problems_come_at_once_each_with_key_value_reason_and_origin() {
    let here = folder();
    let file =
        "[train]\nbatch_sise = 64\nwarmup_env_steps = \"some\"\n[agent.critic]\nmembers = 0\n[agnet]\ngamma = 1\n";
    fs::write(here.path().join("mine.toml"), file).expect("writable");
    let arguments = [
        "train",
        "--env",
        "Pendulum-v9",
        "--config",
        "mine.toml",
        "--set",
        "agent.gamma=1.5",
        "--set",
        "agent.targets.kind=polyac",
        "--set",
        "eval.every=100",
        "--steps",
        "0",
        "--set",
        "agent.body.hidden=64",
    ];
    let said = sac(here.path(), &arguments).code(2).says(&[
        "10 problems in the configuration",
        "train.batch_sise = 64: unknown key; did you mean `batch_size`? (mine.toml)",
        "train.warmup_env_steps = \"some\": expected a whole number, at least 0 (mine.toml)",
        "agent.critic.members = 0: expected between 1 and 1000 (mine.toml)",
        "agnet = { gamma = 1 }: unknown key; did you mean `agent`? (mine.toml)",
        "agent.gamma = 1.5: expected between 0 and 1 (--set)",
        "agent.targets.kind = \"polyac\": unknown choice; did you mean `polyak`? (known: polyak, hard) (--set)",
        "eval.every = 100: expected \"never\" or { env_steps = N } with N at least 1 (--set)",
        "train.total_env_steps = 0: expected at least 1 (--steps)",
        "agent.body.hidden = 64: expected a list, such as [256, 256] (--set)",
        "env.id = \"Pendulum-v9\": unknown environment `Pendulum-v9`; did you mean `Pendulum-v1`? (--env)",
    ]);
    assert_eq!(said.stdout, "");
    assert!(!here.path().join("runs").exists(), "no run was begun");
}

#[test]
fn a_problem_within_a_part_of_the_agent_is_laid_to_the_key_that_has_it() {
    let here = folder();
    for (setting, answer) in [
        (
            "agent.critic.members=1.5",
            "agent.critic.members = 1.5: expected a whole number (--set)",
        ),
        (
            "agent.policy.optimizer.learning_rate=fast",
            "agent.policy.optimizer.learning_rate = \"fast\": expected a number (--set)",
        ),
        (
            "agent.policy.optimizer.lr=3e-4",
            "agent.policy.optimizer.lr = 0.0003: unknown key; known here: learning_rate, beta1, beta2, eps (--set)",
        ),
        (
            "agent.policy.log_std_mi=3",
            "agent.policy.log_std_mi = 3: unknown key; did you mean `log_std_min`? (--set)",
        ),
        (
            "agent.temperature.alpha=2",
            "agent.temperature.alpha = 2: unknown key; known here: initial_alpha, target_entropy, objective, optimizer (--set)",
        ),
        (
            "agent.encoder.kind=cnn",
            "agent.encoder.kind = \"cnn\": unknown choice; known: flat (--set)",
        ),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", setting])
            .code(2)
            .says(&["1 problem in the configuration", answer]);
    }
}

#[test]
fn an_environments_option_is_checked_like_any_key() {
    let here = folder();
    sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", "env.G=9.81"])
        .code(2)
        .says(&["env.G = 9.81: there is no such option; there is g; did you mean `g`? (--set)"]);
    sac(
        here.path(),
        &["config", "--env", "Pendulum-v1", "--set", "env.num_env=3"],
    )
    .code(2)
    .says(&["env.num_env = 3", "did you mean `env.num_envs`?"]);
    sac(here.path(), &["rollout", "--env", "Pendulum-v1", "--set", "g=strong"])
        .code(2)
        .says(&["Pendulum-v1: option `g`"]);
}

#[test]
fn a_malformed_set_is_told_what_it_should_be() {
    let here = folder();
    for (assignment, answer) in [
        ("train.seed", "expected KEY=VALUE"),
        ("=3", "expected a dotted key before the ="),
        ("train..seed=3", "expected a dotted key before the ="),
        ("train.seed=[1", "the value is not TOML"),
        (
            "train.seed=two words",
            "the value is not TOML; text with spaces needs quotes",
        ),
        ("train=3", "train = 3"),
        ("train.seed=", "the value is not TOML"),
    ] {
        sac(here.path(), &["config", "--env", "Pendulum-v1", "--set", assignment])
            .code(2)
            .says(&[answer, "--set"]);
    }
}

#[test]
fn a_config_file_that_is_missing_or_no_toml_is_named() {
    let here = folder();
    sac(here.path(), &["train", "--config", "nowhere.toml"])
        .code(2)
        .says(&["cannot read nowhere.toml"]);
    fs::write(here.path().join("bad.toml"), "[train\nseed = 1\n").expect("writable");
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--config", "bad.toml"])
        .code(2)
        .says(&["bad.toml", "line 1"]);
    sac(here.path(), &["config"]).code(2).says(&["env.id", "use --env ID"]);
}

#[test]
fn numbers_beyond_all_reason_are_refused_before_anything_is_allocated() {
    let here = folder();
    for (key, value) in [
        ("train.batch_size", "9999999999999"),
        ("eval.episodes", "9999999999999"),
        ("train.threads", "99999999999"),
        ("env.num_envs", "9999999999"),
        ("env.step_threads", "9999999"),
        ("replay.n_step", "9999999999999"),
        ("train.updates_per_env_step", "1e300"),
    ] {
        let set = format!("{key}={value}");
        sac(
            here.path(),
            &["train", "--env", "Pendulum-v1", "--run-dir", "run", "--set", &set],
        )
        .code(2)
        .says(&[key]);
        assert!(!here.path().join("run").exists(), "{key}: no run was begun");
    }
    for arguments in [
        &["train", "--env", "Pendulum-v1", "--seed", "18446744073709551615"][..],
        &["eval", "run", "--episodes", "18446744073709551615"],
        &["eval", "run", "--episodes", "0"],
        &["bench", "env", "--env", "Pendulum-v1", "--seconds", "nan"],
        &["bench", "update", "--hidden", "0"],
    ] {
        let flag = arguments[arguments.len() - 2];
        sac(here.path(), arguments).code(2).says(&[flag]);
    }
}

#[test]
fn a_replay_that_cannot_fit_is_refused_with_its_size() {
    let here = folder();
    // 36 bytes each: three numbers before, three after, one action, reward and discount.
    let arguments = [
        "train",
        "--env",
        "Pendulum-v1",
        "--run-dir",
        "run",
        "--set",
        "replay.capacity=1_000_000_000_000",
    ];
    sac(here.path(), &arguments).code(2).says(&[
        "error: replay of 1000000000000 transitions needs 34332276 MiB, but",
        "MiB are available; lower replay.capacity",
    ]);
    assert!(!here.path().join("run").exists(), "no half-made run is left");
}

#[test]
fn a_run_folder_that_exists_is_never_written_into() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    let before = contents(here.path());
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--run-dir", "run"])
        .code(2)
        .says(&[
            "error: run exists already",
            "hint: choose another --run-dir",
            "--resume run",
        ]);
    fs::create_dir(here.path().join("empty")).expect("writable");
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--run-dir", "empty"])
        .code(2)
        .says(&["empty exists already"]);
    assert!(before == contents(here.path()), "nothing has changed");
}

#[test]
fn what_is_no_run_cannot_be_resumed_or_evaluated() {
    let here = folder();
    fs::create_dir(here.path().join("empty")).expect("writable");
    for command in [&["train", "--resume"][..], &["eval"], &["rollout", "--policy"]] {
        let with = |run| command.iter().copied().chain([run]).collect::<Vec<_>>();
        sac(here.path(), &with("nowhere"))
            .code(2)
            .says(&["error: nowhere: no such folder"]);
        sac(here.path(), &with("empty"))
            .code(2)
            .says(&["error: empty: is not a run: it holds no config.toml"]);
    }
}

#[test]
fn a_run_without_checkpoints_says_so_and_how_to_begin_again() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    fs::remove_dir_all(here.path().join("run/checkpoints")).expect("there");
    fs::remove_dir_all(here.path().join("run/best")).expect("there");
    let before = contents(here.path());
    for command in [
        &["train", "--resume", "run"][..],
        &["eval", "run"],
        &["rollout", "--policy", "run"],
    ] {
        sac(here.path(), command).code(2).says(&[
            "run: no checkpoint was written yet",
            "sac train --config run/config.toml",
        ]);
    }
    sac(here.path(), &["eval", "run", "--checkpoint", "best"])
        .code(2)
        .says(&["no policy was evaluated yet"]);
    sac(here.path(), &["eval", "run", "--checkpoint", "50"])
        .code(2)
        .says(&["no checkpoint at 50"]);
    sac(here.path(), &["eval", "run", "--checkpoint", "newest"])
        .code(2)
        .says(&["--checkpoint newest: expected best, last, or a number of env steps"]);
    assert!(before == contents(here.path()), "nothing has changed");
}

#[test]
fn a_checkpoint_that_is_not_there_is_answered_with_those_that_are() {
    let here = folder();
    train(here.path(), "run", "60", &["--set", "checkpoint.every={env_steps=40}"]);
    sac(here.path(), &["eval", "run", "--checkpoint", "50"])
        .code(2)
        .says(&["run: no checkpoint at 50; there are 40, 60"]);
}

/// What is done to one file of a checkpoint.
type Damage = (&'static str, fn(&Path));

const DAMAGES: &[Damage] = &[
    ("truncated", |path| {
        let bytes = fs::read(path).expect("there");
        fs::write(path, &bytes[..bytes.len() - 1]).expect("writable");
    }),
    ("emptied", |path| fs::write(path, b"").expect("writable")),
    ("one bit flipped", |path| {
        let mut bytes = fs::read(path).expect("there");
        // In the manifest this turns the brace at the end into another sign.
        let at = if path.ends_with("manifest.json") {
            bytes.len() - 2
        } else {
            bytes.len() / 2
        };
        bytes[at] ^= 4;
        fs::write(path, &bytes).expect("writable");
    }),
    ("missing", |path| fs::remove_file(path).expect("there")),
];

#[test]
fn a_damaged_checkpoint_is_refused_by_file_and_section_and_the_run_stays_as_it_is() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    let checkpoint = here.path().join("run/checkpoints/80");
    let files: Vec<String> = contents(&checkpoint).into_keys().collect();
    for file in [
        "critic.safetensors",
        "manifest.json",
        "policy.safetensors",
        "replay.safetensors",
        "state.json",
    ] {
        assert!(files.iter().any(|name| name == file), "{file} is not among {files:?}");
    }
    for file in &files {
        let path = checkpoint.join(file);
        let whole = fs::read(&path).expect("there");
        for (what, damage) in DAMAGES {
            damage(&path);
            let before = contents(here.path());
            let section = format!("section `{}`", file.split('.').next().expect("a name"));
            let name = format!("run/checkpoints/80/{file}");
            let said = sac(here.path(), &["train", "--resume", "run", "--steps", "120"]);
            assert_eq!(said.code, Some(1), "{file} {what}: {said}");
            said.says(&["error: checkpoint ", &name, &section, "hint: other checkpoints"]);
            assert!(
                before == contents(here.path()),
                "{file} {what}: something in the run has changed"
            );
            fs::write(&path, &whole).expect("writable");
        }
    }
    sac(here.path(), &["train", "--resume", "run", "--steps", "120"]).ok();
}

/// Replaces text in a file.
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("text");
    assert!(text.contains(from), "`{from}` is not in {text}");
    fs::write(path, text.replacen(from, to, 1)).expect("writable");
}

#[test]
fn a_checkpoint_of_another_format_or_with_another_count_is_refused() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    let manifest = here.path().join("run/checkpoints/80/manifest.json");
    let whole = fs::read(&manifest).expect("there");
    let refused = |words: &[&str]| {
        let before = contents(here.path());
        sac(here.path(), &["train", "--resume", "run", "--steps", "120"])
            .code(1)
            .says(words);
        assert!(before == contents(here.path()), "nothing has changed");
        fs::write(&manifest, &whole).expect("writable");
    };
    edit(&manifest, "\"format\": 1", "\"format\": 7");
    refused(&[
        "run/checkpoints/80/manifest.json: section `manifest`: written in format 7 by sac 0.1.0",
        "reads format 1",
    ]);
    edit(&manifest, "\"env_steps\": 80", "\"env_steps\": 90");
    refused(&[
        "run/checkpoints/80/state.json: section `trainer`",
        "at env step 80",
        "its manifest says 90",
    ]);
    edit(&manifest, "\"grad_steps\": 30", "\"grad_steps\": 31");
    refused(&["section `trainer`", "update 30"]);
    edit(&manifest, "\"files\"", "\"file\"");
    refused(&["section `manifest`", "file"]);
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_section() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    edit(
        &here.path().join("run/config.toml"),
        "hidden = [16, 16]",
        "hidden = [16, 24]",
    );
    let before = contents(here.path());
    sac(here.path(), &["train", "--resume", "run", "--steps", "120"])
        .code(1)
        .says(&["run/checkpoints/80/", "section `", "has shape", "expected"]);
    sac(here.path(), &["eval", "run"])
        .code(1)
        .says(&["run/best/policy.safetensors: section `policy`"]);
    assert!(before == contents(here.path()), "nothing has changed");
}

#[test]
fn a_damaged_policy_is_not_evaluated() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    (DAMAGES[2].1)(&here.path().join("run/best/policy.safetensors"));
    sac(here.path(), &["eval", "run"])
        .code(1)
        .says(&["run/best/policy.safetensors: section `policy`: the file was altered"]);
    sac(here.path(), &["eval", "run", "--checkpoint", "last"]).ok();
}

/// Runs the binary where no file may grow beyond so many blocks of 512 bytes: writing more fails, as on a full disk.
#[cfg(unix)]
fn with_file_limit(folder: &Path, blocks: u32, arguments: &[&str]) -> Said {
    let mut shell = std::process::Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    shell
        .current_dir(folder)
        .args(["-c", &script])
        .arg(binary())
        .args(arguments);
    Said::of(&mut shell)
}

#[cfg(unix)]
#[test]
fn checkpoints_that_a_full_disk_refuses_do_not_end_the_run_and_the_last_good_one_survives() {
    let here = folder();
    let more = [
        "--set",
        "checkpoint.every={env_steps=300}",
        "--set",
        "eval.every={env_steps=500}",
    ];
    // The replay's file grows by 36 bytes a step and passes 51,200 bytes after 1,420 of them.
    let said = with_file_limit(here.path(), 100, &support::train_arguments("run", "2000", &more)).ok();
    let said = said.says(&[
        "no checkpoint at env step 1500",
        "no checkpoint at env step 2000",
        "last good one is run/checkpoints/1200",
    ]);
    assert!(
        said.stdout.contains("finished 2000 env steps"),
        "training went on: {said}"
    );
    let run = here.path().join("run");
    assert_eq!(
        checkpoints(&run),
        [900, 1200],
        "the last good ones are there, and no other"
    );
    let left: Vec<String> = contents(&run.join("checkpoints"))
        .into_keys()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "half-written files are left: {left:?}");

    let scores = sac(
        here.path(),
        &["eval", "run", "--checkpoint", "last", "--episodes", "1", "--json"],
    )
    .ok()
    .json();
    assert_eq!(scores["env_steps"], 1200);
    sac(here.path(), &["train", "--resume", "run"]).ok();
    train(here.path(), "whole", "2000", &more);
    assert_same_checkpoint(
        &here.path().join("whole/checkpoints/2000"),
        &run.join("checkpoints/2000"),
        "resumed once there was room again",
    );
    assert_eq!(
        metrics(&run).len(),
        metrics(&here.path().join("whole")).len(),
        "no row twice, none lost"
    );
}

#[cfg(unix)]
#[test]
fn logs_that_a_full_disk_refuses_are_reported_but_not_at_every_row_and_stay_readable() {
    let here = folder();
    let more = [
        "--quiet",
        "--set",
        "log.every={env_steps=1}",
        "--set",
        "checkpoint.every=never",
        "--set",
        "eval.every=never",
    ];
    let said = with_file_limit(here.path(), 100, &support::train_arguments("run", "400", &more)).ok();
    for sink in ["metrics.jsonl: File too large", "TensorBoard events: File too large"] {
        // A shorter row may still fit behind a refused one, so it can be said more than once.
        let reports = said.stderr.lines().filter(|line| line.contains(sink)).count();
        assert!(
            (1..20).contains(&reports),
            "{sink} is reported {reports} times for hundreds of rows: {said}"
        );
    }
    let run = here.path().join("run");
    let rows = metrics(&run);
    assert!((50..400).contains(&rows.len()), "{} rows, each whole", rows.len());
    assert_eq!(checkpoints(&run), [400], "what does fit is written");
}

#[test]
fn a_run_folder_that_cannot_be_made_is_named() {
    let here = folder();
    fs::write(here.path().join("file"), "").expect("writable");
    let refused = |run: &str| {
        sac(here.path(), &["train", "--env", "Pendulum-v1", "--run-dir", run])
            .code(1)
            .says(&["error: cannot make the run folder ", run]);
    };
    refused("file/run");
    #[cfg(target_os = "linux")]
    refused("/proc/sac-run");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let locked = here.path().join("locked");
        fs::create_dir(&locked).expect("writable");
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).expect("our own");
        // Root may write anywhere.
        if fs::write(locked.join("probe"), "").is_err() {
            refused("locked/run");
        }
    }
}

#[test]
fn malformed_actions_are_named_by_their_place() {
    let here = folder();
    for (text, answer) in [
        ("{\"a\": 1}", "expected a JSON array of actions"),
        (
            "[[0.1], [0.2, 0.3]]",
            "action 1 is [0.2,0.3], expected 1 finite number(s) for Box[1] in [-2, 2]",
        ),
        ("[[0.1], [\"x\"]]", "action 1 is [\"x\"]"),
        ("[0.5, null]", "action 1 is null"),
        ("[[1e300]]", "action 0 is [1e+300]"),
        ("[[0.1]", "expected a JSON array of actions"),
        ("", "expected a JSON array of actions"),
    ] {
        fs::write(here.path().join("a.json"), text).expect("writable");
        let said = sac(here.path(), &["rollout", "--env", "Pendulum-v1", "--actions", "a.json"]);
        let said = said.code(2).says(&["error: a.json: ", answer]);
        assert_eq!(
            said.stdout, "",
            "nothing is printed before the actions are read: {said}"
        );
    }
    sac(
        here.path(),
        &["rollout", "--env", "Pendulum-v1", "--actions", "nowhere.json"],
    )
    .code(2)
    .says(&["cannot read nowhere.json"]);
    sac(here.path(), &["rollout"]).code(2).says(&["--env"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let here = folder();
    for arguments in [
        &["rollout", "--env", "Pendulum-v1", "--steps", "200000"][..],
        &["envs", "Pendulum-v1"],
        &["config", "--env", "Pendulum-v1"],
        &["train", "--help"],
    ] {
        let mut command = command(here.path(), arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        drop(stdout);
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut stderr)
            .expect("text");
        let status = child.wait().expect("ends");
        assert_eq!(
            (status.code(), stderr.as_str()),
            (Some(0), ""),
            "{arguments:?} | head -1"
        );
        assert!(!line.is_empty(), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_stdout_that_cannot_be_written_is_an_error() {
    let here = folder();
    for arguments in [&["envs"][..], &["rollout", "--env", "Pendulum-v1", "--steps", "3"]] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("Linux has it");
        let output = command(here.path(), arguments).stdout(full).output().expect("starts");
        Said::from_output(output, format!("{arguments:?} > /dev/full"))
            .code(1)
            .says(&["error: stdout: No space left"]);
    }
}

#[test]
fn a_flag_that_does_not_exist_is_answered_with_one_that_does() {
    let here = folder();
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--stepz", "5"])
        .code(2)
        .says(&["--stepz", "--steps"]);
    sac(here.path(), &["trian"]).code(2).says(&["trian", "train"]);
    sac(here.path(), &["train", "--resume", "run", "--seed", "3"])
        .code(2)
        .says(&["--resume", "--seed"]);
    sac(here.path(), &["train", "--env", "Pendulum-v1", "--device", "tpu"])
        .code(2)
        .says(&["train.device", "\"cuda:N\""]);
}

/// A task that does something wrong at step 30 of an episode, until it is mended.
#[derive(Clone)]
struct Faulty {
    fault: Fault,
    is_mended: Arc<AtomicBool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    RewardNaN,
    ObservationInfinite,
    ObservationTooShort,
    ObservationOfAnotherShape,
    Panic,
    /// Fails at step 30 and cannot even be reset afterwards.
    Dies,
}

const FAULT_AT: u64 = 30;

#[derive(Clone, Serialize, Deserialize)]
struct Count {
    step: u64,
    sum: f64,
}

impl Dynamics for Faulty {
    type State = Count;
    fn observation_space(&self) -> Space {
        Space::unbounded(2)
    }
    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }
    fn initial(&self, rng: &mut NumpyRng) -> Count {
        Count {
            step: 0,
            sum: rng.uniform(-1.0, 1.0),
        }
    }
    fn step(&self, state: &mut Count, action: &[f32], _: &mut NumpyRng) -> Transition {
        state.step += 1;
        state.sum += f64::from(action[0]);
        let is_faulty = !self.is_mended.load(Ordering::Relaxed) && state.step == FAULT_AT;
        if is_faulty && self.fault == Fault::Panic {
            panic!("index out of bounds");
        }
        let reward = if is_faulty && self.fault == Fault::RewardNaN {
            f64::NAN
        } else {
            -state.sum * state.sum
        };
        Transition {
            reward,
            terminated: false,
        }
    }
    fn observe(&self, state: &Count, obs: &mut [f32]) {
        let is_faulty = !self.is_mended.load(Ordering::Relaxed) && state.step == FAULT_AT;
        let numbers = [state.step as f32 / 50.0, state.sum as f32];
        match self.fault {
            Fault::ObservationInfinite if is_faulty => obs.copy_from_slice(&[numbers[0], f32::INFINITY]),
            Fault::ObservationTooShort if is_faulty => obs[0] = numbers[0],
            Fault::ObservationOfAnotherShape if is_faulty => obs.copy_from_slice(&[numbers[0], numbers[1], 0.0]),
            _ => obs.copy_from_slice(&numbers),
        }
    }
}

/// Dies for good: after its fault even a reset fails, until it is mended.
struct Mortal {
    env: Simulated<Faulty>,
    is_mended: Arc<AtomicBool>,
    is_dead: bool,
}

impl Env for Mortal {
    fn describe(&self) -> String {
        self.env.describe()
    }
    fn observation_space(&self) -> &Space {
        self.env.observation_space()
    }
    fn action_space(&self) -> &Space {
        self.env.action_space()
    }
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        if self.is_dead {
            return Err(self.death());
        }
        self.env.reset(seed, obs)
    }
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        let outcome = self.env.step(action, obs)?;
        let step = self.env.state().map_or(0, |state| state.step);
        self.is_dead = step == FAULT_AT && !self.is_mended.load(Ordering::Relaxed);
        if self.is_dead { Err(self.death()) } else { Ok(outcome) }
    }
    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        if self.is_dead {
            Err(self.death())
        } else {
            self.env.snapshot()
        }
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.env.restore(snapshot)
    }
}

impl Mortal {
    fn death(&self) -> EnvError {
        EnvError::Failed {
            env: self.env.describe(),
            problem: "the simulator has gone away".to_string(),
        }
    }
}

fn registry(fault: Fault, is_mended: &Arc<AtomicBool>) -> Registry {
    let task = Faulty {
        fault,
        is_mended: is_mended.clone(),
    };
    let mut registry = Registry::builtin();
    registry.register(if fault == Fault::Dies {
        EnvEntry::from_env("Faulty-v0", "Fails at step 30", move || {
            let env = Simulated::new("Faulty-v0", task.clone());
            Box::new(Mortal {
                env,
                is_mended: task.is_mended.clone(),
                is_dead: false,
            })
        })
        .with_time_limit(50)
    } else {
        EnvEntry::new("Faulty-v0", "Fails at step 30", move || task.clone()).with_time_limit(50)
    });
    registry
}

const SETTINGS: &[&str] = &[
    "train.total_env_steps=400",
    "train.warmup_env_steps=10",
    "train.batch_size=8",
    "train.threads=1",
    "train.device=cpu",
    "agent.body.hidden=[8, 8]",
    "replay.capacity=500",
    "replay.n_step=3",
    "eval.episodes=2",
    "checkpoint.every=\"never\"",
];

fn configured(registry: &Registry, more: &[&str]) -> Config {
    let settings: Vec<&str> = SETTINGS.iter().chain(more).copied().collect();
    sac::configure(registry, "Faulty-v0", "sac", &settings).expect("valid")
}

/// Trains until the fault, expects `words` in the message, mends the task and resumes to the end.
fn assert_saved_and_resumable(fault: Fault, more: &[&str], env_steps: u64, words: &[&str]) {
    let here = folder();
    let is_mended = Arc::new(AtomicBool::new(false));
    let registry = registry(fault, &is_mended);
    let config = configured(&registry, more);
    let folder = RunFolder::create(&here.path().join("run")).expect("new");
    let never = AtomicBool::new(false);
    let error = run::train(&config, &registry, &folder, Vec::new(), &never).expect_err("the task is faulty");
    let message = error.to_string();
    for word in [
        "Faulty-v0",
        &format!("at env step {env_steps}"),
        "checkpoint written to",
    ]
    .iter()
    .chain(words)
    {
        assert!(message.contains(word), "{fault:?}: `{word}` is missing in: {message}");
    }
    assert!(!error.is_users(), "exit code 1");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("--resume")),
        "the hint says what to do"
    );
    let path = match error {
        Error::Agents(agents::Error::EnvDuringTraining {
            checkpoint: Some(path), ..
        }) => path,
        other => panic!("{fault:?}: no checkpoint: {other:?}"),
    };
    assert!(
        path.ends_with(format!("run/checkpoints/{env_steps}")),
        "{}",
        path.display()
    );

    is_mended.store(true, Ordering::Relaxed);
    let summary = run::resume(&config, &registry, &folder, Vec::new(), &never).expect("mended");
    assert_eq!(summary.env_steps, 400, "{fault:?}");
    assert_eq!(checkpoints(&here.path().join("run")).last(), Some(&400), "{fault:?}");
    assert!(metrics(&here.path().join("run")).len() > 1, "{fault:?}");
}

#[test]
fn a_reward_that_is_no_number_names_env_step_and_value_after_a_checkpoint() {
    let words = ["reward is NaN at step 30 of episode 1", "environment 0"];
    assert_saved_and_resumable(Fault::RewardNaN, &[], 29, &words);
    // Three side by side: ring by ring, so the thirtieth round fails.
    assert_saved_and_resumable(Fault::RewardNaN, &["env.num_envs=3"], 87, &words);
    assert_saved_and_resumable(Fault::RewardNaN, &["env.num_envs=3", "env.step_threads=2"], 87, &words);
}

#[test]
fn an_observation_that_is_no_number_or_not_whole_names_env_step_and_place_after_a_checkpoint() {
    assert_saved_and_resumable(
        Fault::ObservationInfinite,
        &[],
        29,
        &["observation[1] is inf at step 30 of episode 1"],
    );
    assert_saved_and_resumable(
        Fault::ObservationTooShort,
        &[],
        29,
        &["observation[1] is not written at step 30"],
    );
    let words = ["panicked at step 30 of episode 1", "3", "2"];
    assert_saved_and_resumable(Fault::ObservationOfAnotherShape, &[], 29, &words);
}

#[test]
fn an_environment_that_panics_ends_the_run_with_its_message_after_a_checkpoint() {
    let words = ["panicked at step 30 of episode 1: index out of bounds"];
    assert_saved_and_resumable(Fault::Panic, &[], 29, &words);
    assert_saved_and_resumable(Fault::Panic, &["env.num_envs=2", "env.step_threads=2"], 58, &words);
}

#[test]
fn an_environment_that_cannot_even_be_reset_loses_nothing_that_was_learned() {
    let words = ["the simulator has gone away"];
    assert_saved_and_resumable(Fault::Dies, &[], 29, &words);
    assert_saved_and_resumable(Fault::Dies, &["env.num_envs=2"], 58, &words);
}

#[test]
fn an_environment_that_fails_in_an_evaluation_ends_the_run_after_a_checkpoint() {
    // Episodes of the first evaluation pass step 30 before those of training do.
    let words = ["reward is NaN at step 30 of episode 1"];
    assert_saved_and_resumable(Fault::RewardNaN, &["eval.every={env_steps=20}"], 20, &words);
}

/// A task with an action space that Soft Actor-Critic as shipped cannot serve.
struct Odd(Space);

impl Dynamics for Odd {
    type State = ();
    fn observation_space(&self) -> Space {
        Space::unbounded(1)
    }
    fn action_space(&self) -> Space {
        self.0.clone()
    }
    fn initial(&self, _: &mut NumpyRng) {}
    fn step(&self, _: &mut (), _: &[f32], _: &mut NumpyRng) -> Transition {
        Transition {
            reward: 0.0,
            terminated: false,
        }
    }
    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs[0] = 0.0;
    }
}

#[test]
fn a_space_that_the_algorithm_cannot_serve_is_the_users_to_change() {
    let train = |space: Space| {
        let here = folder();
        let mut registry = Registry::builtin();
        registry.register(EnvEntry::new("Odd-v0", "An odd space", move || Odd(space.clone())).with_time_limit(5));
        let error = sac::configure(&registry, "Odd-v0", "sac", SETTINGS).and_then(|config| {
            let path = here.path().join("run");
            let folder = RunFolder::create(&path)?;
            let outcome = run::train(&config, &registry, &folder, Vec::new(), &AtomicBool::new(false));
            assert!(!path.exists(), "no half-made run is left");
            outcome
        });
        error.expect_err("refused")
    };
    let error = train(Space::Discrete { n: 3 });
    assert!(
        matches!(
            error,
            Error::Agents(agents::Error::UnsupportedSpace { what: "action", .. })
        ),
        "{error:?}"
    );
    assert!(error.is_users(), "exit code 2");
    let message = error.to_string();
    for word in ["Odd-v0", "Discrete", "squashed Gaussian"] {
        assert!(message.contains(word), "`{word}` is missing in: {message}");
    }
    let error = train(Space::unbounded(1));
    assert!(error.is_users(), "exit code 2: {error:?}");
    assert!(error.to_string().contains("no finite bounds"), "{error}");
}
