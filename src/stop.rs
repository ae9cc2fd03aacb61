//! A request to stop training early: [`Stop`].

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use sac_cli::exit_code::INTERRUPTED;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result};

/// A request to stop training early, with a checkpoint. Clones share the request; by default nobody makes it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A request that Ctrl-C, SIGTERM and SIGHUP make: a terminal that is closed, a connection that is lost. A second
    /// signal ends the process at once. Under `nohup`, SIGHUP stays ignored.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn on_signals() -> Result<Stop> {
        let stop = Stop::default();
        let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            signal_hook::flag::register_conditional_shutdown(signal, i32::from(INTERRUPTED), stop.0.clone())
                .and_then(|_| signal_hook::flag::register(signal, stop.0.clone()))
                .map_err(Error::io("signal handler"))?;
        }
        Ok(stop)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}

/// Whether the process ignores a signal since it was started.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
