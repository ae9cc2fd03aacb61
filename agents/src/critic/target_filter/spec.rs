//! Settings of the filter and what they must fulfil: [`TargetFilterSpec`].

use sac_envs::Space;
use serde::{Deserialize, Serialize};

use super::kernel::KernelSpec;
use crate::{schedule::GradSteps, spec_problems::SpecProblems};

/// A low-pass filter over the action of the target critic. `Default` is the preset `bl-sac`; every value is ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TargetFilterSpec {
    /// Shape of the kernel.
    pub kernel: KernelSpec,
    /// Width of the kernel, per dimension of the action, as a fraction of the half-range: its standard deviation, or
    /// for the windowed sinc the distance of its taps. 0 everywhere turns the filter off.
    pub bandwidth: Bandwidth,
    /// Whether the bandwidth changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anneal: Option<AnnealSpec>,
    /// At which points the average is taken.
    pub scheme: Scheme,
    /// What happens to points beyond the bounds of the action.
    pub boundary: Boundary,
    /// Standard deviation of Gaussian noise on the observation, in running standard deviations per coordinate; shrinks
    /// in proportion to the bandwidth, if that is annealed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_std: Option<f64>,
    /// Whether members are combined after the filter or before.
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

/// One number for every dimension of the action, or a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number, or a list of one number per dimension")]
pub enum Bandwidth {
    /// The same for all.
    All(f64),
    /// `[A]`.
    PerDimension(Vec<f64>),
}

impl Bandwidth {
    fn numbers(&self) -> &[f64] {
        match self {
            Bandwidth::All(value) => std::slice::from_ref(value),
            Bandwidth::PerDimension(values) => values,
        }
    }

    /// `[A]`. A list already has that length: `check_space` saw to it.
    fn spread(&self, action_dim: usize) -> Vec<f64> {
        match self {
            Bandwidth::All(value) => vec![*value; action_dim],
            Bandwidth::PerDimension(values) => values.clone(),
        }
    }
}

/// Linear change of the bandwidth from the first update on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnealSpec {
    /// Where it ends. 0: without a filter.
    pub to: Bandwidth,
    /// Over so many gradient steps, at least 1.
    pub over_grad_steps: u64,
}

/// At which points the average is taken; all of them go through the target in one call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scheme {
    /// Draws from the kernel, each with its mirror image. Unbiased in any number of dimensions.
    MonteCarlo {
        /// K, even.
        samples: i64,
    },
    /// 2A + 1 points that share the Gaussian's moments up to the third (Julier & Uhlmann 1997, with their κ for λ).
    SigmaPoints {
        /// Weight of the centre is λ / (A + λ).
        lambda: f64,
    },
    /// The mean over axes of the filter along each, √A wider so that the variance stays; a windowed sinc keeps its taps.
    Stencil,
}

/// What happens to points beyond the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// They are mirrored back in: a uniform density stays uniform.
    Reflect,
    /// They are moved to the bound, as in TD3: mass piles up there.
    Clamp,
    /// Steps are taken before the tanh that bounds actions: always inside, ever shorter towards the bounds.
    PreTanh,
}

/// Whether members are combined after the filter or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterOrder {
    /// Each member is filtered, then the smallest counts.
    FilterThenMin,
    /// The smallest member at every point is averaged; never more than the other order, because the minimum is concave.
    MinThenFilter,
}

const KEY: &str = "agent.critic.target_filter";

impl TargetFilterSpec {
    /// Bandwidths `[A]` after so many gradient steps.
    pub(super) fn bandwidth_at(&self, at: GradSteps, action_dim: usize) -> Vec<f64> {
        let start = self.bandwidth.spread(action_dim);
        let Some(AnnealSpec { to, over_grad_steps }) = &self.anneal else {
            return start;
        };
        let end = to.spread(action_dim);
        if at.0 >= *over_grad_steps {
            return end; // exactly, so that 0 is 0
        }
        let share = at.0 as f64 / *over_grad_steps as f64;
        start
            .iter()
            .zip(&end)
            .map(|(from, to)| from + share * (to - from))
            .collect()
    }

