//! THE update: Soft Actor-Critic with a learned temperature.
//!
//! Source: Haarnoja et al. 2018b (arXiv 1812.05905), algorithm 1.
//!
//! The order is part of the algorithm, and a golden test pins it:
//!
//! 1. next actions a' ~ π(·|s') from the policy as it stands;
//! 2. the critics step towards their target;
//! 3. the policy steps up the soft value, as the *new* critics see it, with the α of before this update;
//! 4. the temperature steps, on the log-probabilities of the actions of 3;
//! 5. the targets follow the new critics.
//!
//! 3 and 4 happen when the policy is due, 5 when targets are due; both delays count gradient steps.

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{
    agent::{ActMode, Agent, Reduction, UpdateReport},
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    critic::{Critic, CriticSpec},
    encoder::EncoderSpec,
    error::{Error, Result},
    metrics,
    nn::BodySpec,
    noise::Stream,
    policy::{Policy, PolicySpec},
    schedule::GradSteps,
    target::TargetSpec,
    temperature::{Temperature, TemperatureSpec},
};

/// Everything about an agent that a file can say. `Default` is SAC as published in 2018b.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AgentSpec {
    /// Discount per env step, in [0, 1]. Paper: 0.99.
    pub gamma: f64,
    /// From observations to features; policy and critic have one each.
    pub encoder: EncoderSpec,
    /// Hidden layers of policy and critic.
    pub body: BodySpec,
    /// Distribution over actions.
    pub policy: PolicySpec,
    /// Representation of value.
    pub critic: CriticSpec,
    /// Weight of the entropy.
    pub temperature: TemperatureSpec,
    /// How targets follow.
    pub targets: TargetSpec,
    /// What does not happen at every update.
    pub delay: DelaySpec,
}

impl Default for AgentSpec {
    fn default() -> Self {
        AgentSpec {
            gamma: 0.99,
            encoder: EncoderSpec::default(),
            body: BodySpec::default(),
            policy: PolicySpec::default(),
            critic: CriticSpec::default(),
            temperature: TemperatureSpec::default(),
            targets: TargetSpec::default(),
            delay: DelaySpec::default(),
        }
    }
}

/// Every how many gradient steps something happens, at least 1. Two knobs, because papers differ in which they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DelaySpec {
    /// Policy and temperature.
    pub policy: u64,
    /// Targets.
    pub targets: u64,
}

impl Default for DelaySpec {
    fn default() -> Self {
        DelaySpec { policy: 1, targets: 1 }
    }
}

/// See the module.
pub struct SoftActorCritic {
    policy: Policy,
    critic: Box<dyn Critic>,
    temperature: Temperature,
    targets: TargetSpec,
    delay: DelaySpec,
    grad_steps: GradSteps,
    observation_shape: Vec<i64>,
    action_dim: usize,
    device: Device,
}

impl SoftActorCritic {
    /// Builds an agent for an environment's spaces. Initial weights derive from `seed` alone.
    ///
    /// `env` names the environment in errors.
    ///
    /// # Errors
    /// [`Error::UnsupportedSpace`], [`Error::Spec`].
    pub fn new(spec: &AgentSpec, env: &str, spaces: (&Space, &Space), seed: u64, device: Device) -> Result<Self> {
        let (observation, action) = spaces;
        spec.check()?;
        if !matches!(observation, Space::Box { .. }) {
            return Err(Error::UnsupportedSpace {
                what: "observation",
                space: observation.to_string(),
                env: env.to_string(),
                by: "the flat encoder",
                reason: "it needs a box",
            });
        }
        let (encoder, body) = (&spec.encoder, &spec.body);
        let mut init = Stream::derive(seed, "init.policy", 0);
        let policy = Policy::build(&spec.policy, encoder, body, env, spaces, &mut init, device)?;
        let mut init = Stream::derive(seed, "init.critic", 0);
        let critic = spec.critic.build(encoder, body, spaces, &mut init, device);
        let temperature = Temperature::build(&spec.temperature, action.len(), device);
        let observation_shape = observation.shape().iter().map(|extent| *extent as i64).collect();
        Ok(SoftActorCritic {
            policy,
            critic,
            temperature,
            targets: spec.targets,
            delay: spec.delay,
            grad_steps: GradSteps(0),
            observation_shape,
            action_dim: action.len(),
            device,
        })
    }

