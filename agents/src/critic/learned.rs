//! A critic with what it has learned: [`LearnedCritic`].

use tch::Tensor;

use super::{Critic, CriticStep, NetworkContext, Statistics, ValueFunction};
use crate::{
    checkpoint::Section,
    error::Result,
    nn::{Activations, ParamBlock},
    noise::Stream,
    policy::ActionDraw,
    report::UpdateReport,
    schedule::GradSteps,
    target::TargetSpec,
};

/// Equations, functions and statistics of a critic.
pub struct LearnedCritic {
    equations: Box<dyn Critic>,
    /// As [`Critic::functions`] lists them.
    pub functions: Vec<ValueFunction>,
    /// As [`Critic::statistics`] lists them.
    pub statistics: Statistics,
}

impl LearnedCritic {
    /// With initial weights from `init`.
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

    /// One step of the optimiser of every function.
    pub fn learn(&mut self, step: &CriticStep, stream: &mut Stream) -> UpdateReport {
        self.equations
            .learn(&mut self.functions, &mut self.statistics, step, stream)
    }

    /// Targets of the action value, given the next actions.
    pub(crate) fn targets(&self, step: &CriticStep, next: &ActionDraw, stream: &mut Stream) -> Vec<Tensor> {
        tch::no_grad(|| self.equations.targets(&self.functions, step, next, stream))
    }

    /// What the actor maximises.
    pub fn actor_objective(&self) -> super::ActorObjective {
        self.equations.actor_objective()
    }

    /// The actor's objective `[B]` for `draw` at `obs [B, …]`. Gradients reach the draw and not the critic's parameters.
    pub fn actor_value(&self, obs: &Tensor, draw: &ActionDraw, stream: &mut Stream) -> Tensor {
        self.actor_objective().value(self.q(), obs, draw, stream)
    }

    /// Moves the targets, which are due.
    pub fn follow(&mut self, rule: TargetSpec) {
        self.functions.iter_mut().for_each(|function| function.follow(rule));
    }

    /// Moves annealed settings to their values after `at` gradient steps.
    pub fn anneal(&mut self, at: GradSteps) {
        self.functions.iter_mut().for_each(|function| function.anneal(at));
    }

    /// Whether every learned parameter is a finite number. Waits for the device.
    pub fn is_finite(&self) -> bool {
        self.functions.iter().all(|function| function.online.params.is_finite())
    }

    /// Number of learned parameters, targets not counted.
    pub fn parameter_count(&self) -> i64 {
        let counts = self.functions.iter().map(|f| f.online.params.flat().numel() as i64);
        counts.sum()
    }

    /// Multiply-adds for one observation and action, of all that learns.
    pub fn multiply_adds(&self) -> i64 {
        self.functions.iter().map(|f| f.network.multiply_adds()).sum()
    }

    /// The block that begins with the encoder which a policy may share.
    pub fn encoder_block(&self) -> &ParamBlock {
        &self.q().online.params
    }

    /// Activations of Q's encoder and members for `action` `[B, A]` at `obs` `[B, …]`.
    pub fn inspect(&self, obs: &Tensor, action: &Tensor) -> (Activations, Activations) {
        self.q().inspect(obs, action)
    }

    /// The section `critic`.
    pub fn section(&self) -> Section<'static> {
        let mut section = Section::new("critic");
        self.functions.iter().for_each(|function| function.save(&mut section));
        self.statistics.save(&mut section);
        section
    }

    /// Takes back what [`LearnedCritic::section`] wrote.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn load(&mut self, section: &Section) -> Result<()> {
        for function in &mut self.functions {
            function.load(section)?;
        }
        self.statistics.load(section, &self.functions[0].online.params)
    }
}
