//! The Fourier policy, a non-negative Fourier series per action coordinate that can have several modes:
//! [`FourierHead`].
//!
//! Sources: Gillman et al. 2025, "Fourier Head: Helping Large Language Models Learn Complex Probability Distributions"
//! (ICLR, arXiv 2410.22269), for the density; Figurnov et al. 2018, "Implicit Reparameterization Gradients" (arXiv
//! 1805.08498), for the gradient of a sample. Their combination as a policy for Soft Actor-Critic, the uniform share,
//! the base amplitude and the computation of quantiles are our own.
//!
//! | Symbol | Code | Shape |
//! |---|---|---|
//! | N | `frequencies` | – |
//! | a_0 … a_N | `re`, `im` | `[B, A, N+1]` each |
//! | c_0 + δ | `power` | `[B, A]` |
//! | w_k = x_k + i y_k, k = 1 … N | `cosine`, `sine` | `[B, A, N]` each |
//! | ω_k = πk | `waves` | `[N+1]` or `[N]` |
//! | z, u | `action`, `noise` | `[B, A]` |
//!
//! ```text
//! c_k  = Σ_l conj(a_l) a_{l+k}                                            autocorrelation
//! w_k  = (1 − ε) c_k / (c_0 + δ)                                          ε: uniform share
//! p(z) = ½ + Re Σ_k w_k e^{iω_k z}                                        (1)
//!      = ( (1 − ε) |Σ_l a_l e^{iω_l z}|² + ε c_0 + δ ) / 2 (c_0 + δ)      (2)
//! F(z) = ½ (1 + z) + Re Σ_k w_k / (iω_k) · (e^{iω_k z} − (−1)^k)          (3)
//! ∂z/∂θ = −(∂F/∂θ)(z) / p(z),  where F(z; θ) = u                          (4)
//! ```
//!
//! (1) and (2) are the same density, because the square expands to c_0 + 2 Re Σ_k c_k e^{iω_k z}. (1) integrates to 1,
//! because the period of every wave divides the length of the interval. (2) is positive in spite of rounding. The
//! density is periodic: it has the same value at −1 and 1. See also `docs/algorithms/policy_heads.md`.

use std::f64::consts::PI;

use sac_policy::{Distribution, Fourier, Op, Value};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{
    action::{ActionDraw, ActionKind, Actions},
    head::PolicyHead,
};
use crate::{
    error::Result,
    nn::{AdamSpec, Params, Tracer},
    noise::Stream,
    spec_problems::SpecProblems,
};

/// δ, added to the power c_0: if the network's outputs cancel the base amplitude, the density is uniform instead of
/// 0/0. Our choice, small compared to the typical power of about 1.
const POWER_EPS: f64 = 1e-6;

/// Cells per frequency of the grid on which roots are bracketed, and steps of Newton's method within a cell. Our
/// choice: F(z) = u then holds to 1e-12 in double precision, for random series and for series that touch zero.
const CELLS_PER_FREQUENCY: i64 = 8;
const NEWTON_STEPS: usize = 8;

/// Margin by which a bracket extends beyond its cell: larger than rounding errors in double precision, and much smaller
/// than a cell.
const ROUNDING: f64 = 1e-9;

/// Number of the grid's highest peaks that are refined to find the mode.
const PEAKS: i64 = 8;

/// Settings of a Fourier policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FourierSpec {
    /// N, the number of frequencies; the highest has N periods over the box. The paper tries 2 to 32. With 16 the
    /// entropy can fall to −1.5 nats per coordinate, below SAC's target of −1.
    pub frequencies: i64,
    /// ε, the weight of the uniform density, in (0, 1). Log-densities are at least ln(ε/2), and gradients of samples
    /// are at most 2/ε times those of F. Our own; the paper's classifier adds 1e-5 inside the logarithm for the same
    /// reason.
    pub uniform_share: f64,
    /// Constant added to the real part of a_0, above 0. The density is nearly uniform while the network's outputs are
    /// small compared to it, as they are initially. Our own; with 2 and the default body the initial entropy is 0.07
    /// nats per coordinate below that of the uniform density.
    pub base_amplitude: f64,
    /// Optimiser of the policy network.
    pub optimizer: AdamSpec,
}

