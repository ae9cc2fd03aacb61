//! `sac train --seeds`.

use std::{num::NonZero, path::Path, thread::available_parallelism};

use sac_agents::log::Sink;
use sac_cli::{
    args::TrainArgs,
    exit_code::{DONE, FAILED, INTERRUPTED},
    messages::{explain, first_panic, say},
};

use super::{
    console::SharedConsole,
    header::{ending, header, result, say_early_end},
    output::{print, print_json},
    overrides,
};
use crate::{
    config::Config,
    error::{Error, Result},
    registry::Registry,
    replicates::{self, Seeds, SeedsFolder, Together},
    run::Changes,
    shell,
    stop::Stop,
};

/// Trains every seed of `--seeds` into a folder of its own.
pub fn begin(args: &TrainArgs, registry: &Registry) -> Result<u8> {
    let chosen = overrides::choose(&args.overrides, registry)?;
    let config = chosen.config;
    if config.train.cuda_graphs {
        return Err(Error::Usage(
            "--seeds with train.cuda_graphs: only one run in a process can record its updates; train the seeds one by one".to_string(),
        ));
    }
    // `auto` is for the threads of one update, of which few are best; several runs have a use for every core.
    let threads = match overrides::threads_are_given(&chosen.layers) {
        true => config.threads(),
        false => available_parallelism().map_or(1, NonZero::get) as u64,
    };
    let seeds: Vec<u64> = args.seeds.iter().cloned().flatten().collect();
    let seeds = Seeds {
        threads: threads.min(seeds.len() as u64),
        seeds,
    };
    let folder = match &args.run_dir {
        Some(path) => SeedsFolder::create(path, seeds)?,
        None => SeedsFolder::create_default(&config, seeds)?,
    };
    if !args.quiet {
        let experiment = chosen.experiment.map(|from| format!(", {from}")).unwrap_or_default();
        say(&format!("training {} with {}{experiment}", config.env.id, config.algo));
        header(&config, registry, folder.path(), Some(folder.seeds())).inspect_err(|_| folder.remove())?;
    }
    let stop = Stop::on_signals().inspect_err(|_| folder.remove())?;
    let console = console(args, std::slice::from_ref(&config), folder.seeds());
    let together = replicates::train(&config, registry, &folder, &mut sinks(&console), &stop);
    drop(console);
    report(args, folder.path(), &together?)
}

/// Goes on with all runs that `--seeds` began.
pub fn resume(args: &TrainArgs, path: &Path, registry: &Registry) -> Result<u8> {
    if args.run_dir.is_some() {
        return Err(Error::Usage(
            "--run-dir with --resume: branches are made of one run; name the folder of one seed".to_string(),
        ));
    }
    let folder = SeedsFolder::open(path)?;
    // Runs update on one thread each; --threads is how many run at a time.
    let changes = Changes {
        threads: None,
        ..overrides::changes(&args.overrides)
    };
    let folder = match args.overrides.threads {
        Some(threads) => folder.with_threads(threads),
        None => folder,
    };
    let configs = folder.configs(registry, &changes)?;
    if let (Some(config), false) = (configs.first(), args.quiet) {
        say(&format!("resuming {} with {}", config.env.id, config.algo));
        if changes.is_of_the_machine() {
            say(overrides::ON_ANOTHER_MACHINE);
        }
        header(config, registry, folder.path(), Some(folder.seeds()))?;
    }
    let stop = Stop::on_signals()?;
    let console = console(args, &configs, folder.seeds());
    let together = replicates::resume(&configs, registry, &folder, &mut sinks(&console), &stop);
    drop(console);
    report(args, folder.path(), &together?)
}

fn console(args: &TrainArgs, configs: &[Config], seeds: &Seeds) -> Option<SharedConsole> {
    let longest = configs.iter().max_by_key(|config| config.train.total_env_steps)?;
    let runs = seeds.seeds.len() as u64;
    (!args.quiet).then(|| SharedConsole::new(&longest.train, runs, seeds.threads as usize))
}

fn sinks(console: &Option<SharedConsole>) -> impl FnMut(&Config) -> Vec<Box<dyn Sink>> + Send {
    move |_| {
        let shares = console.iter().map(|console| Box::new(console.share()) as Box<dyn Sink>);
        shares.collect()
    }
}

fn report(args: &TrainArgs, folder: &Path, together: &Together) -> Result<u8> {
    for outcome in &together.replicates {
        if outcome.error.is_none() && !args.quiet {
            say_early_end(&outcome.summary);
        }
        if let Some(error) = &outcome.error {
            say(&format!("seed {}:", outcome.summary.seed));
            explain_failure(error);
        }
    }
    if together.interrupted && !args.quiet {
        say(&format!(
            "hint: sac train --resume {} goes on from here with all seeds",
            shell::word(folder)
        ));
    }
    match args.json {
        true => print_json(together)?,
        false => print(&table(together))?,
    }
    Ok(match (together.interrupted, together.failed) {
        (true, _) => INTERRUPTED,
        (false, 0) => DONE,
        (false, _) => FAILED,
    })
}

fn table(together: &Together) -> String {
    let mut text = String::new();
    for outcome in &together.replicates {
        let summary = &outcome.summary;
        let ending = match &outcome.error {
            Some(_) => "failed at",
            None => ending(summary),
        };
        text += &format!("seed {}: {ending} {}\n", summary.seed, result(summary));
    }
    let Together {
        seeds,
        threads,
        env_steps,
        grad_steps,
        seconds,
        env_steps_per_second,
        updates_per_second,
        run_dir,
        ..
    } = together;
    text += &format!(
        "{} seeds on {threads} thread(s): {env_steps} env steps, {grad_steps} updates in all; {seconds:.1} s now, \
         {env_steps_per_second:.0} env steps/s, {updates_per_second:.0} updates/s together\n{run_dir}\n",
        seeds.len()
    );
    text
}

/// Says why one of several runs failed; for the first that panicked, also where.
fn explain_failure(error: &Error) {
    let place = match error {
        Error::Panicked(_) => first_panic(),
        _ => None,
    };
    match place {
        Some(message) => explain(&Error::of_panic(message)),
        None => explain(error),
    };
}
