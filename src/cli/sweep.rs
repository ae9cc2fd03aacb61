//! `sac sweep`.

mod check;
mod file;
mod folder;
mod work;

use std::path::{Path, PathBuf};

use sac_cli::{
    args::SweepArgs,
    exit_code::{DONE, FAILED, INTERRUPTED},
    messages::say,
    table::{bytes, table},
};
use sac_report::{listing, state::State};
use serde::Serialize;

use super::{
    many::{
        self,
        board::Board,
        estimate::Estimate,
        hours,
        planned::Planned,
        slurm::{self, Job},
        training::{Program, state_of},
    },
    output::{print, print_json},
};
use crate::{error::Result, registry::Registry, shell, stop::Stop};
use check::{Group, check};
use file::Sweep;
use folder::SweepFolder;
use work::Work;

pub fn run(args: &SweepArgs, registry: &Registry) -> Result<u8> {
    let sweep = Sweep::read(&args.file)?;
    let path = many::folder(&args.file, args.out.as_deref());
    if args.status {
        let folder = SweepFolder::new(&path);
        folder.check(&sweep)?;
        return report(args, &folder, &sweep).map(|_| DONE);
    }
    let groups = check(&args.file, &sweep, registry)?;
    let jobs = many::jobs(args.many.jobs, sweep.threads, sweep.runs.len());
    if !args.slurm {
        many::warn_of_shared_cores(jobs, sweep.threads);
    }
    if args.dry_run {
        SweepFolder::new(&path).check(&sweep)?;
        return dry_run(&path, &sweep, &groups, jobs, registry).map(|()| DONE);
    }
    let folder = SweepFolder::open(&path, &sweep)?;
    let program = Program {
        words: many::program("sweep")?,
        threads: sweep.threads,
    };
    if args.slurm {
        let runs = sweep.runs.len() as u64;
        let job = Job {
            command: "sweep",
            file: &args.file,
            out: folder.path(),
            own: &folder.own(),
            program: &program.words,
            tasks: args.many.jobs.unwrap_or(runs).min(runs),
            threads: sweep.threads,
            memory_mib: slurm::memory_mib(groups.iter().map(|group| &group.config), registry)?,
            sbatch: &args.many.sbatch,
        };
        return job.submit().map(|()| DONE);
    }
    drop(groups);
    let stop = Stop::on_signals()?;
    let work = Work {
        folder: &folder,
        runs: &sweep.runs,
        jobs,
        program: &program,
        stop: &stop,
        waits: !args.many.no_wait,
    };
    let mut board = Board::new(sweep.runs.len(), "runs", args.many.quiet);
    let worked = work.work(&mut board);
    drop(board);
    worked?;
    let counts = report(args, &folder, &sweep)?;
    let left_to_others = if args.many.no_wait { counts.running } else { 0 };
    // A request to stop that comes with the end of the last run leaves nothing to go on with.
    let is_done = counts.finished + left_to_others == sweep.runs.len();
    let is_interrupted = stop.is_requested() && !is_done;
    if !args.many.quiet {
        let hint = match is_interrupted {
            true => format!("the same command goes on from here; {}", path.display()),
            false => format!("sac report {} --out report.html compares the runs", shell::word(&path)),
        };
        say(&format!("hint: {hint}"));
    }
    Ok(match (is_done, is_interrupted) {
        (true, _) => DONE,
        (false, true) => INTERRUPTED,
        (false, false) => FAILED,
    })
}

/// A run and its state.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    run: &'a Planned,
    path: PathBuf,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    env_steps_taken: u64,
    last: Option<f64>,
    best: Option<f64>,
}

/// How many runs are in each state.
#[derive(Default, Serialize)]
struct Counts {
    finished: usize,
    running: usize,
    interrupted: usize,
    failed: usize,
    waiting: usize,
}

#[derive(Serialize)]
struct Status<'a> {
    folder: String,
    #[serde(flatten)]
    counts: &'a Counts,
    runs: &'a [Told<'a>],
}

