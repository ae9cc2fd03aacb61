//! Names of all metrics. `docs/metrics.md` explains each of them; a test checks that the lists agree.
//!
//! Metrics that Stable-Baselines3 also logs have the names that they have there.
//!
//! Names of network diagnostics contain placeholders, which [`filled`] replaces: `{part}` stands for a network,
//! `{encoder}` for an encoder, `{i}` for an index from 0.

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident = $tag:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $tag;)*
        /// Names of all metrics.
        pub const ALL: &[&str] = &[$($tag),*];
    };
}

metrics! {
    /// Mean return of the last 100 training episodes.
    EPISODE_REWARD_MEAN = "rollout/ep_rew_mean";
    /// Mean length of the last 100 training episodes, env steps.
    EPISODE_LENGTH_MEAN = "rollout/ep_len_mean";
    /// Fraction of them that ended with the task solved; only for tasks that say.
    SUCCESS_RATE = "rollout/success_rate";
    /// Env steps per second since the warm-up ended, or since the run was resumed.
    FPS = "time/fps";
    /// Fraction of the wall time since the last row that was spent on sampling batches and updating.
    LEARNING_SHARE = "time/learning_share";
    /// Fraction of that time that was spent on choosing actions.
    ACTING_SHARE = "time/acting_share";
    /// Fraction of that time in which environments stepped and nothing else ran.
    STEPPING_SHARE = "time/env_share";
    /// Fraction of that time in which training waited for evaluations.
    EVALUATING_SHARE = "time/eval_share";
    /// Fraction of that time that was spent on checkpoints.
    SAVING_SHARE = "time/checkpoint_share";
    /// Most memory that the process has had so far, MiB: that of all runs in it.
    PEAK_MEMORY = "time/peak_memory_mib";
    /// Number of updates.
    UPDATES = "train/n_updates";
    /// Updates per env step after the warm-up, as measured.
    UPDATE_RATIO = "train/updates_per_env_step";
    /// mean(α·log π − Q) of the last update.
    ACTOR_LOSS = "train/actor_loss";
    /// Loss of all members as the critic's page defines it; for scalar critics ½·Σ of the mean squared errors.
    CRITIC_LOSS = "train/critic_loss";
    /// α.
    ALPHA = "train/ent_coef";
    /// Loss of log α.
    ALPHA_LOSS = "train/ent_coef_loss";
    /// Mean of −log π over newly drawn actions, nats.
    ENTROPY = "train/entropy";
    /// Mean value over batch and members.
    Q_MEAN = "train/q_mean";
    /// Standard deviation of the value over batch and members.
    Q_STD = "train/q_std";
    /// Mean soft Bellman target.
    TARGET_MEAN = "train/target_mean";
    /// Mean learned standard deviation of the return, over batch and members.
    SIGMA_MEAN = "train/sigma_mean";
    /// Mean over members of the running standard deviation that sets the clipping of targets.
    SIGMA_RUNNING = "train/sigma_running";
    /// Fraction of the sampled targets that were clipped.
    TARGET_CLIPPED = "train/target_clipped";
    /// Smallest expected target of the last update.
    TARGET_MIN = "train/target_min";
    /// Largest expected target of the last update.
    TARGET_MAX = "train/target_max";
    /// β, the optimism of a second policy that explores.
    OPTIMISM = "train/optimism";
    /// Mean divergence of that policy from the first one, nats per coordinate.
    OPTIMISM_KL = "train/optimism_kl";
    /// λ, the weight of that divergence.
    OPTIMISM_KL_WEIGHT = "train/optimism_kl_weight";
    /// Loss of a separate state value.
    VALUE_LOSS = "train/value_loss";
    /// Mean of a separate state value over the batch.
    VALUE_MEAN = "train/value_mean";
    /// Transitions in the replay.
    REPLAY_SIZE = "replay/size";
    /// Largest priority so far; prioritised replay only.
    REPLAY_PRIORITY_MAX = "replay/priority_max";
    /// The exponent β of importance weights; prioritised replay only.
    REPLAY_IMPORTANCE_EXPONENT = "replay/importance_exponent";
    /// Warnings of the engine behind the environments since training was begun or resumed; only if there are any.
    ENV_WARNINGS = "env/warnings";
    /// Mean return of the evaluation episodes.
    EVAL_REWARD_MEAN = "eval/mean_reward";
    /// Standard deviation of the return over the evaluation episodes.
    EVAL_REWARD_STD = "eval/std_reward";
    /// Mean length of the evaluation episodes, env steps.
    EVAL_LENGTH_MEAN = "eval/mean_ep_length";
    /// Fraction of the evaluation episodes that ended with the task solved; only for tasks that say.
    EVAL_SUCCESS_RATE = "eval/success_rate";
    /// Fraction of the hidden units that are dormant.
    DORMANT_SHARE = "{part}/dormant_share";
    /// Smallest number of singular values of the features that add up to 99 % of their sum.
    SRANK = "{part}/srank";
    /// exp of the entropy of the features' normalised singular values.
    EFFECTIVE_RANK = "{part}/effective_rank";
    /// Entropy of the attention of a pooling over tokens, nats.
    ATTENTION_ENTROPY = "{encoder}/attention_entropy";
    /// Soft mixture of experts: entropy of a slot's dispatch weights over tokens, nats.
    DISPATCH_ENTROPY = "{encoder}/dispatch_entropy";
    /// Entropy of a token's combine weights over slots, nats.
    COMBINE_ENTROPY = "{encoder}/combine_entropy";
    /// Fraction of the combine weights that falls to an expert.
    EXPERT_COMBINE_SHARE = "{encoder}/expert_{i}_combine_share";
    /// Entropy of the dispatch weights of an expert's slots over tokens, nats.
    EXPERT_DISPATCH_ENTROPY = "{encoder}/expert_{i}_dispatch_entropy";
    /// Fraction of the combine weights that falls to a slot; only with several slots per expert.
    SLOT_COMBINE_SHARE = "{encoder}/slot_{i}_combine_share";
    /// Entropy of a slot's dispatch weights over tokens, nats; only with several slots per expert.
    SLOT_DISPATCH_ENTROPY = "{encoder}/slot_{i}_dispatch_entropy";
}

/// Image of the weights of the tokens in a pooling with attention.
pub const ATTENTION_IMAGE: &str = "{encoder}/attention";
/// Image of the weights of the tokens in the slots of a soft mixture of experts.
pub const DISPATCH_IMAGE: &str = "{encoder}/dispatch";
/// Names of all images.
pub const IMAGES: &[&str] = &[ATTENTION_IMAGE, DISPATCH_IMAGE];

/// Values of `{part}`.
pub const PARTS: &[&str] = &["policy", "critic", "policy_encoder", "critic_encoder"];
/// Values of `{encoder}`.
pub const ENCODERS: &[&str] = &["policy_encoder", "critic_encoder"];

/// Replaces every placeholder `{key}` in `name` by its value in `places`.
pub fn filled(name: &str, places: &[(&str, &str)]) -> String {
    let fill = |name: String, (key, value): &(&str, &str)| name.replace(&format!("{{{key}}}"), value);
    places.iter().fold(name.to_string(), fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_a_name_are_replaced() {
        let places = &[("encoder", "critic_encoder"), ("i", "3")];
        assert_eq!(
            filled(EXPERT_COMBINE_SHARE, places),
            "critic_encoder/expert_3_combine_share"
        );
    }
}
