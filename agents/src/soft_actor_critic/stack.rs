//! Several replicates of an agent whose updates are made together: [`Stack`].
//!
//! Replicates differ in their seeds and in nothing else. Each stays an agent of its own that acts, is scored, saved and
//! loaded alone; but their parameters, targets and moments lie side by side in memory, `[R·P]`, and one update serves
//! all, with R as a dimension of every product: weights `[R, E, in, out]`, rows `[R·B, …]`, one α, one loss and one
//! statistic for each.
//!
//! | Of one agent | Of the stack |
//! |---|---|
//! | block `[P]` | `[R·P]`; the agent's is a part of that memory |
//! | batch, draws, log-probabilities `[B, …]` | `[R·B, …]`, each replicate's drawn from its own stream |
//! | values `[E, B]` | `[E, R·B]` |
//! | α, losses `[]` | `[R]` |
//!
//! By hand ([`crate::nn::explicit`]) every product is the one that the replicate would make alone, so each becomes what it
//! would be alone, to the bit. On a GPU the products are libtorch's batched ones, which may be made differently for other
//! numbers of replicates.

use tch::{Device, Tensor};

use super::SoftActorCritic;
use crate::{
    agent::UpdateReport,
    augmentation::AugmentationSpec,
    batch::Batch,
    critic::{CriticSpec, scalar::TargetMembers},
    encoder::EncoderSpec,
    error::{Error, Result},
    nn::{ParamBlock, Trainable},
    noise::{Stream, on},
    policy::{PolicySpec, StdSource},
    soft_actor_critic::{AgentSpec, EncoderSharing},
};

/// See the module.
pub struct Stack {
    /// An agent whose blocks hold those of all.
    joint: SoftActorCritic,
    replicates: usize,
}

/// What learning changes in an agent.
struct Memory<'a> {
    trainables: Vec<&'a mut Trainable>,
    targets: Vec<&'a mut ParamBlock>,
    statistic: Option<&'a mut Option<Tensor>>,
}

impl SoftActorCritic {
    fn memory(&mut self) -> Option<Memory<'_>> {
        let (policy, policy_target) = self.policy.state();
        let critic = self.critic.state()?;
        let trainables = [Some(policy), Some(critic.online), self.temperature.trainable()];
        Some(Memory {
            trainables: trainables.into_iter().flatten().collect(),
            targets: [Some(critic.target), policy_target].into_iter().flatten().collect(),
            statistic: critic.statistic,
        })
    }
}

const CHECKED: &str = "`Stack::check` lets such critics pass alone";

impl Stack {
    /// Refuses agents whose updates cannot be made together: what is not here is trained replicate by replicate.
    ///
    /// # Errors
    /// [`Error::Spec`].
    pub fn check(spec: &AgentSpec) -> Result<()> {
        let refused = |key: &str, value: &str, needed: &str| {
            Err(Error::Spec {
                key: key.to_string(),
                value: value.to_string(),
                problem: format!("stacked replicates need {needed}; without being stacked they train with any"),
            })
        };
        let bodies = [Some(&spec.body), spec.critic_body.as_ref()];
        if !matches!(spec.encoder, EncoderSpec::Flat {}) {
            return refused("agent.encoder.kind", spec.encoder.kind(), "a flat encoder");
        }
        if spec.encoder_sharing != EncoderSharing::Separate {
            return refused("agent.encoder_sharing", "critic", "\"separate\"");
        }
        if spec.augmentation != (AugmentationSpec::None {}) {
            return refused("agent.augmentation.kind", "random_shift", "\"none\"");
        }
        if bodies.into_iter().flatten().any(|body| body.dropout > 0.0) {
            return refused("agent.body.dropout", "above 0", "0 here and in agent.critic_body");
        }
        match &spec.policy {
            PolicySpec::SquashedGaussian(policy) if policy.std == StdSource::StateDependent => {}
            policy => {
                return refused(
                    "agent.policy",
                    policy.kind(),
                    "a squashed Gaussian whose σ depends on the state",
                );
            }
        }
        let is_plain = match &spec.critic {
            CriticSpec::Scalar(critic) => critic.target_members == TargetMembers::All,
            CriticSpec::DsacT(_) => true,
            _ => false,
        };
        if !is_plain || spec.critic.target_filter().is_some() {
            let needed =
                "a critic that is \"scalar\", with targets from all members, or \"dsac_t\", and no target_filter";
            return refused("agent.critic", spec.critic.kind(), needed);
        }
        match spec.annealed().first() {
            None => Ok(()),
            Some(key) => refused(key, "annealed", "it to stay as it is"),
        }
    }

    /// Puts `agents`, which [`Stack::check`] lets pass and which are built alike, side by side. `joint` is one more of
    /// them, however it was seeded. From now on only the stack updates them.
    ///
    /// # Panics
    /// When there is none, or they differ in how many updates they have seen.
    pub fn new(joint: SoftActorCritic, agents: &mut [&mut SoftActorCritic]) -> Self {
        let mut stack = Stack { joint, replicates: 0 };
        stack.hold(agents);
        stack
    }

