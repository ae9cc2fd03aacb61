//! What a full disk or a missing permission does to a run: it is reported, and what was saved survives.

mod support;

use std::{fs, path::Path};

use support::{Said, assert_same_checkpoint, binary, checkpoints, contents, folder, metrics, sac, train};

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
