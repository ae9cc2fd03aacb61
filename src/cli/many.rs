//! What the commands that train many runs have in common, `sac sweep` and `sac search`.

pub mod board;
pub mod claim;
pub mod estimate;
pub mod planned;
pub mod slurm;
pub mod training;

use std::{
    ffi::OsString,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    thread::available_parallelism,
};

use sac_cli::messages::say;

use crate::error::{Error, Result};

/// The command line of this program up to `command`: the program, or an interpreter and its script.
pub fn program(command: &str) -> Result<Vec<OsString>> {
    let this = std::env::current_exe().map_err(Error::io("this program"))?;
    let arguments = std::env::args_os().skip(1).take_while(|argument| argument != command);
    Ok([this.into_os_string()].into_iter().chain(arguments).collect())
}

/// How many of `runs` runs of so many threads to train at a time: as asked for, or as many as this machine has cores for.
pub fn jobs(asked: Option<u64>, threads: u64, runs: usize) -> usize {
    let jobs = asked.map_or((cores() / threads as usize).max(1), |jobs| jobs as usize);
    jobs.min(runs)
}

/// Says so if runs that are trained at a time on this machine have to share its cores.
pub fn warn_of_shared_cores(jobs: usize, threads: u64) {
    let cores = cores();
    if jobs * threads as usize > cores {
        say(&format!(
            "warning: {jobs} runs of {threads} thread(s) share {cores} cores; all of them get slower"
        ));
    }
}

fn cores() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

/// The folder for the runs of a file: the given one, or one below `runs` with the file's name.
pub fn folder(file: &Path, out: Option<&Path>) -> PathBuf {
    match out {
        Some(path) => path.to_path_buf(),
        None => Path::new("runs").join(file.file_stem().unwrap_or_default()),
    }
}

/// Whether there is nothing yet in a folder for many runs, or what another process has just made for the same ones, whose
/// `index` is still to come. `own` is the folder of what is not a run.
pub fn is_unused(folder: &Path, own: &str, index: &str) -> bool {
    let is_own = |name: OsString| name == own || Path::new(&name) == Path::new(index).with_extension("tmp");
    match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().all(|entry| is_own(entry.file_name())),
        Err(_) => !folder.exists(),
    }
}

/// `1:02:03`, hours first.
pub fn hours(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
