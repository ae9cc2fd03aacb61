//! `sac train`.

use std::{
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use sac::{
    Error, Result,
    agents::{log::Sink, nn::MatmulPrecision},
    assemble,
    config::{Config, Origin},
    envs::{Registry, VecEnv},
    replicates::{Seeds, SeedsFolder},
    run::{self, RunFolder, Summary},
    threads,
};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::{console::Console, messages::say, overrides, print, print_json, replicates};
use crate::cli::TrainArgs;

/// Exit code of a run that was interrupted, as shells have it for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

pub fn run(args: &TrainArgs) -> Result<ExitCode> {
    let registry = Registry::builtin();
    let summary = match &args.resume {
        Some(path) if SeedsFolder::is_one(path) => return replicates::resume(args, path, &registry),
        Some(path) => resume(args, path, &registry)?,
        None if !args.seeds.is_empty() => return replicates::begin(args, &registry),
        None => begin(args, &registry)?,
    };
    report(args, &summary)?;
    Ok(if summary.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
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
        config.train.threads = measured.threads();
    }
    let folder = match &args.run_dir {
        Some(path) => RunFolder::create(path)?,
        None => RunFolder::create_default(&config)?,
    };
    if !args.quiet {
        let experiment = chosen.experiment.map(|from| format!(", {from}")).unwrap_or_default();
        say(&format!("training {} with {}{experiment}", config.env.id, config.algo));
        header(&config, registry, folder.path(), None)?;
        if let Some(measured) = measured {
            let rates = measured.rates.iter();
            let rates: Vec<String> = rates.map(|(threads, rate)| format!("{rate:.0} on {threads}")).collect();
            say(&format!("  threads      measured, updates/s: {}", rates.join(", ")));
        }
    }
    run::train(
        &config,
        registry,
        &folder,
        sinks(args, &config),
        stop_on_signals()?.as_ref(),
    )
}

fn resume(args: &TrainArgs, path: &Path, registry: &Registry) -> Result<Summary> {
    let folder = RunFolder::open(path)?;
    let mut layers = folder.layers()?;
    if let Some(steps) = args.overrides.steps {
        layers.set(
            Origin::Flag("--steps"),
            "train.total_env_steps",
            steps.min(i64::MAX as u64) as i64,
        );
    }
    let config = Config::resolve(&layers, registry)?;
    if !args.quiet {
        say(&format!("resuming {} with {}", config.env.id, config.algo));
        header(&config, registry, folder.path(), None)?;
    }
    run::resume(
        &config,
        registry,
        &folder,
        sinks(args, &config),
        stop_on_signals()?.as_ref(),
    )
}

/// What is about to happen, in a few lines: with the configured seed, or with several.
pub fn header(config: &Config, registry: &Registry, folder: &Path, seeds: Option<&Seeds>) -> Result<()> {
    let envs = assemble::envs(config, registry, 1, 1)?;
    let replay_mib = assemble::replay_bytes(config, envs.as_ref()) as f64 / f64::from(1 << 20);
    let train = &config.train;
    say(&format!("  environment  {} × {}", config.env.num_envs, envs.describe()));
    say(&format!(
        "  spaces       observation {}, action {}",
        envs.observation_space(),
        envs.action_space()
    ));
    say(&format!(
        "  steps        {} env steps, {} update(s) each after {} of warm-up, batch {}",
        train.total_env_steps, train.updates_per_env_step.0, train.warmup_env_steps, train.batch_size
    ));
    let frames = match assemble::stacking(config, envs.as_ref()).frames {
        1 => String::new(),
        frames => format!(", in stacks of {frames} frames"),
    };
    say(&format!(
        "  replay       {} transitions{frames}, {replay_mib:.1} MiB{}",
        config.replay.capacity,
        match seeds.map(|seeds| seeds.seeds.len()) {
            Some(count) => format!(" for each seed, {:.1} MiB together", replay_mib * count as f64),
            None => String::new(),
        }
    ));
    say(&match seeds {
        None => format!(
            "  machine      {}, {} thread(s), seed {}",
            train.device, train.threads, train.seed
        ),
        Some(Seeds {
            seeds,
            threads,
            stacked,
        }) => {
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            let seeds = seeds.join(", ");
            format!(
                "  machine      {}, {threads} thread(s), {}: {seeds}",
                train.device,
                if *stacked {
                    "for the seeds together"
                } else {
                    "a seed on each"
                }
            )
        }
    });
    if let Some(products) = products(config, envs.as_ref())? {
        say(&format!("  products     {products}"));
    }
    say(&format!("  run          {}", folder.display()));
    Ok(())
}

/// What becomes of `train.matmul_precision`, where it is not the default.
fn products(config: &Config, envs: &dyn VecEnv) -> Result<Option<String>> {
    Ok(match config.train.matmul_precision {
        MatmulPrecision::Highest => None,
        MatmulPrecision::High => Some("high: float32 on a CPU, where nothing in between gains time".to_string()),
        MatmulPrecision::Medium => {
            let agent = assemble::agent(config, envs)?;
            let all: i64 = agent.costs().iter().map(|cost| cost.multiply_adds).sum();
            let share = 100.0 * agent.multiply_adds_by_hand() as f64 / all.max(1) as f64;
            Some(format!(
                "medium: bfloat16 factors and float32 sums for {share:.0} % of the multiply-adds; float32 for what goes \
                 through autograd, and for acting"
            ))
        }
    })
}

fn sinks(args: &TrainArgs, config: &Config) -> Vec<Box<dyn Sink>> {
    if args.quiet {
        Vec::new()
    } else {
        vec![Box::new(Console::new(config.train.total_env_steps))]
    }
}

/// A flag that Ctrl-C and SIGTERM raise. A second Ctrl-C ends the process at once.
pub fn stop_on_signals() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(Error::io("signal handler"))?;
    }
    Ok(stop)
}

fn report(args: &TrainArgs, summary: &Summary) -> Result<()> {
    if summary.interrupted && !args.quiet {
        say(&format!(
            "hint: sac train --resume {} goes on from here",
            summary.run_dir
        ));
    }
    if args.json {
        return print_json(summary);
    }
    let ending = if summary.interrupted {
        "interrupted at"
    } else {
        "finished"
    };
    print(&format!("{ending} {}\n{}\n", result(summary), summary.run_dir))
}

/// What a run came to, in a line.
pub fn result(summary: &Summary) -> String {
    let score = match (summary.eval_mean_return, summary.best_mean_return) {
        (Some(newest), Some(best)) => format!(", evaluation {newest:.2} (best {best:.2})"),
        _ => String::new(),
    };
    let Summary {
        env_steps,
        grad_steps,
        seconds,
        ..
    } = summary;
    format!("{env_steps} env steps, {grad_steps} updates in {seconds:.1} s{score}")
}
