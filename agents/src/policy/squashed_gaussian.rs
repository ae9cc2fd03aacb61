//! The squashed Gaussian, tanh of a diagonal Gaussian: [`SquashedGaussian`].
//!
//! Source: Haarnoja et al. 2018 (arXiv 1801.01290), appendix C. `docs/algorithms/policy_heads.md` compares the options
//! for the source of σ and for its bounds.

use sac_policy::{Activation, Arithmetic, Distribution, Function, Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    action::{ActionDraw, ActionKind, Actions},
    head::PolicyHead,
};
use crate::{
    error::Result,
    nn::{AdamSpec, Init, ParamIndex, ParamLayout, Params, Tracer},
    noise::Stream,
    spec_problems::SpecProblems,
};

const LN_2: f64 = std::f64::consts::LN_2;
const LN_2PI: f64 = 1.837_877_066_409_345_3; // ln(2π)

/// Settings of a squashed Gaussian policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SquashedGaussianSpec {
    /// Whether log σ depends on the state. Paper: it does.
    pub std: StdSource,
    /// Initial log σ, between the bounds; used only if σ is independent of the state. A state-dependent log σ starts
    /// near 0.
    pub initial_log_std: f64,
    /// How log σ is kept within its bounds. Reference code of SAC 2018a: clamped.
    pub log_std_bounds: LogStdBounds,
    /// Lower bound of log σ; not used with `softplus`. Reference code of SAC 2018a: −20.
    pub log_std_min: f64,
    /// Upper bound of log σ; not used with `softplus`. Reference code of SAC 2018a: 2.
    pub log_std_max: f64,
    /// Optimiser of the policy network.
    pub optimizer: AdamSpec,
}

/// Whether log σ depends on the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StdSource {
    /// log σ is an output of the network, like the mean.
    StateDependent,
    /// log σ is one learned parameter per action coordinate, the same in every state.
    StateIndependent,
}

/// The function from an unbounded number x to log σ in `[lo, hi]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStdBounds {
    /// min(max(x, lo), hi). The gradient is zero outside the bounds.
    Clamp,
    /// lo + ½ (hi − lo) (1 + tanh x). The gradient is never zero. Yarats et al. 2019 (SAC-AE, arXiv 1910.01741), whose
    /// code has the bounds −10 and 2.
    Tanh,
    /// σ = softplus(x) + 10⁻⁵, without bounds. Code of SAC 2018b (softlearning).
    Softplus,
}

/// Added to softplus(x) for σ. Code of SAC 2018b: 1e-5.
const SOFTPLUS_SHIFT: f64 = 1e-5;

/// Smallest allowed midpoint of tanh bounds, at which a state-dependent log σ starts: that of −10 and 2, the lowest
/// bounds in use that we know of.
const LOWEST_TANH_START: f64 = -4.0;

impl Default for SquashedGaussianSpec {
    fn default() -> Self {
        SquashedGaussianSpec {
            std: StdSource::StateDependent,
            initial_log_std: 0.0,
            log_std_bounds: LogStdBounds::Clamp,
            log_std_min: -20.0,
            log_std_max: 2.0,
            optimizer: AdamSpec::default(),
        }
    }
}

/// ln(10⁻⁵) is −11.5: above this, a parameter exists from which softplus gives σ.
const LOWEST_SOFTPLUS_START: f64 = -11.0;

/// Limits of log σ, far beyond use: σ and the square of its reciprocal are numbers of `f32`.
const LEAST_LOG_STD: f64 = -40.0;
const MOST_LOG_STD: f64 = 40.0;

