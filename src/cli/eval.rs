//! `sac eval`.

use sac_agents::EnvSteps;
use sac_cli::{args::EvalArgs, messages::say};
use serde::Serialize;

use super::{
    input::env_options,
    output::{print, print_json},
};
use crate::{
    error::{Error, Result},
    policy::{EvaluateOptions, Policy},
    registry::Registry,
    run::Which,
};

#[derive(Serialize)]
struct Scores<'a> {
    env: &'a str,
    algo: &'a str,
    checkpoint: &'a str,
    env_steps: u64,
    episodes: u64,
    mean_return: f64,
    std_return: f64,
    min_return: f64,
    max_return: f64,
    mean_length: f64,
    /// Only for tasks that say whether they are solved.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<f64>,
    returns: Vec<f64>,
    /// Changed options of the environment.
    set: &'a [String],
}

pub fn run(args: &EvalArgs, registry: &Registry) -> Result<()> {
    let which = which(args.checkpoint.as_deref())?;
    let options = EvaluateOptions {
        episodes: args.episodes,
        seed: args.seed,
        stochastic: args.stochastic,
        env: env_options(&args.sets)?,
    };
    let mut policy = load(&args.run, which, &args.device, &options.env, registry)?;
    let evaluation = policy.evaluate_with(&options)?;
    let scores = Scores {
        env: &policy.config().env.id,
        algo: policy.config().algo.name(),
        checkpoint: policy.saved_as(),
        env_steps: policy.env_steps().0,
        episodes: args.episodes,
        mean_return: evaluation.mean_return(),
        std_return: evaluation.std_return(),
        min_return: evaluation.min_return(),
        max_return: evaluation.max_return(),
        mean_length: evaluation.mean_length(),
        success_rate: evaluation.success_rate(),
        returns: evaluation.returns,
        set: &args.sets,
    };
    if args.json {
        return print_json(&scores);
    }
    let Scores {
        env,
        checkpoint,
        env_steps,
        episodes,
        mean_return,
        std_return,
        min_return,
        max_return,
        mean_length,
        success_rate,
        ..
    } = scores;
    let success = success_rate.map_or(String::new(), |rate| format!(", success rate {rate:.2}"));
    print(&format!(
        "{env}, policy `{checkpoint}` of env step {env_steps}, {episodes} episodes\n\
         mean return {mean_return:.2} ± {std_return:.2} (min {min_return:.2}, max {max_return:.2}), \
         mean length {mean_length:.1}{success}\n"
    ))
}

/// Which policy `--checkpoint` names.
pub fn which(checkpoint: Option<&str>) -> Result<Which> {
    match checkpoint {
        None => Ok(Which::BestOrLast),
        Some("best") => Ok(Which::Best),
        Some("last") => Ok(Which::Last),
        Some(steps) => match steps.parse() {
            Ok(steps) => Ok(Which::At(EnvSteps(steps))),
            Err(_) => Err(Error::Usage(format!(
                "--checkpoint {steps}: expected best, last, or a number of env steps"
            ))),
        },
    }
}

/// Loads a policy to act in an environment with these options, and says so if it is not the best one although none was named.
pub fn load(
    run: &std::path::Path,
    which: Which,
    device: &str,
    env: &toml::Table,
    registry: &Registry,
) -> Result<Policy> {
    let policy = Policy::load_to_act_in(run, which, device, env, registry)?;
    if which == Which::BestOrLast && policy.saved_as() != "best" {
        say("nothing was evaluated in this run; taking the last checkpoint");
    }
    Ok(policy)
}