    /// Holds these from now on, and no others.
    ///
    /// # Panics
    /// As [`Stack::new`].
    pub fn hold(&mut self, agents: &mut [&mut SoftActorCritic]) {
        let (joint, replicates) = (&mut self.joint, agents.len());
        assert!(replicates > 0, "a stack has a replicate");
        let at = agents[0].grad_steps;
        assert!(
            agents.iter().all(|agent| agent.grad_steps == at),
            "replicates of a stack have seen as many updates"
        );
        let memory = joint.memory().expect(CHECKED);
        for trainable in memory.trainables {
            *trainable = trainable.of_replicates(replicates);
        }
        for target in memory.targets {
            *target = target.of_replicates(replicates);
        }
        for (replicate, agent) in agents.iter_mut().enumerate() {
            let (own, all) = (agent.memory().expect(CHECKED), joint.memory().expect(CHECKED));
            assert_eq!(own.trainables.len(), all.trainables.len(), "replicates are alike");
            assert_eq!(own.targets.len(), all.targets.len(), "replicates are alike");
            for (own, all) in own.trainables.into_iter().zip(all.trainables) {
                own.move_into(all, replicate);
            }
            for (own, all) in own.targets.into_iter().zip(all.targets) {
                own.move_into(all, replicate);
            }
        }
        let statistics: Option<Vec<Tensor>> = agents
            .iter_mut()
            .map(|agent| agent.memory()?.statistic?.as_ref().map(Tensor::shallow_clone))
            .collect();
        if let Some(statistic) = joint.memory().expect(CHECKED).statistic {
            *statistic = statistics.map(|statistics| Tensor::cat(&statistics, -1)); // [E, R]
        }
        self.replicates = replicates;
        self.share_statistic(agents);
    }

    /// Lets these go, which it held or not: each is updated alone from now on, until it is held again.
    pub(crate) fn release(&mut self, agents: &mut [&mut SoftActorCritic]) {
        for agent in agents {
            let memory = agent.memory().expect(CHECKED);
            memory.trainables.into_iter().for_each(Trainable::count_alone);
        }
        self.replicates = 0;
    }

    /// Lets every agent see its part of a statistic.
    fn share_statistic(&mut self, agents: &mut [&mut SoftActorCritic]) {
        let Some(Some(all)) = self.joint.memory().and_then(|memory| memory.statistic) else {
            return;
        };
        for (replicate, agent) in agents.iter_mut().enumerate() {
            if let Some(own) = agent.memory().and_then(|memory| memory.statistic) {
                *own = Some(all.narrow(-1, replicate as i64, 1)); // [E, 1]
            }
        }
    }

    /// R.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.replicates
    }

    /// One update of every agent on its own batch, with its own noise. `agents` are those that the stack was made of, in
    /// their order. Returns a report for each.
    ///
    /// # Panics
    /// When there are not as many of each, or batches differ in their shapes.
    pub fn update(
        &mut self,
        agents: &mut [&mut SoftActorCritic],
        batches: &[Batch],
        noises: &mut [&mut Stream],
    ) -> Vec<UpdateReport> {
        let count = self.replicates;
        assert_eq!(
            (agents.len(), batches.len(), noises.len()),
            (count, count, count),
            "one of each for every replicate"
        );
        let mut prepared = Vec::with_capacity(count);
        let mut dues = Vec::with_capacity(count);
        for ((agent, batch), noise) in agents.iter_mut().zip(batches).zip(noises.iter_mut()) {
            prepared.push(agent.prepare(batch, noise));
            dues.push(agent.count());
        }
        let due = dues[0];
        assert!(dues.iter().all(|other| *other == due), "replicates count alike");
        let batch = Batch::joint(&prepared);
        let report = with_joint(noises, |noise| self.joint.learn(&batch, noise, due));
        if !self.has_shared(agents) {
            self.share_statistic(agents);
        }
        let of_replicate = |replicate| report.of_replicate(replicate as i64, count as i64);
        (0..count).map(of_replicate).collect()
    }

    /// Whether there is no statistic that agents do not see yet.
    fn has_shared(&self, agents: &mut [&mut SoftActorCritic]) -> bool {
        agents[0]
            .memory()
            .and_then(|memory| memory.statistic)
            .is_none_or(|own| own.is_some())
    }

    /// Actions of every agent to try out, for as many rows of observations each (flattened), with its own noise, in one
    /// pass: where a pass costs more than what it computes. Writes them, normalised, to `actions`.
    ///
    /// # Panics
    /// When there are not as many of each.
    pub fn explore(
        &mut self,
        agents: &mut [&mut SoftActorCritic],
        obs: &[&[f32]],
        noises: &mut [&mut Stream],
        actions: &mut [&mut [f32]],
    ) {
        let count = self.replicates;
        assert_eq!((agents.len(), obs.len()), (count, count), "one for every replicate");
        assert_eq!((noises.len(), actions.len()), (count, count), "one for every replicate");
        let rows = (actions[0].len() / self.joint.action_dim) as i64; // N
        let observed: Vec<Tensor> = agents
            .iter_mut()
            .zip(obs)
            .map(|(agent, obs)| agent.rows(obs, rows))
            .collect();
        let observed = Tensor::cat(&observed, 0); // [R·N, …]
        let policy = &self.joint.policy;
        let chosen = with_joint(noises, |noise| policy.explore(&observed, rows * count as i64, noise));
        let chosen = on(Device::Cpu, chosen).contiguous(); // [R·N, A]
        for (chosen, actions) in chosen.chunk(count as i64, 0).iter().zip(actions) {
            chosen.copy_data(actions, actions.len());
        }
    }
}

/// Lends streams out as one.
fn with_joint<T>(noises: &mut [&mut Stream], work: impl FnOnce(&mut Stream) -> T) -> T {
    let lent = noises
        .iter_mut()
        .map(|noise| std::mem::replace(&mut **noise, Stream::joint(Vec::new())));
    let mut noise = Stream::joint(lent.collect());
    let outcome = work(&mut noise);
    for (own, lent) in noises.iter_mut().zip(noise.apart()) {
        **own = lent;
    }
    outcome
}
