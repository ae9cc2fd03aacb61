//! Panics of other people's code as values: [`caught`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::EnvError;

/// Runs `work` and returns a panic as its message. After a panic, whatever `work` was changing is in an unknown state.
///
/// # Errors
/// The message of the panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(&*payload))
}

/// [`caught`] for a step. Its error is boxed, so that the result fits into registers.
pub(crate) fn caught_step<T>(work: impl FnOnce() -> Result<T, EnvError>) -> Result<Result<T, Box<EnvError>>, String> {
    caught(|| work().map_err(Box::new))
}

fn message(payload: &(dyn Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text.to_string(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic without a message".to_string(),
    }
}