/// Says how every run is.
fn report(args: &SweepArgs, folder: &SweepFolder, sweep: &Sweep) -> Result<Counts> {
    let runs: Vec<Told> = sweep.runs.iter().map(|run| told(folder, run)).collect();
    let count = |state: &str| runs.iter().filter(|run| run.state == state).count();
    let counts = Counts {
        finished: count("finished"),
        running: count("running"),
        interrupted: count("interrupted"),
        failed: count("failed") + count("unreadable"),
        waiting: count("waiting"),
    };
    if args.many.json {
        print_json(&Status {
            folder: folder.path().display().to_string(),
            counts: &counts,
            runs: &runs,
        })?;
        return Ok(counts);
    }
    let number = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.1}"));
    let row = |told: &Told| {
        let state = match &told.reason {
            Some(reason) => format!("{}: {}", told.state, reason.lines().next().unwrap_or_default()),
            None => told.state.to_string(),
        };
        vec![
            told.run.env.clone(),
            told.run.label.clone(),
            told.run.seed.to_string(),
            format!("{}/{}", told.env_steps_taken, told.run.env_steps),
            number(told.last),
            number(told.best),
            state,
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    let names = ["env", "run", "seed", "steps", "last", "best", "state"];
    let Counts {
        finished,
        running,
        interrupted,
        failed,
        waiting,
    } = counts;
    let shown = table(&names, &["seed", "steps", "last", "best"], &rows);
    let job = slurm::queue(&folder.own());
    print(&format!(
        "{shown}\n{} runs: {finished} finished, {running} running, {interrupted} interrupted, {failed} failed, \
         {waiting} waiting\n{job}{}\n",
        runs.len(),
        folder.path().display()
    ))?;
    Ok(counts)
}

fn told<'a>(folder: &SweepFolder, run: &'a Planned) -> Told<'a> {
    let path = folder.run(run);
    let state = state_of(&path);
    let found = listing::listed(&path);
    Told {
        run,
        state: state.as_ref().map_or("waiting", State::name),
        reason: match state {
            Some(State::Failed { reason } | State::Unreadable { reason }) => Some(reason),
            _ => None,
        },
        env_steps_taken: found.env_steps,
        last: found.last,
        best: found.best,
        path,
    }
}

/// Says what would be trained, and what it takes.
fn dry_run(path: &Path, sweep: &Sweep, groups: &[Group], jobs: usize, registry: &Registry) -> Result<()> {
    let folder = SweepFolder::new(path);
    let finished = |run: &Planned| state_of(&folder.run(run)) == Some(State::Finished);
    let (mut rows, mut seconds, mut size, mut left) = (Vec::new(), 0.0, 0, 0);
    for Group { first, count, config } in groups {
        let estimate = Estimate::of(config, registry)?;
        let replicates = sweep.runs.iter().filter(|run| run.is_replicate_of(first));
        let to_do = replicates.filter(|run| !finished(run)).count();
        seconds += estimate.seconds * to_do as f64;
        size += estimate.bytes * to_do as u64;
        left += to_do;
        rows.push(vec![
            first.env.clone(),
            first.algo.clone(),
            first.label.clone(),
            count.to_string(),
            to_do.to_string(),
            first.env_steps.to_string(),
            hours(estimate.seconds),
            bytes(estimate.bytes),
        ]);
    }
    let names = [
        "env",
        "algo",
        "run",
        "seeds",
        "left",
        "env steps",
        "time each",
        "disk each",
    ];
    let right = ["seeds", "left", "env steps", "time each", "disk each"];
    let at_once = jobs.min(left).max(1);
    print(&format!(
        "{}\n{left} of {} runs are left: about {} with {at_once} at a time, {} on disk, in {}\n\
         The time is that of updates alone, measured now; environments and evaluations come on top.\n",
        table(&names, &right, &rows),
        sweep.runs.len(),
        hours(seconds / at_once as f64),
        bytes(size),
        path.display()
    ))
}
