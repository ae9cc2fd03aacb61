//! The program `sac`: [`run`].

use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, ExitCode},
};

use crate::{
    args::{self, COMPLETE, Command},
    error::{Error, Result},
    exit_code::DONE,
    messages, report, runs,
};

/// Runs the command that the arguments name, of which the first is the program: here if it needs no libtorch, otherwise by
/// the complete program, which takes the place of this one in the process. Returns the exit code.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let command = args::parse(arguments.clone());
    ExitCode::from(messages::explained(|| execute(&command, arguments)))
}

fn execute(command: &Command, arguments: Vec<OsString>) -> Result<u8> {
    match command {
        Command::Runs(args) if !args.prune => runs::run(args),
        Command::Report(args) => report::run(args).map(|()| DONE),
        _ => Err(replaced_by(&complete()?, arguments)),
    }
}

/// The complete program: in the folder of this one, wherever links to it lie.
fn complete() -> Result<PathBuf> {
    let this = std::env::current_exe().and_then(fs::canonicalize);
    let mut path = this.map_err(Error::io("this program"))?;
    path.set_file_name(COMPLETE);
    Ok(path)
}

/// Replaces this process by a program, which keeps its id, its terminal, and the name that it was started under. Returns
/// only on failure.
fn replaced_by(program: &Path, arguments: Vec<OsString>) -> Error {
    let mut arguments = arguments.into_iter();
    let mut command = process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let error = command.args(arguments).exec();
    match error.kind() {
        io::ErrorKind::NotFound => Error::NotComplete(program.parent().unwrap_or(Path::new("/")).to_path_buf()),
        _ => Error::io(program)(error),
    }
}