    /// Notes values that are out of range or do not go together, whatever the action space, in an agent with discount
    /// `gamma` that normalises its observations or not.
    pub(crate) fn check(&self, p: &mut SpecProblems, gamma: f64, normalizes_observations: bool) {
        let key = |name: &str| format!("{KEY}.{name}");
        let (kernel, scheme) = (in_words(&self.kernel), in_words(&self.scheme));
        if self.check_kernel(p) {
            let norm = self.kernel.l1_norm();
            let rate = gamma * norm;
            p.require(
                norm < 1.0 + ROUNDING || rate < 1.0,
                &key("kernel"),
                &kernel,
                &format!(
                    "a kernel with agent.gamma · ‖w‖₁ below 1, without which the backup does not contract (here {} · \
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
                let expected = "even, because every draw is paired with its mirror image, and between 2 and 1024";
                p.require(holds, &key("scheme.samples"), samples, expected);
                let expected = "\"stencil\" for a sinc: no draw has a negative probability";
                p.require(self.kernel.has_unit_variance(), &key("scheme"), &scheme, expected);
            }
            Scheme::SigmaPoints { lambda } => {
                p.require(lambda.is_finite(), &key("scheme.lambda"), lambda, "finite");
                let expected = "\"stencil\" or \"monte_carlo\": sigma points have the moments of a Gaussian";
                p.require(self.kernel == KernelSpec::Gaussian, &key("scheme"), &scheme, expected);
            }
            Scheme::Stencil => {}
        }
        if let Some(std) = self.state_std {
            let name = key("state_std");
            p.require(std >= 0.0 && std.is_finite(), &name, std, "finite and at least 0");
            p.require(
                normalizes_observations,
                &name,
                std,
                "used with agent.normalize_observations = true: its unit is the running standard deviation",
            );
            let expected = "used with scheme \"monte_carlo\": the other schemes have points in actions only";
            p.require(is_monte_carlo, &name, std, expected);
            let is_on = self.bandwidth.numbers().iter().any(|bandwidth| *bandwidth > 0.0);
            p.require(
                is_on,
                &name,
                std,
                "used with a bandwidth above 0, without which the filter is off",
            );
        }
    }

    /// Whether the kernel's numbers are in range.
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

    /// What does not fit the action space.
    pub(crate) fn check_space(&self, p: &mut SpecProblems, action: &Space, gamma: f64) {
        if !matches!(action, Space::Box { .. }) {
            let expected =
                format!("this is for boxes, and the actions are {action}: those have no neighbours to average over");
            p.require(false, KEY, in_words(self), &expected);
            return;
        }
        let dims = action.len();
        let mut check_length = |name: &str, bandwidth: &Bandwidth| {
            if let Bandwidth::PerDimension(values) = bandwidth {
                let expected =
                    format!("a list needs one number per dimension of the action, of which there are {dims}");
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
            // Weights are λ/(A + λ) and 2A times 1/(2(A + λ)).
            let spread = dims as f64 + lambda;
            let norm = (lambda.abs() + dims as f64) / spread;
            let holds = spread > 0.0 && (norm < 1.0 + ROUNDING || gamma * norm < 1.0);
            let expected = format!(
                "this makes the weight of the centre λ / ({dims} + λ) negative and agent.gamma · ‖w‖₁ at least 1, so that \
                 the backup does not contract; 0 or more never does"
            );
            p.require(holds, &format!("{KEY}.scheme.lambda"), lambda, &expected);
        }
    }
}

/// Sums of weights may miss 1 by this much.
const ROUNDING: f64 = 1e-9;

fn check_bandwidth(p: &mut SpecProblems, key: &str, bandwidth: &Bandwidth) {
    let numbers = bandwidth.numbers();
    let holds = numbers.iter().all(|value| *value >= 0.0 && value.is_finite());
    p.require(holds, key, in_words(bandwidth), "finite and at least 0");
}

fn in_words(value: &impl Serialize) -> String {
    toml::Value::try_from(value).map_or(String::new(), |value| value.to_string())
}
