//! Ranges of an [`AgentSpec`]: what types alone cannot say.

use crate::{
    critic::CriticSpec,
    error::{Error, Result},
    nn::AdamSpec,
    policy::PolicySpec,
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
        p.require(
            self.body.hidden.iter().all(|width| (1..=65_536).contains(width)),
            "agent.body.hidden",
            format!("{:?}", self.body.hidden),
            "every width between 1 and 65536",
        );
        let PolicySpec::SquashedGaussian(policy) = &self.policy;
        p.require(
            policy.log_std_min < policy.log_std_max && policy.log_std_min.is_finite() && policy.log_std_max.is_finite(),
            "agent.policy.log_std_min",
            policy.log_std_min,
            "finite and below agent.policy.log_std_max",
        );
        adam(p, "agent.policy.optimizer", &policy.optimizer);
        let CriticSpec::Scalar(critic) = &self.critic;
        p.require(
            (1..=1000).contains(&critic.members),
            "agent.critic.members",
            critic.members,
            "between 1 and 1000",
        );
        adam(p, "agent.critic.optimizer", &critic.optimizer);
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
                if let TargetEntropy::Nats(nats) = spec.target_entropy {
                    p.require(nats.is_finite(), "agent.temperature.target_entropy", nats, "finite");
                }
                adam(p, "agent.temperature.optimizer", &spec.optimizer);
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

    /// The first value out of its range, as an error.
    pub(crate) fn check(&self) -> Result<()> {
        match self.problems().into_iter().next() {
            None => Ok(()),
            Some(SpecProblem { key, value, problem }) => Err(Error::Spec {
                key,
                value,
                problem: format!("expected {problem}"),
            }),
        }
    }
}

fn adam(p: &mut SpecProblems, key: &str, spec: &AdamSpec) {
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
