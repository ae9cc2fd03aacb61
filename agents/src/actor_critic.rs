//! The Soft Actor-Critic agent, assembled from its parts: [`SoftActorCritic`], [`AgentParts`].

mod checks;
mod costs;
mod parts;
mod state;

use std::ops::Range;

use sac_envs::Space;
use sac_policy::{Draft, Value};
use tch::{Device, Kind, Tensor};

pub use parts::AgentParts;

use crate::{
    agent::{ActMode, Agent, Cost},
    agent_spec::{AgentSpec, DelaySpec, EncoderSharing, NextAction},
    augmentation::RandomShift,
    batch::Batch,
    checkpoint::{Checkpoint, Section},
    compute::{Compute, MatmulPrecision},
    critic::{LearnedCritic, NetworkContext},
    encoder::{ObservationNormalizer, SharedEncoder, Statistics},
    error::{Error, Result},
    exploration::{Exploration, ExplorationSpec},
    fused::{self, Acting, FusedUpdate},
    inspect::Inspection,
    nn::{Body, ParamLayout, Params, Tracer, Trainable, WithFeatures},
    noise::{Stream, on},
    policy::{Optimist, Policy, PolicyEncoder},
    report::UpdateReport,
    resets::ResetSpec,
    reward_scaling::RewardScaling,
    schedule::{EnvSteps, GradSteps},
    soft_actor_critic::ReferenceUpdate,
    temperature::Temperature,
    update_rule::{Due, Learner, UpdateRule},
};
use checks::{check_memory, check_observation, check_optimizer_steps, is_of_optimizer};
use costs::costs;
use state::AgentState;

/// A Soft Actor-Critic agent: policy, critic and temperature, the rule that updates them, and the normalisation,
/// augmentation and delays around an update.
pub struct SoftActorCritic {
    learner: Learner,
    rule: Box<dyn UpdateRule>,
    acting: Option<Acting>,
    delay: DelaySpec,
    grad_steps: GradSteps,
    normalizer: Option<ObservationNormalizer>,
    reward_scaling: Option<RewardScaling>,
    exploration: Option<Exploration>,
    augmentation: Option<RandomShift>,
    resets: Option<ResetSpec>,
    seed: u64,
    observation_shape: Vec<i64>,
    action_dim: usize,
    compute: Compute,
}

impl SoftActorCritic {
    /// Builds an agent for an environment's spaces, `(observation, action)`. Initial weights depend on `seed` alone.
    ///
    /// `env` is the name of the environment in errors. `compute` is a [`Compute`], or just a [`Device`].
    ///
    /// # Errors
    /// [`Error::UnsupportedSpace`]; [`Error::Spec`] for an invalid value of `spec` or `compute`.
    pub fn new(
        spec: &AgentSpec,
        env: &str,
        spaces: (&Space, &Space),
        seed: u64,
        compute: impl Into<Compute>,
    ) -> Result<Self> {
        let compute = compute.into();
        spec.check(spaces.0, spaces.1)?;
        let parts = AgentParts::of(spec, env, spaces.1, &compute)?;
        SoftActorCritic::assemble(spec, parts, env, spaces, seed, compute)
    }

