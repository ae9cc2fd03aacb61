//! Why a run failed, kept in its folder: [`note`], [`clear`].

use std::{fs, path::Path};

use sac_agents::EnvSteps;
use sac_report::state::{FAILURE, Failure};

use super::folder::{RunFolder, utc_now, write};

/// Writes down why a run ended. Where that fails too, the error itself is still reported.
pub(super) fn note(run: &Path, at: EnvSteps, error: &str) {
    let failure = Failure {
        error: error.to_string(),
        at_env_steps: at.0,
        utc: utc_now(),
    };
    if let Ok(mut json) = serde_json::to_vec_pretty(&failure) {
        json.push(b'\n');
        let _ = write(&run.join(FAILURE), &json);
    }
}

/// Writes down why a run could not begin, in a folder that is made if it is missing.
pub(crate) fn note_failure(run: &Path, error: &str) {
    if fs::create_dir_all(run).is_ok() {
        note(run, EnvSteps(0), error);
    }
}

/// Forgets an earlier failure: the run goes on.
pub(super) fn clear(run: &RunFolder) {
    // Mostly there is none.
    let _ = fs::remove_file(run.path().join(FAILURE));
}
