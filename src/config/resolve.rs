//! From what was written to what it means: [`Config`].

use sac_agents::{
    AgentSpec, EnvSteps, Every, MatmulPrecision, ReplaySpec, UpdateRatio, spec_problems::SpecProblems,
    temperature::TemperatureSpec, trainer::Plan,
};
use sac_envs::{Env, EnvError, Registry};
use serde::Serialize;

use super::{Issue, Issues, Layers, Setting, issue::nearest};

/// A configuration that is whole and valid. Serialised, it is a file that repeats the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Preset that the run was derived from.
    pub algo: String,
    /// Where the agent acts.
    pub env: EnvConfig,
    /// How long and how fast it learns.
    pub train: TrainConfig,
    /// Who learns; γ stands here and nowhere else.
    pub agent: AgentSpec,
    /// What it remembers.
    pub replay: ReplaySpec,
    /// When and how it is scored.
    pub eval: EvalConfig,
    /// When it is saved.
    pub checkpoint: CheckpointConfig,
    /// When numbers are written.
    pub log: LogConfig,
}

/// `[env]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvConfig {
    /// A registered id.
    pub id: String,
    /// Copies stepped together.
    pub num_envs: u64,
    /// Threads that step them.
    pub step_threads: u64,
    /// The task's own options, defaults filled in.
    #[serde(flatten)]
    pub options: toml::Table,
}

/// `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Stop at exactly this count.
    pub total_env_steps: u64,
    /// Random actions and no updates until here.
    pub warmup_env_steps: u64,
    /// How long each random action is held.
    pub warmup_hold_env_steps: u64,
    /// Updates per env step after the warm-up.
    pub updates_per_env_step: UpdateRatio,
    /// Whether environments step while the learner updates.
    pub pipelined: bool,
    /// Transitions per update.
    pub batch_size: u64,
    /// Root of every random stream.
    pub seed: u64,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of an update: libtorch's, or our own where networks go by hand.
    pub threads: u64,
    /// Of networks that learn without autograd. Whether this machine can is asked when training starts: elsewhere the
    /// configuration may be read, and its policies act.
    pub matmul_precision: MatmulPrecision,
    /// Whether updates on a GPU are recorded once and repeated. Whether this binary and this machine can is asked when
    /// training starts.
    pub cuda_graphs: bool,
}

/// `[eval]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalConfig {
    /// How often, besides at the end.
    pub every: Every,
    /// Per evaluation.
    pub episodes: u64,
    /// Of the episodes.
    pub seed: u64,
    /// Whether the agent looks at its networks.
    pub inspect: bool,
    /// Whether training goes on meanwhile.
    pub beside_training: bool,
}

/// `[checkpoint]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckpointConfig {
    /// How often, besides at the end.
    pub every: Every,
    /// How many stay.
    pub keep: u64,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogConfig {
    /// How often a row is written.
    pub every: Every,
}

/// Why layers could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The environment does not exist or cannot be made.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// Values that cannot be.
    #[error(transparent)]
    Issues(#[from] Issues),
}

