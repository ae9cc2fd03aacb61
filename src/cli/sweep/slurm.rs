//! A sweep on a cluster: [`submit`] writes a batch script for Slurm and hands it over, [`queue`] asks what has become of it.
//!
//! The tasks of the array share the folder of the sweep. Each takes one run after another until none is left, so a task that
//! Slurm stops and starts again needs to know nothing: its next run is whichever comes first.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{check::Group, file::Sweep, folder::SweepFolder};
use crate::{
    assemble,
    cli::{args::SweepArgs, messages::say, output::print},
    error::{Error, Result},
    registry::Registry,
    run, shell,
    stop::INTERRUPTED,
};

/// Memory of a run beside its replay: libtorch, networks, environments.
const BASE_MIB: u64 = 1024;

/// Seconds from the signal to the end of the time limit, to write checkpoints in.
const NOTICE_SECONDS: u32 = 120;

/// Writes the batch script and submits it. `program` begins the command line that trains.
///
/// # Errors
/// When `sbatch` is missing or refuses; the message is its own.
pub fn submit(
    args: &SweepArgs,
    folder: &SweepFolder,
    sweep: &Sweep,
    groups: &[Group],
    registry: &Registry,
    program: &[OsString],
) -> Result<()> {
    let path = folder.script();
    let tasks = args
        .jobs
        .unwrap_or(sweep.runs.len() as u64)
        .min(sweep.runs.len() as u64);
    let options = options(args, folder, sweep.threads, tasks, memory_mib(groups, registry)?)?;
    let script = script(args, folder, &options, program)?;
    run::write(&path, script.as_bytes())?;
    let output = slurm("sbatch", &["--parsable".as_ref(), path.as_os_str()])
        .map_err(|error| Error::Usage(format!("{error}; the script is {}", path.display())))?;
    let job = output.split(';').next().unwrap_or_default().trim().to_string();
    run::write(&folder.job(), job.as_bytes())?;
    print(&format!("job {job} with {tasks} task(s): {}\n", path.display()))?;
    say(&format!(
        "hint: sac sweep {} --out {} --status shows the runs and the job",
        shell::word(&args.file),
        shell::word(folder.path())
    ));
    Ok(())
}

/// The number of the sweep's job, and its tasks by state, as Slurm has them: `2 RUNNING, 3 PENDING`, or nothing once the job has
/// ended. `None` if there was no job.
pub fn queue(folder: &SweepFolder) -> Option<(String, String)> {
    let job = fs::read_to_string(folder.job()).ok()?;
    let states = slurm("squeue", &["-h", "-r", "-o", "%T", "-j", &job].map(AsRef::as_ref)).unwrap_or_default();
    let mut counts: Vec<(usize, &str)> = Vec::new();
    for state in states.lines() {
        match counts.iter_mut().find(|(_, other)| *other == state) {
            Some((count, _)) => *count += 1,
            None => counts.push((1, state)),
        }
    }
    let counts: Vec<String> = counts.iter().map(|(count, state)| format!("{count} {state}")).collect();
    Some((job, counts.join(", ")))
}

/// Memory of the largest run, MiB.
fn memory_mib(groups: &[Group], registry: &Registry) -> Result<u64> {
    let mut most = 0;
    for group in groups {
        let envs = assemble::envs(&group.config, registry, 1, 1)?;
        most = most.max(assemble::replay_bytes(&group.config, envs.as_ref()));
    }
    Ok(BASE_MIB + most.div_ceil(1 << 20))
}

/// The options of `sbatch`. Those of the user come last, and later ones win.
fn options(args: &SweepArgs, folder: &SweepFolder, threads: u64, tasks: u64, memory_mib: u64) -> Result<Vec<String>> {
    let name = args.file.file_stem().unwrap_or_default();
    let log = absolute(&folder.script())?.with_file_name("slurm-%A_%a.log");
    let ours = [
        format!("--job-name={}", shell::word(Path::new(name))),
        format!("--array=1-{tasks}"),
        format!("--cpus-per-task={threads}"),
        format!("--mem={memory_mib}M"),
        "--requeue".to_string(),
        "--open-mode=append".to_string(),
        format!("--signal=B:TERM@{NOTICE_SECONDS}"),
        format!("--output={}", shell::word(&log)),
    ];
    Ok(ours.into_iter().chain(args.sbatch.iter().cloned()).collect())
}

fn script(args: &SweepArgs, folder: &SweepFolder, options: &[String], program: &[OsString]) -> Result<String> {
    let options: Vec<String> = options.iter().map(|option| format!("#SBATCH {option}")).collect();
    let program: Vec<String> = program.iter().map(|word| shell::word(Path::new(word))).collect();
    Ok(format!(
        "#!/bin/sh\n\
         # Written by `sac sweep {shown} --slurm`. Each task takes the next run of the sweep until none is left.\n\
         {options}\n\n\
         {program} sweep {file} --out {out} --jobs 1 --no-wait --quiet &\n\
         sweep=$!\n\
         trap 'kill -TERM $sweep' TERM\n\
         wait $sweep\n\
         code=$?\n\
         # A signal ends the first wait; the second one is for the checkpoint.\n\
         if kill -0 $sweep 2>/dev/null; then wait $sweep; code=$?; fi\n\
         [ $code -eq {INTERRUPTED} ] || exit $code\n\
         # The time limit is near, or Slurm needs the place: the rest comes when there is room again.\n\
         scontrol requeue \"${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}\"\n",
        shown = args.file.display(),
        options = options.join("\n"),
        program = program.join(" "),
        file = shell::word(&absolute(&args.file)?),
        out = shell::word(&absolute(folder.path())?),
    ))
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
