//! A critic of your own, in files and on the command line like those that are built in.
//!
//! The target here lies between the smallest and the largest of two values, λ·min + (1 − λ)·max, as in BCQ (Fujimoto et
//! al. 2019, arXiv 1812.02900, equation 13); λ = 1 is the clipped double estimate of SAC. Networks, target parameters,
//! optimiser and checkpoints come with it. Run it with
//!
//! ```text
//! cargo run --release --example custom_critic
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use sac::{
    agents::{
        Batch, Reduction, UpdateReport,
        critic::{
            ActorObjective, Combination, Critic, CriticLoss, CriticSettings, CriticSpec, CriticStep, FunctionInput,
            FunctionSpec, Statistics, ValueFunction,
        },
        losses::soft_backup,
        metrics,
        nn::AdamSpec,
        noise::Stream,
        policy::ActionDraw,
        spec_problems::SpecProblems,
    },
    prelude::*,
};
use serde::{Deserialize, Serialize};
use tch::Tensor;

/// Two action values, and the weight of the smaller one in their target.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BetweenMinAndMax {
    lambda: f64,
    optimizer: AdamSpec,
}

impl Default for BetweenMinAndMax {
    fn default() -> Self {
        BetweenMinAndMax {
            lambda: 0.75,
            optimizer: AdamSpec::default(),
        }
    }
}

impl CriticSettings for BetweenMinAndMax {
    fn build(&self) -> Box<dyn Critic> {
        Box::new(*self)
    }

    fn check(&self, problems: &mut SpecProblems) {
        let holds = (0.0..=1.0).contains(&self.lambda);
        problems.require(holds, "agent.critic.lambda", self.lambda, "between 0 and 1");
    }
}

impl Critic for BetweenMinAndMax {
    fn functions(&self) -> Vec<FunctionSpec> {
        vec![FunctionSpec {
            name: "critic",
            input: FunctionInput::Actions,
            members: 2,
            outputs: 1,
            optimizer: self.optimizer,
            target: Some("target"),
            target_filter: None,
        }]
    }

    fn targets(
        &self,
        functions: &[ValueFunction],
        step: &CriticStep,
        next: &ActionDraw,
        stream: &mut Stream,
    ) -> Vec<Tensor> {
        let next_q = functions[0]
            .of_target(step.batch)
            .at(&step.batch.next_obs, next.sampled(), stream); // [E, B, 1]
        let next_q = next_q.squeeze_dim(-1); // [E, B]
        let (low, high) = (next_q.min_dim(0, false).0, next_q.max_dim(0, false).0); // [B], [B]
        let value = low * self.lambda + high * (1.0 - self.lambda);
        vec![soft_backup(step.batch, &value, step.alpha, &next.log_prob)]
    }

    fn loss(&self, out: &Tensor, targets: &[Tensor], _statistics: &mut Statistics, batch: &Batch) -> CriticLoss {
        let error = out.squeeze_dim(-1) - &targets[0]; // [E, B]
        let loss = batch.mean(&error.square()); // ½ for each of the two members
        let mut report = UpdateReport::default();
        report.put(metrics::CRITIC_LOSS, Reduction::Mean, &loss);
        report.put(metrics::Q_MEAN, Reduction::Mean, out);
        report.td_error = Some(Combination::Mean.apply(&error.detach().abs()));
        CriticLoss { loss, report }
    }

    fn actor_objective(&self) -> ActorObjective {
        ActorObjective::first(Combination::Min)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = Registry::builtin();
    registry.catalog.critic::<BetweenMinAndMax>("between_min_and_max");

    // One step per episode, reward −(a − 0.3)²: the best action is 0.3.
    let mut settings = Settings::new(Algo::Sac, "ProbeTarget-v0");
    settings.agent.critic = CriticSpec::custom("between_min_and_max", BetweenMinAndMax::default())?;
    settings.agent.body = BodySpec::mlp(&[32, 32]);
    settings.train.total_env_steps = 2500;
    settings.train.warmup_env_steps = 100;
    settings.replay.capacity = 10_000;

    let run = train(&settings, &registry)?;
    let mut policy = Policy::load_with(&run.run_dir, &registry)?;
    let action = policy.act(&[1.0])?;
    println!("action {:.3}, the best is 0.3; {}", action[0], run.run_dir.display());
    assert!((action[0] - 0.3).abs() < 0.2, "{action:?}");
    Ok(())
}