impl Default for FourierSpec {
    fn default() -> Self {
        FourierSpec {
            frequencies: 16,
            uniform_share: 0.01,
            base_amplitude: 2.0,
            optimizer: AdamSpec::default(),
        }
    }
}

impl FourierSpec {
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        p.require(
            (1..=128).contains(&self.frequencies),
            "agent.policy.frequencies",
            self.frequencies,
            "between 1 and 128",
        );
        p.require(
            (1e-6..1.0).contains(&self.uniform_share),
            "agent.policy.uniform_share",
            self.uniform_share,
            "at least 1e-6 and below 1",
        );
        p.require_positive("agent.policy.base_amplitude", self.base_amplitude);
    }
}

/// The head of a Fourier policy; the module's documentation has the equations.
pub struct FourierHead {
    action_dim: i64,
    frequencies: i64,
    uniform_share: f64,
    base_amplitude: f64,
}

impl FourierHead {
    /// A head for `action_dim` action coordinates.
    pub fn new(spec: &FourierSpec, action_dim: i64) -> Self {
        FourierHead {
            action_dim,
            frequencies: spec.frequencies,
            uniform_share: spec.uniform_share,
            base_amplitude: spec.base_amplitude,
        }
    }

    /// The densities for `inputs [B, inputs()]`, which hold for each coordinate the real parts of a and then the
    /// imaginary parts.
    pub fn series(&self, inputs: &Tensor) -> FourierSeries {
        let parts = inputs.view([-1, self.action_dim, 2, self.frequencies + 1]);
        let base = Tensor::zeros([self.frequencies + 1], (inputs.kind(), inputs.device()));
        let _ = base.get(0).fill_(self.base_amplitude);
        FourierSeries::new(parts.select(2, 0) + base, parts.select(2, 1), self.uniform_share)
    }
}

impl PolicyHead for FourierHead {
    fn inputs(&self) -> i64 {
        self.action_dim * 2 * (self.frequencies + 1)
    }

    fn actions(&self) -> ActionKind {
        ActionKind::Vector { width: self.action_dim }
    }

    /// Uniform noise on [0, 1), `[rows, A]`: the value of F at the action.
    fn noise(&self, rows: i64, stream: &mut Stream, device: Device) -> Tensor {
        stream.uniform(&[rows, self.action_dim], device)
    }

