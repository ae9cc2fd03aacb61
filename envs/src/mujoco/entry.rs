//! The registry's entry of a MuJoCo task.

use serde::{Deserialize, Serialize};

use super::options;
use super::sim::{MujocoSim, OnWarning};
use super::task::Task;
use crate::EnvEntry;

/// The options of a task: its own, and that of the simulation.
#[derive(Default, Serialize, Deserialize)]
#[serde(bound = "T: Task")]
struct Options<T> {
    #[serde(flatten)]
    task: T,
    on_warning: OnWarning,
}

/// The registry's entry of a task.
pub(super) fn entry<T: Task>(summary: &str, time_limit: u64) -> EnvEntry {
    let entry = EnvEntry::from_options(T::ID, summary, |Options { task, on_warning }: Options<T>| {
        Ok(Box::new(MujocoSim::new(task)?.with_on_warning(on_warning)))
    });
    let explained = options::explain(entry.options.keys());
    entry
        .with_time_limit(time_limit)
        .with_manual_of(move |Options { task, .. }: &Options<T>| {
            let mut manual = task.manual();
            manual.description = format!("{}\n\n{explained}", manual.description);
            manual
        })
        .with_family("mujoco")
}
