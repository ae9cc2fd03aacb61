//! `sac envs`.

use sac_cli::args::EnvsArgs;
use sac_envs::{Env, EnvEntry, Row};
use serde_json::json;

use super::{
    input::env_options,
    output::{print, print_json},
};
use crate::{error::Result, registry::Registry};

/// Width of the list, the least that terminals have.
const COLUMNS: usize = 80;

pub fn run(args: &EnvsArgs, registry: &Registry) -> Result<()> {
    match &args.id {
        None => list(registry, args.json),
        Some(id) => show(&*registry.get(id)?, &env_options(&args.sets)?, args.json),
    }
}

struct Facts {
    observation: String,
    action: String,
    limit: String,
}

fn facts(entry: &EnvEntry) -> Result<Facts> {
    let env = entry.make(&toml::Table::new())?;
    Ok(Facts {
        observation: env.observation_space().to_string(),
        action: env.action_space().to_string(),
        limit: entry.time_limit.map_or("none".to_string(), |steps| steps.to_string()),
    })
}

fn json(entry: &EnvEntry, options: &toml::Table) -> Result<serde_json::Value> {
    let (env, manual) = (entry.make(options)?, entry.manual_for(options)?);
    let finite = |x: f64| x.is_finite().then_some(x);
    let rows = |rows: &[Row]| -> Vec<serde_json::Value> {
        let row =
            |row: &Row| json!({"name": row.name, "unit": row.unit, "low": finite(row.low), "high": finite(row.high)});
        rows.iter().map(row).collect()
    };
    Ok(json!({
        "id": entry.id,
        "family": entry.family,
        "summary": entry.summary,
        "observation_space": env.observation_space().to_string(),
        "action_space": env.action_space().to_string(),
        "goals": env.goals(),
        "time_limit": entry.time_limit,
        "reward_range": manual.reward_range.map(finite),
        "options": entry.options,
        "manual": {
            "description": manual.description,
            "observation": rows(&manual.observation),
            "action": rows(&manual.action),
            "reward": manual.reward,
            "start": manual.start,
            "end": manual.end,
            "source": manual.source,
        },
    }))
}

fn list(registry: &Registry, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(
            &registry
                .entries()
                .iter()
                .map(|entry| json(entry, &toml::Table::new()))
                .collect::<Result<Vec<_>>>()?,
        );
    }
    let rows: Vec<(&EnvEntry, Facts)> = registry
        .entries()
        .iter()
        .map(|entry| Ok((entry, facts(entry)?)))
        .collect::<Result<_>>()?;
    let width = |length: fn(&(&EnvEntry, Facts)) -> usize| rows.iter().map(length).max().unwrap_or(0);
    let id = width(|row| row.0.id.len());
    let (obs, action) = (width(|row| row.1.observation.len()), width(|row| row.1.action.len()));
    // The summary has a line of its own: beside the spaces it would not fit a terminal of 80 columns.
    let mut text = format!(
        "{:id$}  {:obs$}  {:action$}  {:>5}\n",
        "id", "observation", "action", "limit"
    );
    let mut family = "";
    for (entry, facts) in &rows {
        if entry.family != family {
            family = &entry.family;
            text += &format!("\n{family}\n");
        }
        let Facts {
            observation,
            action: actions,
            limit,
        } = facts;
        text += &format!("{:id$}  {observation:obs$}  {actions:action$}  {limit:>5}\n", entry.id);
        wrapped(&entry.summary, COLUMNS - 4).for_each(|line| text += &format!("    {line}\n"));
    }
    print(&text)
}

/// The lines of a text with at most so many characters each.
fn wrapped(text: &str, columns: usize) -> impl Iterator<Item = String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines.into_iter()
}

fn show(entry: &EnvEntry, options: &toml::Table, as_json: bool) -> Result<()> {
    if as_json {
        return print_json(&json(entry, options)?);
    }
    print(&entry.page(options)?)
}
