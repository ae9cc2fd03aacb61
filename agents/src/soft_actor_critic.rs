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
//! 3 and 4 happen when the policy is due, 5 when targets are due; both delays count gradient steps. Shifts of images,
//! where there are any, are drawn before 1 and hold for the whole update.
//!
//! Where actions are enumerated, draws are replaced by the probability of every action and log-probabilities by their
//! expectation; the steps are the same.

mod spec;
pub mod stack;

use sac_envs::{Dtype, Space};
use tch::{Device, Tensor};

pub use spec::{AgentSpec, DelaySpec, EncoderSharing, NextAction};
pub use stack::Stack;

use crate::{
    agent::{ActMode, Agent, Cost, Found, Reduction, UpdateReport},
    augmentation::RandomShift,
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    critic::{Critic, CriticContext},
    encoder::{ObservationNormalizer, SharedEncoder, Statistics},
    error::{Error, Result},
    inspect::Inspection,
    metrics,
    nn::{MatmulPrecision, ParamBlock, ParamLayout, numbers::numbers},
    noise::{Stream, on},
    policy::Policy,
    schedule::GradSteps,
    target::TargetSpec,
    temperature::Temperature,
};

/// What belongs to an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Steps of policy and temperature.
    pub(crate) policy: bool,
    /// Targets follow.
    pub(crate) targets: bool,
}