impl SquashedGaussianSpec {
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        let (low, high) = (self.log_std_min, self.log_std_max);
        p.require(
            low < high && low >= LEAST_LOG_STD,
            "agent.policy.log_std_min",
            low,
            &format!("at least {LEAST_LOG_STD} and below agent.policy.log_std_max"),
        );
        p.require(
            high <= MOST_LOG_STD,
            "agent.policy.log_std_max",
            high,
            &format!("at most {MOST_LOG_STD}"),
        );
        match (self.std, self.log_std_bounds) {
            (StdSource::StateIndependent, _) => {
                self.check_start(p, "agent.policy.initial_log_std", self.initial_log_std);
            }
            (StdSource::StateDependent, LogStdBounds::Tanh) => {
                let expected = "at least −8 − agent.policy.log_std_max, because with tanh bounds log σ starts half-way \
                                between them; usual values are −5 and −10";
                let holds = 0.5 * (low + high) >= LOWEST_TANH_START;
                p.require(holds, "agent.policy.log_std_min", low, expected);
            }
            (StdSource::StateDependent, LogStdBounds::Clamp | LogStdBounds::Softplus) => {}
        }
    }

    /// Reports a log σ at `key` that is out of bounds and is to be the first one of a parameter.
    pub(crate) fn check_start(&self, p: &mut SpecProblems, key: &str, start: f64) {
        let (low, high) = (self.log_std_min, self.log_std_max);
        let holds = match self.log_std_bounds {
            LogStdBounds::Clamp => (low..=high).contains(&start),
            LogStdBounds::Tanh => start > low && start < high,
            LogStdBounds::Softplus => start > LOWEST_SOFTPLUS_START && start <= high,
        };
        let expected = "between agent.policy.log_std_min and agent.policy.log_std_max, with tanh bounds not equal to \
                        either, and with softplus above -11";
        p.require(holds, key, start, expected);
    }

    /// The unbounded number x for which log σ is `start`.
    pub(super) fn unbounded(&self, start: f64) -> f32 {
        let x = match self.log_std_bounds {
            LogStdBounds::Clamp => start,
            LogStdBounds::Tanh => {
                let fraction = (start - self.log_std_min) / (self.log_std_max - self.log_std_min);
                (2.0 * fraction - 1.0).atanh()
            }
            LogStdBounds::Softplus => {
                let softplus = start.exp() - SOFTPLUS_SHIFT;
                softplus + (-(-softplus).exp_m1()).ln() // ln(eˢ − 1)
            }
        };
        x as f32
    }

    /// log σ for unbounded numbers x, element by element.
    pub(super) fn bounded(&self, x: &Tensor) -> Tensor {
        let (low, high) = (self.log_std_min, self.log_std_max);
        match self.log_std_bounds {
            LogStdBounds::Clamp => x.clamp(low, high),
            LogStdBounds::Tanh => (x.tanh() + 1.0) * (0.5 * (high - low)) + low,
            LogStdBounds::Softplus => (x.softplus() + SOFTPLUS_SHIFT).log(),
        }
    }
}

/// The squashed Gaussian: `a = tanh(u)`, `u ~ N(mean, std²)` per coordinate.
pub struct SquashedGaussian {
    spec: SquashedGaussianSpec,
    action_dim: i64,
    /// The parameter x `[A]` of log σ, if σ is independent of the state.
    log_std: Option<ParamIndex>,
}

impl SquashedGaussian {
    /// A head for `action_dim` action coordinates.
    pub fn new(spec: &SquashedGaussianSpec, action_dim: i64) -> Self {
        SquashedGaussian {
            spec: spec.clone(),
            action_dim,
            log_std: None,
        }
    }

    /// Splits `inputs [B, inputs()]` into `mean [B, A]` and `log_std`, `[B, A]` or `[A]`.
    fn split(&self, params: &Params, inputs: &Tensor) -> (Tensor, Tensor) {
        let mean = inputs.narrow(1, 0, self.action_dim);
        let unbounded = match self.log_std {
            None => inputs.narrow(1, self.action_dim, self.action_dim),
            Some(index) => params[index].shallow_clone(),
        };
        (mean, self.spec.bounded(&unbounded))
    }

    /// Adds log σ, of an unbounded number, to a graph.
    fn trace_bounds(&self, tracer: &mut Tracer, unbounded: Value) -> Result<Value> {
        let (low, high) = (self.spec.log_std_min as f32, self.spec.log_std_max as f32);
        let scale = |factor: f32, offset: f32| Op::Scale { factor, offset };
        match self.spec.log_std_bounds {
            LogStdBounds::Clamp => tracer.add(Op::Clamp { low, high }, &[unbounded]),
            LogStdBounds::Tanh => {
                let within = tracer.add(Op::Activate(Activation::Tanh), &[unbounded])?;
                let half = 0.5 * (high - low);
                tracer.add(scale(half, low + half), &[within])
            }
            LogStdBounds::Softplus => {
                let softplus = tracer.add(Op::Map(Function::Softplus), &[unbounded])?;
                let std = tracer.add(scale(1.0, SOFTPLUS_SHIFT as f32), &[softplus])?;
                tracer.add(Op::Map(Function::Ln), &[std])
            }
        }
    }
}

