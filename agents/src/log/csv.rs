//! The file `eval.csv`, with one line per evaluation: [`EvalCsv`].

use std::{io, path::Path};

use super::{
    Row, Sink,
    append::{AppendFile, keep_lines},
};
use crate::{metrics, schedule::EnvSteps};

const HEADER: &str = "env_steps,grad_steps,seconds,mean_return,std_return,mean_length,success_rate\n";

/// A sink for the rows that hold an evaluation.
pub struct EvalCsv {
    file: AppendFile,
}

impl EvalCsv {
    /// Opens the file, or creates it with a header.
    ///
    /// # Errors
    /// When the file cannot be opened or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = AppendFile::open(path)?;
        if file.is_empty() {
            file.append(HEADER.as_bytes())?;
        }
        Ok(EvalCsv { file })
    }

    /// Removes lines later than `last`.
    ///
    /// # Errors
    /// When the file cannot be read or replaced.
    pub fn rewind(path: &Path, last: EnvSteps) -> io::Result<()> {
        keep_lines(path, |line| {
            match line.split(',').next().unwrap_or_default().parse::<u64>() {
                Ok(steps) => steps <= last.0,
                Err(_) => format!("{line}\n") == HEADER,
            }
        })
    }
}

impl Sink for EvalCsv {
    fn name(&self) -> &'static str {
        "eval.csv"
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        let Some(mean) = row.get(metrics::EVAL_REWARD_MEAN) else {
            return Ok(());
        };
        let std = row.get(metrics::EVAL_REWARD_STD).unwrap_or(f64::NAN);
        let length = row.get(metrics::EVAL_LENGTH_MEAN).unwrap_or(f64::NAN);
        // Empty for tasks that do not say.
        let success = row
            .get(metrics::EVAL_SUCCESS_RATE)
            .map_or(String::new(), |rate| rate.to_string());
        let Row {
            env_steps,
            grad_steps,
            seconds,
            ..
        } = row;
        let line = format!("{env_steps},{grad_steps},{seconds:.3},{mean},{std},{length},{success}\n");
        self.file.append(line.as_bytes())
    }
}
