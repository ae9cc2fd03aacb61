//! [`Record`]: what an episode needs to be played again.

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// How an episode began.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Start {
    /// With a seed.
    Seed(u64),
    /// Without one, and with the generator in this state, if the environment has one of Gymnasium's. A snapshot asks for it.
    Continued(Option<String>),
}

/// The running episode: how it began, and all actions since, with a digest of what each led to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) start: Start,
    /// `[steps, A]`; empty for an episode that is too long.
    pub(super) actions: Vec<f32>,
    /// Of the reset and of every step.
    digests: Vec<u32>,
    /// The last observation.
    pub(super) obs: Vec<f32>,
    /// Whether the episode has ended.
    pub(super) is_over: bool,
    /// Longer than is kept.
    pub(super) is_too_long: bool,
}

/// The numbers of actions that are kept: 4 MiB in each environment.
const MOST_NUMBERS: usize = 1 << 20;

impl Record {
    /// An episode that has just begun with this observation.
    pub(super) fn begun(start: Start, obs: &[f32]) -> Self {
        Record {
            start,
            actions: Vec::new(),
            digests: vec![digest(obs, None)],
            obs: obs.to_vec(),
            is_over: false,
            is_too_long: false,
        }
    }

    pub(super) fn push(&mut self, action: &[f32], obs: &[f32], outcome: Outcome) {
        self.obs.copy_from_slice(obs);
        self.is_over = outcome.status().is_over();
        if self.is_too_long {
            return;
        }
        if self.actions.len() + action.len() > MOST_NUMBERS {
            self.is_too_long = true;
            (self.actions, self.digests) = (Vec::new(), Vec::new());
            return;
        }
        self.actions.extend_from_slice(action);
        self.digests.push(digest(obs, Some(outcome)));
    }

    /// Whether this is a record of an environment with so many numbers per action and observation.
    pub(super) fn fits(&self, action_len: usize, obs_len: usize) -> bool {
        let steps = self.digests.len().saturating_sub(1);
        self.obs.len() == obs_len
            && match self.is_too_long {
                true => self.actions.is_empty() && self.digests.is_empty(),
                false => !self.digests.is_empty() && self.actions.len() == steps * action_len,
            }
    }

    /// Whether playing the episode again led to the same after the reset (`None`) or the step with this number, from 0.
    pub(super) fn agrees(&self, step: Option<usize>, obs: &[f32], outcome: Option<Outcome>) -> bool {
        self.digests.get(step.map_or(0, |step| step + 1)) == Some(&digest(obs, outcome))
    }
}

/// FNV-1a over the bits.
fn digest(obs: &[f32], outcome: Option<Outcome>) -> u32 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = OFFSET;
    let mut mix = |bits: u64| hash = (hash ^ bits).wrapping_mul(PRIME);
    for x in obs {
        mix(u64::from(x.to_bits()));
    }
    if let Some(outcome) = outcome {
        mix(outcome.reward.to_bits());
        mix(u64::from(outcome.terminated) + 2 * u64::from(outcome.truncated));
    }
    (hash ^ (hash >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: Outcome = Outcome {
        reward: 1.0,
        terminated: false,
        truncated: false,
        success: None,
    };

    #[test]
    fn a_record_tells_whether_a_repetition_agrees() {
        let mut record = Record::begun(Start::Seed(1), &[0.5]);
        record.push(&[2.0], &[0.25], ON);
        assert!(record.fits(1, 1) && !record.fits(2, 1) && !record.fits(1, 2));
        assert!(record.agrees(None, &[0.5], None) && record.agrees(Some(0), &[0.25], Some(ON)));
        let other = Outcome { reward: 2.0, ..ON };
        assert!(!record.agrees(Some(0), &[0.25], Some(other)));
        assert!(!record.agrees(Some(0), &[-0.25], Some(ON)) && !record.agrees(Some(1), &[0.25], Some(ON)));
    }

    #[test]
    fn a_long_episode_is_not_kept() {
        let action = vec![0.0; MOST_NUMBERS / 2];
        let mut record = Record::begun(Start::Continued(None), &[0.5]);
        (0..3).for_each(|_| record.push(&action, &[0.25], ON));
        assert!(record.is_too_long && record.actions.is_empty() && record.fits(action.len(), 1));
    }
}