    fn draw(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> ActionDraw {
        let series = self.series(inputs);
        let action = series.sample(noise); // [B, A]
        let log_prob = series.density(&action).log(); // [B, A]
        ActionDraw {
            actions: Actions::Sampled(action),
            log_prob: log_prob.sum_dim_intlist([-1i64].as_slice(), false, log_prob.kind()),
        }
    }

    fn explore(&self, _params: &Params, inputs: &Tensor, noise: &Tensor) -> Tensor {
        self.series(inputs).quantile(noise)
    }

    /// The maximum of the density.
    fn mode(&self, _params: &Params, inputs: &Tensor) -> Tensor {
        self.series(inputs).peak()
    }

    fn trace(&self, tracer: &mut Tracer, inputs: Value, is_drawn: bool) -> Result<Value> {
        let series = Fourier {
            frequencies: self.frequencies as usize,
            uniform_share: self.uniform_share,
            base_amplitude: self.base_amplitude,
        };
        if !is_drawn {
            return tracer.add(Op::FourierPeak(series), &[inputs]);
        }
        let (len, distribution) = (self.action_dim as usize, Distribution::Uniform);
        let noise = tracer.add(Op::Noise { len, distribution }, &[])?;
        tracer.add(Op::FourierQuantile(series), &[inputs, noise])
    }
}

/// Densities `[B, A]` on [-1, 1].
pub struct FourierSeries {
    re: Tensor,
    im: Tensor,
    power: Tensor,
    cosine: Tensor,
    sine: Tensor,
    uniform_share: f64,
}

impl FourierSeries {
    /// The densities with amplitudes a, `[B, A, N+1]` each.
    fn new(re: Tensor, im: Tensor, uniform_share: f64) -> Self {
        let count = re.size()[2];
        // Row k of a tensor [B, A, N+1, N+1] is a shifted by k and padded with zeros.
        let shifted = |part: &Tensor| part.constant_pad_nd([0, count - 1]).unfold(-1, count, 1);
        let (shifted_re, shifted_im) = (shifted(&re), shifted(&im));
        let (row_re, row_im) = (re.unsqueeze(-2), im.unsqueeze(-2)); // [B, A, 1, N+1]
        let real = sum(&(&row_re * &shifted_re + &row_im * &shifted_im)); // [B, A, N+1]: Re c_k
        let imaginary = sum(&(&row_re * &shifted_im - &row_im * &shifted_re)); // Im c_k
        let power = real.select(-1, 0) + POWER_EPS; // [B, A]
        let scale = (1.0 - uniform_share) / power.unsqueeze(-1);
        FourierSeries {
            cosine: real.narrow(-1, 1, count - 1) * &scale,
            sine: imaginary.narrow(-1, 1, count - 1) * scale,
            re,
            im,
            power,
            uniform_share,
        }
    }

    /// The same densities, detached and in double precision.
    fn frozen(&self) -> Self {
        let double = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double);
        FourierSeries {
            re: double(&self.re),
            im: double(&self.im),
            power: double(&self.power),
            cosine: double(&self.cosine),
            sine: double(&self.sine),
            uniform_share: self.uniform_share,
        }
    }

    /// ω_k for k from `first` to N.
    fn waves(&self, first: i64) -> Tensor {
        let end = *self.re.size().last().expect("a series has dimensions");
        Tensor::arange_start(first, end, (self.re.kind(), self.re.device())) * PI
    }

    /// p at `action [B, A]`, equation 2: `[B, A]`, at least ε/2.
    pub fn density(&self, action: &Tensor) -> Tensor {
        let phase = action.unsqueeze(-1) * self.waves(0); // [B, A, N+1]
        let (sin, cos) = (phase.sin(), phase.cos());
        let real = sum(&(&self.re * &cos - &self.im * &sin));
        let imaginary = sum(&(&self.re * sin + &self.im * cos));
        let square = real.square() + imaginary.square(); // [B, A]
        let share = self.uniform_share;
        let power = &self.power - POWER_EPS; // c_0
        (square * (1.0 - share) + power * share + POWER_EPS) / (&self.power * 2.0)
    }

    /// F at `action [B, A]`, equation 3: `[B, A]`, from 0 to 1.
    pub fn cumulative(&self, action: &Tensor) -> Tensor {
        let waves = self.waves(1);
        let phase = action.unsqueeze(-1) * &waves; // [B, A, N]
        let terms = &self.cosine * phase.sin() + &self.sine * (phase.cos() - waves.cos());
        (action + 1.0) * 0.5 + sum(&(terms / waves))
    }

    /// The actions `[B, A]` at which F is `noise [B, A]`, with the gradient of equation 4.
    ///
    /// With z constant and sg\[·\] for a stopped gradient, z − (F(z; θ) − sg\[F(z; θ)\]) / sg\[p(z)\] has the value z
    /// and exactly that derivative with respect to θ.
    pub fn sample(&self, noise: &Tensor) -> Tensor {
        let fixed = self.quantile(noise);
        if !self.cosine.requires_grad() {
            return fixed;
        }
        let cumulative = self.cumulative(&fixed);
        let change = &cumulative - cumulative.detach();
        &fixed - change / self.density(&fixed).detach()
    }

