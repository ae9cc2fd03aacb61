//! From settings to what they mean for one environment: [`Config`].

use std::ops::Deref;

use sac_agents::{
    Every,
    spec_problems::{SpecProblem, SpecProblems},
    temperature::{ActionUnits, TargetEntropy, TemperatureSpec},
    trainer::settings::{DeviceChoice, Threads},
};
use sac_envs::{Env, EnvError, Space};
use sac_report::suggest::nearest;
use serde::Serialize;

use super::{
    error::ConfigError,
    finite::not_finite,
    issue::{Issue, Issues},
    layers::Layers,
    settings::Settings,
};
use crate::{registry::Registry, spaces::Spaces};

/// [`Settings`] that were checked against an environment: valid, and without anything "auto". Serialised, it is a file
/// that repeats the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Config(Settings);

impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0
    }
}

impl Settings {
    /// Checks the settings for an environment of a registry, fills in its options, and chooses what is "auto".
    ///
    /// # Errors
    /// All problems at once; an unknown environment id that is the only one as [`ConfigError::Env`].
    pub fn resolve(&self, registry: &Registry) -> Result<Config, ConfigError> {
        resolve(self.clone(), Vec::new(), &Layers::default(), registry)
    }
}

impl Config {
    /// Resolves layers for the environments of a registry.
    ///
    /// # Errors
    /// All problems at once, each with the layer that set the value; an unknown environment id that is the only one as
    /// [`ConfigError::Env`].
    pub fn resolve(layers: &Layers, registry: &Registry) -> Result<Config, ConfigError> {
        let (settings, issues) = layers.read(&registry.catalog);
        resolve(settings, issues, layers, registry)
    }

    /// Threads of an update.
    pub fn threads(&self) -> u64 {
        match self.train.threads {
            Threads::Count(count) => count,
            Threads::Auto => unreachable!("a configuration contains no \"auto\""),
        }
    }

    /// The same with another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Config {
        self.0.train.seed = seed;
        self
    }

    /// The same with another number of threads for an update.
    #[must_use]
    pub fn with_threads(mut self, threads: u64) -> Config {
        self.0.train.threads = Threads::Count(threads.max(1));
        self
    }

    /// The same with other options of the environment. They are checked when it is made.
    #[must_use]
    pub(crate) fn with_env_options(mut self, options: &toml::Table) -> Config {
        self.0.env.options.extend(options.clone());
        self
    }

    /// The same for evaluations in training: with the options of their environment.
    #[must_use]
    pub(crate) fn for_evaluation(&self) -> Config {
        self.clone().with_env_options(&self.eval.env)
    }

    /// As a file that repeats the run.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a resolved configuration can be written as TOML: `resolve` tried")
    }

    /// As a table, to look values up by key.
    pub fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("a resolved configuration can be written as TOML: `resolve` tried")
    }
}