    /// Builds an agent from `parts`, which replace the encoder, policy head and critic of `spec`.
    ///
    /// # Errors
    /// The errors of [`SoftActorCritic::new`].
    pub fn assemble(
        spec: &AgentSpec,
        parts: AgentParts,
        env: &str,
        spaces: (&Space, &Space),
        seed: u64,
        compute: Compute,
    ) -> Result<Self> {
        let (observation, action) = spaces;
        check_observation(spec, env, observation)?;
        let rounding = compute.rounding()?;
        let context = NetworkContext {
            encoder: &*parts.encoder,
            body: spec.critic_body.as_ref().unwrap_or(&spec.body),
            observation,
            actions: parts.head.actions(),
            targets: spec.targets,
            compute: &compute,
            rounding,
        };
        check_memory(spec, &parts, &context)?;
        let critic = LearnedCritic::build(parts.critic, &context, &mut Stream::derive(seed, "init.critic", 0));

        let (mut head, mut layout) = (parts.head, ParamLayout::default());
        let encoder = match spec.encoder_sharing {
            EncoderSharing::Separate => PolicyEncoder::Own((parts.encoder)(observation, &mut layout)),
            EncoderSharing::Critic => {
                PolicyEncoder::Shared(SharedEncoder::new(&*parts.encoder, observation, critic.encoder_block()))
            }
        };
        head.add_parameters(&mut layout);
        let body = spec.body.build(encoder.width(), &head.parts(), None, &mut layout);
        let mut init = Stream::derive(seed, "init.policy", 0);
        let trainable = Trainable::new(layout, parts.policy_optimizer, &mut init, &compute);
        let body: Box<dyn Body> = match head.reads_features() {
            true => Box::new(WithFeatures(body)),
            false => fused::body(body, &compute, rounding),
        };
        let features = encoder.width();
        let policy = Policy::new(encoder, body, head, trainable);
        let policy = match &spec.exploration {
            ExplorationSpec::Optimistic(optimistic) => {
                let mut init = Stream::derive(seed, "init.optimist", 0);
                let widths = (features, action.len() as i64);
                policy.with_optimist(Optimist::new(optimistic, &spec.body, widths, &mut init, &compute))
            }
            _ => policy,
        };

        let learner = Learner {
            policy: match spec.next_action {
                NextAction::Online => policy,
                NextAction::Target => policy.with_target(),
            },
            critic,
            temperature: Temperature::build(&spec.temperature, action, &compute),
            targets: spec.targets,
        };
        let acting = fused::acting(&parts.plan, &learner.policy, action.len(), &compute);
        let rule: Box<dyn UpdateRule> = match compute.is_fused() {
            true => Box::new(FusedUpdate::new(parts.plan, &learner, &compute, rounding)),
            false => Box::new(ReferenceUpdate),
        };
        if compute.precision == MatmulPrecision::Medium && rule.fused_multiply_adds() == 0 {
            return Err(compute.precision.refused(
                "no network of this agent is fused, and only fused networks use bfloat16: those that read flat \
                 observations",
            ));
        }
        let observation_shape: Vec<i64> = observation.shape().iter().map(|extent| *extent as i64).collect();
        let normalizer = spec
            .normalize_observations
            .then(|| ObservationNormalizer::new(&observation_shape, compute.device));
        Ok(SoftActorCritic {
            learner,
            rule,
            // Observations are normalised through libtorch, so acting goes through libtorch too.
            acting: acting.filter(|_| normalizer.is_none()),
            delay: spec.delay,
            grad_steps: GradSteps(0),
            normalizer,
            reward_scaling: spec
                .reward_scaling
                .map(|scaling| RewardScaling::new(scaling, spec.gamma)),
            exploration: spec.exploration.build(),
            augmentation: spec.augmentation.build(),
            resets: spec.resets.clone(),
            seed,
            observation_shape,
            action_dim: action.len(),
            compute,
        })
    }

    /// Replaces the update rule by the result of `rule`, which is given the current one.
    #[must_use]
    pub fn with_rule(self, rule: impl FnOnce(Box<dyn UpdateRule>) -> Box<dyn UpdateRule>) -> Self {
        SoftActorCritic {
            rule: rule(self.rule),
            ..self
        }
    }

    /// The device of parameters and batches.
    pub fn device(&self) -> Device {
        self.compute.device
    }

    /// The policy, for tests and diagnostics.
    pub fn policy(&self) -> &Policy {
        &self.learner.policy
    }

    /// The critic, for tests and diagnostics.
    pub fn critic(&self) -> &LearnedCritic {
        &self.learner.critic
    }

    /// The temperature, for tests and diagnostics.
    pub fn temperature(&self) -> &Temperature {
        &self.learner.temperature
    }