/// See the module.
pub struct SoftActorCritic {
    policy: Policy,
    critic: Box<dyn Critic>,
    temperature: Temperature,
    targets: TargetSpec,
    delay: DelaySpec,
    grad_steps: GradSteps,
    normalizer: Option<ObservationNormalizer>,
    augmentation: Option<RandomShift>,
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
        spec.check(observation, action)?;
        let unsupported = |by, reason| Error::UnsupportedSpace {
            what: "observation",
            space: observation.to_string(),
            env: env.to_string(),
            by,
            reason,
        };
        match observation {
            Space::Box { dtype: Dtype::U8, .. } if spec.normalize_observations => {
                return Err(unsupported(
                    "agent.normalize_observations",
                    "pixels have one scale already",
                ));
            }
            Space::Box { .. } => {}
            _ => return Err(unsupported("the flat encoder", "it needs a box")),
        }
        let head = spec.policy.build(env, action, &mut ParamLayout::default())?;
        let context = CriticContext {
            encoder: &spec.encoder,
            body: spec.critic_body.as_ref().unwrap_or(&spec.body),
            observation,
            actions: head.actions(),
            gamma: spec.gamma,
            targets: spec.targets,
            device,
        };
        let critic = spec.critic.build(&context, &mut Stream::derive(seed, "init.critic", 0));
        let mut init = Stream::derive(seed, "init.policy", 0);
        let mut policy = match spec.encoder_sharing {
            EncoderSharing::Separate => {
                Policy::build(&spec.policy, &spec.encoder, &spec.body, env, spaces, &mut init, device)?
            }
            EncoderSharing::Critic => {
                let encoder = SharedEncoder::new(&spec.encoder, observation, critic.encoder_block());
                Policy::build_on(&spec.policy, encoder, &spec.body, env, action, &mut init, device)?
            }
        };
        if spec.next_action == NextAction::Target {
            policy = policy.with_target();
        }
        let temperature = Temperature::build(&spec.temperature, action, device);
        let observation_shape: Vec<i64> = observation.shape().iter().map(|extent| *extent as i64).collect();
        let normalizer = spec
            .normalize_observations
            .then(|| ObservationNormalizer::new(&observation_shape, device));
        Ok(SoftActorCritic {
            policy,
            critic,
            temperature,
            targets: spec.targets,
            delay: spec.delay,
            grad_steps: GradSteps(0),
            normalizer,
            augmentation: spec.augmentation.build(),
            observation_shape,
            action_dim: action.len(),
            device,
        })
    }

    /// The same agent, whose networks make the products of their passes by hand as exactly as that wherever they learn.
    /// It acts in `f32` always. A field of its networks, not of the process: two agents may differ.
    ///
    /// # Errors
    /// [`Error::Spec`] where the setting cannot be: on a GPU, on a processor without bfloat16, or where nothing goes by
    /// hand.
    pub fn with_matmul_precision(mut self, precision: MatmulPrecision) -> Result<Self> {
        if precision != MatmulPrecision::Highest && self.device != Device::Cpu {
            return Err(precision.refused("expected \"highest\" on a GPU: the others are made for the CPU"));
        }
        let products = precision.products()?;
        if precision == MatmulPrecision::Medium && self.multiply_adds_by_hand() == 0 {
            return Err(precision.refused(
                "no network of this agent goes without autograd, so that nothing would be in bfloat16: fully connected \
                 layers do, without layer normalisation and dropout, on a flat observation",
            ));
        }
        self.policy.set_products(products);
        self.critic.set_products(products);
        Ok(self)
    }

    /// From now on optimisers count their steps on the device: see [`crate::graph`].
    pub(crate) fn count_on_device(&mut self) {
        self.policy.trainable.count_on_device();
        self.temperature.count_on_device();
        self.critic.count_on_device();
    }

    /// Whether the critic's passes on the CPU are made by hand.
    fn critic_goes_by_hand(&self) -> bool {
        let block = self.critic.encoder_block().frozen();
        self.critic.network().is_some_and(|network| network.goes_by_hand(block))
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

    /// Flattened rows to a tensor `[rows, …]` on the device, normalised if observations are.
    fn rows(&mut self, obs: &[f32], rows: i64) -> Tensor {
        let tensor = self.raw_rows(obs, rows);
        self.normalized(tensor)
    }

    /// The same as the environment gives them.
    fn raw_rows(&self, obs: &[f32], rows: i64) -> Tensor {
        // `reshape` instead of `view` because tch's `view` allocates, and this runs at every env step.
        let tensor = match self.observation_shape.as_slice() {
            [width] => Tensor::from_slice(obs).reshape([rows, *width]),
            shape => Tensor::from_slice(obs).reshape([&[rows], shape].concat()),
        };
        on(self.device, tensor)
    }

    fn normalized(&mut self, obs: Tensor) -> Tensor {
        match &mut self.normalizer {
            None => obs,
            Some(normalizer) => normalizer.normalize(&obs),
        }
    }

    /// A batch as the networks take it: observations normalised and augmented, actions in the critic's coordinates.
    pub(crate) fn prepare(&mut self, batch: &Batch, noise: &mut Stream) -> Batch {
        let batch = Batch {
            obs: self.normalized(batch.obs.shallow_clone()),
            next_obs: self.normalized(batch.next_obs.shallow_clone()),
            action: self.policy.encode(&batch.action),
            reward: batch.reward.shallow_clone(),
            discount: batch.discount.shallow_clone(),
            weight: batch.weight.as_ref().map(Tensor::shallow_clone),
            replicates: batch.replicates,
        };
        match &self.augmentation {
            None => batch,
            Some(augmentation) => augmentation.augment(&batch, noise),
        }
    }

    /// The actor's step without autograd, where policy and critic both can: its loss for each replicate, and
    /// log-probabilities `[B]`.
    fn climb_by_hand(&mut self, batch: &Batch, draws: &Tensor, alpha: &Tensor) -> Option<(Vec<f32>, Tensor)> {
        if !self.goes_by_hand() {
            return None;
        }
        let obs = batch.first_obs();
        let drawn = self.policy.draw_by_hand(&obs, draws)?;
        let slope = self.critic.slope(&obs, drawn.draw.sampled())?;
        let log_prob = drawn.draw.log_prob.shallow_clone();
        let alphas = numbers(alpha);
        let losses = climbed_losses(batch, alphas, &log_prob, &slope.value);
        self.policy.climb(&drawn, &slope.of_action, alphas);
        Some((losses, log_prob))
    }

    /// Counts an update, and says what belongs to it.
    pub(crate) fn count(&mut self) -> Due {
        self.grad_steps += 1;
        let is_due = |every: u64| self.grad_steps.0.is_multiple_of(every);
        Due {
            policy: is_due(self.delay.policy),
            targets: is_due(self.delay.targets) && self.targets.is_due(self.grad_steps),
        }
    }

    /// One update on a batch that [`SoftActorCritic::prepare`] made. Everything that changes from update to update is a
    /// tensor, so that what is asked of the device can be recorded and repeated (see [`crate::graph`]).
    pub(crate) fn learn(&mut self, batch: &Batch, noise: &mut Stream, due: Due) -> UpdateReport {
        let alpha = self.temperature.alpha(); // [], or [R] of several replicates
        let alpha_of_rows = batch.for_rows(&alpha); // [] or [B]

        // 1 and 2. Critics move towards their target, which asks the policy what it would do next.
        let mut report = self.critic.learn(batch, &self.policy, &alpha_of_rows, noise);
        report.td_error = report.td_error.map(|errors| batch.over_value_draws(&errors)); // [B]

        if due.policy {
            // 3. The actor climbs the soft value (equation 9, with the sign of a loss).
            let draws = self.policy.noise(batch.size(), noise);
            let (loss, log_prob): (Found, Tensor) = match self.climb_by_hand(batch, &draws, &alpha) {
                Some((losses, log_prob)) => (losses.into(), log_prob),
                None => {
                    let obs = batch.first_obs();
                    let draw = self.policy.draw(&obs, &draws);
                    let value = self.critic.actor_value(&obs, &draw, noise); // [B]
                    let loss = batch.plain_mean(&(&alpha_of_rows * &draw.log_prob - value));
                    self.policy.trainable.descend(&loss);
                    ((&loss).into(), draw.log_prob.detach())
                }
            };

            // 4. The temperature follows the entropy (equation 18).
            let alpha_loss = self.temperature.learn(&log_prob);

            report.put(metrics::ACTOR_LOSS, Reduction::Mean, loss);
            report.put(metrics::ENTROPY, Reduction::NegativeMean, &log_prob);
            if let Some(alpha_loss) = alpha_loss {
                report.put(metrics::ALPHA_LOSS, Reduction::Mean, alpha_loss);
            }
        }

        // 5. Targets trail behind.
        if due.targets {
            self.critic.follow(self.targets);
            self.policy.follow(self.targets);
        }

        report.put(metrics::ALPHA, Reduction::Mean, &alpha);
        report
    }

    /// Moves what is annealed to its value for the next update.
    pub(crate) fn anneal(&mut self) {
        self.policy.anneal(self.grad_steps);
        self.critic.anneal(self.grad_steps);
        self.temperature.anneal(self.grad_steps);
    }
}

