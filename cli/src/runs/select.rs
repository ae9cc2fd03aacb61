//! Which runs are listed, and in which order: [`chosen`], [`sort`].

use std::cmp::Ordering;

use sac_report::{listing::Listed, suggest::nearest};

use crate::error::{Error, Result};

/// Columns of the list, besides which every setting is a key.
const COLUMNS: [&str; 11] = [
    "env", "algo", "seed", "steps", "last", "best", "seconds", "memory", "size", "state", "run",
];

/// What a run has under a key: a column of the list, or a setting.
fn value(run: &Listed, key: &str) -> Option<String> {
    let number = |value: Option<f64>| value.map(|value| value.to_string());
    match key {
        "env" => Some(run.env.clone()),
        "algo" => Some(run.algo.clone()),
        "seed" => run.seed.map(|seed| seed.to_string()),
        "steps" => Some(run.env_steps.to_string()),
        "last" => number(run.last),
        "best" => number(run.best),
        "seconds" => number(run.seconds),
        "memory" => number(run.peak_memory_mib),
        "size" => Some(run.bytes.to_string()),
        "state" => Some(run.state.name().to_string()),
        "run" => Some(run.path.display().to_string()),
        _ => run.settings.get(key).cloned(),
    }
}

/// The runs that have all of these values.
///
/// # Errors
/// When a condition is no `KEY=VALUE`, or no run has the key.
pub fn chosen(mut runs: Vec<Listed>, conditions: &[String]) -> Result<Vec<Listed>> {
    let wanted = conditions.iter().map(|text| assignment(text));
    let wanted: Vec<(&str, &str)> = wanted.collect::<Result<_>>()?;
    for (key, _) in &wanted {
        check_key(&runs, key)?;
    }
    let has_all = |run: &Listed| {
        let has = |(key, wanted): &(&str, &str)| value(run, key).is_some_and(|found| is_equal(&found, wanted));
        wanted.iter().all(has)
    };
    runs.retain(has_all);
    Ok(runs)
}

/// Orders runs by a key: numbers by their size, and runs without the key last.
///
/// # Errors
/// When no run has the key.
pub fn sort(runs: &mut [Listed], key: &str) -> Result<()> {
    check_key(runs, key)?;
    runs.sort_by(|a, b| match (value(a, key), value(b, key)) {
        (Some(a), Some(b)) => compare(&a, &b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    });
    Ok(())
}

fn check_key(runs: &[Listed], key: &str) -> Result<()> {
    let settings = || runs.iter().flat_map(|run| run.settings.keys().map(String::as_str));
    if COLUMNS.contains(&key) || settings().any(|known| known == key) {
        return Ok(());
    }
    let meant = nearest(key, COLUMNS.into_iter().chain(settings()));
    let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
    Err(Error::Usage(format!(
        "no run has a setting `{key}`, and the list no such column{meant}"
    )))
}

/// `KEY=VALUE` in two.
fn assignment(text: &str) -> Result<(&str, &str)> {
    let pair = text.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
    pair.ok_or_else(|| Error::Usage(format!("--where {text}: expected KEY=VALUE")))
}

/// Equal as numbers, or as text.
fn is_equal(found: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_matches(['"', '\'']);
    match (found.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(found), Ok(wanted)) => found == wanted,
        _ => found == wanted || found == wanted.replace(' ', ""),
    }
}

fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_equal_as_numbers_or_as_text() {
        assert!(is_equal("0.001", "1e-3") && is_equal("[16,16]", "[16, 16]") && is_equal("sac", "\"sac\""));
        assert!(!is_equal("0.001", "1e-4") && !is_equal("sac", "tqc"));
    }

    #[test]
    fn numbers_are_in_the_order_of_their_size() {
        let mut values = ["10", "9", "-1"];
        values.sort_by(|a, b| compare(a, b));
        assert_eq!(values, ["-1", "9", "10"]);
    }
}