    /// Converts flattened rows to a tensor `[rows, …]` on the device, normalised if the agent normalises observations.
    fn rows(&mut self, obs: &[f32], rows: i64) -> Tensor {
        let tensor = self.raw_rows(obs, rows);
        self.normalized(tensor)
    }

    /// Converts flattened rows to a tensor `[rows, …]` on the device, without normalisation.
    fn raw_rows(&self, obs: &[f32], rows: i64) -> Tensor {
        // `reshape` instead of `view` because tch's `view` allocates, and this runs at every env step.
        let tensor = match self.observation_shape.as_slice() {
            [width] => Tensor::from_slice(obs).reshape([rows, *width]),
            shape => Tensor::from_slice(obs).reshape([&[rows], shape].concat()),
        };
        on(self.compute.device, tensor)
    }

    fn normalized(&mut self, obs: Tensor) -> Tensor {
        match &mut self.normalizer {
            None => obs,
            Some(normalizer) => normalizer.normalize(&obs),
        }
    }

    /// Converts a batch of the replay to the networks' inputs: observations normalised and augmented, actions encoded
    /// for the critic.
    fn prepare(&mut self, batch: &Batch, stream: &mut Stream) -> Batch {
        let batch = Batch {
            obs: self.normalized(batch.obs.shallow_clone()),
            next_obs: self.normalized(batch.next_obs.shallow_clone()),
            action: self.learner.policy.encode(&batch.action),
            reward: self.soft_reward(batch),
            discount: batch.discount.shallow_clone(),
            entropy: None,
            weight: batch.weight.as_ref().map(Tensor::shallow_clone),
        };
        match &self.augmentation {
            None => batch,
            Some(augmentation) => augmentation.augment(&batch, stream),
        }
    }

    /// The rewards `[B]` of a batch, scaled, and of soft n-step returns with α times the entropies in between.
    fn soft_reward(&self, batch: &Batch) -> Tensor {
        let reward = match &self.reward_scaling {
            None => batch.reward.shallow_clone(),
            Some(scaling) => &batch.reward * scaling.factor(),
        };
        match &batch.entropy {
            None => reward,
            Some(entropy) => reward + self.learner.temperature.alpha() * entropy,
        }
    }

    fn state(&self) -> AgentState {
        AgentState::of(self.grad_steps, self.reward_scaling.as_ref(), self.exploration.as_ref())
    }

    /// Exploratory actions `[rows, A]` at flattened rows `obs`, for noise `[rows, W]` on the device, as the environment
    /// takes them.
    fn explore_with(&mut self, obs: &[f32], noise: &Tensor, actions: &mut [f32]) {
        let obs = self.rows(obs, noise.size()[0]);
        write(self.learner.policy.explore(&obs, noise), actions);
    }

    /// Exploratory actions `[rows, A]` of the second policy at flattened rows `obs`.
    fn explore_optimistically(&mut self, obs: &[f32], stream: &mut Stream, actions: &mut [f32]) {
        let rows = (actions.len() / self.action_dim) as i64;
        let noise = self.learner.policy.noise(rows, stream);
        let obs = self.rows(obs, rows);
        let policy = &self.learner.policy;
        let explored = policy.explore_optimistically(&obs, &noise);
        write(explored.unwrap_or_else(|| policy.explore(&obs, &noise)), actions);
    }

    /// Counts an update, and returns which of the delayed steps it includes.
    fn count(&mut self) -> Due {
        self.grad_steps += 1;
        let is_due = |every: u64| self.grad_steps.0.is_multiple_of(every);
        Due {
            policy: is_due(self.delay.policy),
            temperature: is_due(self.delay.temperature.unwrap_or(self.delay.policy)),
            targets: is_due(self.delay.targets) && self.learner.targets.is_due(self.grad_steps),
        }
    }

