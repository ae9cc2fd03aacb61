//! `sac rollout`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use sac_cli::args::RolloutArgs;
use sac_envs::{Env, NumpyRng, Space};
use serde::Serialize;

use super::{
    eval,
    input::{env_options, read_named},
};
use crate::{
    error::{Error, Result},
    policy::Policy,
    registry::Registry,
};

const DEFAULT_STEPS: u64 = 1000;

/// What chooses actions, in the environment's own units.
enum Actor {
    /// As Gymnasium's `action_space.seed(seed)` and `sample()` do.
    Random(Box<NumpyRng>),
    Listed(Vec<Vec<f32>>),
    Policy(Box<Policy>),
}

pub fn run(args: &RolloutArgs, registry: &Registry) -> Result<()> {
    let (mut env, actor) = match &args.policy {
        Some(path) => {
            let which = eval::which(args.checkpoint.as_deref())?;
            let policy = eval::load(path, which, &args.device, &toml::Table::new(), registry)?;
            (policy.env()?, Actor::Policy(Box::new(policy)))
        }
        None => {
            let id = args.env.as_deref().unwrap_or_default();
            let env = registry.make(id, &env_options(&args.sets)?)?;
            let actor = match &args.actions {
                Some(path) => Actor::Listed(read_actions(path, env.action_space())?),
                None => Actor::Random(Box::new(NumpyRng::new(args.seed))),
            };
            (env, actor)
        }
    };
    let outcome = match &args.out {
        None => write(env.as_mut(), actor, args, &mut BufWriter::new(io::stdout().lock())),
        Some(path) => {
            let file = File::create(path).map_err(Error::io(path))?;
            write(env.as_mut(), actor, args, &mut BufWriter::new(file))
        }
    };
    match outcome {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// `[[0.5], [1.0]]`, or plain numbers where an action is one number.
fn read_actions(path: &Path, space: &Space) -> Result<Vec<Vec<f32>>> {
    let bad = |problem: String| Error::Usage(format!("{}: {problem}", path.display()));
    let text = read_named(path)?;
    let list: Vec<serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| bad(format!("expected a JSON array of actions ({error})")))?;
    let number = |value: &serde_json::Value| {
        let number = value.as_f64()? as f32;
        number.is_finite().then_some(number)
    };
    list.iter()
        .enumerate()
        .map(|(index, value)| {
            let numbers = match value {
                serde_json::Value::Array(values) => values.iter().map(number).collect(),
                single => number(single).map(|number| vec![number]),
            };
            match numbers {
                Some(numbers) if numbers.len() == space.len() => Ok(numbers),
                _ => Err(bad(format!(
                    "action {index} is {value}, expected {} finite number(s) for {space}",
                    space.len()
                ))),
            }
        })
        .collect()
}

/// One line of output. Numbers print with the fewest digits that read back to the same bits.
#[derive(Serialize)]
struct Line<'a> {
    t: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<Action<'a>>,
    obs: &'a [f32],
    #[serde(skip_serializing_if = "Option::is_none")]
    reward: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Action<'a> {
    Index(u64),
    Numbers(&'a [f32]),
}

impl<'a> Line<'a> {
    /// The line of a reset.
    fn first(obs: &'a [f32]) -> Self {
        Line {
            t: 0,
            action: None,
            obs,
            reward: None,
            terminated: None,
            truncated: None,
        }
    }
}

fn write(env: &mut dyn Env, mut actor: Actor, args: &RolloutArgs, out: &mut dyn Write) -> Result<()> {
    let to = || args.out.clone().unwrap_or_else(|| "stdout".into());
    let steps = match (&actor, args.steps) {
        (Actor::Listed(actions), Some(steps)) => steps.min(actions.len() as u64),
        (Actor::Listed(actions), None) => actions.len() as u64,
        (_, steps) => steps.unwrap_or(DEFAULT_STEPS),
    };
    let mut line = |value: &Line| {
        let text = serde_json::to_string(value).map_err(|error| Error::io(to())(error.into()))?;
        writeln!(out, "{text}").map_err(Error::io(to()))
    };
    let mut obs = vec![0.0f32; env.observation_space().len()];
    let mut action = vec![0.0f32; env.action_space().len()];
    let is_discrete = matches!(env.action_space(), Space::Discrete { .. });
    env.reset(Some(args.seed), &mut obs)?;
    line(&Line::first(&obs))?;
    let mut t = 0;
    for step in 0..steps {
        match &mut actor {
            Actor::Random(rng) => env.action_space().gymnasium_sample(rng, &mut action),
            Actor::Listed(actions) => action.copy_from_slice(&actions[step as usize]),
            Actor::Policy(policy) => policy.act_into(&obs, &mut action)?,
        }
        let outcome = env.step(&action, &mut obs)?;
        t += 1;
        line(&Line {
            t,
            action: Some(if is_discrete {
                Action::Index(action[0] as u64)
            } else {
                Action::Numbers(&action)
            }),
            obs: &obs,
            reward: Some(outcome.reward),
            terminated: Some(outcome.terminated),
            truncated: Some(outcome.truncated),
        })?;
        if outcome.status().is_over() {
            env.reset(None, &mut obs)?;
            t = 0;
            line(&Line::first(&obs))?;
        }
    }
    out.flush().map_err(Error::io(to()))
}