    /// The policy, for tests and for those who look inside.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The critic, for tests and for those who look inside.
    pub fn critic(&self) -> &dyn Critic {
        self.critic.as_ref()
    }

    /// The temperature, for tests and for those who look inside.
    pub fn temperature(&self) -> &Temperature {
        &self.temperature
    }

    /// Flattened rows to a tensor `[rows, …]` on the device.
    fn observe(&self, obs: &[f32], rows: i64) -> Tensor {
        // `reshape` instead of `view` because tch's `view` allocates, and this runs at every env step.
        let tensor = match self.observation_shape.as_slice() {
            [width] => Tensor::from_slice(obs).reshape([rows, *width]),
            shape => Tensor::from_slice(obs).reshape([&[rows], shape].concat()),
        };
        tensor.to_device(self.device)
    }
}

impl Agent for SoftActorCritic {
    fn act(&mut self, obs: &[f32], mode: ActMode, noise: &mut Stream, actions: &mut [f32]) {
        let rows = (actions.len() / self.action_dim) as i64;
        let obs = self.observe(obs, rows);
        let action = match mode {
            ActMode::Explore => self.policy.draw_frozen(&obs, &self.policy.noise(rows, noise)).action,
            ActMode::Evaluate => self.policy.mode(&obs),
        };
        action
            .to_device(Device::Cpu)
            .contiguous()
            .copy_data(actions, actions.len());
    }

    fn update(&mut self, batch: &Batch, noise: &mut Stream) -> UpdateReport {
        self.grad_steps += 1;
        let alpha = self.temperature.alpha(); // []

        // 1. What would we do next?
        let next = self
            .policy
            .draw_frozen(&batch.next_obs, &self.policy.noise(batch.size(), noise));

        // 2. Critics move towards their target.
        let mut report = self.critic.learn(batch, &next, &alpha, noise);

        if self.grad_steps.0.is_multiple_of(self.delay.policy) {
            // 3. The actor climbs the soft value (equation 9, with the sign of a loss).
            let draw = self.policy.draw(&batch.obs, &self.policy.noise(batch.size(), noise));
            let value = self.critic.actor_value(&batch.obs, &draw.action); // [B]
            let loss = (&alpha * &draw.log_prob - value).mean(Kind::Float);
            self.policy.trainable.descend(&loss);

            // 4. The temperature follows the entropy (equation 18).
            let log_prob = draw.log_prob.detach(); // [B]
            let alpha_loss = self.temperature.learn(&log_prob);

            report.put(metrics::ACTOR_LOSS, Reduction::Mean, &loss);
            report.put(metrics::ENTROPY, Reduction::NegativeMean, &log_prob);
            if let Some(alpha_loss) = alpha_loss {
                report.put(metrics::ALPHA_LOSS, Reduction::Mean, &alpha_loss);
            }
        }

        // 5. Targets trail behind.
        if self.grad_steps.0.is_multiple_of(self.delay.targets) {
            self.critic.follow(self.targets, self.grad_steps);
        }

        report.put(metrics::ALPHA, Reduction::Mean, &alpha);
        report
    }

    fn sections(&self) -> Result<Vec<Section<'static>>> {
        let mut agent = Section::new("agent");
        agent.set_state(&self.grad_steps)?;
        Ok(vec![
            agent,
            self.policy.section(),
            self.critic.section()?,
            self.temperature.section(),
        ])
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.grad_steps = checkpoint.section("agent")?.state()?;
        self.critic.load(&checkpoint.section("critic")?)?;
        self.temperature.load(&checkpoint.section("temperature")?)?;
        self.load_policy(checkpoint)
    }

    fn policy_section(&self) -> Result<Section<'static>> {
        Ok(self.policy.section())
    }

    fn load_policy(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.policy.load(&checkpoint.section("policy")?)
    }

    fn is_finite(&self) -> bool {
        self.policy.trainable.params.is_finite() && self.critic.is_finite()
    }

    fn parameter_counts(&self) -> Vec<(&'static str, i64)> {
        let policy = self.policy.trainable.params.flat().numel() as i64;
        vec![("policy", policy), ("critic", self.critic.parameter_count())]
    }
}
