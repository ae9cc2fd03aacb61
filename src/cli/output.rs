//! Data on stdout: [`print`], [`print_json`], with the errors of this package.

use sac_cli::output;

use crate::error::Result;

/// [`output::print`].
pub fn print(text: &str) -> Result<()> {
    Ok(output::print(text)?)
}

/// [`output::print_json`].
pub fn print_json(value: &impl serde::Serialize) -> Result<()> {
    Ok(output::print_json(value)?)
}
