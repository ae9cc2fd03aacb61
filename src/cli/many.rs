//! What the commands that train many runs have in common, `sac sweep` and `sac search`.

pub mod board;
pub mod claim;
pub mod estimate;
pub mod file;
pub mod planned;
pub mod slurm;
pub mod training;

use std::{ffi::OsString, num::NonZero, thread::available_parallelism};

use super::messages::say;
use crate::error::{Error, Result};

/// The command line of this program up to `command`: the program, or an interpreter and its script.
pub fn program(command: &str) -> Result<Vec<OsString>> {
    let this = std::env::current_exe().map_err(Error::io("this program"))?;
    let arguments = std::env::args_os().skip(1).take_while(|argument| argument != command);
    Ok([this.into_os_string()].into_iter().chain(arguments).collect())
}

/// How many runs of so many threads to train at a time: as asked for, or as many as there are cores for.
pub fn jobs(asked: Option<u64>, threads: u64) -> usize {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let jobs = asked.map_or((cores / threads as usize).max(1), |jobs| jobs as usize);
    if jobs * threads as usize > cores {
        say(&format!(
            "warning: {jobs} runs of {threads} thread(s) share {cores} cores; all of them get slower"
        ));
    }
    jobs
}

/// `1:02:03`, hours first.
pub fn hours(seconds: f64) -> String {
    let seconds = seconds.ceil() as u64;
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
