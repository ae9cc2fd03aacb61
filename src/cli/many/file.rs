//! Files that say what to train: reading them ([`read`]), and the values in them.

use std::{collections::BTreeSet, path::Path};

use sac_cli::nearest;
use toml::{Table, Value};

use crate::{
    cli::input::read_named,
    error::{Error, Result},
};

/// Far beyond use.
const MOST_SEEDS: u64 = 100_000;

/// Reads a file with `from_table`, which notes what is wrong with it.
///
/// # Errors
/// All that is wrong with it, at once.
pub fn read<T>(path: &Path, from_table: impl Fn(&Table, &mut Vec<String>) -> T) -> Result<T> {
    let table: Table = match read_named(path)?.parse() {
        Ok(table) => table,
        Err(error) => return Err(refused(path, &[error.to_string().trim_end().replace('\n', "\n    ")])),
    };
    let mut problems = Vec::new();
    let read = from_table(&table, &mut problems);
    match problems.is_empty() {
        true => Ok(read),
        false => Err(refused(path, &problems)),
    }
}

/// An error with all problems of a file.
pub fn refused(path: &Path, problems: &[String]) -> Error {
    let count = problems.len();
    let s = if count == 1 { "" } else { "s" };
    Error::Usage(format!(
        "{}: {count} problem{s}, nothing was started\n  {}",
        path.display(),
        problems.join("\n  ")
    ))
}

/// Notes the keys of a table that are not known.
pub fn check_keys(table: &Table, known: &[&str], place: &str, problems: &mut Vec<String>) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let meant = nearest(key, known.iter().copied());
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        problems.push(format!("{place}no such key: `{key}`{meant}"));
    }
}

/// `seeds` of a file: a list, or the numbers from 1 to it.
pub fn seeds(table: &Table, problems: &mut Vec<String>) -> Vec<u64> {
    let whole = |value: &Value| value.as_integer().and_then(|number| u64::try_from(number).ok());
    let seeds: Option<Vec<u64>> = match table.get("seeds") {
        Some(Value::Array(list)) => list.iter().map(whole).collect(),
        Some(value) => whole(value)
            .filter(|count| *count <= MOST_SEEDS)
            .map(|count| (1..=count).collect()),
        None => None,
    };
    let seeds = seeds.unwrap_or_default();
    let distinct: BTreeSet<&u64> = seeds.iter().collect();
    if seeds.is_empty() || distinct.len() < seeds.len() {
        problems.push("`seeds`: expected a number of seeds, at least 1, or a list of seeds, no two alike".to_string());
    }
    seeds
}

/// A whole number, at least 1, if the key is there.
pub fn count(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<u64> {
    let value = table.get(key)?;
    let count = value
        .as_integer()
        .and_then(|number| u64::try_from(number).ok())
        .filter(|count| *count > 0);
    if count.is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected a whole number, at least 1"));
    }
    count
}

/// A text, if the key is there.
pub fn text(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<String> {
    let value = table.get(key)?;
    if value.as_str().is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected text"));
    }
    value.as_str().map(str::to_string)
}

/// A text, or a list of them.
pub fn texts(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Vec<String> {
    let list = match table.get(key) {
        None => return Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let texts: Option<Vec<String>> = list.iter().map(|value| value.as_str().map(str::to_string)).collect();
    texts.unwrap_or_else(|| {
        problems.push(format!("{place}`{key}`: expected text, or a list of texts"));
        Vec::new()
    })
}
