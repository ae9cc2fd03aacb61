//! The registry's entry of a MuJoCo task.

use super::options;
use super::sim::MujocoSim;
use super::task::Task;
use crate::EnvEntry;

/// The registry's entry of a task.
pub(super) fn entry<T: Task>(summary: &str, time_limit: u64) -> EnvEntry {
    let entry = EnvEntry::from_options(T::ID, summary, |task: T| Ok(Box::new(MujocoSim::new(task)?)));
    let explained = options::explain(entry.options.keys());
    entry
        .with_time_limit(time_limit)
        .with_manual_of(move |task: &T| {
            let mut manual = task.manual();
            manual.description = format!("{}\n\n{explained}", manual.description);
            manual
        })
        .with_family("mujoco")
}