/// `issues`: what is wrong already. `layers` know where values come from; they may be empty.
fn resolve(
    mut settings: Settings,
    mut issues: Vec<Issue>,
    layers: &Layers,
    registry: &Registry,
) -> Result<Config, ConfigError> {
    let id = settings.env.id.clone();
    if id.is_empty() {
        let is_refused = issues.iter().any(|issue| issue.key == "env" || issue.key == "env.id");
        if is_refused || (!issues.is_empty() && layers.get("env.id").is_some_and(|id| id.as_str() != Some(""))) {
            return Err(Issues(issues).into());
        }
        issues.push(Issue {
            key: "env.id".into(),
            value: String::new(),
            problem: "no environment given; use --env ID (`sac envs` lists them)".into(),
            origin: None,
        });
        return Err(Issues(issues).into());
    }
    issues.extend(value_problems(&settings).map(|found| Issue {
        origin: layers.origin(&found.key).cloned(),
        key: found.key,
        value: found.value,
        problem: match found.problem.split(' ').next() {
            Some("no" | "unknown" | "this") => found.problem,
            _ => format!("expected {}", found.problem),
        },
    }));
    let device = choose_device(settings.train.device);
    if let Err(problem) = &device {
        let given = layers.get("train.device").map(ToString::to_string);
        issues.push(Issue {
            key: "train.device".into(),
            value: given.unwrap_or_else(|| format!("{:?}", settings.train.device)),
            problem: problem.clone(),
            origin: layers.origin("train.device").cloned(),
        });
    }

    let made = make_env(&settings, layers, registry, &mut issues).and_then(|env| {
        if let Some(env) = &env {
            check_eval_env(env.as_ref(), &settings, layers, registry, &mut issues)?;
        }
        Ok(env)
    });
    let env = match made {
        Ok(env) => env,
        Err(other) if issues.is_empty() => return Err(other.into()),
        Err(other) => {
            issues.push(Issue {
                origin: layers.origin("env.id").cloned(),
                key: "env.id".into(),
                value: format!("{id:?}"),
                problem: other.to_string(),
            });
            None
        }
    };
    settings.agent = settings.agent.clone().for_budget(settings.budget());
    if let Some(env) = &env {
        if let Err(problem) = to_normalised_entropy(&mut settings, registry) {
            issues.push(Issue {
                key: ENTROPY.into(),
                value: layers.get(ENTROPY).map(ToString::to_string).unwrap_or_default(),
                problem,
                origin: layers.origin(ENTROPY).cloned(),
            });
        }
        let problems = settings.agent.space_problems(env.action_space());
        let problems = problems
            .into_iter()
            .chain(settings.agent.observation_problems(env.observation_space()))
            .chain(settings.replay.hindsight_problem(env.observation_space(), env.goals()));
        issues.extend(problems.map(|found| Issue {
            origin: layers.origin(&found.key).cloned(),
            key: found.key,
            value: found.value,
            problem: found.problem,
        }));
    }
    for (key, value) in not_finite(&settings, registry) {
        let is_within = |whole: &str| {
            let rest = key.strip_prefix(whole);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        if !issues.iter().any(|issue| is_within(&issue.key)) {
            issues.push(Issue {
                origin: layers.origin(&key).cloned(),
                key,
                value: toml::Value::Float(value).to_string(),
                problem: "expected a finite number".into(),
            });
        }
    }
    let (Some(env), Ok(device), true) = (env, device, issues.is_empty()) else {
        return Err(Issues(issues).into());
    };

    settings.train.device = device;
    if settings.train.threads == Threads::Auto {
        settings.train.threads = Threads::Count(default_threads());
    }
    if let TemperatureSpec::Learned(spec) = &mut settings.agent.temperature {
        spec.target_entropy = spec.target_entropy.in_nats(env.action_space());
    }
    let mut options = registry.get(&id)?.options.clone();
    options.extend(settings.env.options);
    settings.env.options = options;
    make_absolute(&mut settings.env.options);
    make_absolute(&mut settings.eval.env);
    // A program can set what no file can hold, such as a seed above the integers of TOML.
    match toml::to_string(&settings) {
        Ok(_) => Ok(Config(settings)),
        Err(error) => Err(Issues::one("settings", "", error.to_string(), None).into()),
    }
}

const ENTROPY: &str = "agent.temperature.target_entropy";

/// Replaces a target entropy in the task's own units of actions by that on the normalised box.
fn to_normalised_entropy(settings: &mut Settings, registry: &Registry) -> Result<(), String> {
    let TemperatureSpec::Learned(spec) = &mut settings.agent.temperature else {
        return Ok(());
    };
    let TargetEntropy::PerAction {
        units: ActionUnits::Env,
        ..
    } = spec.target_entropy
    else {
        return Ok(());
    };
    let task = registry.make(&settings.env.id, &settings.env.options);
    let task = task.map_err(|error| error.to_string())?;
    if !matches!(task.action_space(), Space::Box { dtype, .. } if !dtype.is_whole()) {
        return Ok(()); // Refused with the other settings that do not fit discrete actions.
    }
    match spec.target_entropy.in_nats(task.action_space()) {
        TargetEntropy::Nats(nats) if !nats.is_finite() => Err(format!(
            "this is not finite for the actions {}: a coordinate has a single value",
            task.action_space()
        )),
        nats => {
            spec.target_entropy = nats;
            Ok(())
        }
    }
}

/// Values that are not valid whatever the environment.
fn value_problems(settings: &Settings) -> impl Iterator<Item = SpecProblem> {
    let Settings {
        env,
        train,
        agent,
        replay,
        eval,
        checkpoint,
        log,
        ..
    } = settings;
    let threads = match train.threads {
        Threads::Count(count) => count,
        Threads::Auto => 1,
    };
    let mut problems = SpecProblems::default();
    // The upper limits are far beyond use. They tell a slip of the finger before anything is allocated.
    const MOST: u64 = i64::MAX as u64;
    for (key, value, least, most) in [
        ("env.num_envs", env.num_envs, 1, 100_000),
        ("env.step_threads", env.step_threads, 1, 1024),
        ("train.total_env_steps", train.total_env_steps, 1, MOST),
        ("train.warmup_env_steps", train.warmup_env_steps, 0, MOST),
        ("train.warmup_hold_env_steps", train.warmup_hold_env_steps, 1, MOST),
        ("train.batch_size", train.batch_size, 1, 1_000_000),
        ("train.seed", train.seed, 0, MOST),
        ("train.threads", threads, 1, 1024),
        ("replay.capacity", replay.capacity, 1, MOST),
        ("replay.n_step", replay.n_step, 1, 10_000),
        ("eval.episodes", eval.episodes, 1, 1_000_000),
        ("eval.seed", eval.seed, 0, MOST),
        ("checkpoint.keep", checkpoint.keep, 1, MOST),
    ] {
        problems.require(value >= least, key, value, &format!("at least {least}"));
        problems.require(value <= most, key, value, &format!("at most {most}"));
    }
    for (key, every) in [
        ("eval.every", eval.every),
        ("checkpoint.every", checkpoint.every),
        ("log.every", log.every),
    ] {
        if let Every::EnvSteps(period) = every {
            let is_valid = (1..=MOST).contains(&period);
            problems.require(is_valid, key, period, &format!("between 1 and {MOST}"));
        }
    }
    problems.require(
        eval.stop_at.is_none_or(|stop_at| stop_at == f64::INFINITY) || eval.every != Every::Never,
        "eval.stop_at",
        eval.stop_at.unwrap_or_default(),
        "an eval.every that is not \"never\": without evaluations no return is known",
    );
    let ratio = train.updates_per_env_step.0;
    problems.require(
        ratio.is_finite() && (0.0..=10_000.0).contains(&ratio),
        "train.updates_per_env_step",
        ratio,
        "between 0 and 10000",
    );
    let critic_body = agent.critic_body.as_ref().unwrap_or(&agent.body);
    problems.require(
        train.batch_size > 1 || !(agent.body.normalizes_by_batch() || critic_body.normalizes_by_batch()),
        "train.batch_size",
        train.batch_size,
        "at least 2, because a network is normalised over the batch",
    );
    let annealed = agent.annealed().join(", ");
    problems.require(
        !train.cuda_graphs || annealed.is_empty(),
        "train.cuda_graphs",
        train.cuda_graphs,
        &format!("false, since an update is recorded with its numbers, and {annealed} changes while learning"),
    );
    let problems = problems.into_vec().into_iter();
    problems.chain(replay.problems()).chain(agent.problems())
}

/// The configured environment, with its options or, if it refuses some, without those, to report all of them. The
/// environment is `None` if it refused any.
fn make_env(
    settings: &Settings,
    layers: &Layers,
    registry: &Registry,
    issues: &mut Vec<Issue>,
) -> Result<Option<Box<dyn Env>>, EnvError> {
    let mut options = settings.env.options.clone();
    let mut is_refused = false;
    loop {
        match registry.make_normalised(&settings.env.id, &options) {
            Ok(env) => return Ok((!is_refused).then_some(env)),
            Err(EnvError::Option { option, problem, .. }) => {
                is_refused = true;
                issues.push(option_issue(settings, layers, &option, problem));
                // Every round takes something out of the options: this comes to an end.
                if !leave_out(&mut options, &option) {
                    return Ok(None);
                }
            }
            Err(_) if is_refused => return Ok(None),
            Err(other) => return Err(other),
        }
    }
}

/// Makes the path of a model file absolute, so that a run does not depend on the folder in which it was begun.
fn make_absolute(options: &mut toml::Table) {
    if let Some(toml::Value::String(file)) = options.get_mut("xml_file")
        && file.starts_with('.')
        && let Ok(path) = std::path::absolute(&*file)
        && let Ok(path) = path.into_os_string().into_string()
    {
        *file = path;
    }
}

/// Checks the environment of evaluations, where it has options of its own, against that of training, which has no issues.
fn check_eval_env(
    env: &dyn Env,
    settings: &Settings,
    layers: &Layers,
    registry: &Registry,
    issues: &mut Vec<Issue>,
) -> Result<(), EnvError> {
    let own = &settings.eval.env;
    let mut left = own.clone();
    while !left.is_empty() {
        let mut options = settings.env.options.clone();
        options.extend(left.clone());
        let (option, problem) = match registry.make_normalised(&settings.env.id, &options) {
            Err(EnvError::Option { option, problem, .. }) => (option, problem),
            Err(other) => return Err(other),
            Ok(_) if left.len() < own.len() => return Ok(()),
            Ok(eval_env) => {
                let [training, evaluation] = [env, eval_env.as_ref()].map(Spaces::of);
                if let Some([training, evaluation]) = training.differing(&evaluation) {
                    issues.push(Issue {
                        key: "eval.env".into(),
                        value: toml::Value::Table(own.clone()).to_string(),
                        problem: format!(
                            "expected the spaces of training: training has {training}, and evaluation {evaluation}"
                        ),
                        origin: layers.origin("eval.env").cloned(),
                    });
                }
                return Ok(());
            }
        };
        let value = option_value(own, &option).map(ToString::to_string);
        let key = format!("eval.env.{option}");
        issues.push(Issue {
            origin: layers.origin(&key).cloned(),
            key,
            value: value.unwrap_or_default(),
            problem,
        });
        // Every round takes something out: this comes to an end. An option of training that is refused only beside these
        // cannot be taken out.
        if !leave_out(&mut left, &option) {
            return Ok(());
        }
    }
    Ok(())
}

/// Takes an option out: `g`, `wrappers[1].std`, or for `wrappers[1]` all wrappers. Whether there was one.
fn leave_out(options: &mut toml::Table, option: &str) -> bool {
    let within = option.split_once('[').and_then(|(list, rest)| {
        let (index, name) = rest.split_once("].")?;
        let list = options.get_mut(list)?.as_array_mut()?;
        list.get_mut(index.parse::<usize>().ok()?)?.as_table_mut()?.remove(name)
    });
    let name = option.split_once('[').map_or(option, |(name, _)| name);
    within.is_some() || options.remove(name).is_some()
}

/// The value of an option: `g`, `wrappers[1].std` or `wrappers[1]`.
fn option_value<'a>(options: &'a toml::Table, option: &str) -> Option<&'a toml::Value> {
    let Some((list, rest)) = option.split_once('[') else {
        return options.get(option);
    };
    let (index, name) = rest.split_once(']')?;
    let element = options.get(list)?.get(index.parse::<usize>().ok()?)?;
    match name.strip_prefix('.') {
        Some(name) => element.get(name),
        None => Some(element),
    }
}