impl PolicyHead for SquashedGaussian {
    /// Adds `log_std [A]` if σ is independent of the state.
    fn add_parameters(&mut self, layout: &mut ParamLayout) {
        if self.spec.std == StdSource::StateIndependent {
            let start = Init::Constant(self.spec.unbounded(self.spec.initial_log_std));
            self.log_std = Some(layout.add("log_std", &[self.action_dim], start));
        }
    }

    fn inputs(&self) -> i64 {
        match self.spec.std {
            StdSource::StateDependent => 2 * self.action_dim,
            StdSource::StateIndependent => self.action_dim,
        }
    }

    /// The mean, and log σ if it depends on the state.
    fn parts(&self) -> Vec<i64> {
        vec![self.action_dim; (self.inputs() / self.action_dim) as usize]
    }

    fn actions(&self) -> ActionKind {
        ActionKind::Vector { width: self.action_dim }
    }

    /// Standard normal noise, `[rows, A]`.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        stream.normal(&[rows, self.action_dim], device)
    }

    fn draw(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw {
        let (mean, log_std) = self.split(params, inputs);
        let u = &mean + log_std.exp() * noise; // [B, A]
        ActionDraw {
            actions: Actions::Sampled(u.tanh()),
            log_prob: log_prob(&u, noise, &log_std),
        }
    }

    fn explore(&self, params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        let (mean, log_std) = self.split(params, inputs);
        (mean + log_std.exp() * noise).tanh()
    }

    /// tanh(mean), which does not depend on σ.
    fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
        inputs.narrow(1, 0, self.action_dim).tanh()
    }

    fn gaussian(&self, params: &Params, inputs: &Tensor) -> Option<(Tensor, Tensor)> {
        Some(self.split(params, inputs))
    }

    fn trace(&self, tracer: &mut Tracer, inputs: Value, is_drawn: bool) -> Result<Value> {
        let len = self.action_dim as usize;
        let part = |start: usize| Op::Slice { axis: 0, start, len };
        let mut u = tracer.add(part(0), &[inputs])?;
        if is_drawn {
            let unbounded = match self.log_std {
                None => tracer.add(part(len), &[inputs])?,
                Some(index) => tracer.constant(index)?,
            };
            let log_std = self.trace_bounds(tracer, unbounded)?;
            let std = tracer.add(Op::Map(Function::Exp), &[log_std])?;
            let distribution = Distribution::Normal;
            let noise = tracer.add(Op::Noise { len, distribution }, &[])?;
            let spread = tracer.add(Op::Combine(Arithmetic::Multiply), &[std, noise])?;
            u = tracer.add(Op::Combine(Arithmetic::Add), &[u, spread])?;
        }
        tracer.add(Op::Activate(Activation::Tanh), &[u])
    }
}

