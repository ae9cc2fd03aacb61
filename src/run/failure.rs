//! Why a run failed, kept in its folder: [`note`], [`clear`].

use std::fs;

use sac_agents::EnvSteps;
use sac_report::state::{FAILURE, Failure};

use super::folder::{RunFolder, utc_now, write};
use crate::error::Error;

/// Writes down why a run ended. Where that fails too, the error itself is still reported.
pub(super) fn note(run: &RunFolder, at: EnvSteps, error: &Error) {
    let failure = Failure {
        error: error.to_string(),
        at_env_steps: at.0,
        utc: utc_now(),
    };
    if let Ok(mut json) = serde_json::to_vec_pretty(&failure) {
        json.push(b'\n');
        let _ = write(&run.path().join(FAILURE), &json);
    }
}

/// Forgets an earlier failure: the run goes on.
pub(super) fn clear(run: &RunFolder) {
    // Mostly there is none.
    let _ = fs::remove_file(run.path().join(FAILURE));
}
