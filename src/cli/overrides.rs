//! From flags to a configuration.

use std::path::Path;

use sac_cli::{args::Overrides, messages::say};

use super::input::read_named;
use crate::{
    config::{Config, Layers, Origin, preset_layers, shipped},
    error::Result,
    registry::Registry,
    run::Changes,
};

/// A configuration, its layers, and the experiment over the preset, for the first line of output.
pub struct Chosen {
    pub config: Config,
    pub layers: Layers,
    pub experiment: Option<String>,
}

/// Merges the layers: preset, experiment, `--set`, flags.
pub fn choose(overrides: &Overrides, registry: &Registry) -> Result<Chosen> {
    let (layers, experiment) = layers(overrides)?;
    let config = Config::resolve(&layers, registry)?;
    let (total, warmup) = (config.train.total_env_steps, config.train.warmup_env_steps);
    if total <= warmup {
        say(&format!(
            "warning: nothing is learned: train.total_env_steps = {total} is not above train.warmup_env_steps = {warmup}, \
             and updates begin after the warm-up"
        ));
    }
    Ok(Chosen {
        config,
        layers,
        experiment,
    })
}

/// The configuration alone, without a word.
pub fn resolve(overrides: &Overrides, registry: &Registry) -> Result<Config> {
    let (layers, _) = layers(overrides)?;
    Ok(Config::resolve(&layers, registry)?)
}

/// Whether a number of threads was given, instead of `auto`.
pub fn threads_are_given(layers: &Layers) -> bool {
    layers
        .get("train.threads")
        .is_some_and(|value| value.is_integer() || value.is_float())
}

/// What `--resume` may change.
pub fn changes(overrides: &Overrides) -> Changes {
    Changes {
        total_env_steps: overrides.steps,
        device: overrides.device.clone(),
        threads: overrides.threads,
        assignments: overrides.sets.clone(),
    }
}

/// What another device or number of threads means.
pub const ON_ANOTHER_MACHINE: &str = "note: the run goes on from exactly its state, but sums on another device or number of \
                                      threads may round differently from there on";

fn layers(overrides: &Overrides) -> Result<(Layers, Option<String>)> {
    let file = match &overrides.config {
        Some(path) if path == Path::new("none") => None,
        Some(path) => Some((path, read_named(path)?)),
        None => None,
    };
    // The file and --set may name the algorithm and the environment; flags win.
    let mut upper = Layers::default();
    if let Some((path, text)) = &file {
        upper.add_toml(Origin::File(path.to_path_buf()), text)?;
    }
    overrides
        .sets
        .iter()
        .try_for_each(|assignment| upper.set_text(assignment))?;
    let named = |key: &str| upper.get(key).and_then(|value| value.as_str()).map(str::to_string);
    let algo = overrides
        .algo
        .clone()
        .or_else(|| named("algo"))
        .unwrap_or_else(|| "sac".to_string());
    let env = overrides.env.clone().or_else(|| named("env.id"));

    let mut layers = preset_layers(&algo)?;
    let mut experiment = None;
    match (&file, &env) {
        (Some((path, text)), _) => {
            layers.add_toml(Origin::File(path.to_path_buf()), text)?;
            experiment = Some(path.display().to_string());
        }
        (None, Some(env)) if overrides.config.is_none() => {
            if let Some(shipped) = shipped(env, &algo) {
                layers.add_toml(Origin::Shipped(shipped.path.to_string()), shipped.toml)?;
                experiment = Some(format!("{} (--config none skips it)", shipped.path));
            }
        }
        _ => {}
    }
    for assignment in &overrides.sets {
        layers.set_text(assignment)?;
    }
    if let Some(env) = &overrides.env {
        layers.set(Origin::Flag("--env"), "env.id", env.clone());
    }
    if overrides.algo.is_some() {
        layers.set(Origin::Flag("--algo"), "algo", algo);
    }
    let counts = [
        ("--steps", "train.total_env_steps", overrides.steps),
        ("--seed", "train.seed", overrides.seed),
        ("--num-envs", "env.num_envs", overrides.num_envs),
        ("--threads", "train.threads", overrides.threads),
    ];
    for (flag, key, value) in counts {
        if let Some(value) = value {
            // The flags take no more than TOML's integers do.
            layers.set(Origin::Flag(flag), key, value as i64);
        }
    }
    let words = [
        ("--device", "train.device", &overrides.device),
        (
            "--matmul-precision",
            "train.matmul_precision",
            &overrides.matmul_precision,
        ),
    ];
    for (flag, key, value) in words {
        if let Some(value) = value {
            layers.set(Origin::Flag(flag), key, value.clone());
        }
    }
    Ok((layers, experiment))
}
