//! The folder of a run, read as a row of a data file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::{
    data::Record,
    error::{Error, Result},
    rows::{PEAK_MEMORY, last_rows, newest},
};

const CONFIG: &str = "config.toml";

/// Folders of runs lie no deeper than this below one that a user names.
const MOST_LEVELS: usize = 8;

/// The part of a run's `provenance.json` that a record repeats.
#[derive(Deserialize)]
struct Provenance {
    commit: String,
    processor: String,
    threads: u64,
    /// Times that it was resumed, perhaps by another program.
    #[serde(default)]
    resumed: Vec<Resumed>,
}

#[derive(Deserialize)]
struct Resumed {
    commit: String,
}

/// A run folder, and how far it got.
pub struct Run {
    /// Its row, with the algorithm as its label.
    pub record: Record,
    /// Whether it reached its end.
    pub is_finished: bool,
}

/// All run folders in `path`, which may be one, in the order of their names.
///
/// # Errors
/// [`Error::NoRuns`] when there is none; when a folder cannot be read.
pub fn runs_in(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    fs::metadata(path).map_err(Error::io(path))?;
    collect(path, MOST_LEVELS, &mut found)?;
    match found.is_empty() {
        true => Err(Error::NoRuns(path.to_path_buf())),
        false => Ok(found),
    }
}

fn collect(path: &Path, levels: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    if path.join(CONFIG).is_file() {
        found.push(path.to_path_buf());
        return Ok(());
    }
    if levels == 0 || !path.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(Error::io(path))?;
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io(path))?;
        // A link could lead in a circle.
        if entry.file_type().map_err(Error::io(path))?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    folders.iter().try_for_each(|folder| collect(folder, levels - 1, found))
}

/// Reads a run folder: `eval.csv`, and from `config.toml` and `provenance.json` what the run was.
///
/// # Errors
/// When a file is missing or of another form.
pub fn read(folder: &Path) -> Result<Run> {
    let config = config(folder)?;
    let path = folder.join(CONFIG);
    let text_of = |pointer: &str| {
        let found = config.pointer(pointer).and_then(Value::as_str).map(str::to_string);
        found.ok_or_else(|| Error::malformed(&path, format!("no {}", pointer[1..].replace('/', "."))))
    };
    let count_of = |pointer: &str| {
        let found = config.pointer(pointer).and_then(Value::as_u64);
        found.ok_or_else(|| Error::malformed(&path, format!("no {}", pointer[1..].replace('/', "."))))
    };
    let (env, algo) = (text_of("/env/id")?, text_of("/algo")?);
    let (env_steps, seed) = (count_of("/train/total_env_steps")?, count_of("/train/seed")?);

    let (provenance_path, text) = read_file(folder, "provenance.json")?;
    let provenance: Provenance =
        serde_json::from_str(&text).map_err(|error| Error::malformed(&provenance_path, error.to_string()))?;
    let evaluations = evaluations(folder)?;
    let record = Record {
        label: algo.clone(),
        seed: Some(seed),
        env,
        algo: Some(algo),
        env_steps,
        commit: Some(provenance.commits()),
        processor: provenance.processor,
        threads: provenance.threads,
        evaluations,
        config: Some(config),
        peak_memory_mib: newest(&last_rows(folder), PEAK_MEMORY).and_then(Value::as_f64),
        folder: Some(folder.display().to_string()),
        source: folder.to_path_buf(),
        ..Record::default()
    };
    let newest = record.evaluations.get("mean_return").and_then(Value::as_array);
    let newest = newest.and_then(|returns| returns.last()?.as_f64());
    let config = record.config.as_ref().unwrap_or(&Value::Null);
    let is_finished = is_at_its_end(folder, config, record.env_steps_evaluated(), newest);
    if is_finished && record.evaluations.is_empty() {
        return Err(Error::malformed(folder, "nothing was evaluated in this run"));
    }
    Ok(Run { record, is_finished })
}

fn read_file(folder: &Path, name: &str) -> Result<(PathBuf, String)> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    Ok((path, text))
}

/// The configuration of a run.
///
/// # Errors
/// When it cannot be read, or is not TOML.
pub fn config(folder: &Path) -> Result<Value> {
    let (path, text) = read_file(folder, CONFIG)?;
    let config: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| Error::malformed(&path, error.message()))?;
    serde_json::to_value(config).map_err(|error| Error::malformed(&path, error.to_string()))
}

/// The columns of `eval.csv`; none where it is missing, because it is made at the first evaluation.
///
/// # Errors
/// When it cannot be read, or is no table.
pub fn evaluations(folder: &Path) -> Result<serde_json::Map<String, Value>> {
    match read_file(folder, "eval.csv") {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(serde_json::Map::new()),
        Err(error) => Err(error),
        Ok((path, csv)) => {
            // What follows the last line break is being written.
            let whole = csv.rfind('\n').map_or("", |end| &csv[..=end]);
            columns(whole).map_err(|problem| Error::malformed(&path, problem))
        }
    }
}

