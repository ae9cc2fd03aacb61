//! Run folders and checkpoints that are not what they should be: named by file and section, nothing lost.

use std::{fs, path::Path};

use crate::support::{SMALL, command, contents, folder, sac, train};

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
    assert!(before == contents(here.path()), "nothing has changed");
    fs::create_dir(here.path().join("empty")).expect("writable");
    train(here.path(), "empty", "60", &[]);
    fs::create_dir(here.path().join("not empty")).expect("writable");
    fs::write(here.path().join("not empty/notes"), "mine").expect("writable");
    sac(
        here.path(),
        &["train", "--env", "Pendulum-v1", "--run-dir", "not empty"],
    )
    .code(2)
    .says(&["not empty exists already"]);
}

/// A run that is being trained is refused to a second process, which leaves it alone; eval may read it meanwhile.
#[test]
fn a_run_is_trained_by_one_process_at_a_time() {
    let here = folder();
    train(here.path(), "run", "60", &[]);
    sac(
        here.path(),
        &[
            &[
                "train",
                "--env",
                "Pendulum-v1",
                "--seeds",
                "1,2",
                "--steps",
                "60",
                "--run-dir",
                "seeds",
            ],
            SMALL,
        ]
        .concat(),
    )
    .ok();
    for (run, first) in [("run", "run"), ("seeds", "seeds/seed-1")] {
        let mut command = command(
            here.path(),
            &["train", "--resume", run, "--steps", "1000000", "--quiet"],
        );
        let mut child = command.spawn().expect("starts");
        let log = here.path().join(first).join("metrics.jsonl");
        let rows = || fs::read_to_string(&log).expect("there").lines().count();
        let before = rows();
        while rows() == before {
            assert!(child.try_wait().expect("a child").is_none(), "it ended too early");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let process = format!("{run}: process {} on ", child.id());
        sac(here.path(), &["train", "--resume", run, "--steps", "2000000"])
            .code(2)
            .says(&[&process, "is training in it", "hint: wait until it ends"]);
        sac(here.path(), &["eval", first, "--episodes", "1"]).ok();
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        // The lock ends with the process, however that ends.
        let mut layers = vec!["train", "--resume", run, "--quiet", "--steps"];
        layers.push("1000001");
        let mut again = crate::support::command(here.path(), &layers);
        let mut again = again.spawn().expect("starts");
        let rows_then = rows();
        while rows() <= rows_then && again.try_wait().expect("a child").is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(again.try_wait().expect("a child").is_none(), "{run}: it goes on");
        again.kill().expect("it can be killed");
        again.wait().expect("it ends");
    }
}

#[test]
fn of_two_runs_with_one_folder_one_is_refused() {
    let here = folder();
    let start = || {
        let mut command = command(
            here.path(),
            &crate::support::train_arguments("one", "200", &["--quiet"]),
        );
        command.spawn().expect("starts")
    };
    let mut codes = [start(), start()].map(|mut child| child.wait().expect("it ends").code());
    codes.sort_unstable();
    assert_eq!(codes, [Some(0), Some(2)]);
    assert_eq!(crate::support::checkpoints(&here.path().join("one")), [200]);
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
    edit(&manifest, "\"format\": 3", "\"format\": 7");
    refused(&[
        "run/checkpoints/80/manifest.json: section `manifest`: written in format 7 by sac 0.1.0",
        "reads format 3",
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
fn a_checkpoint_of_another_network_is_refused() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    edit(
        &here.path().join("run/config.toml"),
        "hidden = [16, 16]",
        "hidden = [16, 24]",
    );
    let before = contents(here.path());
    sac(here.path(), &["train", "--resume", "run", "--steps", "120"])
        .code(2)
        .says(&["agent.body.hidden = [16, 24]: cannot change in the middle of a run, which was begun with [16, 16]"]);
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

/// A run folder from somebody else leads no reader to wait or to read without end, and no writer out of the folder.
#[cfg(unix)]
#[test]
fn a_run_folder_made_to_lead_elsewhere_is_refused_and_nothing_outside_changes() {
    use std::os::unix::fs::symlink;
    let here = folder();
    train(here.path(), "run", "80", &[]);
    let outside = here.path().join("outside");
    fs::create_dir(&outside).expect("new");
    fs::write(outside.join("kept"), "keep").expect("writable");
    let run = here.path().join("run");
    let refused = |code, words: &[&str], arguments: &[&str]| {
        let before = contents(&outside);
        sac(here.path(), arguments).code(code).says(words);
        assert!(before == contents(&outside), "{words:?}: nothing outside has changed");
    };
    let resume = ["train", "--resume", "run", "--steps", "120"];
    let evaluate = ["eval", "run", "--checkpoint", "80", "--episodes", "1"];

    let manifest = run.join("checkpoints/80/manifest.json");
    let whole = fs::read(&manifest).expect("there");
    for name in ["../../../outside/kept", "/etc/passwd", "/dev/zero", "x/y.safetensors"] {
        edit(&manifest, "policy.safetensors", name);
        for command in [&resume[..], &evaluate] {
            refused(1, &["section `manifest`", &format!("lists `{name}`")], command);
        }
        fs::write(&manifest, &whole).expect("writable");
    }

    let replaced = |file: &str, by: &dyn Fn(&Path), code, words: &[&str], arguments: &[&str]| {
        let (path, aside) = (run.join(file), here.path().join("aside"));
        fs::rename(&path, &aside).expect("there");
        by(&path);
        refused(code, words, arguments);
        fs::remove_file(&path).expect("ours");
        fs::rename(&aside, &path).expect("aside");
    };
    let pipe = |path: &Path| {
        assert!(
            std::process::Command::new("mkfifo")
                .arg(path)
                .status()
                .expect("mkfifo")
                .success()
        )
    };
    let zeros = |path: &Path| symlink("/dev/zero", path).expect("a link");
    for (file, code, words) in [
        ("config.toml", 2, "is not a run"),
        ("checkpoints/80/manifest.json", 1, "no regular file"),
        ("checkpoints/80/policy.safetensors", 1, "no regular file"),
    ] {
        for by in [&pipe as &dyn Fn(&Path), &zeros] {
            replaced(file, by, code, &[words], &evaluate);
        }
    }
    for file in ["metrics.jsonl", "eval.csv"] {
        fs::copy(run.join(file), outside.join(file)).expect("there");
        let link = |path: &Path| symlink(outside.join(file), path).expect("a link");
        replaced(file, &link, 1, &[file], &resume);
    }
    for folder in ["checkpoints", "best"] {
        let words = [folder, "is a symbolic link"];
        let moved = here.path().join("moved");
        fs::rename(run.join(folder), &moved).expect("there");
        symlink(&moved, run.join(folder)).expect("a link");
        refused(2, &words, &resume);
        fs::remove_file(run.join(folder)).expect("ours");
        fs::rename(&moved, run.join(folder)).expect("moved");
    }
    // Temporary files are made anew, and a link in their place goes.
    for name in ["config.tmp", "metrics.tmp", "checkpoints/.latest.tmp"] {
        symlink(outside.join("kept"), run.join(name)).expect("a link");
    }
    let before = contents(&outside);
    sac(here.path(), &resume).ok();
    assert!(before == contents(&outside));
}

/// A device belongs to the machine, not to the run.
#[test]
fn what_was_trained_on_a_gpu_is_scored_drawn_rolled_out_and_resumed_without_one() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    let config = here.path().join("run/config.toml");
    edit(&config, "device = \"cpu\"", "device = \"cuda:7\"");
    sac(here.path(), &["eval", "run", "--episodes", "1"]).ok();
    sac(here.path(), &["play", "run", "--out", "film.gif", "--every", "100"]).ok();
    sac(
        here.path(),
        &["rollout", "--policy", "run", "--checkpoint", "80", "--steps", "3"],
    )
    .ok();
    sac(here.path(), &["eval", "run", "--device", "cuda:7"])
        .code(2)
        .says(&["train.device", "cuda:7"]);
    let before = contents(here.path());
    sac(here.path(), &["train", "--resume", "run", "--steps", "120"])
        .code(2)
        .says(&["train.device = \"cuda:7\"", "--device cpu"]);
    assert!(before == contents(here.path()), "nothing has changed");
    sac(
        here.path(),
        &[
            "train",
            "--resume",
            "run",
            "--steps",
            "120",
            "--device",
            "cpu",
            "--threads",
            "2",
        ],
    )
    .ok()
    .says(&["note: the run goes on from exactly its state"]);
    let text = fs::read_to_string(&config).expect("there");
    assert!(
        text.contains("device = \"cpu\"") && text.contains("threads = 2"),
        "{text}"
    );

    let provenance = fs::read_to_string(here.path().join("run/provenance.json")).expect("there");
    let provenance: serde_json::Value = serde_json::from_str(&provenance).expect("JSON");
    let resumed = &provenance["resumed"][0];
    assert_eq!((&resumed["at_env_steps"], &resumed["threads"]), (&80.into(), &2.into()));
    assert_eq!(provenance["threads"], 1, "how it began stays there");
}

#[test]
fn the_seeds_that_are_left_go_on_when_one_is_deleted() {
    let here = folder();
    let begin = [
        "train",
        "--env",
        "Pendulum-v1",
        "--seeds",
        "1,2,3",
        "--steps",
        "60",
        "--run-dir",
        "all",
    ];
    sac(here.path(), &[&begin[..], SMALL].concat()).ok();
    fs::remove_dir_all(here.path().join("all/seed-2")).expect("there");
    let said = sac(here.path(), &["train", "--resume", "all", "--steps", "80", "--json"])
        .ok()
        .says(&["the folder of seed 2 is gone"]);
    assert_eq!(said.json()["env_steps"], 160);
    for seed in [1, 3] {
        fs::remove_dir_all(here.path().join(format!("all/seed-{seed}"))).expect("there");
    }
    sac(here.path(), &["train", "--resume", "all"])
        .code(2)
        .says(&["folders of all seeds are gone"]);
}

/// On resume, hand edits of `config.toml` are refused if they change what is learned, and accepted otherwise.
#[test]
fn settings_that_a_run_was_begun_with_cannot_change_in_its_middle() {
    let here = folder();
    train(here.path(), "run", "80", &["--set", "env.g=9.5", "--seed", "3"]);
    let config = here.path().join("run/config.toml");
    let whole = fs::read_to_string(&config).expect("there");
    let resume = ["train", "--resume", "run", "--steps", "120"];
    for (from, to, says) in [
        (
            "updates_per_env_step = 1.0",
            "updates_per_env_step = 20.0",
            "train.updates_per_env_step = 20.0: cannot change",
        ),
        ("batch_size = 16", "batch_size = 32", "which was begun with 16"),
        ("gamma = 0.99", "gamma = 0.9", "agent.gamma = 0.9"),
        ("n_step = 1", "n_step = 3", "replay.n_step = 3"),
        (
            "activation = \"relu\"",
            "activation = \"gelu\"",
            "agent.body.activation",
        ),
        ("g = 9.5", "g = 9.81", "env.g = 9.81: cannot change"),
        ("seed = 3\n", "seed = 4\n", "train.seed = 4"),
        (
            "[agent.critic]\n",
            "[agent.critic]\ntarget_filter = { bandwidth = 0.1 }\n",
            "which was begun without it",
        ),
    ] {
        edit(&config, from, to);
        let before = contents(here.path());
        sac(here.path(), &resume).code(2).says(&[says, "run/config.toml"]);
        assert!(before == contents(here.path()), "{says}: nothing has changed");
        fs::write(&config, &whole).expect("writable");
    }
    edit(&config, "episodes = 2", "episodes = 3");
    edit(&config, "keep = 2", "keep = 1");
    sac(here.path(), &resume).ok();
    assert_eq!(crate::support::checkpoints(&here.path().join("run")), [120]);
}