    /// Lets networks begin anew after the updates of the schedule.
    fn reset_if_due(&mut self) {
        if let Some(resets) = self.resets.as_ref().filter(|resets| resets.is_due(self.grad_steps)) {
            resets.apply(&mut self.learner, self.seed, self.grad_steps, &self.compute);
            self.rule.reset();
        }
    }

    /// Sets annealed settings to their values for the next update.
    fn anneal(&mut self) {
        let at = self.grad_steps;
        self.learner.policy.anneal(at);
        self.learner.critic.anneal(at);
        self.learner.temperature.anneal(at);
    }
}

/// Writes actions `[rows, A]` to the host.
fn write(action: Tensor, actions: &mut [f32]) {
    on(Device::Cpu, action).contiguous().copy_data(actions, actions.len());
}

impl Agent for SoftActorCritic {
    fn act(&mut self, obs: &[f32], mode: ActMode, stream: &mut Stream, actions: &mut [f32]) {
        let rows = actions.len() / self.action_dim;
        if let Some(acting) = self.acting.as_ref().filter(|acting| acting.serves(rows)) {
            let stream = (mode == ActMode::Explore).then_some(stream);
            let params = self.learner.policy.trainable.params.frozen();
            return acting.act(params, obs, stream, actions);
        }
        match mode {
            ActMode::Explore => {
                let noise = self.learner.policy.noise(rows as i64, stream);
                self.explore_with(obs, &noise, actions);
            }
            ActMode::Evaluate => {
                let obs = self.rows(obs, rows as i64);
                write(self.learner.policy.mode(&obs), actions);
            }
        }
    }

    fn explore(&mut self, envs: Range<usize>, obs: &[f32], stream: &mut Stream, actions: &mut [f32]) {
        let Some(exploration) = &mut self.exploration else {
            return match self.learner.policy.is_optimistic() {
                true => self.explore_optimistically(obs, stream, actions),
                false => self.act(obs, ActMode::Explore, stream, actions),
            };
        };
        let policy = &self.learner.policy;
        let noise = exploration.noise(envs, stream, |stream| on(Device::Cpu, policy.noise_to_hold(stream)));
        let noise = on(self.compute.device, noise);
        let obs = self.rows(obs, noise.size()[0]);
        write(self.learner.policy.explore_holding(&obs, &noise), actions);
    }

    fn entropy(&mut self, obs: &[f32], stream: &mut Stream, entropy: &mut [f64]) {
        let obs = self.rows(obs, entropy.len() as i64);
        let noise = self.learner.policy.noise(entropy.len() as i64, stream);
        let draw = self.learner.policy.draw_frozen(&obs, &noise);
        let nats = on(Device::Cpu, -draw.log_prob.to_kind(Kind::Double));
        nats.copy_data(entropy, entropy.len());
    }

    fn observe_reward(&mut self, env: usize, reward: f64, ended: bool) {
        if let Some(scaling) = &mut self.reward_scaling {
            scaling.observe(env, reward, ended);
        }
    }

    fn observe(&mut self, obs: &[f32]) {
        if let Some(normalizer) = &mut self.normalizer {
            normalizer.observe(obs);
        }
    }

    fn update_rule(&self) -> String {
        self.rule.describe()
    }

    fn is_fused(&self) -> bool {
        let all: i64 = self.costs().iter().map(|cost| cost.multiply_adds).sum();
        self.rule.fused_multiply_adds() == all
    }

    fn fused_multiply_adds(&self) -> i64 {
        self.rule.fused_multiply_adds()
    }

    fn update(&mut self, batch: &Batch, stream: &mut Stream) -> UpdateReport {
        let batch = self.prepare(batch, stream);
        let due = self.count();
        let mut report = self.rule.update(&mut self.learner, &batch, stream, due);
        if due.policy {
            self.learner.optimist_step(&batch, stream, &mut report);
        }
        report.td_error = report.td_error.map(|errors| batch.over_value_draws(&errors)); // [B]
        self.anneal();
        self.reset_if_due();
        report
    }

