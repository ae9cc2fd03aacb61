//! `metrics.jsonl`: one JSON object a row.

use std::{io, path::Path};

use super::{
    Row, Sink,
    append::{AppendFile, keep_lines},
};
use crate::schedule::EnvSteps;

/// Writes `{"env_steps":…,"grad_steps":…,"seconds":…,"train/q_mean":…}`; a number that is not finite becomes null.
pub struct MetricsJsonl {
    file: AppendFile,
}

impl MetricsJsonl {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When that fails.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(MetricsJsonl {
            file: AppendFile::open(path)?,
        })
    }

    /// Drops rows later than `last`, left by a run that was killed after its last checkpoint. Returns the latest wall
    /// time of a row that stays, in seconds (0 without one).
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
                // An evaluation beside training has a row that comes later than its moment.
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
