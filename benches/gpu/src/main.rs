//! A rehearsal of training on a GPU: checks against the CPU, CUDA graphs against none, updates per second, a run that
//! has to learn. Each part is a process of its own with a time budget, so that one that fails, panics or hangs leaves
//! the others alone; what is known so far is in the report at any time.
//!
//! Exit code: 0 if every part passed, 1 if one did not, 2 for a wrong command line or no CUDA device.

mod compare;
mod learner;
mod part;
mod report;
mod supervise;
mod tell;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::json;

use part::{Part, Place};
use report::{Outcome, Report};
use supervise::Ending;

/// Checks and measures training on a GPU, and writes one JSON file.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Where the report goes; it is rewritten as results come
    #[arg(long, default_value = "gpu-rehearsal.json")]
    out: PathBuf,
    /// Minutes after which everything ends
    #[arg(long, default_value_t = 7.5)]
    minutes: f64,
    /// Only the parts whose name begins like this, such as `graphs` or `speed/sac`; `environment` always runs
    #[arg(long)]
    only: Option<String>,
    /// Runs the same program on the CPU, with smaller numbers
    #[arg(long)]
    rehearse_on_cpu: bool,
    /// Lists the parts and their budgets
    #[arg(long)]
    list: bool,
    /// Is the process of one part
    #[arg(long, hide = true)]
    part: Option<String>,
}

/// No part is started with less time than this left, in seconds.
const LEAST_S: u64 = 5;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.part {
        Some(name) => in_part(name, arguments.place()),
        None => rehearse(&arguments),
    };
    outcome.unwrap_or_else(|error| {
        say(&format!("error: {error:#}"));
        ExitCode::from(2)
    })
}

impl Arguments {
    fn place(&self) -> Place {
        match self.rehearse_on_cpu {
            true => Place::Cpu,
            false => Place::Gpu,
        }
    }
}

/// A line for the person in front of it. A closed stderr is nobody's loss.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The process of one part: 0 if it passed, 1 if it did not and has said why.
fn in_part(name: &str, place: Place) -> Result<ExitCode> {
    let part = part::all().into_iter().find(|part| part.name() == name);
    let part = part.with_context(|| format!("no part is called `{name}`"))?;
    tell::install();
    Ok(match tell::told(|| part.run(place)) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn rehearse(arguments: &Arguments) -> Result<ExitCode> {
    let place = arguments.place();
    let is_named = |part: &Part| match &arguments.only {
        None => true,
        Some(only) => part.name().starts_with(only.as_str()),
    };
    let all = part::all();
    ensure!(
        all.iter().any(is_named),
        "--only {}: no part is called like that",
        arguments.only.as_deref().unwrap_or_default()
    );
    let parts: Vec<Part> = all
        .into_iter()
        .filter(|part| part.is_environment() || is_named(part))
        .collect();
    if arguments.list {
        for part in &parts {
            say(&format!("{:>4} s  {}", part.budget_s(place), part.name()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(
        arguments.minutes.is_finite() && (0.0..=1440.0).contains(&arguments.minutes),
        "--minutes {}: between 0 and 1440",
        arguments.minutes
    );
    let deadline = Instant::now() + Duration::from_secs_f64(arguments.minutes * 60.0);
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let mut report = Report::new(&arguments.out, place)?;
    for part in &parts {
        run(part, place, &program, deadline, &mut report)?;
        if part.is_environment() && report.found(&part.name(), "devices") == Some(&json!(0)) {
            report.complete()?;
            let failures = report.failures().join("; ");
            bail!("{failures}; without one, --rehearse-on-cpu runs the same program on the CPU");
        }
    }
    report.complete()?;
    let failures = report.failures();
    for failure in &failures {
        say(&format!("FAILED  {failure}"));
    }
    say(&format!("report: {}", arguments.out.display()));
    Ok(match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs one part in a process of its own, and puts everything that it says into the report.
fn run(part: &Part, place: Place, program: &Path, deadline: Instant, report: &mut Report) -> Result<()> {
    let name = part.name();
    if let (Place::Cpu, Some(reason)) = (place, part.needs_gpu()) {
        say(&format!("skipped      {name}: {reason}"));
        return report.finish(&name, Outcome::Skipped(reason.to_string()), 0.0, "");
    }
    let left = deadline.saturating_duration_since(Instant::now());
    if left < Duration::from_secs(LEAST_S) {
        say(&format!("out of time  {name}"));
        return report.finish(&name, Outcome::OutOfTime, 0.0, "");
    }
    report.start(&name)?;
    let mut command = Command::new(program);
    command.args(["--part", &name]);
    if place == Place::Cpu {
        command.arg("--rehearse-on-cpu");
    }
    if part.is_exact() {
        command.env("NVIDIA_TF32_OVERRIDE", "0"); // products and convolutions in whole float32
    }
    let budget = left.min(Duration::from_secs(part.budget_s(place)));
    let mut unwritten = None;
    let ran = supervise::supervise(command, budget, &mut |key, value| {
        unwritten = unwritten.take().or(report.put(&name, key, value).err());
    })
    .with_context(|| format!("cannot start {name}"))?;
    let outcome = match ran.ending {
        Ending::Exited(0) => Outcome::Passed,
        Ending::Exited(1) => Outcome::Failed,
        Ending::Exited(code) => Outcome::Died(format!("exit code {code}")),
        Ending::Killed(signal) => Outcome::Died(format!("signal {signal}")),
        Ending::OutOfTime => Outcome::OutOfTime,
    };
    say(&format!("{:<12} {name} ({:.1} s)", outcome.word(), ran.seconds));
    report.finish(&name, outcome, ran.seconds, &ran.said)?;
    match unwritten {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
