//! Many runs on a cluster: [`Job::submit`] writes a batch script for Slurm and hands it over, [`queue`] asks what has become of
//! it.
//!
//! The tasks of the array share a folder. Each takes one run after another until none is left, so a task that Slurm stops and
//! starts again needs to know nothing: its next run is whichever comes first.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use sac_cli::{exit_code::INTERRUPTED, messages::say};

use crate::{
    assemble,
    cli::output::print,
    config::Config,
    error::{Error, Result},
    registry::Registry,
    run, shell,
};

/// Memory of a run beside its replay: libtorch, networks, environments.
const BASE_MIB: u64 = 1024;

/// Seconds from the signal to the end of the time limit, to write checkpoints in.
const NOTICE_SECONDS: u32 = 120;

/// The batch script, and the number that Slurm gave it.
const SCRIPT: &str = "slurm.sh";
const NUMBER: &str = "slurm.job";

/// What is to be submitted.
pub struct Job<'a> {
    /// The command that every task runs, such as `sweep`.
    pub command: &'a str,
    /// The file that says what to train.
    pub file: &'a Path,
    /// The folder that the tasks share.
    pub out: &'a Path,
    /// The folder of the batch script, within it.
    pub own: &'a Path,
    /// Begins the command line of the program.
    pub program: &'a [OsString],
    /// Tasks of the array.
    pub tasks: u64,
    /// Cores of a task.
    pub threads: u64,
    pub memory_mib: u64,
    /// Options of the user.
    pub sbatch: &'a [String],
}

impl Job<'_> {
    /// Writes the batch script and submits it.
    ///
    /// # Errors
    /// When `sbatch` is missing or refuses; the message is its own.
    pub fn submit(&self) -> Result<()> {
        let path = self.own.join(SCRIPT);
        run::write(&path, self.script()?.as_bytes())?;
        let output = slurm("sbatch", &["--parsable".as_ref(), path.as_os_str()])
            .map_err(|error| Error::Usage(format!("{error}; the script is {}", path.display())))?;
        let number = output.split(';').next().unwrap_or_default().trim().to_string();
        run::write(&self.own.join(NUMBER), number.as_bytes())?;
        print(&format!(
            "job {number} with {} task(s): {}\n",
            self.tasks,
            path.display()
        ))?;
        say(&format!(
            "hint: sac {} {} --out {} --status shows the runs and the job",
            self.command,
            shell::word(self.file),
            shell::word(self.out)
        ));
        Ok(())
    }

    /// The options of `sbatch`. Those of the user come last, and later ones win.
    fn options(&self) -> Result<Vec<String>> {
        let name = self.file.file_stem().unwrap_or_default();
        let log = absolute(self.own)?.join("slurm-%A_%a.log");
        let ours = [
            format!("--job-name={}", shell::word(Path::new(name))),
            format!("--array=1-{}", self.tasks),
            format!("--cpus-per-task={}", self.threads),
            format!("--mem={}M", self.memory_mib),
            "--requeue".to_string(),
            "--open-mode=append".to_string(),
            format!("--signal=B:TERM@{NOTICE_SECONDS}"),
            format!("--output={}", shell::word(&log)),
        ];
        Ok(ours.into_iter().chain(self.sbatch.iter().cloned()).collect())
    }

    fn script(&self) -> Result<String> {
        let options: Vec<String> = self
            .options()?
            .iter()
            .map(|option| format!("#SBATCH {option}"))
            .collect();
        let program: Vec<String> = self.program.iter().map(|word| shell::word(Path::new(word))).collect();
        Ok(format!(
            "#!/bin/sh\n\
             # Written by `sac {command} {shown} --slurm`. Each task takes the next run until none is left.\n\
             {options}\n\n\
             {program} {command} {file} --out {out} --jobs 1 --no-wait --quiet &\n\
             child=$!\n\
             trap 'kill -TERM $child' TERM\n\
             wait $child\n\
             code=$?\n\
             # A signal ends the first wait; the second one is for the checkpoint.\n\
             if kill -0 $child 2>/dev/null; then wait $child; code=$?; fi\n\
             [ $code -eq {INTERRUPTED} ] || exit $code\n\
             # The time limit is near, or Slurm needs the place: the rest comes when there is room again.\n\
             scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"\n",
            command = self.command,
            shown = self.file.display(),
            options = options.join("\n"),
            program = program.join(" "),
            file = shell::word(&absolute(self.file)?),
            out = shell::word(&absolute(self.out)?),
        ))
    }
}

/// A line on the job whose batch script lies in a folder: its number, and its tasks by state, as Slurm has them. Empty if there
/// was no job.
pub fn queue(own: &Path) -> String {
    let Ok(job) = fs::read_to_string(own.join(NUMBER)) else {
        return String::new();
    };
    let states = slurm("squeue", &["-h", "-r", "-o", "%T", "-j", &job].map(AsRef::as_ref)).unwrap_or_default();
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for state in states.lines() {
        match counts.iter_mut().find(|(_, other)| *other == state) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, state)),
        }
    }
    let counts: Vec<String> = counts.iter().map(|(count, state)| format!("{count} {state}")).collect();
    match counts.is_empty() {
        true => format!("Slurm: job {job} has ended\n"),
        false => format!("Slurm: job {job}: {}\n", counts.join(", ")),
    }
}

/// Memory of the largest of several runs, MiB.
///
/// # Errors
/// When an environment cannot be made.
pub fn memory_mib<'a>(configs: impl Iterator<Item = &'a Config>, registry: &Registry) -> Result<u64> {
    let mut most = 0;
    for config in configs {
        let envs = assemble::envs(config, registry, 1, 1)?;
        most = most.max(assemble::replay_bytes(config, envs.as_ref()));
    }
    Ok(BASE_MIB + most.div_ceil(1 << 20))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io(path))
}

/// What a command of Slurm's prints.
fn slurm(command: &str, arguments: &[&OsStr]) -> Result<String> {
    let output: Output = Command::new(command).args(arguments).output().map_err(|error| {
        Error::Usage(match error.kind() {
            ErrorKind::NotFound => format!("{command} is not on the PATH: submit from a machine of the cluster"),
            _ => format!("{command}: {error}"),
        })
    })?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(Error::Usage(format!(
            "{command} refuses: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}