    fn inspect(&mut self, obs: &[f32]) -> Inspection {
        let _guard = tch::no_grad_guard();
        let width: i64 = self.observation_shape.iter().product();
        let rows = obs.len() as i64 / width.max(1);
        let mut inspection = Inspection::default();
        if rows == 0 {
            return inspection;
        }
        let raw = self.raw_rows(obs, rows);
        let obs = self.normalized(raw.shallow_clone());
        let policy = &self.learner.policy;
        let (encoder, body) = policy.inspect(&obs);
        inspection.add("policy", &body);
        if let Some(encoder) = encoder {
            inspection.add_encoder("policy_encoder", &encoder, &raw);
        }
        let action = policy.encode(&policy.mode(&obs));
        let (encoder, body) = self.learner.critic.inspect(&obs, &action);
        inspection.add("critic", &body);
        inspection.add_encoder("critic_encoder", &encoder, &raw);
        inspection
    }

    fn sections(&self) -> Result<Vec<Section<'static>>> {
        let mut agent = Section::new("agent");
        agent.set_state(&self.state())?;
        Ok(vec![
            agent,
            self.policy_section()?,
            self.learner.critic.section(),
            self.learner.temperature.section(),
        ])
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let state: AgentState = checkpoint.section("agent")?.state()?;
        self.grad_steps = state.restore(self.reward_scaling.as_mut(), self.exploration.as_mut())?;
        self.learner.critic.load(&checkpoint.section("critic")?)?;
        self.learner.temperature.load(&checkpoint.section("temperature")?)?;
        self.load_policy(checkpoint)?;
        check_optimizer_steps(checkpoint, self.grad_steps)?;
        self.anneal();
        self.rule.reset();
        Ok(())
    }

    fn load_learned(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let own = self.sections()?.into_iter();
        let sections = own.map(|own| match own.name() {
            // The counter starts again, but the critic was learned from rewards of this scale.
            "agent" => {
                let mut agent = own;
                let theirs = checkpoint.section("agent")?.state()?;
                agent.set_state(&self.state().with_returns_of(theirs))?;
                Ok(agent)
            }
            name => checkpoint.section(name)?.with_tensors_of(own, is_of_optimizer),
        });
        let sections = sections.collect::<Result<Vec<_>>>()?;
        self.load(&Checkpoint::in_memory(EnvSteps(0), GradSteps(0), &sections)?)
    }

    fn trace(&mut self, draft: &mut Draft, obs: Value, is_drawn: bool) -> Result<Value> {
        let obs = match &mut self.normalizer {
            None => obs,
            Some(normalizer) => {
                let none = Params::default();
                normalizer.trace(&mut Tracer::new(draft, &none, Vec::new()), obs)?
            }
        };
        self.learner.policy.trace(draft, obs, is_drawn)
    }

    fn act_with_noise(&mut self, obs: &[f32], noise: &[f32], actions: &mut [f32]) -> Result<()> {
        let rows = (actions.len() / self.action_dim) as i64;
        let noise = on(self.compute.device, Tensor::from_slice(noise).reshape([rows, -1]));
        self.explore_with(obs, &noise, actions);
        Ok(())
    }

    fn grad_steps(&self) -> Option<GradSteps> {
        Some(self.grad_steps)
    }

    fn policy_section(&self) -> Result<Section<'static>> {
        let mut section = self.learner.policy.section();
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
        self.learner.policy.load(&section)
    }

    fn is_finite(&self) -> bool {
        self.learner.policy.is_finite() && self.learner.critic.is_finite()
    }

    fn parameter_counts(&self) -> Vec<(&'static str, i64)> {
        vec![
            ("policy", self.learner.policy.parameter_count()),
            ("critic", self.learner.critic.parameter_count()),
        ]
    }

    fn costs(&self) -> Vec<Cost> {
        costs(&self.learner)
    }
}
