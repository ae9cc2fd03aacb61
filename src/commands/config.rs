//! `sac config`.

use sac::{Result, config::Layers, envs::Registry};

use super::{overrides, print, print_json};
use crate::cli::ConfigArgs;

pub fn run(args: &ConfigArgs) -> Result<()> {
    let chosen = overrides::choose(&args.overrides, &Registry::builtin())?;
    if args.json {
        return print_json(&chosen.config);
    }
    print(&annotated(&chosen.config.to_toml(), &chosen.layers))
}

/// The resolved configuration, each value with where it comes from.
fn annotated(toml: &str, layers: &Layers) -> String {
    let mut table = String::new();
    let mut out = String::new();
    for line in toml.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = format!("{name}.");
        }
        match line.split_once(" = ") {
            None => out += line,
            Some((key, _)) => {
                let from = layers.origin(&format!("{table}{key}"));
                let from = from.map_or("default".to_string(), ToString::to_string);
                out += &format!("{line:<40} # {from}");
            }
        }
        out.push('\n');
    }
    out
}
