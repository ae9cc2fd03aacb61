//! The program `sac`, which answers what needs no libtorch and starts `sac-torch` for the rest.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Said, binary, checkpoints, complete, folder, sac, train, train_arguments};

/// Copies `sac` into a folder without `sac-torch`, and gives its path.
fn alone(folder: &Path) -> PathBuf {
    let copy = folder.join("sac");
    // Copied by another process: a file that is open for writing in this one cannot be run, nor where a process that another
    // test starts at that moment inherits the handle.
    let copied = Command::new("cp").arg(binary()).arg(&copy).status();
    assert!(copied.is_ok_and(|status| status.success()));
    copy
}

fn said(program: &Path, folder: &Path, arguments: &[&str]) -> Said {
    Said::of(Command::new(program).current_dir(folder).args(arguments))
}

/// The libraries that the loader maps for a program.
fn libraries(program: &Path) -> String {
    let output = Command::new(program).env("LD_TRACE_LOADED_OBJECTS", "1").output();
    String::from_utf8(output.expect("the loader lists them").stdout).expect("text")
}

#[test]
fn the_program_that_users_start_is_linked_neither_to_libtorch_nor_to_mujoco() {
    let [small, complete] = [binary(), complete()].map(|program| libraries(&program));
    for name in ["libtorch", "libc10", "libmujoco", "libstdc++"] {
        assert!(!small.contains(name), "{name} in\n{small}");
        assert!(complete.contains(name), "{name} not in\n{complete}");
    }
    assert!(small.contains("libc.so"), "{small}");
}

#[test]
fn help_lists_and_reports_need_no_other_program_and_the_rest_says_which_one_is_missing() {
    let here = folder();
    train(here.path(), "runs/a", "100", &["--set", "eval.every={env_steps=50}"]);
    let empty = folder();
    let alone = alone(empty.path());
    for (arguments, word) in [
        (["--help"].as_slice(), "Usage: sac <COMMAND>"),
        (&["--version"], "sac 0."),
        (&["help", "train"], "Usage: sac train"),
        (&["train", "--help"], "Usage: sac train"),
        (&["bench", "update", "--help"], "Usage: sac bench update"),
        (&["runs"], "1 runs: 1 finished"),
        (&["runs", "--diff", "runs/a", "runs/a"], "settings: no difference"),
        (&["report", "runs"], "Pendulum-v1"),
    ] {
        let told = said(&alone, here.path(), arguments).ok();
        assert!(told.stdout.contains(word), "{told}");
    }
    for arguments in [
        ["train", "--env", "Pendulum-v1"].as_slice(),
        &["envs"],
        &["runs", "--prune"],
    ] {
        let told = said(&alone, here.path(), arguments).code(1);
        let place = fs::canonicalize(empty.path()).expect("there");
        let expected = format!(
            "error: sac-torch is not in {}\nhint: both programs are needed, in one folder; `cargo build --release` makes them\n",
            place.display()
        );
        assert_eq!(told.stderr, expected);
    }
}

#[test]
fn what_the_complete_program_says_of_itself_and_of_wrong_arguments_is_the_same_to_the_byte() {
    let here = folder();
    let both = |arguments: &[&str]| {
        let [small, complete] = [binary(), complete()].map(|program| said(&program, here.path(), arguments));
        let all = |said: &Said| (said.code, said.stdout.clone(), said.stderr.clone());
        assert_eq!(all(&small), all(&complete), "{arguments:?}");
        small
    };
    for arguments in [
        ["--help"].as_slice(),
        &["--version"],
        &["help", "eval"],
        &["sweep", "--help"],
        &["train", "-h"],
    ] {
        both(arguments).ok();
    }
    for arguments in [
        [].as_slice(),
        &["trian"],
        &["train", "--total-timesteps", "5"],
        &["train", "--seeds", "3-1"],
        &["eval"],
        &["runs", "--sort"],
        // What the arguments name is wrong, not their form.
        &["runs", "none"],
        &["report", "none"],
        &["train", "--env", "Pendulum-v1", "--algo", "ppo"],
    ] {
        let told = both(arguments).code(2);
        assert!(!told.stderr.contains("sac-torch"), "{told}");
    }
}

#[test]
fn a_signal_to_the_program_reaches_the_training_and_its_exit_code_comes_back() {
    let here = folder();
    let arguments = train_arguments("cut", "1000000", &["--set", "log.every={env_steps=20}"]);
    crate::train::interrupted(here.path(), &arguments, "metrics.jsonl", "-INT").code(130);
    assert_eq!(checkpoints(&here.path().join("cut")).len(), 1, "it saved what it had");
}

#[test]
fn a_link_to_the_program_finds_the_complete_one() {
    let here = folder();
    let link = here.path().join("sac");
    symlink(binary(), &link).expect("a link");
    let told = said(&link, here.path(), &["algos"]).ok();
    assert_eq!(told.stdout, sac(here.path(), &["algos"]).ok().stdout);
}
