//! [`judge`]: what a task says about a batch of goals.

use super::layout::{GoalBatch, GoalLayout};
use crate::Transition;

/// Asks a task with these goals for the outcome of each step of a batch. `outcome` takes the achieved goal, the desired
/// goal and the rest of the observation; it returns `None` for a task without goals.
///
/// # Errors
/// Why there is no answer: a task without goals, or a batch that does not fit.
pub(crate) fn judge(
    layout: Option<&GoalLayout>,
    batch: &GoalBatch,
    outcomes: &mut [Transition],
    outcome: impl Fn(&[f32], &[f32], &[f32]) -> Option<Transition>,
) -> Result<(), String> {
    let none = || "it has no goals".to_string();
    let layout = layout.ok_or_else(none)?;
    if let Some(flaw) = batch.flaw(layout, outcomes.len()) {
        return Err(flaw);
    }
    for ((achieved, desired, info), answer) in batch.rows(layout).zip(outcomes) {
        *answer = outcome(achieved, desired, info).ok_or_else(none)?;
    }
    Ok(())
}
