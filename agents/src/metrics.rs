//! Names of everything that is logged. `docs/metrics.md` explains each; a test holds the two together.
//!
//! The names are those that users of Stable-Baselines3 know, and more for what that library hides.
//!
//! What an agent shows of its networks has places in its name, which [`filled`] fills: `{part}` is a network, `{encoder}`
//! an encoder, `{i}` a count from 0.

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
    /// Env steps per second since the warm-up ended, or since the run was resumed.
    FPS = "time/fps";
    /// Part of the wall time since the last row that went into batches and updates.
    LEARNING_SHARE = "time/learning_share";
    /// Part of it that went into choosing actions.
    ACTING_SHARE = "time/acting_share";
    /// Part of it in which environments stepped and nothing else happened.
    STEPPING_SHARE = "time/env_share";
    /// Part of it in which training waited for evaluations.
    EVALUATING_SHARE = "time/eval_share";
    /// Part of it that went into checkpoints.
    SAVING_SHARE = "time/checkpoint_share";
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
    /// Part of the hidden units that are dormant.
    DORMANT_SHARE = "{part}/dormant_share";
    /// Directions that hold all but a hundredth of the features' singular values.
    SRANK = "{part}/srank";
    /// exp of the entropy of the features' singular values.
    EFFECTIVE_RANK = "{part}/effective_rank";
    /// Entropy of a pooling's attention over tokens, nats.
    ATTENTION_ENTROPY = "{encoder}/attention_entropy";
    /// Soft mixture of experts: entropy over tokens of what a slot is mixed of, nats.
    DISPATCH_ENTROPY = "{encoder}/dispatch_entropy";
    /// Entropy over slots of what a token takes, nats.
    COMBINE_ENTROPY = "{encoder}/combine_entropy";
    /// Part of what tokens take that comes from an expert.
    EXPERT_COMBINE_SHARE = "{encoder}/expert_{i}_combine_share";
    /// Entropy over tokens of what an expert's slots are mixed of, nats.
    EXPERT_DISPATCH_ENTROPY = "{encoder}/expert_{i}_dispatch_entropy";
    /// Part of what tokens take that comes from a slot; several slots per expert only.
    SLOT_COMBINE_SHARE = "{encoder}/slot_{i}_combine_share";
    /// Entropy over tokens of what a slot is mixed of, nats; several slots per expert only.
    SLOT_DISPATCH_ENTROPY = "{encoder}/slot_{i}_dispatch_entropy";
}

/// Image: weights of the tokens in a pooling with attention.
pub const ATTENTION_IMAGE: &str = "{encoder}/attention";
/// Image: weights of the tokens in the slots of a soft mixture of experts.
pub const DISPATCH_IMAGE: &str = "{encoder}/dispatch";
/// Every image.
pub const IMAGES: &[&str] = &[ATTENTION_IMAGE, DISPATCH_IMAGE];

/// What `{part}` stands for.
pub const PARTS: &[&str] = &["policy", "critic", "policy_encoder", "critic_encoder"];
/// What `{encoder}` stands for.
pub const ENCODERS: &[&str] = &["policy_encoder", "critic_encoder"];

/// A name with its places filled, each `{key}` by its value.
pub fn filled(name: &str, places: &[(&str, &str)]) -> String {
    let fill = |name: String, (key, value): &(&str, &str)| name.replace(&format!("{{{key}}}"), value);
    places.iter().fold(name.to_string(), fill)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_filled_place_by_place() {
        let places = &[("encoder", "critic_encoder"), ("i", "3")];
        assert_eq!(
            filled(EXPERT_COMBINE_SHARE, places),
            "critic_encoder/expert_3_combine_share"
        );
    }
}
