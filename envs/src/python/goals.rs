//! Questions about goals as bytes: [`question`], [`answer`].

use crate::{GoalBatch, Transition};

/// A batch as `Goals.outcomes` in `goals.py` takes it: achieved and desired goals as `f32`, and whether each step
/// terminated as a byte.
pub(super) fn question(batch: &GoalBatch, outcomes: &[Transition]) -> Vec<u8> {
    let goals = batch.achieved.iter().chain(batch.desired);
    let ends = outcomes.iter().map(|outcome| u8::from(outcome.terminated));
    goals.flat_map(|number| number.to_ne_bytes()).chain(ends).collect()
}

/// Reads the answer: rewards as `f64`, and whether each step terminates as a byte. Returns whether it has the right length.
pub(super) fn answer(bytes: &[u8], outcomes: &mut [Transition]) -> bool {
    const REWARD: usize = size_of::<f64>();
    let count = outcomes.len();
    if bytes.len() != count * (REWARD + 1) {
        return false;
    }
    let (rewards, ends) = bytes.split_at(count * REWARD);
    let (rewards, _) = rewards.as_chunks::<REWARD>();
    for ((outcome, reward), end) in outcomes.iter_mut().zip(rewards).zip(ends) {
        *outcome = Transition {
            reward: f64::from_ne_bytes(*reward),
            terminated: *end != 0,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_goals_and_ends_and_its_answer_rewards_and_ends() {
        let batch = GoalBatch {
            achieved: &[1.0, 2.0],
            desired: &[3.0, 4.0],
            info: &[],
        };
        let mut outcomes = [false, true].map(|terminated| Transition {
            reward: 0.0,
            terminated,
        });
        let asked = question(&batch, &outcomes);
        assert_eq!((asked.len(), &asked[16..]), (18, &[0, 1][..]));
        assert_eq!(asked[8..12], 3.0f32.to_ne_bytes());
        let answered = [&0.5f64.to_ne_bytes()[..], &(-1.0f64).to_ne_bytes(), &[1, 0]].concat();
        assert!(answer(&answered, &mut outcomes) && !answer(&answered[1..], &mut outcomes));
        assert_eq!(
            outcomes.map(|outcome| (outcome.reward, outcome.terminated)),
            [(0.5, true), (-1.0, false)]
        );
    }
}
