//! A request to stop training early: [`Stop`].

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::error::{Error, Result};

/// Exit code of a run that was interrupted, as shells have it for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// A request to stop training early, with a checkpoint. Clones share the request; by default nobody makes it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A request that Ctrl-C and SIGTERM make. A second signal ends the process at once.
    ///
    /// # Errors
    /// When the system refuses the signal handlers.
    pub fn on_signals() -> Result<Stop> {
        let stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
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

    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
