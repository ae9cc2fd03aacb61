//! The table `[space]` of a file: [`space`].

use std::collections::{BTreeMap, BTreeSet};

use sac_report::toml_file::check_keys;
use toml::{Table, Value};

use super::space::{Parameter, Range, Space};

/// Keys of a range, of a list of choices, and of both.
const RANGE_KEYS: [&str; 5] = ["min", "max", "log", "step", "when"];
const CHOICE_KEYS: [&str; 2] = ["choice", "when"];

/// Settings that a search sets itself, or that its trials must have alike to be compared.
const FIXED: [&str; 6] = [
    "algo",
    "env.id",
    "train.seed",
    "train.total_env_steps",
    "train.threads",
    "eval",
];

/// Far beyond use, and as many as the Sobol sequence has dimensions.
const MOST_PARAMETERS: usize = 256;

/// Reads the table `[space]` of a file.
pub fn space(table: &Table, problems: &mut Vec<String>) -> Space {
    let mut found = Vec::new();
    collect(table, "", &mut found, problems);
    if found.is_empty() && problems.is_empty() {
        problems.push("`space`: expected at least one setting to vary".to_string());
    }
    if found.len() > MOST_PARAMETERS {
        problems.push(format!("`space`: more than {MOST_PARAMETERS} settings"));
    }
    Space(in_order(found, problems))
}

/// The parameters of a table, by their dotted keys: `agent.gamma = {…}` and `"agent.gamma" = {…}` are the same.
fn collect(table: &Table, prefix: &str, found: &mut Vec<Parameter>, problems: &mut Vec<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let Value::Table(inner) = value else {
            problems.push(format!(
                "`space`: {key} = {value}: expected {{ min = …, max = … }} or {{ choice = […] }}"
            ));
            continue;
        };
        let is_parameter = ["min", "max", "choice"].iter().any(|own| inner.contains_key(*own));
        if !is_parameter {
            collect(inner, &format!("{key}."), found, problems);
            continue;
        }
        if let Some(fixed) = FIXED
            .iter()
            .find(|fixed| key == **fixed || key.starts_with(&format!("{fixed}.")))
        {
            problems.push(format!("`space`: {key}: a search does not vary `{fixed}`"));
        }
        if let Some(parameter) = parameter(&key, inner, problems) {
            found.push(parameter);
        }
    }
}

fn parameter(key: &str, table: &Table, problems: &mut Vec<String>) -> Option<Parameter> {
    let place = format!("`space`: {key}: ");
    let known: &[&str] = if table.contains_key("choice") {
        &CHOICE_KEYS
    } else {
        &RANGE_KEYS
    };
    check_keys(table, known, &place, problems);
    let range = match table.get("choice") {
        Some(choice) => choices(choice),
        None => numbers(table),
    };
    let when = match table.get("when") {
        None => Ok(BTreeMap::new()),
        Some(Value::Table(when)) => Ok(conditions(when, "")),
        Some(_) => Err("`when`: expected a table of settings of the space with their values".to_string()),
    };
    match (range, when) {
        (Ok(range), Ok(when)) => Some(Parameter {
            key: key.to_string(),
            range,
            when,
        }),
        (range, when) => {
            let all = [range.err(), when.err()].into_iter().flatten();
            problems.extend(all.map(|problem| format!("{place}{problem}")));
            None
        }
    }
}

fn choices(choice: &Value) -> Result<Range, String> {
    let values = choice.as_array().filter(|values| !values.is_empty());
    let values = values.ok_or("`choice`: expected a list of values")?;
    Ok(Range::Choice(values.clone()))
}

fn numbers(table: &Table) -> Result<Range, String> {
    let log = match table.get("log") {
        None => false,
        Some(value) => value.as_bool().ok_or("`log`: expected true or false")?,
    };
    if log && table.contains_key("step") {
        return Err("`log` and `step` do not go together".to_string());
    }
    let whole = |key: &str| table.get(key).and_then(Value::as_integer);
    let range = match (whole("min"), whole("max")) {
        (Some(min), Some(max)) => {
            let step = match table.get("step") {
                None => 1,
                Some(step) => step
                    .as_integer()
                    .filter(|step| *step > 0)
                    .ok_or("`step`: expected a whole number, at least 1")?,
            };
            Range::Integer { min, max, log, step }
        }
        _ => {
            let number = |key: &str| {
                let value = table.get(key)?;
                value
                    .as_float()
                    .or_else(|| value.as_integer().map(|whole| whole as f64))
                    .filter(|number| number.is_finite())
            };
            let bound = |key: &str| number(key).ok_or_else(|| format!("`{key}`: expected a number"));
            let step = match table.contains_key("step") {
                true => Some(
                    number("step")
                        .filter(|step| *step > 0.0)
                        .ok_or("`step`: expected a number above 0")?,
                ),
                false => None,
            };
            Range::Float {
                min: bound("min")?,
                max: bound("max")?,
                log,
                step,
            }
        }
    };
    let (min, max) = match range {
        Range::Float { min, max, .. } => (min, max),
        Range::Integer { min, max, .. } => (min as f64, max as f64),
        Range::Choice(_) => return Ok(range),
    };
    match (min < max, log && min <= 0.0) {
        (false, _) => Err(format!("`min` = {min} is not below `max` = {max}")),
        (_, true) => Err(format!("`min` = {min}: a logarithmic range is above 0")),
        (true, false) => Ok(range),
    }
}

/// The conditions of a table by their dotted keys, each with its list of values. A value that is a table stands in a list.
fn conditions(table: &Table, prefix: &str) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => found.extend(conditions(inner, &format!("{key}."))),
            Value::Array(values) => {
                found.insert(key, values.clone());
            }
            value => {
                found.insert(key, vec![value.clone()]);
            }
        }
    }
    found
}

/// Parameters in an order in which each comes after those that its condition names.
fn in_order(mut parameters: Vec<Parameter>, problems: &mut Vec<String>) -> Vec<Parameter> {
    let keys: BTreeSet<String> = parameters.iter().map(|parameter| parameter.key.clone()).collect();
    for parameter in &parameters {
        for (key, values) in &parameter.when {
            let place = format!("`space`: {}: `when`", parameter.key);
            match parameters.iter().find(|other| other.key == *key) {
                None => problems.push(format!("{place}: {key} is not in the space")),
                Some(other) => problems.extend(
                    values
                        .iter()
                        .filter(|value| other.range.raw(value).is_none())
                        .map(|value| format!("{place}: {key} is never {value}")),
                ),
            }
        }
    }
    let mut ordered: Vec<Parameter> = Vec::new();
    while !parameters.is_empty() {
        let is_ready = |parameter: &Parameter| {
            let mut named = parameter.when.keys().filter(|key| keys.contains(*key));
            named.all(|key| ordered.iter().any(|before| before.key == *key))
        };
        let Some(at) = parameters.iter().position(is_ready) else {
            let names: Vec<&str> = parameters.iter().map(|parameter| parameter.key.as_str()).collect();
            problems.push(format!(
                "`space`: the conditions of {} go in a circle",
                names.join(", ")
            ));
            break;
        };
        ordered.push(parameters.remove(at));
    }
    ordered
}
