//! `sac config`.

use sac_agents::{Agent, Cost};
use sac_cli::args::ConfigArgs;
use serde::Serialize;

use super::{
    output::{print, print_json},
    overrides,
};
use crate::{
    assemble,
    config::{Config, Layers},
    error::Result,
    registry::Registry,
};

pub fn run(args: &ConfigArgs, registry: &Registry) -> Result<()> {
    let chosen = overrides::choose(&args.overrides, registry)?;
    let agent = agent(&chosen.config, registry)?;
    if args.json {
        return print_json(&WithAgent {
            config: &chosen.config,
            update_rule: agent.update_rule(),
            costs: agent.costs(),
        });
    }
    let comments = as_comments(&agent.update_rule(), &agent.costs());
    print(&(annotated(&chosen.config.to_toml(), &chosen.layers) + &comments))
}

/// The configuration, and facts about the agent beside its tables.
#[derive(Serialize)]
struct WithAgent<'a> {
    #[serde(flatten)]
    config: &'a Config,
    update_rule: String,
    costs: Vec<Cost>,
}

/// The configured agent, to read its costs and its update rule off.
pub fn agent(config: &Config, registry: &Registry) -> Result<Box<dyn Agent>> {
    let envs = assemble::envs(config, registry, 1, 1)?;
    assemble::agent(config, envs.as_ref())
}

/// How updates are computed, and the costs of the agent's parts, in comments that TOML skips.
fn as_comments(update_rule: &str, costs: &[Cost]) -> String {
    let mut out = format!("\n# update: {update_rule}\n\n");
    out += &format!("# {:<16}{:>12}{:>20}\n", "part", "parameters", "multiply-adds");
    for cost in costs {
        out += &format!("# {:<16}{:>12}{:>20}\n", cost.part, cost.parameters, cost.multiply_adds);
    }
    out + "# for one observation and action, forward; a critic's members together, targets not counted\n"
}

/// The resolved configuration, each value with its origin.
fn annotated(toml: &str, layers: &Layers) -> String {
    let mut table = String::new();
    let mut out = String::new();
    for line in toml.lines() {
        if line.starts_with('[') {
            let name = line.trim_matches(['[', ']']); // `[[env.wrappers]]` is one of a list
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_list_of_tables_is_laid_to_whoever_set_the_list() {
        let mut layers = Layers::default();
        layers
            .set_text("env.wrappers=[{kind='reward_scale',factor=0.5}]")
            .unwrap_or_else(|e| panic!("{e}"));
        let text = annotated("[env]\nid = \"X\"\n[[env.wrappers]]\nfactor = 0.5\n", &layers);
        let of = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        assert!(of("factor").ends_with("# --set"), "{text}");
        assert!(of("id").ends_with("# default"), "{text}");
    }
}