/// The mean of α·log π − v over the rows of each replicate, of which each has an α unless all share one.
fn climbed_losses(batch: &Batch, alphas: &[f32], log_prob: &Tensor, values: &[f32]) -> Vec<f32> {
    let rows = batch.rows_each();
    let pairs = numbers(log_prob).chunks_exact(rows).zip(values.chunks_exact(rows));
    let of_replicate = |(replicate, (log_probs, values)): (usize, (&[f32], &[f32]))| {
        let alpha = alphas[replicate.min(alphas.len() - 1)];
        let losses = log_probs
            .iter()
            .zip(values)
            .map(|(log_prob, value)| f64::from(alpha * log_prob - value));
        (losses.sum::<f64>() / rows as f64) as f32
    };
    pairs.enumerate().map(of_replicate).collect()
}

impl Agent for SoftActorCritic {
    fn act(&mut self, obs: &[f32], mode: ActMode, noise: &mut Stream, actions: &mut [f32]) {
        let rows = (actions.len() / self.action_dim) as i64;
        if self.normalizer.is_none() {
            let noise = (mode == ActMode::Explore).then_some(&mut *noise);
            if self.policy.act_by_hand(obs, rows as usize, noise, actions) {
                return;
            }
        }
        let obs = self.rows(obs, rows);
        let action = match mode {
            ActMode::Explore => self.policy.explore(&obs, rows, noise),
            ActMode::Evaluate => self.policy.mode(&obs),
        };
        on(Device::Cpu, action).contiguous().copy_data(actions, actions.len());
    }

    fn observe(&mut self, obs: &[f32]) {
        if let Some(normalizer) = &mut self.normalizer {
            normalizer.observe(obs);
        }
    }

    fn as_soft_actor_critic(&mut self) -> Option<&mut SoftActorCritic> {
        Some(self)
    }

