//! `sac search`.

mod check;
mod file;
mod folder;
mod halving;
mod journal;
mod parzen;
mod sampler;
mod space;
mod table;
mod tell;
mod work;

use std::fs;

use super::many::{
    self,
    board::Board,
    slurm::{self, Job},
    training::Program,
};
use crate::{
    error::{Error, Result},
    registry::Registry,
    run, shell,
    stop::Stop,
};
use check::check;
use file::Search;
use folder::SearchFolder;
use halving::ranked;
use journal::{Ended, Trial};
use sac_cli::{
    args::SearchArgs,
    exit_code::{DONE, FAILED, INTERRUPTED},
    messages::say,
};
use work::Work;

pub fn run(args: &SearchArgs, registry: &Registry) -> Result<u8> {
    let search = Search::read(&args.file)?;
    let path = many::folder(&args.file, args.out.as_deref());
    let folder = SearchFolder::new(&path);
    folder.check(&search)?;
    if args.status {
        return tell::status(args, &folder, &search).map(|()| DONE);
    }
    let checked = check(&args.file, &search, registry)?;
    let jobs = many::jobs(args.many.jobs, search.threads, search.trials as usize);
    if !args.slurm {
        many::warn_of_shared_cores(jobs, search.threads);
    }
    if args.dry_run {
        return tell::dry_run(&search, &checked, jobs, registry).map(|()| DONE);
    }
    let folder = SearchFolder::open(&path, &search, &tell::attributes(&search, &checked.rungs))?;
    let program = Program {
        words: many::program("search")?,
        threads: search.threads,
    };
    if args.slurm {
        let job = Job {
            command: "search",
            file: &args.file,
            out: folder.path(),
            own: &folder.own(),
            program: &program.words,
            tasks: args.many.jobs.unwrap_or(1).min(search.trials),
            threads: search.threads,
            memory_mib: slurm::memory_mib([&checked.config].into_iter(), registry)?,
            sbatch: &args.many.sbatch,
        };
        return job.submit().map(|()| DONE);
    }
    let stop = Stop::on_signals()?;
    let mut board = Board::new(search.trials as usize, "trials", args.many.quiet);
    let worked = Work {
        folder: &folder,
        search: &search,
        rungs: &checked.rungs,
        jobs,
        program: &program,
        stop: &stop,
        waits: !args.many.no_wait,
    }
    .work(&mut board);
    drop(board);
    worked?;
    let is_done = conclude(&folder, &search, &checked.rungs)?;
    tell::status(args, &folder, &search)?;
    if !args.many.quiet {
        say(&match (is_done, folder.best().exists()) {
            (true, true) => format!(
                "hint: sac train --config {} --seeds 1-5 trains the best settings with other seeds",
                shell::word(&folder.best())
            ),
            _ => format!("hint: the same command goes on from here; {}", path.display()),
        });
    }
    let is_left_to_others = args.many.no_wait && !stop.is_requested();
    Ok(match (is_done || is_left_to_others, stop.is_requested()) {
        (true, _) => DONE,
        (false, true) => INTERRUPTED,
        (false, false) => FAILED,
    })
}

/// Writes the configuration of the best trial, and the end of those that stay paused if nothing is left to do. Whether that is
/// so, and a trial has come to its end.
fn conclude(folder: &SearchFolder, search: &Search, rungs: &[u64]) -> Result<bool> {
    let _turn = folder.turn()?;
    let journal = folder.journal();
    let trials = journal.trials()?;
    if let Some(best) = ranked(&trials).first().filter(|trial| trial.failure().is_none()) {
        let config = folder
            .run(&search.run(best.number, &best.point, search.seeds[0]))
            .join("config.toml");
        let text = fs::read(&config).map_err(Error::io(&config))?;
        run::write(&folder.best(), &text)?;
    }
    let is_done = halving::steps(&trials, search.trials, rungs, search.prune).is_empty();
    if is_done {
        let paused = trials.iter().filter(|trial| trial.ended.is_none());
        for trial in paused {
            journal.end(trial.number, &Ended::Pruned, trial.newest().map(|(_, value)| value))?;
        }
    }
    let is_complete = |trial: &Trial| trial.ended == Some(Ended::Complete);
    Ok(is_done
        && trials
            .iter()
            .any(|trial| is_complete(trial) || trial.newest().is_some()))
}
