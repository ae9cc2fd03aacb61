//! Logging of metrics: [`Row`], [`Sink`], [`Logger`].
//!
//! A failing sink is reported and tried again at the next row. It never ends a training run.

mod append;
mod csv;
mod jsonl;
mod tensorboard;

use std::{borrow::Cow, io};

pub use csv::EvalCsv;
pub use jsonl::MetricsJsonl;
pub use tensorboard::{Hparam, TensorBoard};

use sac_envs::render::Frame;

use crate::schedule::{EnvSteps, GradSteps};

/// The metrics at one point of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Env steps so far.
    pub env_steps: EnvSteps,
    /// Gradient steps so far.
    pub grad_steps: GradSteps,
    /// Wall time of training since the run began, seconds, summed over resumed parts.
    pub seconds: f64,
    /// Names (see [`crate::metrics`]) and values of metrics.
    pub values: Vec<(Cow<'static, str>, f64)>,
}

impl Row {
    /// The value of a metric, if the row has it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| *value)
    }
}

/// A destination of rows.
pub trait Sink: Send {
    /// The name in error messages.
    fn name(&self) -> &'static str;

    /// Writes a row.
    ///
    /// # Errors
    /// When the row cannot be written. Earlier rows stay intact.
    fn row(&mut self, row: &Row) -> io::Result<()>;

    /// Writes an image. The default ignores it.
    ///
    /// # Errors
    /// When the image cannot be written. Earlier rows and images stay intact.
    fn image(&mut self, _env_steps: EnvSteps, _name: &str, _image: &Frame) -> io::Result<()> {
        Ok(())
    }

    /// Marks the end of the run. The default ignores it.
    ///
    /// # Errors
    /// When the mark cannot be written.
    fn finished(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Is called with the number of env steps after every step. The default ignores it.
    fn progress(&mut self, _env_steps: EnvSteps) {}
}

struct Watched {
    sink: Box<dyn Sink>,
    failing: bool,
}

/// The sinks of a run.
#[derive(Default)]
pub struct Logger {
    sinks: Vec<Watched>,
}

impl Logger {
    /// Adds a sink.
    pub fn add(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(Watched { sink, failing: false });
    }

    /// Writes a row to every sink.
    pub fn row(&mut self, row: &Row) {
        self.each(|sink| sink.row(row));
    }

    /// Writes an image to every sink.
    pub fn image(&mut self, env_steps: EnvSteps, name: &str, image: &Frame) {
        self.each(|sink| sink.image(env_steps, name, image));
    }

    /// Marks the end of the run in every sink.
    pub fn finished(&mut self) {
        self.each(|sink| sink.finished());
    }

    fn each(&mut self, work: impl Fn(&mut dyn Sink) -> io::Result<()>) {
        for Watched { sink, failing } in &mut self.sinks {
            match work(sink.as_mut()) {
                Ok(()) if *failing => {
                    *failing = false;
                    tracing::warn!("{}: writing works again", sink.name());
                }
                Ok(()) => {}
                Err(error) if !*failing => {
                    *failing = true;
                    tracing::warn!("{}: {error}; training continues without it", sink.name());
                }
                Err(_) => {}
            }
        }
    }

    /// Passes the number of env steps to every sink.
    pub fn progress(&mut self, env_steps: EnvSteps) {
        for Watched { sink, .. } in &mut self.sinks {
            sink.progress(env_steps);
        }
    }
}
