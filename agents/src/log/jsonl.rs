//! The file `metrics.jsonl`, with one JSON object per row: [`MetricsJsonl`].

use std::{io, path::Path};

use super::{
    Row, Sink,
    append::{AppendFile, keep_lines},
};
use crate::schedule::EnvSteps;

/// A sink that writes rows as `{"env_steps":…,"grad_steps":…,"seconds":…,"train/q_mean":…}`. Numbers that are not
/// finite become null.
pub struct MetricsJsonl {
    file: AppendFile,
}

impl MetricsJsonl {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(MetricsJsonl {
            file: AppendFile::open(path)?,
        })
    }

    /// Removes rows later than `last`, written by a run that was killed after its last checkpoint. Returns the largest
    /// wall time of the remaining rows, seconds; 0 if there are none.
    ///
    /// # Errors
    /// When the file cannot be read or replaced.
    pub fn rewind(path: &Path, last: EnvSteps) -> io::Result<f64> {
        let mut seconds = 0.0;
        keep_lines(path, |line| {
            let Ok(row) = serde_json::from_str::<serde_json::Value>(line) else {
                return false;
            };
            let keeps = row["env_steps"].as_u64().is_some_and(|steps| steps <= last.0);
            if keeps {
                // The row of a concurrent evaluation is written after later rows.
                seconds = row["seconds"].as_f64().unwrap_or(seconds).max(seconds);
            }
            keeps
        })?;
        Ok(seconds)
    }
}

impl Sink for MetricsJsonl {
    fn name(&self) -> &'static str {
        "metrics.jsonl"
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        let mut object = serde_json::Map::new();
        object.insert("env_steps".into(), row.env_steps.0.into());
        object.insert("grad_steps".into(), row.grad_steps.0.into());
        object.insert("seconds".into(), row.seconds.into());
        for (name, value) in &row.values {
            object.insert(name.to_string(), (*value).into());
        }
        let mut line = serde_json::to_vec(&object)?;
        line.push(b'\n');
        self.file.append(&line)
    }
}