/// Whether a run reached its end, or its newest evaluation ended it early: its newest checkpoint says so, because a run that is
/// killed between its last evaluation and its last checkpoint has not. Where the checkpoints are gone, the evaluations count.
pub(crate) fn is_at_its_end(folder: &Path, config: &Value, evaluated: Option<u64>, newest: Option<f64>) -> bool {
    let Some(total) = config.pointer("/train/total_env_steps").and_then(Value::as_u64) else {
        return false;
    };
    let stop_at = config.pointer("/eval/stop_at").and_then(Value::as_f64);
    let ended_early = stop_at.zip(newest).is_some_and(|(stop_at, newest)| newest >= stop_at);
    let end = if ended_early { evaluated.unwrap_or(total) } else { total };
    saved(folder).or(evaluated).is_some_and(|reached| reached >= end)
}

/// Env steps of the newest checkpoint.
pub fn saved(folder: &Path) -> Option<u64> {
    fs::read_to_string(folder.join("checkpoints/latest"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

impl Provenance {
    /// The commits that trained the run, each once, in their order.
    fn commits(&self) -> String {
        let mut commits = vec![self.commit.as_str()];
        for resumed in &self.resumed {
            if commits.last() != Some(&resumed.commit.as_str()) {
                commits.push(&resumed.commit);
            }
        }
        commits.join(", ")
    }
}

/// The columns of a table with numbers in it, by the names in its first line; null stands for numbers that are not finite.
/// Columns without any number are left out.
fn columns(csv: &str) -> std::result::Result<serde_json::Map<String, Value>, String> {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().ok_or("is empty")?;
    let mut columns = vec![Vec::new(); names.len()];
    let mut rows = 0;
    for cells in lines {
        rows += 1;
        if cells.len() != names.len() {
            return Err(format!(
                "`{}` has {} cells, expected {}",
                cells.join(","),
                cells.len(),
                names.len()
            ));
        }
        for ((name, column), cell) in names.iter().zip(&mut columns).zip(cells) {
            if cell.is_empty() && column.is_empty() {
                continue;
            }
            if matches!(cell, "NaN" | "inf" | "-inf") {
                column.push(Value::Null);
                continue;
            }
            let number: serde_json::Number =
                serde_json::from_str(cell).map_err(|_| format!("`{cell}` under {name} is no number"))?;
            column.push(Value::from(number));
        }
    }
    let columns = names.iter().zip(columns);
    let is_partial = |column: &Vec<Value>| !column.is_empty() && column.len() < rows;
    if let Some((name, _)) = columns.clone().find(|(_, column)| is_partial(column)) {
        return Err(format!("a cell under {name} is empty"));
    }
    Ok(columns
        .filter(|(_, column)| rows == 0 || !column.is_empty())
        .map(|(name, column)| (name.to_string(), Value::from(column)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_and_lose_no_digit() {
        let found = columns("env_steps,x,mean_return\n500,9,-1.5\n1000,8,0.10000000000000003\n").expect("a table");
        assert_eq!(found["mean_return"], serde_json::json!([-1.5, 0.10000000000000003]));
        assert_eq!(found.keys().collect::<Vec<_>>(), ["env_steps", "x", "mean_return"]);
        let found = columns("a\n1\nNaN\n-inf\n").expect("a table");
        assert_eq!(found["a"], serde_json::json!([1, null, null]));
        let found = columns("env_steps,success_rate\n500,\n1000,\n").expect("a table");
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            ["env_steps"],
            "nothing is known of success"
        );
        for bad in [
            "",
            "a,b\n1,\n2,3\n",
            "a,b\n1,2\n2,\n",
            "a,b\n1\n",
            "a,b\n1,what\n",
            "a\nnone\n",
        ] {
            assert!(columns(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_run_that_was_killed_before_its_last_checkpoint_has_not_reached_its_end() {
        let here = tempfile::tempdir().expect("a temporary folder");
        let config = serde_json::json!({"train": {"total_env_steps": 600}, "eval": {"stop_at": 10.0}});
        let is_at_its_end = |evaluated, newest| is_at_its_end(here.path(), &config, evaluated, newest);
        assert!(is_at_its_end(Some(600), Some(1.0)), "its checkpoints were removed");
        assert!(!is_at_its_end(Some(400), Some(1.0)) && !is_at_its_end(None, None));
        fs::create_dir(here.path().join("checkpoints")).expect("made");
        let save = |at: &str| fs::write(here.path().join("checkpoints/latest"), at).expect("written");
        save("500\n");
        assert!(!is_at_its_end(Some(600), Some(1.0)), "evaluated, and not saved");
        assert!(is_at_its_end(Some(500), Some(10.5)), "ended early");
        assert!(
            !is_at_its_end(Some(600), Some(10.5)),
            "an evaluation would have ended it, but that is not saved"
        );
        save("600\n");
        assert!(is_at_its_end(Some(400), Some(1.0)) && is_at_its_end(None, None));
    }

    #[test]
    fn a_run_that_was_resumed_by_other_code_names_both() {
        let of = |text: &str| {
            let provenance: Provenance = serde_json::from_str(text).expect("the form");
            provenance.commits()
        };
        let maker = r#""processor":"P","threads":1"#;
        assert_eq!(
            of(&format!(r#"{{"commit":"a",{maker},"resumed":[{{"commit":"a"}}]}}"#)),
            "a"
        );
        let resumed = r#""resumed":[{"commit":"a"},{"commit":"b"},{"commit":"b"}]"#;
        assert_eq!(of(&format!(r#"{{"commit":"a",{maker},{resumed}}}"#)), "a, b");
    }
}
