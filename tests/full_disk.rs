//! What a full disk or a missing permission does to a run: it is reported, and what was saved survives.

use std::{fs, path::Path};

use crate::support::{Said, assert_same_checkpoint, binary, checkpoints, contents, folder, metrics, sac, train};

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
fn a_full_disk_lets_training_go_on_and_the_last_good_checkpoint_survives_but_the_run_ends_with_an_error() {
    let here = folder();
    let more = [
        "--set",
        "checkpoint.every={env_steps=300}",
        "--set",
        "eval.every={env_steps=500}",
    ];
    // The replay's file grows by 36 bytes a step and passes 51,200 bytes after 1,420 of them.
    let said = with_file_limit(here.path(), 100, &crate::support::train_arguments("run", "2000", &more)).code(1);
    let said = said.says(&[
        "no checkpoint at env step 1500",
        "last good one is run/checkpoints/1200",
        "error: the state at env step 2000 could not be saved: ",
        "File too large",
        "the last checkpoint is run/checkpoints/1200",
        "hint: ",
    ]);
    assert!(!said.stdout.contains("finished"), "{said}");
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
    let said = with_file_limit(here.path(), 100, &crate::support::train_arguments("run", "400", &more)).ok();
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

/// Waits for a file, then does something to the run, and gives what `sac train` said at its end.
fn meanwhile(folder: &Path, arguments: &[&str], file: &str, action: impl Fn()) -> Said {
    use std::{process::Stdio, thread::sleep, time::Duration};
    let mut command = crate::support::command(folder, arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    while !folder.join(file).exists() {
        assert!(child.try_wait().expect("a child").is_none(), "it ended too early");
        sleep(Duration::from_millis(2));
    }
    action();
    Said::from_output(child.wait_with_output().expect("it ends"), format!("{command:?}"))
}

#[test]
fn a_run_whose_folder_is_moved_or_deleted_ends_with_an_error_and_no_folder_comes_back() {
    for moves in [true, false] {
        let here = folder();
        let more = [
            "--quiet",
            "--set",
            "checkpoint.every={env_steps=300}",
            "--set",
            "eval.every=never",
        ];
        let arguments = crate::support::train_arguments("run", "3000", &more);
        let run = here.path().join("run");
        let said = meanwhile(here.path(), &arguments, "run/checkpoints/latest", || match moves {
            true => fs::rename(&run, here.path().join("elsewhere")).expect("it can be moved"),
            // Writing may fill it again while it is emptied.
            false => {
                while run.exists() {
                    let _ = fs::remove_dir_all(&run);
                }
            }
        });
        said.code(1)
            .says(&["the state at env step 3000 could not be saved: run"]);
        assert!(!run.exists(), "moved: {moves}");
    }
}