    /// The actions `[B, A]` at which F is `noise [B, A]`, detached.
    ///
    /// F has a slope of at least ε/2 everywhere, so the action is unique. A cell of the grid brackets it, and Newton's
    /// method finds it within the cell. Computed in double precision, because F is flat where the density is low.
    pub fn quantile(&self, noise: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        let series = self.frozen();
        let noise = noise.to_kind(Kind::Double);
        let grid = Grid::of(&series);
        let on_grid = grid.cumulative(&series); // [B, A, cells + 1]
        let is_below = on_grid.narrow(-1, 1, grid.cells - 1).le_tensor(&noise.unsqueeze(-1));
        let cell = is_below.sum_dim_intlist([-1i64].as_slice(), true, Kind::Int64); // [B, A, 1]
        let at = |index: &Tensor| on_grid.gather(-1, index, false).squeeze_dim(-1);
        let (below, above) = (at(&cell), at(&(&cell + 1)));
        let low = cell.squeeze_dim(-1).to_kind(Kind::Double) * grid.width() - 1.0;
        let high = &low + grid.width();
        let start = &low + ((&noise - &below) / (above - &below)).clamp(0.0, 1.0) * grid.width();
        // Rounding may put a root at the border of a cell on the other side of it.
        let bracket = (low - ROUNDING, high + ROUNDING);
        // Equation 1 gives the density here: in double precision its rounding errors are far below the minimum of ε/2.
        let waves = series.waves(1);
        let (cosine, sine) = (&series.cosine / &waves, &series.sine / &waves);
        let offset = sum(&(&sine * waves.cos())) + &noise - 0.5;
        let action = root(start, bracket, |action| {
            let phase = action.unsqueeze(-1) * &waves; // [B, A, N]
            let (sin, cos) = (phase.sin(), phase.cos());
            let cumulative = sum(&(&cosine * &sin + &sine * &cos)) + action * 0.5 - &offset;
            let density = sum(&(&series.cosine * cos - &series.sine * sin)) + 0.5;
            (cumulative, density)
        });
        action.clamp(-1.0, 1.0).to_kind(self.re.kind())
    }

    /// The actions `[B, A]` of highest density, detached.
    ///
    /// Finds the stationary points near the highest peaks of the grid, and returns the one with the highest density.
    pub fn peak(&self) -> Tensor {
        let _guard = tch::no_grad_guard();
        let series = self.frozen();
        let grid = Grid::of(&series);
        let on_grid = grid.density(&series); // [B, A, cells]
        let is_peak = on_grid
            .ge_tensor(&on_grid.roll([1], [-1]))
            .logical_and(&on_grid.ge_tensor(&on_grid.roll([-1], [-1])));
        let (_, cell) = on_grid
            .where_scalarother(&is_peak, f64::NEG_INFINITY)
            .topk(PEAKS, -1, true, true); // [B, A, PEAKS]
        let start = cell.to_kind(Kind::Double) * grid.width() - 1.0;
        let bracket = (&start - grid.width(), &start + grid.width());
        let series = series.unsqueezed();
        let waves = series.waves(1);
        let action = root(start, bracket, |action| {
            let phase = action.unsqueeze(-1) * &waves; // [B, A, PEAKS, N]
            let (sin, cos) = (phase.sin(), phase.cos());
            let descent = sum(&((&series.cosine * &sin + &series.sine * &cos) * &waves)); // −p'
            let curvature = sum(&((&series.cosine * cos - &series.sine * sin) * waves.square())); // −p''
            (descent, curvature)
        });
        let best = series.density(&action).argmax(-1, true); // [B, A, 1]
        let action = action.gather(-1, &best, false).squeeze_dim(-1);
        // The period is 2, so actions below −1 wrap around to the other end.
        let action = action.where_self(&action.ge(-1.0), &(&action + 2.0));
        action.to_kind(self.re.kind())
    }

