//! `cargo xtask test`: all steps of CI.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, run_command};
use crate::{deny, parity, python, python_package, setup};

/// Folders of examples, each example in them, and its arguments. An example that is not listed fails the step, so that
/// every example is run.
const EXAMPLES: &[(&str, &str, &[&str])] = &[
    ("examples", "band_limited_linear", &[]),
    ("examples", "custom_critic", &[]),
    ("examples", "custom_env", &[]),
    ("examples", "library", &[]),
    ("examples", "slow_env", &["2"]),
    ("envs/gymnasium-rs/examples", "cart_pole", &[]),
    ("report/examples", "results", &["--check"]),
];

/// The package `sac-gymnasium-rs`, a workspace of its own.
const GYMNASIUM_RS: &str = "envs/gymnasium-rs";

/// The set of steps to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Full,
    /// Without documentation, integration and doc tests, examples, and Python.
    Fast,
}

/// The function of a step.
type Action = fn(&Workspace) -> Result<()>;

/// The modes in which a step runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Only(Mode),
}

/// The steps in order: quick ones that fail often come before those that take minutes.
const STEPS: &[(&str, When, Action)] = &[
    ("set-up", When::Always, |workspace| {
        setup::ensure(
            workspace,
            setup::Options {
                flavour: None,
                depth: setup::Depth::Sizes,
                verbose: true,
            },
        )?;
        setup::compiler()
    }),
    ("formatting", When::Always, |workspace| {
        cargo(workspace, &["fmt", "--all", "--check"])
    }),
    ("clippy", When::Always, |workspace| {
        cargo(
            workspace,
            &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        )
    }),
    ("documentation", When::Only(Mode::Full), |workspace| {
        let mut command = workspace.cargo();
        command
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings");
        run_command(command)
    }),
    ("rules of the architecture", When::Always, |workspace| {
        deny::check(workspace.root())
    }),
    ("unit tests", When::Only(Mode::Fast), |workspace| {
        // `--lib` would run the Python module as well, which has no tests and an interpreter to be linked.
        let excluded = ["--exclude", "sac-python"];
        cargo(
            workspace,
            &[&["test", "--workspace", "--lib", "--bins"][..], &excluded].concat(),
        )
    }),
    ("all tests", When::Only(Mode::Full), all_tests),
    ("package sac-gymnasium-rs", When::Only(Mode::Full), |workspace| {
        for arguments in [
            &["fmt", "--check"][..],
            &["clippy", "--all-targets", "--", "-D", "warnings"],
            &["test"],
        ] {
            run_command(workspace.cargo_in(GYMNASIUM_RS, arguments)?)?;
        }
        Ok(())
    }),
    (
        "package sac-rl for Python",
        When::Only(Mode::Full),
        python_package::check,
    ),
    // Compiles the feature, including the C++ shim. Linking would need libtorch's CUDA build.
    ("feature cuda-graphs", When::Only(Mode::Full), |workspace| {
        let mut command = workspace.cargo();
        command.args([
            "clippy",
            "--package",
            "sac-agents",
            "--features",
            "cuda-graphs",
            "--",
            "-D",
            "warnings",
        ]);
        run_command(command)
    }),
    ("examples", When::Only(Mode::Full), examples),
    ("parity with Gymnasium", When::Only(Mode::Full), |workspace| {
        // A short comparison; `cargo xtask parity` compares ten times as much.
        let short = ["--seeds", "2", "--steps", "1000"].map(Into::into);
        let code = parity::run(workspace, &short)?;
        ensure!(code == ExitCode::SUCCESS, "an environment differs from Gymnasium's");
        Ok(())
    }),
];

/// Runs the steps of `mode` and stops at the first failure.
pub fn run(workspace: &Workspace, mode: Mode) -> Result<ExitCode> {
    let started = Instant::now();
    let mut times: Vec<(&str, Duration)> = Vec::new();
    for (name, when, action) in STEPS {
        if !matches!(when, When::Always) && *when != When::Only(mode) {
            continue;
        }
        say!("\n==> {name}");
        let began = Instant::now();
        let outcome = action(workspace);
        let took = began.elapsed();
        times.push((name, took));
        if let Err(error) = outcome {
            say!("\nerror: {error:#}");
            summary(&times, started, Some(name));
            return Ok(ExitCode::FAILURE);
        }
        say!("<== {name}: passed in {}", seconds(took));
    }
    summary(&times, started, None);
    Ok(ExitCode::SUCCESS)
}

