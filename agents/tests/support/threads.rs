//! Whose turn it is to set the threads of the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use sac_agents::process;

/// The threads are the process's, so one test has them at a time; one thread, since libgomp's spin on busy machines.
pub fn one_thread() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    process::share_threads(1, true);
    turn
}
