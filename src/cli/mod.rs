//! One file per command.

mod algos;
mod bench;
mod config;
mod console;
mod doctor;
mod envs;
mod eval;
pub mod messages;
mod overrides;
mod play;
mod replicates;
mod rollout;
mod train;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use sac::{Error, Result, config::Layers};

use crate::cli::{BenchCommand, Command};

/// Runs a command.
pub fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Train(args) => return train::run(&args),
        Command::Eval(args) => eval::run(&args)?,
        Command::Play(args) => play::run(&args)?,
        Command::Rollout(args) => rollout::run(&args)?,
        Command::Envs(args) => envs::run(&args)?,
        Command::Algos(args) => algos::run(&args)?,
        Command::Config(args) => config::run(&args)?,
        Command::Doctor(args) => doctor::run(&args)?,
        Command::Bench(BenchCommand::Update(args)) => bench::update(&args)?,
        Command::Bench(BenchCommand::Train(args)) => bench::train(&args)?,
        Command::Bench(BenchCommand::Env(args)) => bench::env(&args)?,
        Command::Bench(BenchCommand::Replay(args)) => bench::replay(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a text file that the user named on the command line.
fn read_named(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::Usage(format!("cannot read {}: {error}", path.display())))
}

/// Prints data. A reader that went away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match io::stdout()
        .write_all(text.as_bytes())
        .and_then(|()| io::stdout().flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("stdout")(error)),
        _ => Ok(()),
    }
}

/// Prints one JSON value on a line.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string(value).map_err(|error| Error::io("stdout")(error.into()))?;
    print(&(text + "\n"))
}

/// Options of an environment from `KEY=VALUE` assignments, with or without `env.` before the key.
fn env_options(sets: &[String]) -> Result<toml::Table> {
    let mut layers = Layers::default();
    sets.iter().try_for_each(|assignment| {
        let assignment = assignment.strip_prefix("env.").unwrap_or(assignment);
        layers.set_text(&format!("env.{assignment}"))
    })?;
    Ok(layers
        .get("env")
        .and_then(|env| env.as_table())
        .cloned()
        .unwrap_or_default())
}
