//! Settings of the target filter and their checks: [`TargetFilterSpec`].

use sac_envs::Space;
use serde::{Deserialize, Serialize};

use super::kernel::KernelSpec;
use crate::{schedule::GradSteps, spec_problems::SpecProblems};

/// Settings of a low-pass filter over the action of the target critic. The default is that of the preset `bl-sac`; all
/// values are our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetFilterSpec {
    /// Shape of the kernel.
    pub kernel: KernelSpec,
    /// Width of the kernel per action dimension, in units of the half-range: the kernel's standard deviation, or the
    /// distance between taps of the windowed sinc. The filter is off if all are 0.
    pub bandwidth: Bandwidth,
    /// Annealing of the bandwidth, if it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anneal: Option<AnnealSpec>,
    /// The points over which the target is averaged.
    pub scheme: Scheme,
    /// Treatment of points beyond the bounds of the action.
    pub boundary: Boundary,
    /// Standard deviation of Gaussian noise on the observation, in running standard deviations per coordinate. It is
    /// annealed in proportion to the bandwidth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_std: Option<f64>,
    /// Whether members are reduced after the filter or before it.
    pub order: FilterOrder,
}

impl Default for TargetFilterSpec {
    fn default() -> Self {
        TargetFilterSpec {
            kernel: KernelSpec::Gaussian,
            bandwidth: Bandwidth::All(0.1),
            anneal: None,
            scheme: Scheme::MonteCarlo { samples: 4 },
            boundary: Boundary::Reflect,
            state_std: None,
            order: FilterOrder::FilterThenMin,
        }
    }
}

/// A bandwidth: one number for all action dimensions, or a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a list of one number per dimension")]
pub enum Bandwidth {
    /// The same for all dimensions.
    All(f64),
    /// One number per dimension, `[A]`.
    PerDimension(Vec<f64>),
}

impl Bandwidth {
    fn values(&self) -> &[f64] {
        match self {
            Bandwidth::All(value) => std::slice::from_ref(value),
            Bandwidth::PerDimension(values) => values,
        }
    }

    /// One number per dimension, `[A]`. The length of a list is checked in `check_space`.
    fn spread(&self, action_dim: usize) -> Vec<f64> {
        match self {
            Bandwidth::All(value) => vec![*value; action_dim],
            Bandwidth::PerDimension(values) => values.clone(),
        }
    }
}

/// Linear annealing of the bandwidth from the first update on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnealSpec {
    /// Final value; 0 turns the filter off.
    pub to: Bandwidth,
    /// Length of the annealing, gradient steps, at least 1.
    pub over_grad_steps: u64,
}

/// The points over which the target is averaged. They are evaluated in one call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scheme {
    /// Samples of the kernel, each with its mirror image. Unbiased in any number of dimensions.
    MonteCarlo {
        /// K, the number of points, even.
        samples: i64,
    },
    /// 2A + 1 points with the same moments as the Gaussian up to the third (Julier & Uhlmann 1997; their κ is our λ).
    SigmaPoints {
        /// λ; the weight of the centre is λ / (A + λ).
        lambda: f64,
    },
    /// The mean over axes of one-dimensional filters, which are √A times wider so that the variance is preserved. A
    /// windowed sinc is not widened.
    Stencil,
}

/// Treatment of points beyond the bounds of the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// Reflected at the bound. A uniform density stays uniform.
    Reflect,
    /// Moved to the bound, as in TD3. Probability mass accumulates there.
    Clamp,
    /// Offsets are added before the tanh that bounds actions. Points stay inside, and shifts get smaller near the
    /// bounds.
    PreTanh,
}

/// Whether members are reduced after the filter or before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterOrder {
    /// Filter each member, then take the minimum.
    FilterThenMin,
    /// Take the minimum at every point, then filter. Never larger than the other order, because the minimum is concave.
    MinThenFilter,
}

const KEY: &str = "agent.critic.target_filter";

impl TargetFilterSpec {
    /// Bandwidths `[A]` after `at` gradient steps.
    pub(super) fn bandwidth_at(&self, at: GradSteps, action_dim: usize) -> Vec<f64> {
        let start = self.bandwidth.spread(action_dim);
        let Some(AnnealSpec { to, over_grad_steps }) = &self.anneal else {
            return start;
        };
        let end = to.spread(action_dim);
        if at.0 >= *over_grad_steps {
            return end; // exactly, so that a final value of 0 turns the filter off
        }
        let progress = at.0 as f64 / *over_grad_steps as f64;
        start
            .iter()
            .zip(&end)
            .map(|(from, to)| from + progress * (to - from))
            .collect()
    }

