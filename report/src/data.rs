//! Data files: every run with its evaluations, one run a line, under a digest.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A return worth marking, such as the one at which the task counts as solved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Where.
    #[serde(rename = "return")]
    pub at: f64,
    /// In the legend.
    pub label: String,
}

/// A data file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Above the picture.
    pub title: String,
    /// A dashed line in the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Threshold>,
    /// In the order of the legend.
    pub runs: Vec<Record>,
    /// Whether the file had a digest, which then fitted.
    #[serde(skip)]
    pub is_sealed: bool,
}

/// A run in a data file: what was asked for, which code and machine it comes from, and what came out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Runs with the same label on the same environment are one curve.
    pub label: String,
    /// Missing where several runs were summarised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Id of the environment.
    pub env: String,
    /// The preset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algo: Option<String>,
    /// Of another toolkit, and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Length of the run, in env steps.
    pub env_steps: u64,
    /// Settings over the preset, as `--set` takes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Vec<String>>,
    /// Divisor of the returns, where rewards were scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returns_divided_by: Option<f64>,
    /// Of the code; `-modified` after it means uncommitted changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The processor's name as the system gives it.
    pub processor: String,
    /// Threads of an update.
    pub threads: u64,
    /// Most memory that the process of the run had, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
    /// Folder of a run that was read from it, as it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Which policy was scored: `best` or `last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// All settings of a run that was read from its folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// Columns of `eval.csv`, in its order.
    pub evaluations: serde_json::Map<String, Value>,
    /// `sac eval --json`, once per condition, the plain task first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<Value>,
    /// Where it was read.
    #[serde(skip)]
    pub source: PathBuf,
}

impl Record {
    /// Wall time of the training, as far as the last evaluation.
    pub fn seconds(&self) -> Option<f64> {
        self.evaluations.get("seconds")?.as_array()?.last()?.as_f64()
    }

    /// Env steps of the last evaluation.
    pub fn env_steps_evaluated(&self) -> Option<u64> {
        self.evaluations.get("env_steps")?.as_array()?.last()?.as_u64()
    }

    /// Env steps of the evaluations whose mean return is not a number.
    pub fn not_finite(&self) -> Vec<u64> {
        let column = |name: &str| self.evaluations.get(name).and_then(Value::as_array);
        let pairs = column("env_steps")
            .into_iter()
            .flatten()
            .zip(column("mean_return").into_iter().flatten());
        pairs
            .filter(|(_, value)| value.is_null())
            .filter_map(|(step, _)| step.as_u64())
            .collect()
    }

    /// Env steps and mean return of every evaluation, with unscaled rewards.
    ///
    /// # Errors
    /// When there is none, when a column is missing, or a return is not finite.
    pub fn curve(&self) -> Result<Vec<(u64, f64)>> {
        let refused = |problem: String| {
            let seed = self.seed.map_or(String::new(), |seed| format!(", seed {seed}"));
            Error::malformed(&self.source, format!("{} on {}{seed}: {problem}", self.label, self.env))
        };
        let column = |name: &str| {
            let column = self.evaluations.get(name).and_then(Value::as_array);
            column.ok_or_else(|| refused(format!("no column `{name}` of evaluations")))
        };
        let (steps, returns) = (column("env_steps")?, column("mean_return")?);
        if steps.is_empty() || steps.len() != returns.len() {
            return Err(refused(format!(
                "{} evaluations have env steps and {} have returns, expected at least one, and as many",
                steps.len(),
                returns.len()
            )));
        }
        let divisor = self.returns_divided_by.unwrap_or(1.0);
        let pair = |(step, value): (&Value, &Value)| {
            let value = value.as_f64().map(|value| value / divisor);
            match (step.as_u64(), value.filter(|value| value.is_finite())) {
                (Some(step), Some(value)) => Ok((step, value)),
                _ => Err(refused(format!(
                    "`{step}, {}` is no evaluation",
                    value.unwrap_or(f64::NAN)
                ))),
            }
        };
        let curve: Vec<(u64, f64)> = steps.iter().zip(returns).map(pair).collect::<Result<_>>()?;
        match curve.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            Some(pair) => Err(refused(format!(
                "an evaluation at {} follows one at {}",
                pair[1].0, pair[0].0
            ))),
            None => Ok(curve),
        }
    }
}

/// The line of a data file that holds the digest of all others.
const DIGEST_LINE: &str = "\"digest\": \"";

/// Reads a data file.
///
/// # Errors
/// [`Error::Edited`] when it has a digest that does not fit; when it cannot be read, or is of another form.
pub fn read(path: &Path) -> Result<Data> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let (found, rest) = split_digest(&text);
    if found.as_ref().is_some_and(|found| *found != digest(&rest)) {
        return Err(Error::Edited(path.to_path_buf()));
    }
    let mut data: Data =
        serde_json::from_str(&rest).map_err(|error| Error::malformed(path, format!("is no data file: {error}")))?;
    data.is_sealed = found.is_some();
    for run in &mut data.runs {
        run.source = path.to_path_buf();
    }
    Ok(data)
}

