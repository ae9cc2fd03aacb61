//! The command line: parse, run, exit code.

mod cli;
mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    commands::messages::install();
    // A panic is our own bug; a user gets one line about it, not a trace.
    match std::panic::catch_unwind(|| commands::run(cli.command)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => commands::messages::explain(&error),
        Err(_) => commands::messages::bug(),
    }
}