    /// Reports values that are out of range or conflict, for any action space. `gamma` is the agent's discount, and
    /// `normalizes_observations` says whether it normalises observations.
    pub(crate) fn check(&self, p: &mut SpecProblems, gamma: f64, normalizes_observations: bool) {
        let key = |name: &str| format!("{KEY}.{name}");
        let (kernel, scheme) = (to_toml(&self.kernel), to_toml(&self.scheme));
        if self.check_kernel(p) {
            let norm = self.kernel.l1_norm();
            let rate = gamma * norm;
            p.require(
                norm < 1.0 + ROUNDING || rate < 1.0,
                &key("kernel"),
                &kernel,
                &format!(
                    "a kernel with agent.gamma · ‖w‖₁ below 1; otherwise the backup does not contract (here {} · \
                     {norm:.3} = {rate:.3}); shorten it, or choose another window",
                    gamma
                ),
            );
        }
        check_bandwidth(p, &key("bandwidth"), &self.bandwidth);
        if let Some(AnnealSpec { to, over_grad_steps }) = &self.anneal {
            check_bandwidth(p, &key("anneal.to"), to);
            let name = key("anneal.over_grad_steps");
            p.require(*over_grad_steps > 0, &name, over_grad_steps, "at least 1");
        }
        let is_monte_carlo = matches!(self.scheme, Scheme::MonteCarlo { .. });
        match self.scheme {
            Scheme::MonteCarlo { samples } => {
                let holds = (2..=1024).contains(&samples) && samples % 2 == 0;
                let expected = "even and between 2 and 1024, because every draw is paired with its mirror image";
                p.require(holds, &key("scheme.samples"), samples, expected);
                let expected = "\"stencil\" for a sinc: no draw has a negative probability";
                p.require(self.kernel.has_unit_variance(), &key("scheme"), &scheme, expected);
            }
            Scheme::SigmaPoints { lambda } => {
                let holds = lambda.abs() <= 1e6;
                p.require(
                    holds,
                    &key("scheme.lambda"),
                    format!("{lambda:?}"),
                    "between -1e6 and 1e6",
                );
                let expected = "\"stencil\" or \"monte_carlo\": sigma points have the moments of a Gaussian";
                p.require(self.kernel == KernelSpec::Gaussian, &key("scheme"), &scheme, expected);
            }
            Scheme::Stencil => {}
        }
        if let Some(std) = self.state_std {
            let name = key("state_std");
            p.require_not_negative(&name, std);
            p.require(
                normalizes_observations,
                &name,
                std,
                "used with agent.normalize_observations = true: its unit is the running standard deviation",
            );
            let expected = "used with scheme \"monte_carlo\": the other schemes have points in actions only";
            p.require(is_monte_carlo, &name, std, expected);
            let is_on = self.bandwidth.values().iter().any(|bandwidth| *bandwidth > 0.0);
            p.require(
                is_on,
                &name,
                std,
                "used with a bandwidth above 0, because the filter is off at 0",
            );
        }
    }

    /// Reports values of the kernel that are out of range. Returns whether there are none.
    fn check_kernel(&self, p: &mut SpecProblems) -> bool {
        match self.kernel {
            KernelSpec::Gaussian | KernelSpec::Boxcar => true,
            KernelSpec::Binomial { taps } => {
                let holds = (3..=63).contains(&taps) && taps % 2 == 1;
                p.require(holds, &format!("{KEY}.kernel.taps"), taps, "odd and between 3 and 63");
                holds
            }
            KernelSpec::Sinc {
                half_length, cutoff, ..
            } => {
                let (is_length, is_cutoff) = ((1..=64).contains(&half_length), cutoff > 0.0 && cutoff <= 0.5);
                let name = format!("{KEY}.kernel.half_length");
                p.require(is_length, &name, half_length, "between 1 and 64");
                let name = format!("{KEY}.kernel.cutoff");
                p.require(is_cutoff, &name, cutoff, "above 0 and at most 0.5 cycles per tap");
                is_length && is_cutoff
            }
        }
    }

    /// Reports values that do not fit the action space.
    pub(crate) fn check_space(&self, p: &mut SpecProblems, action: &Space, gamma: f64) {
        if !matches!(action, Space::Box { .. }) {
            let expected = format!(
                "this applies to boxes, but the actions are {action}, which have no neighbours to average over"
            );
            p.require(false, KEY, to_toml(self), &expected);
            return;
        }
        let dims = action.len();
        let mut check_length = |name: &str, bandwidth: &Bandwidth| {
            if let Bandwidth::PerDimension(values) = bandwidth {
                let expected = format!("a list needs one number per dimension of the action, and there are {dims}");
                p.require(
                    values.len() == dims,
                    &format!("{KEY}.{name}"),
                    format!("{values:?}"),
                    &expected,
                );
            }
        };
        check_length("bandwidth", &self.bandwidth);
        if let Some(anneal) = &self.anneal {
            check_length("anneal.to", &anneal.to);
        }
        if let Scheme::SigmaPoints { lambda } = self.scheme {
            // The weights are λ/(A + λ), and 1/(2(A + λ)) for each of 2A points.
            let spread = dims as f64 + lambda;
            let norm = (lambda.abs() + dims as f64) / spread;
            let holds = spread > 0.0 && (norm < 1.0 + ROUNDING || gamma * norm < 1.0);
            let expected = format!(
                "this makes the weight of the centre λ / ({dims} + λ) negative and agent.gamma · ‖w‖₁ at least 1, so the \
                 backup does not contract; it contracts for any λ of at least 0"
            );
            p.require(holds, &format!("{KEY}.scheme.lambda"), lambda, &expected);
        }
    }
}

/// Tolerance for rounding errors of sums of weights.
const ROUNDING: f64 = 1e-9;

fn check_bandwidth(p: &mut SpecProblems, key: &str, bandwidth: &Bandwidth) {
    let values = bandwidth.values();
    let holds = values.iter().all(|value| (0.0..=1e6).contains(value));
    p.require(holds, key, to_toml(bandwidth), "between 0 and 1e6");
}

fn to_toml(value: &impl Serialize) -> String {
    toml::Value::try_from(value).map_or(String::new(), |value| value.to_string())
}