/// An option that the environment refuses.
fn option_issue(settings: &Settings, layers: &Layers, option: &str, problem: String) -> Issue {
    let key = format!("env.{option}");
    let value = option_value(&settings.env.options, option).map(ToString::to_string);
    // The environment knows its own options; these belong to the table around them.
    let near = nearest(option, ["id", "num_envs", "step_threads"]);
    let is_unknown = problem.contains("unknown") || problem.contains("no such");
    Issue {
        origin: layers.origin(&key).cloned(),
        key,
        value: value.unwrap_or_default(),
        problem: match near {
            Some(near) if is_unknown => format!("{problem}; did you mean `env.{near}`?"),
            _ => problem,
        },
    }
}

/// Small networks gain nothing from more than a few threads, and lose much.
fn default_threads() -> u64 {
    const MOST: usize = 4;
    std::thread::available_parallelism().map_or(1, |count| count.get().min(MOST)) as u64
}

/// The CPU, or a GPU that is there.
fn choose_device(wanted: DeviceChoice) -> Result<DeviceChoice, String> {
    let devices = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
    let index = match wanted {
        DeviceChoice::Cpu => return Ok(DeviceChoice::Cpu),
        DeviceChoice::Auto if devices == 0 => return Ok(DeviceChoice::Cpu),
        DeviceChoice::Auto => 0,
        DeviceChoice::Cuda(index) => index,
    };
    match devices {
        0 => Err("no CUDA device is visible; `sac doctor` says why; --device cpu needs none".to_string()),
        _ if index >= devices => Err(format!("no such device; there are {devices}")),
        _ => Ok(DeviceChoice::Cuda(index)),
    }
}

#[cfg(test)]
mod tests;
