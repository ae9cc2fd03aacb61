//! Settings of the replay memory: [`ReplaySpec`]; and of what fills it: [`Stacking`].

use sac_envs::{Dtype, GoalLayout, Space, VecEnv};
use serde::{Deserialize, Serialize};

use super::{episodes::Episodes, hindsight::HindsightSpec, sampler::SamplerSpec, storage::Layout, sum_tree::SumTree};
use crate::{
    error::{Error, Result},
    memory::available_memory_bytes,
    spec_problems::{SpecProblem, SpecProblems},
};

/// Settings of the replay memory. Defaults: SAC 2018b, table 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReplaySpec {
    /// Capacity, transitions. The oldest are overwritten.
    pub capacity: u64,
    /// n of n-step returns, at least 1.
    pub n_step: u64,
    /// Whether n-step returns are soft: they have the entropies of the policy at the steps in between, times α.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub soft_n_step: bool,
    /// How rows are sampled.
    pub sampler: SamplerSpec,
    /// Other goals for sampled rows, for tasks with goals: see [`super::Replay::with_hindsight`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hindsight: Option<HindsightSpec>,
}

impl Default for ReplaySpec {
    fn default() -> Self {
        ReplaySpec {
            capacity: 1_000_000,
            n_step: 1,
            soft_n_step: false,
            sampler: SamplerSpec::Uniform,
            hindsight: None,
        }
    }
}

impl ReplaySpec {
    pub(super) fn layout<'a>(&self, (observation, action): (&'a Space, &'a Space), stacking: Stacking) -> Layout<'a> {
        Layout {
            observation,
            action,
            stacked_frames: stacking.frames,
            num_envs: stacking.num_envs,
            n_step: usize::try_from(self.n_step).unwrap_or(usize::MAX),
            soft: self.soft_n_step,
            capacity: usize::try_from(self.capacity).unwrap_or(usize::MAX),
        }
    }

    /// Size of the rows and priorities, bytes. `spaces` are the observation and action space.
    pub fn bytes(&self, spaces: (&Space, &Space), stacking: Stacking) -> u64 {
        let priorities = match self.sampler {
            SamplerSpec::Uniform => 0,
            SamplerSpec::Prioritized(_) => SumTree::bytes(self.capacity),
        };
        let episodes = self.hindsight.map_or(0, |_| Episodes::bytes(self.capacity));
        let rows = self.layout(spaces, stacking).bytes();
        rows.saturating_add(priorities).saturating_add(episodes)
    }

    /// Whether rows share the frames of their observations, because these are stacks of frames of bytes.
    pub fn shares_frames(&self, spaces: (&Space, &Space), stacking: Stacking) -> bool {
        self.layout(spaces, stacking).frames().is_some()
    }

    /// What keeps hindsight from these observations, in words that follow "expected"; `None` if it is not configured, or
    /// nothing does. `goals` says where goals lie in them.
    pub fn hindsight_problem(&self, observation: &Space, goals: Option<&GoalLayout>) -> Option<SpecProblem> {
        let spec = self.hindsight?;
        let problem = match (goals, observation) {
            (None, _) => {
                "none here: the task has no goals (no `achieved_goal` and `desired_goal` in its observations), or a wrapper \
                 around it changes its observations or sums its rewards"
            }
            (Some(_), Space::Box { dtype: Dtype::F32, .. }) => return None,
            (Some(_), _) => "none here: goals have to be real numbers",
        };
        Some(SpecProblem {
            key: "replay.hindsight".to_string(),
            value: format!("{:?} of {} + 1", spec.strategy, spec.k).to_lowercase(),
            problem: problem.to_string(),
        })
    }

    /// Every setting of the sampler and of hindsight that is out of range, and every two that exclude each other.
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        if let SamplerSpec::Prioritized(spec) = &self.sampler {
            spec.check(&mut problems);
        }
        problems.require(
            !self.soft_n_step || self.n_step > 1,
            "replay.n_step",
            self.n_step,
            "at least 2 with replay.soft_n_step: one step has none in between",
        );
        if let Some(spec) = &self.hindsight {
            spec.check(&mut problems);
            problems.require(
                self.n_step == 1,
                "replay.n_step",
                self.n_step,
                "1 with replay.hindsight: the reward of another goal is that of a single step",
            );
            problems.require(
                self.sampler == SamplerSpec::Uniform,
                "replay.sampler",
                "\"prioritized\"",
                "\"uniform\" with replay.hindsight: a row's priority is that of its own goal",
            );
        }
        problems.into_vec()
    }

    /// Checks that the replay fits into the available memory.
    ///
    /// # Errors
    /// [`Error::ReplayTooLarge`] if it does not.
    pub fn check_fits(&self, spaces: (&Space, &Space), stacking: Stacking) -> Result<()> {
        const MIB: u64 = 1 << 20;
        let needed = self.bytes(spaces, stacking);
        let available = available_memory_bytes();
        if needed > available {
            return Err(Error::ReplayTooLarge {
                capacity: self.capacity,
                needed_mib: needed.div_ceil(MIB),
                available_mib: available / MIB,
            });
        }
        Ok(())
    }
}

/// The environments that fill a replay: their number, and the number of stacked frames in their observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stacking {
    /// Number of frames per observation (see [`sac_envs::Env::stacked_frames`]); 1 without frame stacking. Frames of
    /// bytes are stored once.
    pub frames: usize,
    /// Number of environments.
    pub num_envs: usize,
}

impl Stacking {
    /// The stacking of vectorised environments.
    pub fn of(envs: &dyn VecEnv) -> Self {
        Stacking {
            frames: envs.stacked_frames(),
            num_envs: envs.len(),
        }
    }

    /// `num_envs` environments without frame stacking.
    pub fn none(num_envs: usize) -> Self {
        Stacking { frames: 1, num_envs }
    }
}
