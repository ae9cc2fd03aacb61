//! A short run that has to learn.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{learner, part::Place, tell::tell};

/// The first thousand are random and without updates.
const ENV_STEPS: u64 = 6000;
/// Mean return of the evaluation at the end. A random policy gets about −1200, one that keeps the pendulum up about
/// −150.
const THRESHOLD: f64 = -300.0;

pub fn run(place: Place, graphs: bool) -> Result<()> {
    tell("env_steps", json!(ENV_STEPS));
    tell("threshold", json!(THRESHOLD));
    let run = learner::train_on_pendulum(place.device(), place.threads(), graphs, ENV_STEPS)?;
    tell("mean_return", json!(run.mean_return));
    tell("updates", json!(run.updates));
    tell("seconds_in_training", json!(run.seconds));
    tell("updates_per_second_of_the_run", json!(run.updates as f64 / run.seconds));
    ensure!(
        run.mean_return > THRESHOLD,
        "it did not learn: a mean return of {:.0}",
        run.mean_return
    );
    Ok(())
}
