//! `sac eval`.

use sac::{
    Error, Result,
    agents::{ActMode, EnvSteps, checkpoint::Checkpoint, evaluate},
    assemble,
    envs::Registry,
    run::{RunFolder, Which},
};
use serde::Serialize;

use super::{env_options, messages::say, print, print_json};
use crate::cli::EvalArgs;

#[derive(Serialize)]
struct Scores {
    env: String,
    algo: String,
    checkpoint: String,
    env_steps: u64,
    episodes: usize,
    mean_return: f64,
    std_return: f64,
    min_return: f64,
    max_return: f64,
    mean_length: f64,
    returns: Vec<f64>,
    /// What the environment was changed by.
    set: Vec<String>,
}

pub fn run(args: &EvalArgs) -> Result<()> {
    let registry = Registry::builtin();
    let folder = RunFolder::open(&args.run)?;
    let mut config = folder.config(&registry)?;
    config.env.options.extend(env_options(&args.sets)?);
    let (path, which) = choose(&folder, args.checkpoint.as_deref())?;
    assemble::prepare_process(&config);
    let episodes = args.episodes as usize;
    let mut envs = assemble::eval_envs(&config, &registry, episodes)?;
    let mut agent = assemble::agent(&config, envs.as_ref())?;
    let checkpoint = Checkpoint::read(&path, &["policy"])?;
    agent
        .load_policy(&checkpoint)
        .map_err(|error| checkpoint.locate(error))?;
    let mode = if args.stochastic {
        ActMode::Explore
    } else {
        ActMode::Evaluate
    };
    let evaluation = evaluate(agent.as_mut(), envs.as_mut(), episodes, args.seed, mode)?;
    let scores = Scores {
        env: config.env.id,
        algo: config.algo,
        checkpoint: which,
        env_steps: checkpoint.manifest.env_steps.0,
        episodes,
        mean_return: evaluation.mean_return(),
        std_return: evaluation.std_return(),
        min_return: evaluation.min_return(),
        max_return: evaluation.max_return(),
        mean_length: evaluation.mean_length(),
        returns: evaluation.returns,
        set: args.sets.clone(),
    };
    if args.json {
        return print_json(&scores);
    }
    let Scores {
        env,
        checkpoint,
        env_steps,
        mean_return,
        std_return,
        min_return,
        max_return,
        mean_length,
        ..
    } = scores;
    print(&format!(
        "{env}, policy `{checkpoint}` of env step {env_steps}, {episodes} episodes\n\
         mean return {mean_return:.2} ± {std_return:.2} (min {min_return:.2}, max {max_return:.2}), \
         mean length {mean_length:.1}\n"
    ))
}

/// The folder of the policy, and what it is called.
pub fn choose(folder: &RunFolder, wanted: Option<&str>) -> Result<(std::path::PathBuf, String)> {
    let which = match wanted {
        Some("best") => Which::Best,
        Some("last") => Which::Last,
        Some(steps) => Which::At(EnvSteps(steps.parse().map_err(|_| {
            Error::Usage(format!(
                "--checkpoint {steps}: expected best, last, or a number of env steps"
            ))
        })?)),
        None => match folder.saved(Which::Best) {
            Ok(path) => return Ok((path, "best".to_string())),
            Err(_) => {
                let path = folder.saved(Which::Last)?;
                say("nothing was evaluated in this run; taking the last checkpoint");
                return Ok((path, "last".to_string()));
            }
        },
    };
    Ok((folder.saved(which)?, wanted.unwrap_or("best").to_string()))
}
