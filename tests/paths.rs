//! Folders with unusual names, folders that are there already, and the modes of what a run writes.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use crate::support::{Said, binary, command, folder, sac, train, train_arguments};

/// A name that is not UTF-8.
fn odd_name() -> OsString {
    OsStr::from_bytes(b"r\xff").to_os_string()
}

/// `sac` with these arguments, of which `PATH` stands for a path.
fn sac_with(here: &Path, arguments: &[&str], path: &OsStr) -> Said {
    let mut command = command(here, &[]);
    for argument in arguments {
        command.arg(if *argument == "PATH" {
            path
        } else {
            OsStr::new(argument)
        });
    }
    Said::of(&mut command)
}

#[test]
fn a_folder_whose_name_is_not_utf_8_is_a_folder_like_any_other() {
    let here = folder();
    let name = odd_name();
    let json = [train_arguments("PATH", "100", &["--json"])].concat();
    let summary = sac_with(here.path(), &json, &name).ok().json();
    assert_eq!(summary["run_dir"], "r\u{fffd}", "JSON holds text only");
    sac_with(here.path(), &["eval", "PATH", "--episodes", "1"], &name).ok();
    sac_with(here.path(), &["train", "--resume", "PATH", "--steps", "120"], &name).ok();
    sac_with(here.path(), &["rollout", "--policy", "PATH", "--steps", "1"], &name).ok();
    let again = sac_with(here.path(), &train_arguments("PATH", "100", &[]), &name).code(2);
    again.says(&["exists already", "--resume $'r\\xff'"]);

    let seeds = OsStr::from_bytes(b"s\xfe").to_os_string();
    sac_with(
        here.path(),
        &train_arguments("PATH", "100", &["--seeds", "1-2"]),
        &seeds,
    )
    .ok();
    let config = PathBuf::from(&name).join("config.toml");
    let arguments = ["train", "--config", "PATH", "--run-dir", "again", "--steps", "60"];
    sac_with(here.path(), &arguments, config.as_os_str()).ok();
    let inside = here.path().join(&name);
    sac(&inside, &train_arguments("within", "60", &[])).ok();
}

#[test]
fn text_that_is_not_utf_8_is_refused_without_a_folder() {
    let here = folder();
    for flag in ["--algo", "--set", "--device"] {
        let arguments = ["train", "--run-dir", "run", "--env", "Pendulum-v1", flag, "PATH"];
        sac_with(here.path(), &arguments, &odd_name()).code(2).says(&["UTF-8"]);
    }
    assert!(!here.path().join("run").exists(), "no run was begun");
}

#[test]
fn an_empty_folder_is_taken_and_one_with_something_in_it_is_not() {
    let here = folder();
    fs::create_dir(here.path().join("empty")).expect("writable");
    train(here.path(), "empty", "60", &[]);
    assert!(here.path().join("empty/config.toml").is_file());
    sac(here.path(), &train_arguments("empty", "60", &[])).code(2).says(&[
        "empty exists already",
        "hint: choose another --run-dir, or continue it with --resume empty\n",
    ]);

    fs::create_dir(here.path().join("seeds")).expect("writable");
    train(here.path(), "seeds", "60", &["--seeds", "1-2"]);
    sac(here.path(), &train_arguments("seeds", "60", &["--seeds", "1-2"]))
        .code(2)
        .says(&["--resume seeds\n"]);

    fs::create_dir(here.path().join("full")).expect("writable");
    fs::write(here.path().join("full/notes.txt"), "mine").expect("writable");
    sac(here.path(), &train_arguments("full", "60", &[])).code(2).says(&[
        "full exists already",
        "hint: choose another --run-dir: one that is empty or does not exist\n",
    ]);
    assert_eq!(
        crate::support::contents(&here.path().join("full")).len(),
        1,
        "nothing was added"
    );

    fs::create_dir(here.path().join("my-task")).expect("writable");
    sac(here.path(), &["new", "my-task"]).ok();
    sac(here.path(), &["new", "my-task"])
        .code(2)
        .says(&["my-task exists already"]);
}

#[test]
fn commands_in_hints_can_be_copied_whatever_the_name_of_the_folder() {
    let here = folder();
    let name = "it's my run";
    train(here.path(), name, "60", &[]);
    let quoted = "'it'\\''s my run'";
    sac(here.path(), &train_arguments(name, "60", &[]))
        .code(2)
        .says(&[&format!("--resume {quoted}\n")]);
    fs::remove_dir_all(here.path().join(name).join("checkpoints")).expect("there");
    sac(here.path(), &["train", "--resume", name])
        .code(2)
        .says(&["sac train --config 'it'\\''s my run/config.toml'\n"]);
}

#[test]
fn everything_in_a_run_has_the_mode_that_the_umask_leaves() {
    let here = folder();
    let mut arguments = train_arguments("run", "200", &["--set", "eval.every={env_steps=100}"]);
    arguments.extend(["--set", "checkpoint.every={env_steps=100}"]);
    for (umask, file, dir) in [("022", 0o644, 0o755), ("027", 0o640, 0o750), ("002", 0o664, 0o775)] {
        let run = format!("run-{umask}");
        let mut shell = std::process::Command::new("sh");
        shell
            .current_dir(here.path())
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(binary());
        shell.args(
            arguments
                .iter()
                .map(|argument| if *argument == "run" { &run } else { *argument }),
        );
        Said::of(&mut shell).ok();
        let mut paths = vec![here.path().join(&run)];
        let mut tensors = 0;
        while let Some(path) = paths.pop() {
            let facts = fs::symlink_metadata(&path).expect("there");
            let expected = if facts.is_dir() { dir } else { file };
            let mode = facts.permissions().mode() & 0o777;
            assert_eq!(mode, expected, "umask {umask}: {} has {mode:o}", path.display());
            tensors += usize::from(path.extension().is_some_and(|extension| extension == "safetensors"));
            if facts.is_dir() {
                paths.extend(
                    fs::read_dir(&path)
                        .expect("readable")
                        .flatten()
                        .map(|entry| entry.path()),
                );
            }
        }
        assert!(tensors > 5, "checkpoints and the best policy were looked at");
    }
}
