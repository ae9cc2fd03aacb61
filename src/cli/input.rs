//! What the user names on the command line: [`read_named`], [`env_options`].

use std::path::Path;

use crate::{
    config::Layers,
    error::{Error, Result},
};

/// Reads a text file that the user named on the command line.
pub fn read_named(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::Usage(format!("cannot read {}: {error}", path.display())))
}

/// Options of an environment from `KEY=VALUE` assignments, with or without `env.` before the key.
pub fn env_options(sets: &[String]) -> Result<toml::Table> {
    let mut layers = Layers::default();
    sets.iter().try_for_each(|assignment| {
        let assignment = assignment.strip_prefix("env.").unwrap_or(assignment);
        layers.set_text(&format!("env.{assignment}"))
    })?;
    layers.check_numbers()?;
    Ok(layers
        .get("env")
        .and_then(|env| env.as_table())
        .cloned()
        .unwrap_or_default())
}
