//! Words of other toolkits and what they are called here: flags, keys, algorithms, environments.
//!
//! Whoever comes from Stable-Baselines3, CleanRL or Spinning Up types what is in their fingers. These tables turn a bare
//! refusal into an answer. A word that exists here is never looked up.

/// The flag or setting for a flag of another toolkit, such as `--total-timesteps`.
pub fn flag(name: &str) -> Option<&'static str> {
    let name = name.split('=').next().unwrap_or(name).trim_start_matches('-');
    let name = name.to_lowercase().replace('_', "-");
    let of = FLAGS.iter().find(|(names, _)| names.contains(&name.as_str()));
    of.map(|(_, answer)| *answer)
}

/// The key for a key of another toolkit, such as `buffer_size`. None within an optimizer, whose few keys are listed.
pub fn key(key: &str) -> Option<&'static str> {
    let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
    if table.ends_with("optimizer") {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let of = KEYS.iter().find(|(names, _)| names.contains(&name.as_str()));
    of.map(|(_, answer)| *answer)
}

/// What serves instead of an algorithm that is not here, such as `ppo`.
pub fn algo(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace(['_', ' '], "-");
    let of = ALGOS.iter().find(|(names, _)| names.contains(&name.as_str()));
    of.map(|(_, answer)| *answer)
}

/// Why an environment is not here, such as `ALE/Pong-v5`, and what is.
pub fn env(id: &str) -> Option<&'static str> {
    let id = id.to_lowercase();
    let of = ENVS
        .iter()
        .find(|(stems, _)| stems.iter().any(|stem| id.starts_with(stem)));
    of.map(|(_, answer)| *answer)
}

const METRICS: &str =
    "every run writes TensorBoard events and metrics.jsonl into its folder: `tensorboard --logdir runs`";

/// Flags without their dashes.
pub const FLAGS: &[(&[&str], &str)] = &[
    (
        &[
            "total-timesteps",
            "total-steps",
            "timesteps",
            "n-timesteps",
            "num-steps",
            "max-steps",
            "max-timesteps",
            "num-env-steps",
            "frames",
        ],
        "the env steps to train are --steps N",
    ),
    (
        &["learning-rate", "lr"],
        "all learning rates are set by --set agent.learning_rate=3e-4, one alone by --set \
         agent.policy.optimizer.learning_rate=3e-4",
    ),
    (
        &["policy-lr", "actor-lr", "q-lr", "critic-lr", "alpha-lr"],
        "each part has a learning rate of its own: --set agent.policy.optimizer.learning_rate=3e-4, and likewise for \
         agent.critic and agent.temperature",
    ),
    (
        &[
            "wandb",
            "track",
            "wandb-project-name",
            "wandb-project",
            "wandb-entity",
            "use-wandb",
            "tensorboard",
            "tensorboard-log",
            "logdir",
            "log-dir",
            "tb-log",
            "logger",
        ],
        METRICS,
    ),
    (
        &["env-id", "env-name", "gym-id", "task", "environment"],
        "the environment is --env ID",
    ),
    (&["algorithm", "agent", "preset"], "the algorithm is --algo NAME"),
    (
        &["n-envs", "num-environments", "num-workers", "vec-envs"],
        "environments stepped together are --num-envs N",
    ),
    (&["n-seeds", "num-seeds", "seed-list"], "several seeds are --seeds 1-5"),
    (&["cuda", "gpu", "use-gpu", "use-cuda"], "the device is --device cuda"),
    (&["cpu", "no-cuda"], "the device is --device cpu"),
    (
        &[
            "output-dir",
            "out-dir",
            "save-dir",
            "save-path",
            "save-folder",
            "log-folder",
            "log-path",
            "exp-name",
            "run-name",
            "name",
        ],
        "the folder of a run is --run-dir DIR",
    ),
    (
        &[
            "conf-file",
            "config-file",
            "conf",
            "cfg",
            "hyperparameter-file",
            "yaml-file",
        ],
        "a file of settings is --config FILE",
    ),
    (
        &[
            "hyperparams",
            "hyperparameters",
            "params",
            "override",
            "overrides",
            "option",
        ],
        "any key is --set KEY=VALUE",
    ),
    (
        &[
            "trained-agent",
            "load",
            "load-path",
            "checkpoint-path",
            "from-checkpoint",
            "restore",
            "continue",
        ],
        "a run is resumed with --resume DIR",
    ),
    (
        &["render", "capture-video", "record-video", "video"],
        "`sac play RUN --out film.gif` draws a trained policy",
    ),
    (
        &["n-eval-episodes", "eval-episodes", "num-eval-episodes"],
        "episodes of an evaluation are --set eval.episodes=N",
    ),
    (
        &["eval-freq", "eval-interval", "eval-every"],
        "the evaluations are --set eval.every={env_steps=N}",
    ),
    (
        &[
            "save-freq",
            "save-interval",
            "checkpoint-freq",
            "checkpoint-every",
            "save-model",
        ],
        "the checkpoints are --set checkpoint.every={env_steps=N}",
    ),
    (
        &["log-interval", "log-freq", "log-every"],
        "the rows of the log are --set log.every={env_steps=N}",
    ),
    (
        &["buffer-size", "replay-size", "memory-size"],
        "the size of the replay is --set replay.capacity=N",
    ),
    (
        &[
            "learning-starts",
            "start-steps",
            "warmup-steps",
            "random-steps",
            "start-timesteps",
        ],
        "the random steps at the start are --set train.warmup_env_steps=N",
    ),
    (
        &["batch-size"],
        "the transitions of an update are --set train.batch_size=N",
    ),
    (
        &["gradient-steps", "utd", "utd-ratio", "updates-per-step", "train-freq"],
        "the updates of an env step are --set train.updates_per_env_step=X",
    ),
    (&["gamma", "discount"], "the discount is --set agent.gamma=X"),
    (
        &["tau", "polyak"],
        "the rate of the target networks is --set agent.targets.tau=X",
    ),
    (
        &["alpha", "ent-coef", "entropy-coef"],
        "a fixed temperature is --set 'agent.temperature={kind=\"fixed\", alpha=X}'",
    ),
    (
        &["autotune", "automatic-entropy-tuning"],
        "the temperature is learned unless --set 'agent.temperature={kind=\"fixed\", alpha=X}'",
    ),
    (
        &["target-entropy"],
        "the target entropy is --set agent.temperature.target_entropy=X",
    ),
    (
        &["net-arch", "hidden-sizes", "hidden-size", "hidden-dim", "hidden"],
        "the hidden layers are --set agent.body.hidden=[256,256]",
    ),
    (
        &["n-critics", "num-critics", "num-qs"],
        "the number of critics is --set agent.critic.members=N",
    ),
    (
        &["num-threads", "n-threads", "torch-num-threads", "num-cpus"],
        "the threads of an update are --threads N",
    ),
    (
        &["deterministic"],
        "`sac eval` takes the mode of the policy unless --stochastic",
    ),
    (&["n-episodes", "num-episodes"], "episodes are --episodes N"),
    (&["stacked"], "several seeds are trained side by side: --seeds 1-5"),
];

