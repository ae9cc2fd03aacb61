//! `sac new`: a crate that builds, trains and passes its tests as it is.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Said, contents, folder, sac};

/// Where this test was built, so that libtorch's bindings are not built again.
fn target() -> PathBuf {
    let binary = crate::support::binary();
    let profile = binary.parent().expect("a folder");
    profile.parent().expect("a folder").to_path_buf()
}

/// Settings with which the build of the crate takes least time: packages of others as the workspace builds them, so that
/// they are not built once more, and our own, which Cargo builds again at another path, without optimisation.
fn profile() -> Vec<String> {
    let manifest: toml::Table = include_str!("../Cargo.toml").parse().expect("TOML");
    let dev = manifest["profile"]["dev"].as_table().expect("a table");
    let packages = dev["package"].as_table().expect("a table");
    let mut settings: Vec<String> = [
        "sac-rl",
        "sac-agents",
        "sac-cli",
        "sac-envs",
        "sac-kernels",
        "sac-report",
    ]
    .into_iter()
    .flat_map(|package| [(package, "opt-level=0"), (package, "debug=false")])
    .map(|(package, setting)| format!("profile.dev.package.{package}.{setting}"))
    .collect();
    let others = packages.iter().filter(|(name, _)| !name.starts_with("sac-"));
    for (package, table) in others {
        for (key, value) in table.as_table().expect("a table") {
            settings.push(format!("profile.dev.package.\"{package}\".{key}={value}"));
        }
    }
    settings
}

fn cargo(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO"));
    // What this crate was built with must not leak into the build of another.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_") || name.starts_with("DEP_") || name == "LD_LIBRARY_PATH" {
            command.env_remove(name.as_ref());
        }
    }
    // Every package as the workspace builds it: otherwise it would be built once more.
    for setting in profile() {
        command.args(["--config", &setting]);
    }
    command
        .current_dir(folder)
        .args(arguments)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_NET_OFFLINE", "true");
    Said::of(&mut command)
}

const FEATURES: &str = "\
clap = { version = \"4\", features = [\"env\"] }
flate2 = { version = \"1\", features = [\"zlib-rs\"] }
indexmap = \"2\"
rand = { version = \"0.10\", default-features = false, features = [\"sys_rng\"] }
";

#[test]
fn a_new_crate_builds_trains_and_passes_its_tests() {
    let here = folder();
    let said = sac(here.path(), &["new", "swing"]).ok();
    assert!(
        said.stdout.contains("cargo run --release -- train --env Puck-v0"),
        "{said}"
    );
    let swing = here.path().join("swing");
    // Features that other packages of the workspace enable: without them half of it would be built once more.
    let manifest = swing.join("Cargo.toml");
    let own = fs::read_to_string(&manifest).expect("there");
    let with_features = own.replace("[dependencies]\n", &format!("[dependencies]\n{FEATURES}"));
    fs::write(&manifest, with_features).expect("writable");
    cargo(&swing, &["test", "--quiet"]).ok();
    cargo(&swing, &["build", "--quiet"]).ok();

    let own = |arguments: &[&str]| {
        let mut command = Command::new(target().join("debug/swing"));
        Said::of(
            command
                .current_dir(&swing)
                .env_remove("LD_LIBRARY_PATH")
                .args(arguments),
        )
    };
    let train = [
        "train",
        "--env",
        "Puck-v0",
        "--steps",
        "300",
        "--threads",
        "1",
        "--run-dir",
        "run",
        "--json",
        "--quiet",
        "--set",
        "train.warmup_env_steps=100",
        "--set",
        "agent.body.hidden=[16,16]",
        "--set",
        "replay.capacity=1000",
    ];
    assert_eq!(own(&train).ok().json()["env_steps"], 300);
    let scores = own(&["eval", "run", "--episodes", "2", "--json"]).ok().json();
    assert_eq!((&scores["env"], &scores["episodes"]), (&"Puck-v0".into(), &2.into()));
    own(&["train", "--env", "Pukc-v0"])
        .code(2)
        .says(&["did you mean `Puck-v0`?", "hint: `swing envs` lists all environments"]);
    // The program `sac` does not know the task.
    sac(&swing, &["eval", "run"]).code(2).says(&["Puck-v0"]);
}

#[test]
fn what_cannot_be_a_new_crate_is_refused_and_nothing_is_written() {
    let here = folder();
    fs::create_dir(here.path().join("mine")).expect("new");
    fs::write(here.path().join("mine/notes"), "keep").expect("writable");
    let before = contents(here.path());
    for (arguments, words) in [
        (&["mine"][..], &["mine exists already", "choose another folder"][..]),
        (&["9lives"], &["`9lives` cannot be the name of a crate"]),
        (&["sac"], &["`sac` cannot be the name of a crate"]),
        (&["other", "--sac", "mine"], &["mine is no checkout of sac"]),
        (&[], &["<DIR>"]),
    ] {
        sac(here.path(), &[&["new"], arguments].concat()).code(2).says(words);
    }
    assert!(before == contents(here.path()), "nothing is written");
}