    /// The same densities, for several actions per density: `[B, A, M]` instead of `[B, A]`.
    fn unsqueezed(&self) -> Self {
        FourierSeries {
            re: self.re.unsqueeze(-2),
            im: self.im.unsqueeze(-2),
            power: self.power.unsqueeze(-1),
            cosine: self.cosine.unsqueeze(-2),
            sine: self.sine.unsqueeze(-2),
            uniform_share: self.uniform_share,
        }
    }
}

/// Equally spaced points on [-1, 1], with sin(ω_k z) and cos(ω_k z) at the points.
struct Grid {
    cells: i64,
    /// `[cells + 1]`.
    points: Tensor,
    /// `[N, cells + 1]` each.
    sin: Tensor,
    cos: Tensor,
    /// ω_k, `[N, 1]`.
    waves: Tensor,
}

impl Grid {
    fn of(series: &FourierSeries) -> Self {
        let cells = CELLS_PER_FREQUENCY * series.re.size()[2];
        let options = (series.re.kind(), series.re.device());
        let points = Tensor::linspace(-1, 1, cells + 1, options);
        let waves = series.waves(1).unsqueeze(-1);
        let phase = &waves * &points;
        Grid {
            cells,
            sin: phase.sin(),
            cos: phase.cos(),
            points,
            waves,
        }
    }

    fn width(&self) -> f64 {
        2.0 / self.cells as f64
    }

    /// F at every point: `[B, A, cells + 1]`.
    fn cumulative(&self, series: &FourierSeries) -> Tensor {
        let sine = (&self.cos - self.waves.cos()) / &self.waves;
        series.cosine.matmul(&(&self.sin / &self.waves)) + series.sine.matmul(&sine) + (&self.points + 1.0) * 0.5
    }

    /// p − ½ at every point except the last, which is equivalent to the first: `[B, A, cells]`.
    fn density(&self, series: &FourierSeries) -> Tensor {
        let all = series.cosine.matmul(&self.cos) - series.sine.matmul(&self.sin);
        all.narrow(-1, 0, self.cells)
    }
}

/// The root of an increasing function within the bracket `(low, high)`, by Newton's method with bisection where a step
/// would leave the bracket. `at` returns the function and its derivative. All tensors have the same shape.
fn root(start: Tensor, (low, high): (Tensor, Tensor), at: impl Fn(&Tensor) -> (Tensor, Tensor)) -> Tensor {
    let (mut point, mut low, mut high) = (start, low, high);
    for _ in 0..NEWTON_STEPS {
        let (value, derivative) = at(&point);
        let is_below = value.lt(0.0);
        low = point.where_self(&is_below, &low);
        high = high.where_self(&is_below, &point);
        let next = &point - value / derivative;
        // Also false if the derivative is 0 and the step is NaN.
        let is_inside = next.ge_tensor(&low).logical_and(&next.le_tensor(&high));
        point = next.where_self(&is_inside, &((&low + &high) * 0.5));
    }
    point
}

/// Sum over the last dimension.
fn sum(terms: &Tensor) -> Tensor {
    terms.sum_dim_intlist([-1i64].as_slice(), false, terms.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_rejected_by_key() {
        let spec = FourierSpec {
            frequencies: 0,
            uniform_share: 0.0,
            base_amplitude: -1.0,
            ..FourierSpec::default()
        };
        let mut problems = SpecProblems::default();
        spec.check(&mut problems);
        let keys: Vec<String> = problems.into_vec().into_iter().map(|problem| problem.key).collect();
        let expected = ["frequencies", "uniform_share", "base_amplitude"];
        assert_eq!(keys, expected.map(|key| format!("agent.policy.{key}")));
        let mut problems = SpecProblems::default();
        FourierSpec::default().check(&mut problems);
        assert_eq!(problems.into_vec(), []);
    }
}
