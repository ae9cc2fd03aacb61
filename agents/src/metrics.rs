//! Names of everything that is logged. `docs/metrics.md` explains each; a test holds the two together.
//!
//! The names are those that users of Stable-Baselines3 know, and more for what that library hides.

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident = $tag:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $tag;)*
        /// Every metric.
        pub const ALL: &[&str] = &[$($tag),*];
    };
}

metrics! {
    /// Mean return of the last 100 training episodes.
    EPISODE_REWARD_MEAN = "rollout/ep_rew_mean";
    /// Mean length of the last 100 training episodes, env steps.
    EPISODE_LENGTH_MEAN = "rollout/ep_len_mean";
    /// Env steps per second since training began or resumed.
    FPS = "time/fps";
    /// Updates taken.
    UPDATES = "train/n_updates";
    /// Updates per env step after the warm-up, as achieved.
    UPDATE_RATIO = "train/updates_per_env_step";
    /// mean(α·log π − Q) of the last update.
    ACTOR_LOSS = "train/actor_loss";
    /// Loss of all members, as the critic's page defines it; for scalar critics ½·Σ of the mean squared error.
    CRITIC_LOSS = "train/critic_loss";
    /// α.
    ALPHA = "train/ent_coef";
    /// Loss of log α.
    ALPHA_LOSS = "train/ent_coef_loss";
    /// Mean of −log π at fresh actions, nats.
    ENTROPY = "train/entropy";
    /// Mean value over batch and members.
    Q_MEAN = "train/q_mean";
    /// Standard deviation of the value over batch and members.
    Q_STD = "train/q_std";
    /// Mean soft Bellman target.
    TARGET_MEAN = "train/target_mean";
    /// Mean learned spread of the return, over batch and members.
    SIGMA_MEAN = "train/sigma_mean";
    /// Mean over members of the running spread that clips targets.
    SIGMA_RUNNING = "train/sigma_running";
    /// Part of the sampled targets that were clipped.
    TARGET_CLIPPED = "train/target_clipped";
    /// Loss of a separate state value.
    VALUE_LOSS = "train/value_loss";
    /// Mean of a separate state value over the batch.
    VALUE_MEAN = "train/value_mean";
    /// Transitions in the replay.
    REPLAY_SIZE = "replay/size";
    /// Greatest priority so far; prioritised replay only.
    REPLAY_PRIORITY_MAX = "replay/priority_max";
    /// β; prioritised replay only.
    REPLAY_IMPORTANCE_EXPONENT = "replay/importance_exponent";
    /// Mean return of the evaluation episodes.
    EVAL_REWARD_MEAN = "eval/mean_reward";
    /// Standard deviation of the return over the evaluation episodes.
    EVAL_REWARD_STD = "eval/std_reward";
    /// Mean length of the evaluation episodes, env steps.
    EVAL_LENGTH_MEAN = "eval/mean_ep_length";
}
