//! Checks of a whole [`AgentSpec`]: ranges, settings that depend on each other, and settings that depend on the spaces.

use sac_envs::Space;

use crate::{
    agent_spec::{AgentSpec, NextAction},
    critic::CriticSpec,
    error::{Error, Result},
    exploration::ExplorationSpec,
    policy::{PolicySpec, StdSource},
    presets,
    spec_problems::{SpecProblem, SpecProblems},
    temperature::TemperatureSpec,
};

impl AgentSpec {
    /// Every value that is out of its range.
    pub fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        let p = &mut problems;
        p.require(
            (0.0..=1.0).contains(&self.gamma),
            "agent.gamma",
            self.gamma,
            "between 0 and 1",
        );
        if let Some(spec) = self.reward_scaling {
            spec.check(p);
        }
        self.exploration.check(p);
        self.check_exploration(p);
        self.augmentation.check(p);
        self.encoder.check(p);
        self.body.check(p, "agent.body");
        if let Some(spec) = &self.critic_body {
            spec.check(p, "agent.critic_body");
        }
        self.policy.check(p);
        self.critic.check(p);
        if let Some(filter) = self.critic.target_filter() {
            filter.check(p, self.gamma, self.normalize_observations);
        }
        self.temperature.check(p);
        self.targets.check(p);
        p.require(
            self.targets.has_parameters() || self.next_action == NextAction::Online,
            "agent.next_action",
            "\"target\"",
            "\"online\", because with agent.targets.kind = \"none\" there is no target policy",
        );
        p.require(
            self.delay.policy > 0,
            "agent.delay.policy",
            self.delay.policy,
            "at least 1",
        );
        p.require(
            self.delay.targets > 0,
            "agent.delay.targets",
            self.delay.targets,
            "at least 1",
        );
        let temperature = self.delay.temperature.unwrap_or(self.delay.policy);
        p.require(
            self.delay.temperature != Some(0),
            "agent.delay.temperature",
            temperature,
            "at least 1",
        );
        if let Some(resets) = &self.resets {
            resets.check(p);
        }
        problems.into_vec()
    }

    /// Reports settings that kinds of exploration for squashed Gaussians cannot be combined with.
    fn check_exploration(&self, p: &mut SpecProblems) {
        let kind = match &self.exploration {
            ExplorationSpec::Independent | ExplorationSpec::Repeated(_) => return,
            ExplorationSpec::Gsde(_) => "\"gsde\"",
            ExplorationSpec::Optimistic(_) => "\"optimistic\"",
        };
        let PolicySpec::SquashedGaussian(policy) = &self.policy else {
            let expected = format!(
                "\"independent\" or \"repeated\", because this is for squashed Gaussians and agent.policy.kind is \"{}\"",
                self.policy.kind()
            );
            return p.require(false, "agent.exploration.kind", kind, &expected);
        };
        let ExplorationSpec::Gsde(gsde) = &self.exploration else {
            return;
        };
        p.require(
            policy.std == StdSource::StateDependent,
            "agent.policy.std",
            "\"state_independent\"",
            "\"state_dependent\" with agent.exploration.kind = \"gsde\", where σ is a function of features",
        );
        p.require(
            self.body.features().is_some(),
            "agent.body.hidden",
            "[]",
            "at least one layer with agent.exploration.kind = \"gsde\", whose noise is a function of its units",
        );
        policy.check_start(p, "agent.exploration.initial_log_std", gsde.initial_log_std);
    }

    /// Every setting that does not fit the action space, or that conflicts with a setting chosen for that space.
    pub fn space_problems(&self, action: &Space) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        if let Some(misfit) = self.policy.misfit(action) {
            let supported_by: Vec<&str> = presets::serving(action).collect();
            let advice = match supported_by.as_slice() {
                [] => "no preset can act there".to_string(),
                [one] => format!("--algo {one} can act there"),
                [first, others @ ..] => format!("--algo {first} can act there, as can {}", others.join(", ")),
            };
            let kind = format!("\"{}\"", self.policy.kind());
            let problem = format!("{misfit}, and the actions are {action}; {advice}");
            problems.require(false, "agent.policy.kind", kind, &problem);
        } else if matches!(self.policy, PolicySpec::Categorical(_)) && !self.critic.enumerates() {
            // A scalar critic cannot enumerate only if it has a target filter, and the filter reports that itself.
            problems.require(
                matches!(self.critic, CriticSpec::Scalar(_)),
                "agent.critic.kind",
                format!("\"{}\"", self.critic.kind()),
                "this critic needs drawn actions, and the policy \"categorical\" enumerates them; use the policy \
                 \"gumbel_softmax\", or the critic \"scalar\" or \"state_value\"",
            );
        }
        if let TemperatureSpec::Learned(spec) = &self.temperature
            && let Some(problem) = spec.target_entropy.problem(action)
        {
            let value = spec.target_entropy.to_toml();
            problems.require(false, "agent.temperature.target_entropy", value, &problem);
        }
        if let Some(filter) = self.critic.target_filter() {
            filter.check_space(&mut problems, action, self.gamma);
        }
        problems.into_vec()
    }

    /// Every setting that does not fit the observation space.
    pub fn observation_problems(&self, observation: &Space) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        self.augmentation.check_observation(&mut problems, observation);
        self.encoder.check_observation(&mut problems, observation);
        problems.into_vec()
    }

    /// Returns the first problem as an error.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub(crate) fn check(&self, observation: &Space, action: &Space) -> Result<()> {
        let of_spaces = self
            .space_problems(action)
            .into_iter()
            .chain(self.observation_problems(observation));
        match self.problems().into_iter().chain(of_spaces).next() {
            None => Ok(()),
            Some(SpecProblem { key, value, problem }) => Err(Error::Spec {
                key,
                value,
                problem: match problem.starts_with("this ") {
                    true => problem,
                    false => format!("expected {problem}"),
                },
            }),
        }
    }
}
