//! What `sac train` says of a run: [`header`] before it, [`result`] after it.

use std::path::Path;

use sac_agents::{Agent, MatmulPrecision};
use sac_cli::messages::say;

use crate::{assemble, config::Config, error::Result, registry::Registry, replicates::Seeds, run::Summary, shell};

/// Says what is about to be trained, in a few lines: with the configured seed, or with several.
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
    let spaces = (envs.observation_space(), envs.action_space());
    let stacking = assemble::stacking(config, envs.as_ref());
    let frames = match config.replay.shares_frames(spaces, stacking) {
        false => String::new(),
        true => format!(", in stacks of {} frames", stacking.frames),
    };
    say(&format!(
        "  replay       {} transitions{frames}, {replay_mib:.1} MiB{}",
        config.replay.capacity,
        match seeds.map(|seeds| seeds.seeds.len()) {
            Some(count) => format!(" for each seed, {:.1} MiB together", replay_mib * count as f64),
            None => String::new(),
        }
    ));
    let device =
        toml::Value::try_from(train.device).map_or(String::new(), |name| name.as_str().unwrap_or_default().to_string());
    say(&match seeds {
        None => format!(
            "  machine      {device}, {} thread(s), seed {}",
            config.threads(),
            train.seed
        ),
        Some(Seeds { seeds, threads }) => {
            let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
            let seeds = seeds.join(", ");
            format!("  machine      {device}, {threads} thread(s), a seed on each: {seeds}")
        }
    });
    let agent = assemble::agent(config, envs.as_ref())?;
    say(&format!("  update       {}", agent.update_rule()));
    let rounded_percent = rounded_percent(config, agent.as_ref());
    if let Some(percent) = rounded_percent {
        say(&format!(
            "  products     medium: bfloat16 factors and float32 sums for {percent:.0} % of the multiply-adds; float32 for \
             what goes through autograd, and for acting"
        ));
    }
    if registry.get(&config.env.id)?.family == "python" {
        say(
            "  resume       exact if the environment is a function of its seed and actions: its episode is played again",
        );
    }
    say(&format!("  run          {}", folder.display()));
    if let Some(percent) = rounded_percent.filter(|percent| *percent < WORTH_ROUNDING_PERCENT) {
        say(&format!(
            "warning: train.matmul_precision = \"medium\" gains next to nothing here: it applies to {percent:.0} % of the \
             multiply-adds"
        ));
    }
    Ok(())
}

/// With a smaller share of rounded multiply-adds, an update takes nearly as long as without.
const WORTH_ROUNDING_PERCENT: f64 = 20.0;

/// The share of the multiply-adds that `train.matmul_precision` applies to, if it is not the default.
fn rounded_percent(config: &Config, agent: &dyn Agent) -> Option<f64> {
    if config.train.matmul_precision != MatmulPrecision::Medium {
        return None;
    }
    let all: i64 = agent.costs().iter().map(|cost| cost.multiply_adds).sum();
    Some(100.0 * agent.fused_multiply_adds() as f64 / all.max(1) as f64)
}

/// How a run ended, before its [`result`].
pub fn ending(summary: &Summary) -> &'static str {
    match (summary.interrupted, summary.ended_early_at) {
        (true, _) => "interrupted at",
        (false, Some(_)) => "finished early at",
        (false, None) => "finished",
    }
}

/// That an evaluation has ended a run early, if one has.
pub fn say_early_end(summary: &Summary) {
    if let Some(mean_return) = summary.ended_early_at {
        say(&format!(
            "seed {}: ended early, at env step {}: an evaluation had a mean return of {mean_return:.2}, and eval.stop_at was \
             reached; to go on: sac train --resume {} --set eval.stop_at=inf",
            summary.seed,
            summary.env_steps,
            shell::word(&summary.run_dir)
        ));
    }
}

/// The result of a run, in a line.
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
