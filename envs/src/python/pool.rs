//! Environments that were made and never used: [`put`] keeps one, [`take`] hands it out.
//!
//! A run makes its environment to check its settings, and again to train. Starting an interpreter and importing packages
//! takes a second, and an environment that was never reset is as good as a new one.

use std::sync::{Arc, Mutex, PoisonError};

use super::describe::Description;
use super::worker::Worker;

/// Most that are kept. They wait for a request and use memory only.
const MOST: usize = 2;

/// An environment that was made and never used, alone in its worker.
pub(super) struct Unused {
    pub(super) worker: Arc<Mutex<Worker>>,
    pub(super) description: Arc<Description>,
}

static UNUSED: Mutex<Vec<(String, Unused)>> = Mutex::new(Vec::new());

/// Keeps an environment, under what made it.
pub(super) fn put(made_by: &str, env: Unused) {
    let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let oldest = (unused.len() == MOST).then(|| unused.remove(0));
    unused.push((made_by.to_string(), env));
    // Ending a process takes a while; others need not wait for it.
    drop(unused);
    drop(oldest);
}

/// An environment that the same made, if there is one.
pub(super) fn take(made_by: &str) -> Option<Unused> {
    let mut unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let at = unused.iter().position(|(by, _)| by == made_by)?;
    Some(unused.remove(at).1)
}
