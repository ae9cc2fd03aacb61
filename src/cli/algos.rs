//! `sac algos`.

use sac::{Result, agents::presets};
use serde_json::json;

use super::{print, print_json};
use crate::cli::AlgosArgs;

pub fn run(args: &AlgosArgs) -> Result<()> {
    match &args.name {
        None if args.json => {
            let list: Vec<_> = presets::ALL
                .iter()
                .map(|p| json!({"name": p.name, "summary": p.summary}))
                .collect();
            print_json(&list)
        }
        None => {
            let width = presets::ALL.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
            let lines = presets::ALL
                .iter()
                .map(|p| format!("{:width$}  {}\n", p.name, p.summary));
            print(&lines.collect::<String>())
        }
        Some(name) => {
            let layers = sac::preset_layers(name)?;
            let toml = presets::by_name(name).map_or("", |preset| preset.toml);
            if args.json {
                let (raw, _) = layers.read();
                return print_json(&raw);
            }
            print(toml)
        }
    }
}
