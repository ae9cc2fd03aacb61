//! `sac envs`.

use sac::{
    Result,
    envs::{Env, EnvEntry, Registry},
};
use serde_json::json;

use super::{print, print_json};
use crate::cli::EnvsArgs;

pub fn run(args: &EnvsArgs) -> Result<()> {
    let registry = Registry::builtin();
    match &args.id {
        None => list(&registry, args.json),
        Some(id) => show(registry.get(id)?, args.json),
    }
}

struct Facts {
    observation: String,
    action: String,
    limit: String,
    stack: String,
}

fn facts(entry: &EnvEntry) -> Result<Facts> {
    let env = entry.make(&toml::Table::new())?;
    Ok(Facts {
        observation: env.observation_space().to_string(),
        action: env.action_space().to_string(),
        limit: entry.time_limit.map_or("none".to_string(), |steps| steps.to_string()),
        stack: env.describe(),
    })
}

fn json(entry: &EnvEntry) -> Result<serde_json::Value> {
    let facts = facts(entry)?;
    Ok(json!({
        "id": entry.id,
        "family": entry.family,
        "summary": entry.summary,
        "observation_space": facts.observation,
        "action_space": facts.action,
        "time_limit": entry.time_limit,
        "options": entry.options,
    }))
}

fn list(registry: &Registry, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(&registry.entries().iter().map(json).collect::<Result<Vec<_>>>()?);
    }
    let rows: Vec<(&EnvEntry, Facts)> = registry
        .entries()
        .iter()
        .map(|entry| Ok((entry, facts(entry)?)))
        .collect::<Result<_>>()?;
    let width = |length: fn(&(&EnvEntry, Facts)) -> usize| rows.iter().map(length).max().unwrap_or(0);
    let (id, obs) = (width(|row| row.0.id.len()), width(|row| row.1.observation.len()));
    let action = width(|row| row.1.action.len());
    let mut text = format!(
        "{:id$}  {:obs$}  {:action$}  {:>5}  summary\n",
        "id", "observation", "action", "limit"
    );
    let mut family = "";
    for (entry, facts) in &rows {
        if entry.family != family {
            family = &entry.family;
            text += &format!("\n{family}\n");
        }
        text += &format!(
            "{:id$}  {:obs$}  {:action$}  {:>5}  {}\n",
            entry.id, facts.observation, facts.action, facts.limit, entry.summary
        );
    }
    print(&text)
}

fn show(entry: &EnvEntry, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(&json(entry)?);
    }
    let facts = facts(entry)?;
    let mut text = format!("{}: {}\n\n{}\n", entry.id, entry.summary, entry.manual);
    text += &format!(
        "observation space  {}\naction space       {}\n",
        facts.observation, facts.action
    );
    text += &format!(
        "time limit         {}\nstack              {}\n",
        facts.limit, facts.stack
    );
    text += "options            ";
    text += if entry.options.is_empty() {
        "none\n"
    } else {
        "(--set env.<option>=…)\n"
    };
    for (name, default) in &entry.options {
        text += &format!("  {name} = {default}\n");
    }
    print(&text)
}
