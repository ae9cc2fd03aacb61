//! `cargo xtask test`: everything that CI runs, step by step.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::Workspace;
use crate::{deny, parity, python, setup};

/// Examples, the features that they need, and the arguments that they are run with. An example that is not listed is a
/// failure: it would rot.
const EXAMPLES: &[(&str, &[&str], &[&str])] = &[
    ("band_limited_linear", &[], &[]),
    ("custom_critic", &[], &[]),
    ("custom_env", &[], &[]),
    ("learning_curves", &[], &["--help"]),
    ("library", &[], &[]),
    ("slow_env", &[], &["2"]),
    ("gymnasium_rs", &["gymnasium-rs"], &[]),
];

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Full,
    /// No documentation, integration and doc tests, examples, Python.
    Fast,
}

/// What a step does, given the workspace.
type Action = fn(&Workspace) -> Result<()>;

/// In which runs a step takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Only(Mode),
}

/// In the order of the run: what fails soonest and costs least comes before what takes minutes.
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
        cargo(workspace, &["test", "--workspace", "--lib", "--bins"])
    }),
    ("all tests", When::Only(Mode::Full), all_tests),
    ("feature gymnasium-rs", When::Only(Mode::Full), |workspace| {
        let feature = ["--package", "sac-envs", "--features", "gymnasium-rs"];
        for (what, rest) in [
            ("clippy", &["--all-targets", "--", "-D", "warnings"][..]),
            ("test", &["--test", "gymnasium_rs"][..]),
        ] {
            let mut command = workspace.cargo();
            command.arg(what).args(feature).args(rest);
            run_command(command)?;
        }
        Ok(())
    }),
    // Compiled, the shim in C++ too, and not linked: that takes libtorch's CUDA build.
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
        // A short run; `cargo xtask parity` by itself compares ten times as much.
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
            "{name} failed after {} in all; later steps were not run",
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

fn run_command(mut command: Command) -> Result<()> {
    let shown: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let shown = format!("cargo {}", shown.join(" "));
    say!("    {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Unit, integration and doc tests. Tests that need Python find it in `SAC_TEST_PYTHON`, and with
/// `SAC_TEST_REQUIRE_PYTHON=1` fail rather than skip without it.
fn all_tests(workspace: &Workspace) -> Result<()> {
    let python = python::environment(workspace).context("cannot make the Python that some tests use")?;
    say!("    SAC_TEST_PYTHON={}", python.display());
    let mut command = workspace.cargo();
    command
        .args(["test", "--workspace"])
        .env("SAC_TEST_PYTHON", python)
        .env("SAC_TEST_REQUIRE_PYTHON", "1");
    run_command(command)
}

/// The long version of `tests/kill_resume.rs`.
pub fn kills(workspace: &Workspace, count: u32) -> Result<ExitCode> {
    let mut command = workspace.cargo();
    command
        .args([
            "test",
            "--package",
            "sac-rl",
            "--test",
            "kill_resume",
            "--",
            "--nocapture",
        ])
        .env("SAC_KILLS", count.to_string());
    run_command(command)?;
    Ok(ExitCode::SUCCESS)
}

fn examples(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join("examples");
    let mut present = Vec::new();
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            present.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    for name in &present {
        ensure!(
            EXAMPLES.iter().any(|(listed, _, _)| listed == name),
            "examples/{name}.rs is never run: list it in EXAMPLES of xtask/src/test.rs"
        );
    }
    for (name, features, arguments) in EXAMPLES {
        ensure!(
            present.iter().any(|file| file == name),
            "examples/{name}.rs is missing, and xtask/src/test.rs lists it"
        );
        let features = features.join(",");
        let mut all = vec!["run", "--quiet"];
        if !features.is_empty() {
            all.extend(["--features", &features]);
        }
        all.extend(["--example", name, "--"]);
        all.extend_from_slice(arguments);
        let mut command = workspace.cargo();
        command.args(all);
        run_command(command)?;
    }
    Ok(())
}