/// Keys, each with the key here that it stands for.
pub const KEYS: &[(&[&str], &str)] = &[
    (
        &[
            "total_timesteps",
            "total_steps",
            "timesteps",
            "n_timesteps",
            "max_timesteps",
            "num_env_steps",
        ],
        "train.total_env_steps",
    ),
    (
        &[
            "learning_starts",
            "start_steps",
            "warmup_steps",
            "random_steps",
            "start_timesteps",
            "update_after",
        ],
        "train.warmup_env_steps",
    ),
    (
        &[
            "gradient_steps",
            "train_freq",
            "utd",
            "utd_ratio",
            "update_every",
            "updates_per_step",
        ],
        "train.updates_per_env_step",
    ),
    (&["batch_size", "minibatch_size"], "train.batch_size"),
    (&["seed", "random_seed"], "train.seed"),
    (&["device"], "train.device"),
    (
        &["buffer_size", "replay_size", "memory_size", "replay_buffer_size"],
        "replay.capacity",
    ),
    (&["n_steps", "n_step", "nstep"], "replay.n_step"),
    (&["optimize_memory_usage", "replay_buffer_class"], "replay.sampler"),
    (&["goal_selection_strategy"], "replay.hindsight.strategy"),
    (&["n_sampled_goal"], "replay.hindsight.k"),
    (&["gamma", "discount", "discount_factor"], "agent.gamma"),
    (&["tau", "polyak"], "agent.targets.tau"),
    (
        &["target_update_interval", "target_network_frequency"],
        "agent.delay.targets",
    ),
    (&["policy_frequency", "policy_delay"], "agent.delay.policy"),
    (&["ent_coef", "alpha", "entropy_coef", "autotune"], "agent.temperature"),
    (&["use_sde", "sde_sample_freq"], "agent.exploration"),
    (&["target_entropy"], "agent.temperature.target_entropy"),
    (
        &[
            "net_arch",
            "hidden_sizes",
            "hidden_size",
            "hidden_dim",
            "policy_kwargs",
            "hidden",
        ],
        "agent.body.hidden",
    ),
    (&["activation_fn", "activation"], "agent.body.activation"),
    (&["n_critics", "num_critics", "num_qs"], "agent.critic.members"),
    (&["n_quantiles", "num_quantiles"], "agent.critic.quantiles"),
    (
        &["learning_rate", "lr"],
        "agent.learning_rate, for all optimisers; agent.policy.optimizer.learning_rate for one",
    ),
    (
        &["lr_schedule", "anneal_lr"],
        "agent.policy.optimizer.anneal, and likewise for agent.critic and agent.temperature",
    ),
    (
        &["policy_lr", "actor_lr", "pi_lr"],
        "agent.policy.optimizer.learning_rate",
    ),
    (&["q_lr", "critic_lr", "qf_lr"], "agent.critic.optimizer.learning_rate"),
    (&["alpha_lr"], "agent.temperature.optimizer.learning_rate"),
    (&["env_id", "env_name", "gym_id"], "env.id"),
    (&["n_envs", "num_environments"], "env.num_envs"),
    (&["env_wrapper", "frame_stack"], "env.wrappers"),
    (&["max_episode_steps"], "env.time_limit"),
    (
        &["n_eval_episodes", "eval_episodes", "num_eval_episodes"],
        "eval.episodes",
    ),
    (&["eval_freq", "eval_interval", "eval_every"], "eval.every"),
    (&["save_freq", "save_interval", "checkpoint_freq"], "checkpoint.every"),
    (&["log_interval", "log_freq", "log_every"], "log.every"),
    (&["normalize", "norm_obs"], "agent.normalize_observations"),
];

