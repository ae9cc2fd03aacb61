//! `sac algos`.

use sac_agents::presets;
use sac_cli::args::AlgosArgs;
use serde_json::json;

use super::output::{print, print_json};
use crate::{config::preset_layers, error::Result, registry::Catalog};

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
            let layers = preset_layers(name)?;
            let toml = presets::by_name(name).map_or("", |preset| preset.toml);
            if args.json {
                let (settings, _) = layers.read(&Catalog::default());
                return print_json(&settings);
            }
            print(toml)
        }
    }
}
