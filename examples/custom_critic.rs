//! A critic of your own: its equations are all that it takes.
//!
//! The target here lies between the smallest and the largest of two values, λ·min + (1 − λ)·max, as in BCQ (Fujimoto et
//! al. 2019, arXiv 1812.02900, equation 13); λ = 1 is the clipped double estimate of SAC. Networks, target parameters,
//! optimiser and checkpoints come with it. Run it with
//!
//! ```text
//! cargo run --release --example custom_critic
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::sync::atomic::AtomicBool;

use sac::{
    agents::{
        ActMode, Agent, AgentParts, AgentSpec, Batch, Compute, Parts, Reduction, Replay, ReplaySpec, SoftActorCritic,
        Trainer, UpdateReport,
        critic::{
            ActorObjective, Combination, Critic, CriticLoss, CriticStep, FunctionInput, FunctionSpec, Statistics,
            ValueFunction,
        },
        log::Logger,
        losses::soft_backup,
        metrics,
        nn::{AdamSpec, BodySpec},
        noise::Stream,
        policy::ActionDraw,
        trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
    },
    envs::Registry,
};
use tch::Tensor;

/// Two action values, and the weight of the smaller one in their target.
struct BetweenMinAndMax {
    lambda: f64,
    optimizer: AdamSpec,
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
        noise: &mut Stream,
    ) -> Vec<Tensor> {
        let next_q = functions[0].target_at(&step.batch.next_obs, next.sampled(), noise); // [E, B, 1]
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
    // One step per episode, reward −(a − 0.3)²: the best action is 0.3.
    let (registry, id, seed) = (Registry::builtin(), "ProbeTarget-v0", 1);
    let make = || registry.make_vec(id, &toml::Table::new(), 1, 1);
    let (envs, eval_envs) = (make()?, make()?);
    let spaces = (envs.observation_space(), envs.action_space());

    let spec = AgentSpec {
        body: BodySpec {
            hidden: vec![32, 32],
            ..BodySpec::default()
        },
        ..AgentSpec::default()
    };
    let compute = Compute::default();
    let critic = BetweenMinAndMax {
        lambda: 0.75,
        optimizer: AdamSpec {
            learning_rate: 3e-3,
            ..AdamSpec::default()
        },
    };
    let parts = AgentParts::of(&spec, id, spaces.1, &compute)?.with_critic(Box::new(critic));
    let agent = SoftActorCritic::assemble(&spec, parts, id, spaces, seed, compute)?;
    println!("update: {}", agent.update_rule());

    let replay = ReplaySpec {
        capacity: 10_000,
        ..ReplaySpec::default()
    };
    let replay = Replay::new(&replay, spaces, 1, spec.gamma, 64, tch::Device::Cpu)?;
    let mut trainer = Trainer::new(Parts {
        train: TrainSettings {
            total_env_steps: 2500,
            warmup_env_steps: 100,
            seed,
            ..TrainSettings::default()
        },
        eval: EvalSettings::default(),
        checkpoint: CheckpointSettings::default(),
        log: LogSettings::default(),
        agent: Box::new(agent),
        envs,
        eval_envs,
        eval_agent: None,
        replay,
        logger: Logger::default(),
        save_to: None,
    })?;
    trainer.run(&AtomicBool::new(false))?;

    let (mut agent, mut action) = (trainer.into_agent(), [0.0f32]);
    agent.act(&[1.0], ActMode::Evaluate, &mut Stream::derive(0, "act", 0), &mut action);
    println!("action {:.3}, the best is 0.3", action[0]);
    assert!((action[0] - 0.3).abs() < 0.2, "{action:?}");
    Ok(())
}