/// Algorithms that are not here, or have another name.
pub const ALGOS: &[(&[&str], &str)] = &[
    (
        &[
            "ppo",
            "a2c",
            "a3c",
            "trpo",
            "acktr",
            "ppo-continuous",
            "recurrent-ppo",
            "reinforce",
            "vpg",
        ],
        "it learns on policy, which this toolkit does not; use `sac`, or `sac-discrete` for discrete actions",
    ),
    (
        &["td3", "ddpg", "d4pg", "td7", "ars"],
        "its policy is deterministic, and policies are stochastic here; `sac` serves the same tasks",
    ),
    (
        &["dqn", "ddqn", "double-dqn", "rainbow", "c51", "qr-dqn", "qrdqn", "iqn"],
        "it learns values without a policy; `sac-discrete` serves the same tasks",
    ),
    (
        &["sac-continuous", "sac-continuous-action", "sac-v2", "soft-actor-critic"],
        "here it is `sac`",
    ),
    (&["discrete-sac", "sacd"], "here it is `sac-discrete`"),
    (
        &["sac-n", "edac", "cql", "iql"],
        "it is not here; `redq`, `droq` and `tqc` are the nearest",
    ),
    (
        &["drq-v2", "drqv2", "curl", "rad", "sac-ae"],
        "it is not here; `drq` and `sac-pixels` learn from pixels",
    ),
];

/// Beginnings of the ids of environments that are not here.
pub const ENVS: &[(&[&str], &str)] = &[
    (
        &["lunarlander", "bipedalwalker", "carracing"],
        "tasks of Box2D are not here; `sac envs` lists those that are, and `sac new DIR` begins a crate with a task of your own",
    ),
    (
        &[
            "ale/",
            "pong",
            "breakout",
            "spaceinvaders",
            "qbert",
            "seaquest",
            "beamrider",
            "enduro",
            "mspacman",
            "asteroids",
            "montezuma",
        ],
        "Atari's games are not here; every task of `sac envs` can be learned from pixels: \
         --set 'env.wrappers=[{kind=\"pixels\"}, {kind=\"frame_stack\"}]'",
    ),
    (
        &["frozenlake", "taxi", "cliffwalking", "blackjack"],
        "tasks of toy text, with numbered states, are not here; `sac envs` lists those that are",
    ),
    (
        &[
            "dm_control/",
            "dm-control/",
            "dmc_",
            "cheetah-run",
            "walker-walk",
            "humanoid-run",
        ],
        "tasks of dm_control are not here; those of MuJoCo in Gymnasium's version 5 are, such as HalfCheetah-v5",
    ),
    (
        &[
            "handmanipulate",
            "handreach",
            "antmaze",
            "pointmaze",
            "franka",
            "adroit",
            "maniskill",
            "panda",
            "metaworld",
            "meta-world",
        ],
        "of the tasks of robotics packages, those of the Fetch robot are here; `sac envs` lists what there is, and \
         `sac new DIR` begins a crate with a task of your own",
    ),
    (
        &["minigrid", "procgen", "minecraft", "crafter", "nethack", "vizdoom"],
        "it is not here; `sac envs` lists the tasks that are, and `sac new DIR` begins a crate with a task of your own",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_another_toolkit_is_found_however_it_is_written() {
        for name in ["--total-timesteps", "--total_timesteps", "--total-timesteps=1000"] {
            assert!(flag(name).is_some_and(|answer| answer.contains("--steps")), "{name}");
        }
        assert_eq!(key("buffer_size"), Some("replay.capacity"));
        assert_eq!(key("replay.buffer-size"), Some("replay.capacity"));
        assert!(algo("TD3").is_some_and(|answer| answer.contains("`sac`")));
        assert!(env("ALE/Pong-v5").is_some_and(|answer| answer.contains("pixels")));
        assert_eq!(
            (flag("--banana"), key("banana"), algo("banana"), env("Banana-v0")),
            (None, None, None, None)
        );
    }

    #[test]
    fn no_word_stands_in_a_table_twice() {
        for (what, table) in [
            ("flag", FLAGS),
            ("key", KEYS),
            ("algorithm", ALGOS),
            ("environment", ENVS),
        ] {
            let mut words: Vec<&str> = table.iter().flat_map(|(words, _)| words.iter().copied()).collect();
            words.sort_unstable();
            let twice = words.windows(2).find(|pair| pair[0] == pair[1]);
            assert_eq!(twice, None, "{what}");
        }
    }
}
