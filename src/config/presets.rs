//! Layers that begin from a preset: [`configure`], [`layers`], [`preset_layers`], [`Settings::new`].

use super::{
    algo::Algo, error::ConfigError, layers::Layers, origin::Origin, resolve::Config, settings::Settings,
    shipped::shipped,
};
use crate::registry::{Catalog, Registry};

impl Settings {
    /// The preset `algo` for an environment, with the experiment that ships for the two, if there is one.
    pub fn new(algo: Algo, env: &str) -> Settings {
        let layers = layers(env, algo.name()).expect("presets and shipped experiments are TOML: a test reads them all");
        layers.read(&Catalog::default()).0
    }
}

/// The configuration of the preset `algo` on `env`, an environment of `registry`, with `assignments` over it: each is
/// `key=value`, as the command line takes it after `--set`.
///
/// # Errors
/// [`ConfigError::UnknownAlgo`], [`ConfigError::Env`] for an unknown environment, [`ConfigError::Issues`] with all
/// other problems at once.
pub fn configure(registry: &Registry, env: &str, algo: &str, assignments: &[&str]) -> Result<Config, ConfigError> {
    let mut layers = layers(env, algo)?;
    assignments
        .iter()
        .try_for_each(|assignment| layers.set_text(assignment))?;
    Config::resolve(&layers, registry)
}

/// The preset `algo`, and over it the experiment that ships for `env`, if there is one.
///
/// # Errors
/// [`ConfigError::UnknownAlgo`].
pub fn layers(env: &str, algo: &str) -> Result<Layers, ConfigError> {
    let mut layers = preset_layers(algo)?;
    if let Some(shipped) = shipped(env, algo) {
        layers.add_toml(Origin::Shipped(shipped.path.to_string()), shipped.toml)?;
    }
    layers.set(Origin::Flag("--env"), "env.id", env);
    Ok(layers)
}

/// The preset `algo` alone.
///
/// # Errors
/// [`ConfigError::UnknownAlgo`].
pub fn preset_layers(algo: &str) -> Result<Layers, ConfigError> {
    let algo: Algo = algo.parse()?;
    let mut layers = Layers::default();
    for preset in algo.preset().layers() {
        layers.add_toml(Origin::Preset(preset.name.to_string()), preset.toml)?;
    }
    layers.set(Origin::Flag("--algo"), "algo", algo.name());
    Ok(layers)
}
