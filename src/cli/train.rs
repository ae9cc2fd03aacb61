//! `sac train`.

use std::{fs, path::Path};

use sac_agents::log::Sink;
use sac_cli::{
    args::TrainArgs,
    exit_code::{DONE, INTERRUPTED},
    messages::say,
};

use super::{
    console::Console,
    header::{ending, header, result, say_early_end},
    output::{print, print_json},
    overrides, replicates,
};
use crate::{
    config::Config,
    error::{Error, Result},
    registry::Registry,
    replicates::SeedsFolder,
    run::{self, RunFolder, Session, Summary},
    shell,
    stop::Stop,
    threads::{self, Measured},
};

pub fn run(args: &TrainArgs, registry: &Registry) -> Result<u8> {
    let summary = match &args.resume {
        Some(path) if SeedsFolder::is_one(path) && args.pause_at.is_some() => {
            return Err(Error::Usage(
                "--pause-at is for one run; name the folder of one seed".to_string(),
            ));
        }
        Some(path) if SeedsFolder::is_one(path) => return replicates::resume(args, path, registry),
        Some(path) => resume(args, path, registry)?,
        None if !args.seeds.is_empty() => return replicates::begin(args, registry),
        None => begin(args, registry)?,
    };
    report(args, &summary)?;
    let is_paused = args.pause_at.is_some_and(|at| summary.env_steps >= at);
    Ok(if summary.interrupted && !is_paused {
        INTERRUPTED
    } else {
        DONE
    })
}

fn begin(args: &TrainArgs, registry: &Registry) -> Result<Summary> {
    let chosen = overrides::choose(&args.overrides, registry)?;
    let mut config = chosen.config;
    let measured = match overrides::threads_are_given(&chosen.layers) {
        true => None,
        false => threads::measure(&config, registry)?,
    };
    if let Some(measured) = &measured {
        config = config.with_threads(measured.threads());
    }
    let folder = match &args.run_dir {
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::create_default(&config)?,
    };
    let announced = announce(args, &config, registry, &folder, chosen.experiment, measured.as_ref());
    let session = announced.and_then(|()| session(args, &config));
    if session.is_err() {
        // Removes a folder without a file; if it cannot be removed, the first error is still the one to report.
        let _ = fs::remove_dir(folder.path());
    }
    run::train_into(&config, registry, &folder, session?)
}

/// Says what is about to be trained.
fn announce(
    args: &TrainArgs,
    config: &Config,
    registry: &Registry,
    folder: &RunFolder,
    experiment: Option<String>,
    measured: Option<&Measured>,
) -> Result<()> {
    if !args.quiet {
        let experiment = experiment.map(|from| format!(", {from}")).unwrap_or_default();
        say(&format!("training {} with {}{experiment}", config.env.id, config.algo));
        header(config, registry, folder.path(), None)?;
        if let Some(measured) = measured {
            let rates = measured.rates.iter();
            let rates: Vec<String> = rates.map(|(threads, rate)| format!("{rate:.0} on {threads}")).collect();
            say(&format!("  threads      measured, updates/s: {}", rates.join(", ")));
        }
    }
    Ok(())
}

fn resume(args: &TrainArgs, path: &Path, registry: &Registry) -> Result<Summary> {
    let folder = RunFolder::open(path)?;
    let changes = overrides::changes(&args.overrides);
    let config = folder.config_with(&changes, registry)?;
    if !args.quiet {
        say(&format!("resuming {} with {}", config.env.id, config.algo));
        if changes.is_of_the_machine() {
            say(overrides::ON_ANOTHER_MACHINE);
        }
        let path = args.run_dir.as_deref().unwrap_or(folder.path());
        header(&config, registry, path, None)?;
    }
    let session = session(args, &config)?;
    match &args.run_dir {
        Some(path) => run::branch(&config, registry, &folder, &RunFolder::create(path)?, session),
        None => run::resume_with(&config, registry, &folder, session),
    }
}

fn session(args: &TrainArgs, config: &Config) -> Result<Session> {
    let console = || Box::new(Console::new(&config.train)) as Box<dyn Sink>;
    Ok(Session {
        sinks: (!args.quiet).then(console).into_iter().collect(),
        stop: Stop::on_signals()?,
        pause_at: args.pause_at,
        init_from: args.init_from.clone(),
    })
}

/// Whether a run has stopped where it was to.
fn has_paused(args: &TrainArgs, summary: &Summary) -> bool {
    summary.interrupted && args.pause_at.is_some_and(|at| summary.env_steps >= at)
}

fn report(args: &TrainArgs, summary: &Summary) -> Result<()> {
    if summary.interrupted && !args.quiet {
        say(&format!(
            "hint: sac train --resume {} goes on from here",
            shell::word(&summary.run_dir)
        ));
    }
    if !args.quiet {
        say_early_end(summary);
    }
    if args.json {
        return print_json(summary);
    }
    print(&format!(
        "{} {}\n{}\n",
        if has_paused(args, summary) {
            "paused at"
        } else {
            ending(summary)
        },
        result(summary),
        summary.run_dir.display()
    ))
}
