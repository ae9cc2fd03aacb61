//! Ranges of an [`AgentSpec`]: what types alone cannot say.

use sac_envs::Space;

use crate::{
    critic::CriticSpec,
    error::{Error, Result},
    nn::{AdamSpec, BodySpec},
    policy::PolicySpec,
    presets,
    soft_actor_critic::AgentSpec,
    target::TargetSpec,
    temperature::{FixedTemperatureSpec, TargetEntropy, TemperatureSpec},
};

/// A value out of range: dotted key (from `agent` on), value, what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Such as `agent.gamma`.
    pub key: String,
    /// As given.
    pub value: String,
    /// What it should be.
    pub problem: String,
}

/// Collects problems so that all are reported at once.
#[derive(Default)]
pub struct SpecProblems(Vec<SpecProblem>);

impl SpecProblems {
    /// Notes a problem unless `holds`.
    pub fn require(&mut self, holds: bool, key: &str, value: impl ToString, expected: &str) {
        if !holds {
            self.0.push(SpecProblem {
                key: key.into(),
                value: value.to_string(),
                problem: expected.into(),
            });
        }
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that were found.
    pub fn into_vec(self) -> Vec<SpecProblem> {
        self.0
    }
}

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
        self.augmentation.check(p);
        self.encoder.check(p);
        body(p, "agent.body", &self.body);
        if let Some(spec) = &self.critic_body {
            body(p, "agent.critic_body", spec);
        }
        self.policy.check(p);
        check_adam(p, "agent.policy.optimizer", &self.policy.optimizer());
        self.critic.check(p);
        if let Some(filter) = self.critic.target_filter() {
            filter.check(p, self);
        }
        match &self.temperature {
            TemperatureSpec::Fixed(FixedTemperatureSpec { alpha }) => {
                p.require(
                    *alpha >= 0.0 && alpha.is_finite(),
                    "agent.temperature.alpha",
                    alpha,
                    "finite and at least 0",
                );
            }
            TemperatureSpec::Learned(spec) => {
                let alpha = spec.initial_alpha;
                let holds = alpha > 0.0 && alpha.is_finite();
                p.require(holds, "agent.temperature.initial_alpha", alpha, "finite and above 0");
                let key = "agent.temperature.target_entropy";
                let in_words = || toml::Value::try_from(spec.target_entropy).map_or(String::new(), |v| v.to_string());
                match spec.target_entropy {
                    TargetEntropy::MinusActionDim => {}
                    TargetEntropy::Nats(nats) => p.require(nats.is_finite(), key, nats, "finite"),
                    TargetEntropy::OfUniform(part) => {
                        p.require((0.0..=1.0).contains(&part), key, in_words(), "a part between 0 and 1");
                    }
                    TargetEntropy::Moving {
                        of_uniform,
                        from,
                        to,
                        over_grad_steps,
                    } => {
                        let holds = |end: f64| end.is_finite() && (!of_uniform || (0.0..=1.0).contains(&end));
                        p.require(
                            holds(from) && holds(to) && over_grad_steps > 0,
                            key,
                            in_words(),
                            "finite ends, parts between 0 and 1, and at least 1 gradient step",
                        );
                    }
                }
                check_adam(p, "agent.temperature.optimizer", &spec.optimizer);
            }
        }
        match self.targets {
            TargetSpec::Polyak { tau } => {
                p.require(
                    tau > 0.0 && tau <= 1.0,
                    "agent.targets.tau",
                    tau,
                    "above 0 and at most 1",
                );
            }
            TargetSpec::Hard { every_grad_steps } => {
                let key = "agent.targets.every_grad_steps";
                p.require(every_grad_steps > 0, key, every_grad_steps, "at least 1");
            }
        }
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
        problems.into_vec()
    }

    /// Every choice that does not fit the action space, or another choice because of it.
    pub fn space_problems(&self, action: &Space) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        if let Some(misfit) = self.policy.misfit(action) {
            let able: Vec<&str> = presets::serving(action).collect();
            let instead = match able.as_slice() {
                [] => "no preset can act there".to_string(),
                [one] => format!("--algo {one} can act there"),
                [first, others @ ..] => format!("--algo {first} can act there, as can {}", others.join(", ")),
            };
            let kind = format!("\"{}\"", self.policy.kind());
            let problem = format!("{misfit}, and the actions are {action}; {instead}");
            problems.require(false, "agent.policy.kind", kind, &problem);
        } else if matches!(self.policy, PolicySpec::Categorical(_)) && !self.critic.enumerates() {
            // What keeps this critic from it is a filter over actions, which has a complaint of its own.
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
            let value = toml::Value::try_from(spec.target_entropy).map_or(String::new(), |value| value.to_string());
            problems.require(false, "agent.temperature.target_entropy", value, &problem);
        }
        if let Some(filter) = self.critic.target_filter() {
            filter.check_space(&mut problems, action, self.gamma);
        }
        problems.into_vec()
    }

    /// Every choice that does not fit what is observed.
    pub fn observation_problems(&self, observation: &Space) -> Vec<SpecProblem> {
        let mut problems = SpecProblems::default();
        self.augmentation.check_observation(&mut problems, observation);
        self.encoder.check_observation(&mut problems, observation);
        problems.into_vec()
    }

    /// The first value out of its range, as an error.
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

fn body(p: &mut SpecProblems, key: &str, spec: &BodySpec) {
    p.require(
        spec.hidden.iter().all(|width| (1..=65_536).contains(width)),
        &format!("{key}.hidden"),
        format!("{:?}", spec.hidden),
        "every width between 1 and 65536",
    );
    p.require(
        (0.0..1.0).contains(&spec.dropout),
        &format!("{key}.dropout"),
        spec.dropout,
        "at least 0 and below 1",
    );
}

/// Ranges of an optimiser's settings.
pub fn check_adam(p: &mut SpecProblems, key: &str, spec: &AdamSpec) {
    let AdamSpec {
        learning_rate,
        beta1,
        beta2,
        eps,
    } = *spec;
    let positive = |value: f64| value > 0.0 && value.is_finite();
    let rate = format!("{key}.learning_rate");
    p.require(positive(learning_rate), &rate, learning_rate, "finite and above 0");
    p.require(
        (0.0..1.0).contains(&beta1),
        &format!("{key}.beta1"),
        beta1,
        "at least 0 and below 1",
    );
    p.require(
        (0.0..1.0).contains(&beta2),
        &format!("{key}.beta2"),
        beta2,
        "at least 0 and below 1",
    );
    p.require(positive(eps), &format!("{key}.eps"), eps, "finite and above 0");
}