fn summary(times: &[(&str, Duration)], started: Instant, failed: Option<&str>) {
    say!("\nsummary");
    for (name, took) in times {
        let outcome = if failed == Some(*name) { "FAILED" } else { "passed" };
        say!("  {outcome}  {:>8}  {name}", seconds(*took));
    }
    match failed {
        Some(name) => say!(
            "{name} failed after {} in total; the steps after it were not run",
            seconds(started.elapsed())
        ),
        None => say!("everything passed in {}", seconds(started.elapsed())),
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(arguments);
    run_command(command)
}

/// Runs unit, integration and doc tests, all of them even if one fails. `SAC_TEST_PYTHON` is the Python for tests that
/// need it; because of `SAC_TEST_REQUIRE_PYTHON=1` they fail without it instead of being skipped.
fn all_tests(workspace: &Workspace) -> Result<()> {
    let python = python::environment(workspace).context("cannot create the Python environment of the tests")?;
    say!("    SAC_TEST_PYTHON={}", python.display());
    let mut command = workspace.cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .env("SAC_TEST_PYTHON", python)
        .env("SAC_TEST_REQUIRE_PYTHON", "1");
    let memory = folder_in_memory();
    if let Some(folder) = &memory {
        say!("    TMPDIR={}", folder.path().display());
        command.env("TMPDIR", folder.path());
    }
    run_command(command)
}

/// A folder for the tests' temporary files in memory, where their thousands of synced checkpoints do not wait for a
/// disk; none if there is little room, or if programs cannot be started from it.
fn folder_in_memory() -> Option<tempfile::TempDir> {
    const ROOM: u64 = 6 << 30;
    let memory = Path::new("/dev/shm");
    let found = rustix::fs::statvfs(memory).ok()?;
    let is_usable = found.f_bavail.saturating_mul(found.f_frsize) >= ROOM
        && !found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOEXEC);
    is_usable
        .then(|| tempfile::Builder::new().prefix("sac-tests-").tempdir_in(memory).ok())
        .flatten()
}

/// Runs a module of tests that kills, with this number of kills.
pub fn kills(workspace: &Workspace, count: u32, module: &str) -> Result<ExitCode> {
    module_of_tests(workspace, module, ("SAC_KILLS", u64::from(count)))
}

/// Runs `tests/slurm_cluster.rs`.
pub fn slurm(workspace: &Workspace) -> Result<ExitCode> {
    module_of_tests(workspace, "slurm_cluster", ("SAC_TEST_SLURM", 1))
}

/// Runs the generated inputs of `tests/fuzz_<what>.rs`, this many.
pub fn fuzz(workspace: &Workspace, what: &str, cases: u64) -> Result<ExitCode> {
    module_of_tests(workspace, &format!("fuzz_{what}"), ("SAC_FUZZ_CASES", cases))
}

/// Runs a module of `tests/all.rs` and shows what it prints. The variable says that it is asked for, or how much is to be done. A module about
/// Python gets its interpreter.
fn module_of_tests(workspace: &Workspace, module: &str, (variable, count): (&str, u64)) -> Result<ExitCode> {
    let mut command = workspace.cargo();
    // The whole workspace, though one package has the module: what `cargo xtask test` has built is used then.
    command
        .args(["test", "--workspace", "--test", "all", "--"])
        .args([&format!("{module}::"), "--nocapture"])
        .env(variable, count.to_string());
    if module.starts_with("python") {
        command.env("SAC_TEST_PYTHON", python::environment(workspace)?);
    }
    run_command(command)?;
    Ok(ExitCode::SUCCESS)
}

fn examples(workspace: &Workspace) -> Result<()> {
    for folder in ["examples", "envs/gymnasium-rs/examples", "report/examples"] {
        for entry in std::fs::read_dir(workspace.root().join(folder))?.flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let is_listed = |name: &str| EXAMPLES.iter().any(|listed| (listed.0, listed.1) == (folder, name));
            ensure!(
                file.strip_suffix(".rs").is_none_or(is_listed),
                "{folder}/{file} is never run: list it in EXAMPLES of xtask/src/test.rs"
            );
        }
    }
    for (folder, name, _) in EXAMPLES {
        let file = format!("{folder}/{name}.rs");
        ensure!(
            workspace.root().join(&file).is_file(),
            "{file} is missing, and xtask/src/test.rs lists it"
        );
    }
    // All of a workspace, as its tests were built: packages that are selected alone are compiled again with the fewer
    // features that they need of their dependencies.
    cargo(workspace, &["build", "--workspace", "--examples"])?;
    run_command(workspace.cargo_in(GYMNASIUM_RS, &["build", "--examples"])?)?;
    for (_, name, arguments) in EXAMPLES {
        let mut example = Command::new(workspace.target()?.join("debug/examples").join(name));
        example.args(*arguments).current_dir(workspace.root());
        run_command(example)?;
    }
    Ok(())
}
