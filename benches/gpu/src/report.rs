//! The one JSON file: [`Report`]. It is whole at any time: written beside itself and renamed.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::part::Place;

/// Of the file. Raised when the meaning of a key changes.
const FORMAT: u32 = 1;

/// What became of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Passed,
    /// A check did not hold, or something ended in an error or a panic; `problem` says why.
    Failed,
    /// Its process ended otherwise.
    Died(String),
    /// Its budget, or that of all, was up.
    OutOfTime,
    /// It is not for this mode.
    Skipped(String),
}

impl Outcome {
    /// In a word, as in the file.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Failed => "failed",
            Outcome::Died(_) => "died",
            Outcome::OutOfTime => "out of time",
            Outcome::Skipped(_) => "skipped",
        }
    }
}

/// See the module.
pub struct Report {
    path: PathBuf,
    started: Instant,
    mode: &'static str,
    is_complete: bool,
    parts: Map<String, Value>,
}

impl Report {
    /// An empty one, which replaces whatever is at `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(path: &Path, place: Place) -> Result<Self> {
        let report = Report {
            path: path.to_owned(),
            started: Instant::now(),
            mode: match place {
                Place::Gpu => "gpu",
                Place::Cpu => "rehearsal on a CPU",
            },
            is_complete: false,
            parts: Map::new(),
        };
        report.write()?;
        Ok(report)
    }

    /// Notes that a part is under way.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn start(&mut self, part: &str) -> Result<()> {
        self.put(part, "outcome", json!("under way"))
    }

    /// Notes a result of a part.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, part: &str, key: &str, value: Value) -> Result<()> {
        self.parts.entry(part).or_insert_with(|| json!({}))[key] = value;
        self.write()
    }

    /// Notes what became of a part.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&mut self, part: &str, outcome: Outcome, seconds: f64, said: &str) -> Result<()> {
        let entry = self.parts.entry(part).or_insert_with(|| json!({}));
        entry["outcome"] = json!(outcome.word());
        entry["seconds"] = json!((seconds * 10.0).round() / 10.0);
        if let Outcome::Died(how) = &outcome {
            entry["died_of"] = json!(how);
        }
        if let Outcome::Skipped(reason) = &outcome {
            entry["reason"] = json!(reason);
        }
        if !said.is_empty() {
            entry["said"] = json!(said);
        }
        self.write()
    }

    /// Notes that nothing more comes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn complete(&mut self) -> Result<()> {
        self.is_complete = true;
        self.write()
    }

    /// A result of a part.
    pub fn found(&self, part: &str, key: &str) -> Option<&Value> {
        self.parts.get(part)?.get(key)
    }

    /// The parts that neither passed nor were skipped, with the reason.
    pub fn failures(&self) -> Vec<String> {
        let failure = |(name, part): (&String, &Value)| {
            let outcome = part["outcome"].as_str().unwrap_or_default();
            let why = [&part["problem"]["message"], &part["died_of"]]
                .into_iter()
                .find_map(Value::as_str)
                .and_then(|text| text.lines().next());
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            (!["passed", "skipped"].contains(&outcome)).then(|| format!("{name}: {outcome}{why}"))
        };
        self.parts.iter().filter_map(failure).collect()
    }

    fn write(&self) -> Result<()> {
        let failures = self.failures();
        let report = json!({
            "format": FORMAT,
            "mode": self.mode,
            "commit": env!("SAC_COMMIT"),
            "complete": self.is_complete,
            "passed": self.is_complete && failures.is_empty(),
            "failures": failures,
            "seconds": (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            "parts": self.parts,
        });
        let mut name = self.path.file_name().context("--out names a file")?.to_owned();
        name.push(".part");
        let beside = self.path.with_file_name(name);
        fs::write(&beside, format!("{report:#}\n"))
            .and_then(|()| fs::rename(&beside, &self.path))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path) -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
    }

    #[test]
    fn the_file_is_whole_at_any_time_and_passes_only_at_the_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("report.json");
        let mut report = Report::new(&path, Place::Gpu).expect("writable");
        report.start("a").expect("writable");
        assert_eq!(read(&path)["failures"], json!(["a: under way"]));
        report.put("a", "number", json!(3)).expect("writable");
        report.finish("a", Outcome::Passed, 1.26, "words").expect("writable");
        report
            .finish("b", Outcome::Skipped("not here".into()), 0.0, "")
            .expect("writable");
        assert_eq!(read(&path)["passed"], false, "it is not complete");
        report.complete().expect("writable");
        let found = read(&path);
        assert_eq!((&found["passed"], &found["complete"]), (&json!(true), &json!(true)));
        assert_eq!(
            found["parts"]["a"],
            json!({ "outcome": "passed", "number": 3, "seconds": 1.3, "said": "words" })
        );
    }

    #[test]
    fn whatever_did_not_pass_is_a_failure_with_its_reason() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut report = Report::new(&folder.path().join("report.json"), Place::Gpu).expect("writable");
        let problem = json!({ "message": "refused\nand so on" });
        report.put("a", "problem", problem).expect("writable");
        for (name, outcome) in [
            ("a", Outcome::Failed),
            ("b", Outcome::Died("signal 6".into())),
            ("c", Outcome::OutOfTime),
            ("d", Outcome::Passed),
        ] {
            report.finish(name, outcome, 0.0, "").expect("writable");
        }
        report.complete().expect("writable");
        let expected = ["a: failed: refused", "b: died: signal 6", "c: out of time"];
        assert_eq!(report.failures(), expected);
    }
}
