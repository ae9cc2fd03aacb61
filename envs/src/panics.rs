//! Somebody else's panic as a value.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::EnvError;

/// Runs `work`; a panic comes back as its message. The caller must treat whatever `work` was changing as spoilt.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| message(&*payload))
}

/// [`caught`] for a step: what comes out of every one of them travels in registers, an error in a box.
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
