//! The command line on any registry: [`run`].
//!
//! A program of your own gets all commands for its own tasks:
//!
//! ```no_run
//! // Not run: it would read the arguments of the test that runs it.
//! use sac::prelude::*;
//!
//! fn main() -> std::process::ExitCode {
//!     let mut registry = Registry::builtin();
//!     // registry.register(EnvEntry::new("Puck-v0", "A puck on a rail", || Puck).with_time_limit(50));
//!     sac::cli::run(registry)
//! }
//! ```
//!
//! `sac new DIR` writes a crate that does so.

mod algos;
mod bar;
mod bench;
mod card;
mod check;
mod config;
mod console;
mod doctor;
mod envs;
mod eval;
mod export;
mod header;
mod input;
mod many;
mod new;
mod output;
mod overrides;
mod play;
mod prune;
mod replicates;
mod rollout;
mod search;
mod sweep;
mod train;

use std::{ffi::OsString, process::ExitCode};

use sac_cli::{
    args::{self, BenchCommand, Command},
    exit_code::DONE,
    messages, report, runs,
};

use crate::{error::Result, registry::Registry};

/// Runs the command that the arguments of the process name, on the tasks of `registry`. Returns its exit code: 0 done,
/// 2 the input was wrong, 130 interrupted (after a checkpoint), 1 anything else.
pub fn run(registry: Registry) -> ExitCode {
    ExitCode::from(run_with(std::env::args_os(), registry))
}

/// [`run`] with given arguments, of which the first is the name of the program, for a process that has others.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>, registry: Registry) -> u8 {
    let command = args::parse(arguments.into_iter().collect());
    messages::explained(|| execute(command, &registry))
}

fn execute(command: Command, registry: &Registry) -> Result<u8> {
    match command {
        Command::Train(args) => return train::run(&args, registry),
        Command::Eval(args) => eval::run(&args, registry)?,
        Command::Play(args) => return play::run(&args, registry),
        Command::Export(args) => export::run(&args, registry)?,
        Command::Card(args) => card::run(&args, registry)?,
        Command::Rollout(args) => rollout::run(&args, registry)?,
        Command::Envs(args) => envs::run(&args, registry)?,
        Command::Check(args) => return check::run(&args, registry),
        Command::Algos(args) => algos::run(&args)?,
        Command::Config(args) => config::run(&args, registry)?,
        Command::Sweep(args) => return sweep::run(&args, registry),
        Command::Search(args) => return search::run(&args, registry),
        Command::Runs(args) if args.prune => return prune::run(&args),
        Command::Runs(args) => return Ok(runs::run(&args)?),
        Command::Report(args) => report::run(&args)?,
        Command::Doctor(args) => doctor::run(&args)?,
        Command::New(args) => new::run(&args)?,
        Command::Bench(BenchCommand::Update(args)) => bench::update(&args)?,
        Command::Bench(BenchCommand::Train(args)) => bench::train(&args, registry)?,
        Command::Bench(BenchCommand::Env(args)) => bench::env(&args, registry)?,
        Command::Bench(BenchCommand::Replay(args)) => bench::replay(&args)?,
    }
    Ok(DONE)
}
