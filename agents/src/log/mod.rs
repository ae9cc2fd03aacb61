//! Where numbers go: [`Row`], [`Sink`], [`Logger`].
//!
//! A sink that fails is reported and tried again at the next row; it never ends a training run.

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

/// Numbers that belong to one moment of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When.
    pub env_steps: EnvSteps,
    /// When.
    pub grad_steps: GradSteps,
    /// Wall time in training since the run began, resumed parts added up.
    pub seconds: f64,
    /// Metric names (see [`crate::metrics`]) and values.
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

/// A place for rows.
pub trait Sink: Send {
    /// For error messages.
    fn name(&self) -> &'static str;

    /// Takes a row.
    ///
    /// # Errors
    /// When it could not be written; what was written before stays intact.
    fn row(&mut self, row: &Row) -> io::Result<()>;

    /// Takes an image of that moment. Most sinks do not care.
    ///
    /// # Errors
    /// When it could not be written; what was written before stays intact.
    fn image(&mut self, _env_steps: EnvSteps, _name: &str, _image: &Frame) -> io::Result<()> {
        Ok(())
    }

    /// Learns that the run has reached its end. Most sinks do not care.
    ///
    /// # Errors
    /// When it could not be written down.
    fn finished(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Learns how far the run is, at every step. Most sinks do not care.
    fn progress(&mut self, _env_steps: EnvSteps) {}
}

struct Watched {
    sink: Box<dyn Sink>,
    failing: bool,
}

/// All sinks of a run.
#[derive(Default)]
pub struct Logger {
    sinks: Vec<Watched>,
}

impl Logger {
    /// Adds a sink.
    pub fn add(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(Watched { sink, failing: false });
    }

    /// Hands a row to every sink.
    pub fn row(&mut self, row: &Row) {
        self.each(|sink| sink.row(row));
    }

    /// Hands an image to every sink.
    pub fn image(&mut self, env_steps: EnvSteps, name: &str, image: &Frame) {
        self.each(|sink| sink.image(env_steps, name, image));
    }

    /// Tells every sink that the run has reached its end.
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
                    tracing::warn!("{}: {error}; training goes on without it", sink.name());
                }
                Err(_) => {}
            }
        }
    }

    /// Tells every sink how far the run is.
    pub fn progress(&mut self, env_steps: EnvSteps) {
        for Watched { sink, .. } in &mut self.sinks {
            sink.progress(env_steps);
        }
    }
}