/// Reads a data file of these tools; one that was written by hand is refused.
///
/// # Errors
/// As [`read`], and [`Error::NoDigest`].
pub fn read_sealed(path: &Path) -> Result<Data> {
    let data = read(path)?;
    match data.is_sealed {
        true => Ok(data),
        false => Err(Error::NoDigest(path.to_path_buf())),
    }
}

/// Writes a data file as a whole or not at all, with its digest.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, data: &Data) -> Result<()> {
    let unfinished = path.with_extension("json.tmp");
    let text = to_text(data).map_err(|error| Error::malformed(path, error.to_string()))?;
    let written = fs::File::create(&unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(Error::io(&unfinished))?;
    fs::rename(&unfinished, path).map_err(Error::io(path))?;
    // The rename lasts once the folder is on the disk. Where folders cannot be synced, the file system orders that itself.
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// A data file as text, with one line per run, so that a diff shows which runs changed.
///
/// # Errors
/// When a number in it is not finite.
pub fn to_text(data: &Data) -> serde_json::Result<String> {
    let mut rest = format!("{{\n\"title\": {},\n", serde_json::to_string(&data.title)?);
    if let Some(threshold) = &data.threshold {
        rest += &format!("\"threshold\": {},\n", serde_json::to_string(threshold)?);
    }
    let runs = data.runs.iter().map(serde_json::to_string);
    let runs = runs.collect::<serde_json::Result<Vec<_>>>()?;
    rest += &format!("\"runs\": [\n{}\n]\n}}\n", runs.join(",\n"));
    let head = format!("{{\n{DIGEST_LINE}{}\",\n", digest(&rest));
    Ok(rest.replacen("{\n", &head, 1))
}

/// The digest in a data file, and the text without its line.
fn split_digest(text: &str) -> (Option<String>, String) {
    let is_digest = |line: &&str| line.starts_with(DIGEST_LINE);
    let Some(line) = text.lines().find(is_digest) else {
        return (None, text.to_string());
    };
    let found = line.trim_start_matches(DIGEST_LINE);
    let found = found.trim_end_matches(',').trim_end_matches('"').to_string();
    (Some(found), text.replacen(&format!("{line}\n"), "", 1))
}

/// SHA-256 of a data file without the line of its digest.
fn digest(rest: &str) -> String {
    let hash = Sha256::digest(rest.as_bytes());
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Data {
        let evaluations =
            serde_json::json!({ "env_steps": [5, 10], "seconds": [1.5, 2.0], "mean_return": [0.1, -3.25] });
        let run = |seed| Record {
            label: "A".to_string(),
            seed: Some(seed),
            env: "E".to_string(),
            env_steps: 10,
            evaluations: evaluations.as_object().cloned().unwrap_or_default(),
            ..Record::default()
        };
        Data {
            title: "T".to_string(),
            threshold: None,
            runs: vec![run(1), run(2)],
            is_sealed: true,
        }
    }

    #[test]
    fn a_data_file_is_read_as_it_was_written_and_refused_after_any_change() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.json");
        write(&path, &small()).expect("written");
        let mut data = read_sealed(&path).expect("whole");
        data.runs.iter_mut().for_each(|run| run.source = PathBuf::new());
        assert_eq!(data, small());
        let text = fs::read_to_string(&path).expect("there");
        assert_eq!(text.lines().count(), 8, "a line per run, and six around them:\n{text}");

        for (from, to) in [
            ("-3.25", "-3.2"),
            ("\"seed\":2", "\"seed\":3"),
            ("\"T\"", "\"U\""),
            ("sha256:", "sha256:0"),
        ] {
            fs::write(&path, text.replace(from, to)).expect("written");
            assert!(matches!(read(&path), Err(Error::Edited(_))), "{from} became {to}");
        }
        let without: String = text
            .lines()
            .filter(|line| !line.contains("digest"))
            .map(|line| format!("{line}\n"))
            .collect();
        fs::write(&path, without).expect("written");
        assert!(!read(&path).expect("readable").is_sealed);
        assert!(matches!(read_sealed(&path), Err(Error::NoDigest(_))));
    }

    #[test]
    fn what_is_no_curve_is_refused_with_the_run_that_it_belongs_to() {
        let mut run = small().runs.remove(0);
        assert_eq!(run.curve().expect("a curve"), [(5, 0.1), (10, -3.25)]);
        assert_eq!(run.seconds(), Some(2.0));
        run.returns_divided_by = Some(0.5);
        assert_eq!(run.curve().expect("a curve")[1], (10, -6.5), "of unscaled rewards");
        for (name, column) in [
            ("env_steps", serde_json::json!([10, 5])),
            ("env_steps", serde_json::json!([5, 5])),
            ("env_steps", serde_json::json!([5])),
            ("mean_return", serde_json::json!([1.0, null])),
            ("mean_return", serde_json::json!(3)),
        ] {
            let mut run = run.clone();
            run.evaluations.insert(name.to_string(), column.clone());
            let error = run.curve().expect_err("no curve").to_string();
            assert!(error.contains("A on E, seed 1"), "{column}: {error}");
        }
    }
}