/// Log-density of a squashed Gaussian at a sample of its own.
///
/// `u`: `[B, A]`, the sample before squashing; `noise = (u − mean)/std`; `log_std`: `[B, A]` or `[A]`. Returns `[B]`,
/// nats, with respect to the normalised box. Per coordinate
///
/// ```text
/// log N(u) = −½ noise² − log σ − ½ ln 2π
/// log(1 − tanh²u) = 2 (ln 2 − u − softplus(−2u))        exact, finite for large |u|
/// ```
///
/// The noise is an argument so that the first line needs no division by σ.
///
/// Source: Haarnoja et al. 2018 (arXiv 1801.01290), appendix C, equation 21.
pub fn log_prob(u: &Tensor, noise: &Tensor, log_std: &Tensor) -> Tensor {
    let gaussian = noise.square() * -0.5 - log_std - 0.5 * LN_2PI;
    let log_derivative = (u + (u * -2.0).softplus() - LN_2) * -2.0;
    (gaussian - log_derivative).sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_prob_of(mean: f64, log_std: f64, noise: f64) -> f64 {
        let head = SquashedGaussian::new(&SquashedGaussianSpec::default(), 1);
        let inputs = Tensor::from_slice(&[mean as f32, log_std as f32]).view([1, 2]);
        let draw = head.draw(
            &Params::default(),
            &inputs,
            &Tensor::from_slice(&[noise as f32]).view([1, 1]),
        );
        draw.log_prob.double_value(&[0])
    }

    /// The expected value (a = 0.7730…, log π = −0.2286…) was computed in f64 from the definition.
    #[test]
    fn log_prob_equals_the_definition() {
        assert!((log_prob_of(0.3, -0.5, 1.2) - -0.228_655_332_141_999_5).abs() < 1e-6);
    }

    #[test]
    fn log_prob_stays_exact_in_the_far_tail() {
        assert!((log_prob_of(9.0, -20.0, 0.0) / 35.694_767_136_135_4 - 1.0).abs() < 1e-6);
        assert!(log_prob_of(-40.0, 2.0, -3.0).is_finite());
    }

    #[test]
    fn density_integrates_to_one_over_the_box() {
        // Substituting a = tanh(u), the integral over the box is that of exp(log π)·(1 − tanh²u) over u.
        let (mean, log_std, count) = (0.4f64, -0.3f64, 4_001);
        let step = 16.0 / f64::from(count - 1);
        let total: f64 = (0..count)
            .map(|index| -8.0 + step * f64::from(index))
            .map(|u| log_prob_of(mean, log_std, (u - mean) / log_std.exp()).exp() * (1.0 - u.tanh().powi(2)) * step)
            .sum();
        assert!((total - 1.0).abs() < 1e-3, "{total}");
    }

    fn spec(std: StdSource, log_std_bounds: LogStdBounds) -> SquashedGaussianSpec {
        SquashedGaussianSpec {
            std,
            log_std_bounds,
            log_std_min: -5.0,
            initial_log_std: -0.7,
            ..SquashedGaussianSpec::default()
        }
    }

    #[test]
    fn tanh_bounds_pass_gradients_where_a_clamp_stops_them() {
        for (bounds, passes) in [(LogStdBounds::Clamp, false), (LogStdBounds::Tanh, true)] {
            let spec = spec(StdSource::StateDependent, bounds);
            let head = SquashedGaussian::new(&spec, 1);
            for x in [-6.0f32, 3.0] {
                let inputs = Tensor::from_slice(&[0.0, x]).view([1, 2]).set_requires_grad(true);
                let (_, log_std) = head.split(&Params::default(), &inputs);
                let at = log_std.double_value(&[0, 0]);
                assert!((spec.log_std_min..=spec.log_std_max).contains(&at), "{bounds:?} {at}");
                let gradient = Tensor::run_backward(&[log_std.sum(Kind::Float)], &[&inputs], false, false).remove(0);
                assert_eq!(gradient.double_value(&[0, 1]) > 0.0, passes, "{bounds:?} at {x}");
            }
        }
    }

    #[test]
    fn a_state_independent_std_is_one_parameter_per_coordinate_with_the_given_initial_value() {
        for bounds in [LogStdBounds::Clamp, LogStdBounds::Tanh, LogStdBounds::Softplus] {
            let mut layout = ParamLayout::default();
            let mut head = SquashedGaussian::new(&spec(StdSource::StateIndependent, bounds), 3);
            head.add_parameters(&mut layout);
            assert_eq!((layout.count(), head.inputs()), (3, 3));
            let block = crate::nn::ParamBlock::new(layout, &mut Stream::derive(0, "test", 0), &Default::default());
            let (_, log_std) = head.split(block.frozen(), &Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)));
            let off = (log_std + 0.7).abs().max().double_value(&[]);
            assert!(off < 1e-6, "{bounds:?}: {off}");
        }
        let mut layout = ParamLayout::default();
        let mut head = SquashedGaussian::new(&SquashedGaussianSpec::default(), 3);
        head.add_parameters(&mut layout);
        assert_eq!(
            (layout.count(), head.inputs()),
            (0, 6),
            "by default log σ is an output of the network"
        );
    }

    #[test]
    fn initial_values_out_of_bounds_and_tanh_bounds_with_too_small_a_start_are_rejected() {
        let problems = |spec: &SquashedGaussianSpec| {
            let mut problems = SpecProblems::default();
            spec.check(&mut problems);
            problems
                .into_vec()
                .into_iter()
                .map(|problem| problem.key)
                .collect::<Vec<_>>()
        };
        for bounds in [LogStdBounds::Clamp, LogStdBounds::Tanh] {
            for std in [StdSource::StateDependent, StdSource::StateIndependent] {
                assert_eq!(problems(&spec(std, bounds)), Vec::<String>::new());
            }
            for initial_log_std in [-5.1, 2.1, f64::NAN] {
                let spec = SquashedGaussianSpec {
                    initial_log_std,
                    ..spec(StdSource::StateIndependent, bounds)
                };
                assert_eq!(problems(&spec), ["agent.policy.initial_log_std"], "{initial_log_std}");
            }
        }
        let dull = SquashedGaussianSpec {
            log_std_min: -20.0,
            ..spec(StdSource::StateDependent, LogStdBounds::Tanh)
        };
        assert_eq!(problems(&dull), ["agent.policy.log_std_min"]);
    }
}