impl Config {
    /// Resolves layers for the environments of a registry.
    ///
    /// # Errors
    /// All problems at once; an unknown environment id that is the only one as [`ResolveError::Env`].
    pub fn resolve(layers: &Layers, registry: &Registry) -> Result<Config, ResolveError> {
        let (raw, mut issues) = layers.read();
        let Some(id) = raw.env.id else {
            issues.push(Issue {
                key: "env.id".into(),
                value: String::new(),
                problem: "no environment given; use --env ID (`sac envs` lists them)".into(),
                origin: None,
            });
            return Err(Issues(issues).into());
        };

        let mut problems = SpecProblems::default();
        let p = &mut problems;
        let train = &raw.train;
        let threads = match train.threads {
            Setting::Count(count) => count,
            Setting::Auto => default_threads(),
        };
        let count = |p: &mut SpecProblems, key: &str, value: u64| p.require(value >= 1, key, value, "at least 1");
        count(p, "env.num_envs", raw.env.num_envs);
        count(p, "env.step_threads", raw.env.step_threads);
        count(p, "train.total_env_steps", train.total_env_steps);
        count(p, "train.warmup_hold_env_steps", train.warmup_hold_env_steps);
        count(p, "train.batch_size", train.batch_size);
        count(p, "replay.capacity", raw.replay.capacity);
        count(p, "replay.n_step", raw.replay.n_step);
        count(p, "eval.episodes", raw.eval.episodes);
        count(p, "checkpoint.keep", raw.checkpoint.keep);
        // Far beyond use; a slip of the finger is told here and not by the allocator.
        let limits = [
            ("env.num_envs", raw.env.num_envs, 100_000),
            ("env.step_threads", raw.env.step_threads, 1024),
            ("train.batch_size", train.batch_size, 1_000_000),
            ("train.threads", threads, 1024),
            ("replay.n_step", raw.replay.n_step, 10_000),
            ("eval.episodes", raw.eval.episodes, 1_000_000),
        ];
        for (key, value, most) in limits {
            p.require(value <= most, key, value, &format!("at most {most}"));
        }
        let ratio = train.updates_per_env_step.0;
        let key = "train.updates_per_env_step";
        p.require(
            ratio.is_finite() && (0.0..=10_000.0).contains(&ratio),
            key,
            ratio,
            "between 0 and 10000",
        );
        let annealed = raw.agent.annealed().join(", ");
        p.require(
            !train.cuda_graphs || annealed.is_empty(),
            "train.cuda_graphs",
            train.cuda_graphs,
            &format!("false, since an update is recorded with its numbers, and {annealed} changes while learning"),
        );
        let device = resolve_device(&train.device);
        let problem = device.as_ref().err().cloned().unwrap_or_default();
        p.require(device.is_ok(), "train.device", format!("{:?}", train.device), &problem);

        issues.extend(
            problems
                .into_vec()
                .into_iter()
                .chain(raw.replay.problems())
                .chain(raw.agent.problems())
                .map(|found| Issue {
                    origin: layers.origin(&found.key).cloned(),
                    key: found.key,
                    value: found.value,
                    problem: match found.problem.split(' ').next() {
                        Some("no" | "unknown" | "this") => found.problem,
                        _ => format!("expected {}", found.problem),
                    },
                }),
        );

        let env: Option<Box<dyn Env>> = match registry.make_normalised(&id, &raw.env.options) {
            Ok(env) => Some(env),
            Err(EnvError::Option { option, problem, .. }) => {
                let key = format!("env.{option}");
                let value = raw
                    .env
                    .options
                    .get(&option)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let known = ["id", "num_envs", "step_threads"];
                let problem = match nearest(&option, known) {
                    Some(near) if problem.contains("unknown") || problem.contains("no such") => {
                        format!("{problem}; did you mean `env.{near}`?")
                    }
                    _ => problem,
                };
                issues.push(Issue {
                    origin: layers.origin(&key).cloned(),
                    key,
                    value,
                    problem,
                });
                None
            }
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
        if let Some(env) = &env {
            issues.extend(
                raw.agent
                    .space_problems(env.action_space())
                    .into_iter()
                    .chain(raw.agent.observation_problems(env.observation_space()))
                    .map(|found| Issue {
                        origin: layers.origin(&found.key).cloned(),
                        key: found.key,
                        value: found.value,
                        problem: found.problem,
                    }),
            );
        }
        let (Some(env), Ok(device), true) = (env, device, issues.is_empty()) else {
            return Err(Issues(issues).into());
        };

        let mut agent = raw.agent;
        if let TemperatureSpec::Learned(spec) = &mut agent.temperature {
            spec.target_entropy = spec.target_entropy.in_nats(env.action_space());
        }
        let mut options = registry.get(&id)?.options.clone();
        options.extend(raw.env.options);
        Ok(Config {
            algo: raw.algo.unwrap_or_else(|| "sac".to_string()),
            env: EnvConfig {
                id,
                num_envs: raw.env.num_envs,
                step_threads: raw.env.step_threads,
                options,
            },
            train: TrainConfig {
                total_env_steps: train.total_env_steps,
                warmup_env_steps: train.warmup_env_steps,
                warmup_hold_env_steps: train.warmup_hold_env_steps,
                updates_per_env_step: train.updates_per_env_step,
                pipelined: train.pipelined,
                batch_size: train.batch_size,
                seed: train.seed,
                device,
                threads,
                matmul_precision: train.matmul_precision,
                cuda_graphs: train.cuda_graphs,
            },
            agent,
            replay: raw.replay,
            eval: EvalConfig {
                every: raw.eval.every,
                episodes: raw.eval.episodes,
                seed: raw.eval.seed,
                inspect: raw.eval.inspect,
                beside_training: raw.eval.beside_training,
            },
            checkpoint: CheckpointConfig {
                every: raw.checkpoint.every,
                keep: raw.checkpoint.keep,
            },
            log: LogConfig { every: raw.log.every },
        })
    }

    /// What the trainer is to do.
    pub fn plan(&self) -> Plan {
        Plan {
            seed: self.train.seed,
            total_env_steps: EnvSteps(self.train.total_env_steps),
            warmup_env_steps: EnvSteps(self.train.warmup_env_steps),
            warmup_hold_env_steps: self.train.warmup_hold_env_steps,
            updates_per_env_step: self.train.updates_per_env_step,
            pipelined: self.train.pipelined,
            eval_every: self.eval.every,
            eval_episodes: self.eval.episodes as usize,
            eval_seed: self.eval.seed,
            inspect: self.eval.inspect,
            checkpoint_every: self.checkpoint.every,
            log_every: self.log.every,
        }
    }

    /// As a file that repeats the run.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a resolved configuration has text keys and finite numbers")
    }

    /// As a table, to look values up by key.
    pub fn to_table(&self) -> toml::Table {
        toml::Table::try_from(self).expect("a resolved configuration has text keys and finite numbers")
    }
}

/// Small networks gain nothing beyond a few threads and lose much by it.
fn default_threads() -> u64 {
    const MOST: usize = 4;
    std::thread::available_parallelism().map_or(1, |count| count.get().min(MOST)) as u64
}

fn resolve_device(device: &str) -> Result<String, String> {
    let devices = tch::Cuda::device_count();
    let index = match device {
        "cpu" => return Ok("cpu".to_string()),
        "auto" if devices == 0 => return Ok("cpu".to_string()),
        "auto" | "cuda" => 0,
        other => match other.strip_prefix("cuda:").and_then(|index| index.parse::<i64>().ok()) {
            Some(index) => index,
            None => return Err("\"auto\", \"cpu\", \"cuda\" or \"cuda:N\"".to_string()),
        },
    };
    match devices {
        0 => Err("no CUDA device is visible; `sac doctor` says why".to_string()),
        _ if index >= devices => Err(format!("no such device; there are {devices}")),
        _ => Ok(format!("cuda:{index}")),
    }
}