    fn goes_by_hand(&self) -> bool {
        self.device == Device::Cpu && self.policy.goes_by_hand() && self.critic_goes_by_hand()
    }

    fn multiply_adds_by_hand(&self) -> i64 {
        // An encoder with parameters goes through autograd, and with it what reads it, unless that takes it for a constant.
        let policy = self.policy.multiply_adds().1 * i64::from(self.policy.goes_by_hand());
        let critic = self.critic.multiply_adds() * i64::from(self.critic_goes_by_hand());
        if self.device == Device::Cpu { policy + critic } else { 0 }
    }

    fn update(&mut self, batch: &Batch, noise: &mut Stream) -> UpdateReport {
        let batch = self.prepare(batch, noise);
        let due = self.count();
        let report = self.learn(&batch, noise, due);
        self.anneal();
        report
    }

    fn inspect(&mut self, obs: &[f32]) -> Inspection {
        let _guard = tch::no_grad_guard();
        let numbers: i64 = self.observation_shape.iter().product();
        let rows = obs.len() as i64 / numbers.max(1);
        let mut inspection = Inspection::default();
        if rows == 0 {
            return inspection;
        }
        let raw = self.raw_rows(obs, rows);
        let obs = self.normalized(raw.shallow_clone());
        let (encoder, body) = self.policy.inspect(&obs);
        inspection.add("policy", &body);
        if let Some(encoder) = encoder {
            inspection.add_encoder("policy_encoder", &encoder, &raw);
        }
        if let Some(network) = self.critic.network() {
            let action = self.policy.encode(&self.policy.mode(&obs));
            let (encoder, body) = network.inspect(self.critic.encoder_block().frozen(), &obs, &action);
            inspection.add("critic", &body);
            inspection.add_encoder("critic_encoder", &encoder, &raw);
        }
        inspection
    }

    fn sections(&self) -> Result<Vec<Section<'static>>> {
        let mut agent = Section::new("agent");
        agent.set_state(&self.grad_steps)?;
        Ok(vec![
            agent,
            self.policy_section()?,
            self.critic.section()?,
            self.temperature.section(),
        ])
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.grad_steps = checkpoint.section("agent")?.state()?;
        self.critic.load(&checkpoint.section("critic")?)?;
        self.temperature.load(&checkpoint.section("temperature")?)?;
        self.load_policy(checkpoint)?;
        self.anneal();
        Ok(())
    }

    fn policy_section(&self) -> Result<Section<'static>> {
        let mut section = self.policy.section();
        section.set_state(&self.normalizer.as_ref().map(ObservationNormalizer::statistics))?;
        Ok(section)
    }

    fn load_policy(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let section = checkpoint.section("policy")?;
        if let Some(normalizer) = &mut self.normalizer {
            let statistics: Option<Statistics> = section.state()?;
            let missing = || Error::section("policy", "has no statistics of observations");
            normalizer.restore(statistics.ok_or_else(missing)?)?;
        }
        self.policy.load(&section)
    }

    fn is_finite(&self) -> bool {
        self.policy.trainable.params.is_finite() && self.critic.is_finite()
    }

    fn parameter_counts(&self) -> Vec<(&'static str, i64)> {
        let policy = self.policy.trainable.params.flat().numel() as i64;
        vec![("policy", policy), ("critic", self.critic.parameter_count())]
    }

    fn costs(&self) -> Vec<Cost> {
        let cost = |part, parameters, multiply_adds| Cost {
            part,
            parameters,
            multiply_adds,
        };
        let of_encoder = |block: &ParamBlock| block.count_of("encoder.");
        let policy = &self.policy.trainable.params;
        let (encoding, acting) = self.policy.multiply_adds();
        let (own, critics) = (of_encoder(policy), of_encoder(self.critic.encoder_block()));
        let mut costs = Vec::new();
        if !self.policy.shares_encoder() {
            costs.push(cost("policy encoder", own, encoding));
        }
        costs.push(cost("policy", policy.flat().numel() as i64 - own, acting));
        costs.push(cost("critic encoder", critics, encoding)); // both are of one spec
        let rest = self.critic.multiply_adds() - encoding;
        costs.push(cost("critic", self.critic.parameter_count() - critics, rest));
        costs
    }
}
