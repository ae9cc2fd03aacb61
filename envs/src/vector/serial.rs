//! [`Serial`]: a vector environment on the caller's thread.

use std::ops::Range;

use super::lane::{Chunk, Common};
use super::{VecEnv, VecStep};
use crate::{Env, EnvError, GoalLayout, Space, Warning};

/// Steps its environments one after the other on the calling thread. The fastest way for tasks whose step takes
/// microseconds.
pub struct Serial {
    common: Common,
    chunk: Chunk,
    view: VecStep,
}

impl Serial {
    /// A vector environment of `envs`, which must be of one kind.
    ///
    /// # Errors
    /// [`EnvError::Unsupported`] when `envs` is empty, its spaces differ, or one of them has a flaw.
    pub fn new(envs: Vec<Box<dyn Env>>) -> Result<Self, EnvError> {
        let common = Common::of(&envs)?;
        let view = VecStep::sized(common.len, common.observation_space.len());
        Ok(Serial {
            common,
            chunk: Chunk::new(0, envs),
            view,
        })
    }
}

impl VecEnv for Serial {
    fn len(&self) -> usize {
        self.common.len
    }

    fn describe(&self) -> String {
        self.common.description.clone()
    }

    fn observation_space(&self) -> &Space {
        &self.common.observation_space
    }

    fn action_space(&self) -> &Space {
        &self.common.action_space
    }

    fn stacked_frames(&self) -> usize {
        self.common.stacked_frames
    }

    fn goals(&self) -> Option<&GoalLayout> {
        self.common.goals.as_ref()
    }

    fn reset(&mut self, seeds: &[u64]) -> Result<&VecStep, EnvError> {
        self.common.check_seeds(seeds)?;
        self.chunk.reset(seeds, &mut self.view)?;
        Ok(&self.view)
    }

    fn step(&mut self, group: Range<usize>, actions: &[f32]) -> Result<&VecStep, EnvError> {
        self.common.check_step(&group, actions)?;
        self.chunk.step(group, actions, &mut self.view)?;
        Ok(&self.view)
    }

    fn current(&self) -> &VecStep {
        &self.view
    }

    fn warnings(&self) -> Vec<Warning> {
        self.chunk.warnings()
    }

    fn snapshot(&self) -> Result<Vec<Vec<u8>>, EnvError> {
        self.chunk.snapshot(&self.view)
    }

    fn restore(&mut self, snapshots: &[Vec<u8>]) -> Result<(), EnvError> {
        self.common.check_snapshots(snapshots)?;
        self.chunk.restore(snapshots, &mut self.view)
    }
}
