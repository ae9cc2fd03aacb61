//! A critic with its learned state: [`LearnedCritic`].

use tch::Tensor;

use super::{Critic, CriticStep, NetworkContext, Statistics, ValueFunction};
use crate::{
    checkpoint::Section,
    compute::Compute,
    error::Result,
    nn::{Activations, ParamBlock},
    noise::Stream,
    policy::ActionDraw,
    report::UpdateReport,
    schedule::GradSteps,
    target::TargetSpec,
};

/// A critic: its equations, learned functions and running statistics.
pub struct LearnedCritic {
    equations: Box<dyn Critic>,
    /// The learned functions, in the order of [`Critic::functions`].
    pub functions: Vec<ValueFunction>,
    /// The running statistics of [`Critic::statistics`].
    pub statistics: Statistics,
}

impl LearnedCritic {
    /// Builds the critic with initial weights drawn from `init`.
    pub fn build(equations: Box<dyn Critic>, context: &NetworkContext, init: &mut Stream) -> Self {
        let specs = equations.functions();
        LearnedCritic {
            functions: specs
                .iter()
                .map(|spec| ValueFunction::build(spec, context, init))
                .collect(),
            statistics: Statistics::new(equations.statistics()),
            equations,
        }
    }

    /// The action value Q.
    pub fn q(&self) -> &ValueFunction {
        &self.functions[0]
    }

    /// Makes one optimiser step of every function.
    pub fn learn(&mut self, step: &CriticStep, stream: &mut Stream) -> UpdateReport {
        self.equations
            .learn(&mut self.functions, &mut self.statistics, step, stream)
    }

    /// Targets of the action value for given next actions.
    pub(crate) fn targets(&self, step: &CriticStep, next: &ActionDraw, stream: &mut Stream) -> Vec<Tensor> {
        tch::no_grad(|| self.equations.targets(&self.functions, step, next, stream))
    }

    /// The objective that the actor maximises.
    pub fn actor_objective(&self) -> super::ActorObjective {
        self.equations.actor_objective()
    }

    /// The actor's objective `[B]` for `draw` at `obs [B, …]`. Gradients reach the draw but not the critic's
    /// parameters.
    pub fn actor_value(&self, obs: &Tensor, draw: &ActionDraw, stream: &mut Stream) -> Tensor {
        self.actor_objective().value(self.q(), obs, draw, stream)
    }

    /// An optimistic value `[B]` of actions `[B, A]` at `obs [B, …]`: the middle of the members' interval and `optimism []`
    /// half-widths of it. Gradients reach the actions but not the critic's parameters.
    pub(crate) fn optimistic_value(
        &self,
        obs: &Tensor,
        action: &Tensor,
        optimism: &Tensor,
        stream: &mut Stream,
    ) -> Tensor {
        let objective = self.actor_objective();
        self.q()
            .value(obs, action, stream, &|out| objective.optimistic(out, optimism))
    }

    /// Moves all target parameters by `rule`. To be called when targets are due.
    pub fn follow(&mut self, rule: TargetSpec) {
        self.functions.iter_mut().for_each(|function| function.follow(rule));
    }

    /// Mixes freshly drawn initial values into all functions, with weight `share`. Running statistics begin anew.
    pub(crate) fn reset(&mut self, share: f64, stream: &mut Stream, compute: &Compute) {
        for function in &mut self.functions {
            function.reset(share, stream, compute);
        }
        self.statistics = Statistics::new(self.equations.statistics());
    }

    /// Sets annealed settings to their values after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        self.functions.iter_mut().for_each(|function| function.anneal(at));
    }

    /// Whether every learned parameter is finite. Waits for the device.
    pub fn is_finite(&self) -> bool {
        self.functions.iter().all(|function| function.online.params.is_finite())
    }

    /// Number of learned parameters, without target parameters.
    pub fn parameter_count(&self) -> i64 {
        let counts = self.functions.iter().map(|f| f.online.params.learned_count());
        counts.sum()
    }

    /// Multiply-adds of all functions for one observation and action.
    pub fn multiply_adds(&self) -> i64 {
        self.functions.iter().map(|f| f.network.multiply_adds()).sum()
    }

    /// The parameter block that begins with Q's encoder, which a policy may share.
    pub fn encoder_block(&self) -> &ParamBlock {
        &self.q().online.params
    }

    /// Activations of Q's encoder and members for `action` `[B, A]` at `obs` `[B, …]`.
    pub fn inspect(&self, obs: &Tensor, action: &Tensor) -> (Activations, Activations) {
        self.q().inspect(obs, action)
    }

    /// The checkpoint section `critic`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("critic");
        self.functions.iter().for_each(|function| function.save(&mut section));
        self.statistics.save(&mut section);
        section
    }

    /// Restores the state from a section written by [`LearnedCritic::section`].
    ///
    /// # Errors
    /// When the section does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        for function in &mut self.functions {
            function.load(section)?;
        }
        self.statistics.load(section, &self.functions[0].online.params)
    }
}
