//! Numbers that are not finite: [`not_finite`].

use sac_agents::{critic::CriticSpec, encoder::EncoderSpec, policy::PolicySpec};
use toml::Value;

use super::{key::join, settings::Settings};
use crate::registry::Registry;

/// Numbers that are not finite, by key. Infinity is allowed where it has a meaning.
pub(super) fn not_finite(settings: &Settings, registry: &Registry) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    // What cannot be written as TOML is reported later.
    if let Ok(settings) = Value::try_from(settings) {
        collect_not_finite("", &settings, &mut found);
    }
    let defaults = registry.get(&settings.env.id).map(|entry| entry.into_owned().options);
    let mut infinite = Vec::new();
    if let Ok(defaults) = defaults {
        collect_not_finite("env", &Value::Table(defaults), &mut infinite);
    }
    let [critic, head, encoder] = [
        matches!(settings.agent.critic, CriticSpec::Custom(_)),
        matches!(settings.agent.policy, PolicySpec::Custom(_)),
        matches!(settings.agent.encoder, EncoderSpec::Custom(_)),
    ];
    let may_be_infinite = |key: &str| {
        // Bounds of an interval, as `healthy_z_range` of Hopper-v5, and options that are infinite by default.
        let option = key.split('[').next().unwrap_or(key);
        // Those of the evaluation environment are the same options.
        let option = match option.strip_prefix("eval.") {
            Some(option) if option.starts_with("env.") => option,
            _ => option,
        };
        key == "agent.critic.huber_delta"
            // Never reached: the way to take it back on resume.
            || key == "eval.stop_at"
            || option.starts_with("env.") && option.ends_with("_range")
            || infinite.iter().any(|(other, _)| other.split('[').next() == Some(option))
            // A program checks its own parts.
            || critic && key.starts_with("agent.critic.")
            || head && key.starts_with("agent.policy.")
            || encoder && key.starts_with("agent.encoder.")
    };
    found.retain(|(key, value)| value.is_nan() || !may_be_infinite(key));
    found
}

/// Adds every number in a value that is not finite, by its key.
pub(super) fn collect_not_finite(key: &str, value: &Value, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Float(float) if !float.is_finite() => found.push((key.to_string(), *float)),
        Value::Table(table) => table
            .iter()
            .for_each(|(name, value)| collect_not_finite(&join(key, name), value, found)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, value)| collect_not_finite(&format!("{key}[{i}]"), value, found)),
        _ => {}
    }
}
