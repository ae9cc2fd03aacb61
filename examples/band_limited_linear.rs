//! Band-limited critics in the linear case: what the bandwidth of the filter does to the coupling between the low and
//! the high modes of a value function. Prints a table, and with `--out` draws it.
//!
//! ```text
//! cargo run --release --example band_limited_linear -- --out docs/pictures/band_limited_linear.svg
//! ```
//!
//! State and action are angles; features are products of Fourier modes of both. For a linear critic `Q = φᵀw` the
//! target's filter multiplies the action modes of its features by H(ω), so the fixed point of TD learning is in closed
//! form: `w = (A − γBH)⁻¹ b` with `A = E[φφᵀ]`, `B = E[φ φ'ᵀ]`. `docs/algorithms/band_limited.md` derives it.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::{error::Error, f64::consts::TAU, fs, path::PathBuf};

use clap::Parser;
use plotters::prelude::*;
use sac::agents::critic::target_filter::KernelSpec;
use tch::{Device, Kind, Tensor};

/// Prints couplings of a linear band-limited critic by bandwidth.
#[derive(Parser)]
struct Arguments {
    /// Picture to write
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
}

const GAMMA: f64 = 0.99;
/// Points per angle at which expectations over states and actions are taken.
const GRID: usize = 48;
/// Modes 0 to this, of states and of actions.
const STATE_MODES: usize = 2;
const ACTION_MODES: usize = 6;
/// Action modes above this are high.
const LOW_MODES: usize = 2;
/// Spread of the policy, radians.
const POLICY_STD_RAD: f64 = 0.15;
/// In fractions of the half-range, which is π.
const BANDWIDTHS: [f64; 9] = [0.0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let problem = Problem::new();
    let rows: Vec<Row> = BANDWIDTHS.iter().map(|bandwidth| problem.solve(*bandwidth)).collect();
    println!("bandwidth  H(2)    H(3)    high→low  low→high  leak    spectral radius  low modes moved by");
    for row in &rows {
        println!(
            "{:9.3}  {:.4}  {:.4}  {:8.4}  {:8.4}  {:6.4}  {:15.4}  {:18.4}",
            row.bandwidth, row.low_gain, row.high_gain, row.coupling, row.feed_forward, row.leak, row.radius, row.bias
        );
    }
    println!(
        "the low modes alone: spectral radius {:.4}",
        problem.radius_of_low_modes()
    );
    if let Some(out) = arguments.out {
        if let Some(folder) = out.parent() {
            fs::create_dir_all(folder)?;
        }
        draw(&rows, &out)?;
        println!("{}", out.display());
    }
    Ok(())
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    bandwidth: f64,
    /// H at the highest of the low modes, and at the lowest of the high ones.
    low_gain: f64,
    high_gain: f64,
    /// Spectral norms of the blocks of `γA⁻¹BH` through which high modes enter low ones, and low ones high ones.
    coupling: f64,
    feed_forward: f64,
    /// Of `γA⁻¹BH`: the factor per sweep by which errors shrink in the long run.
    radius: f64,
    /// The most that an error of size 1 in the high modes ever becomes in the low ones, over all sweeps.
    leak: f64,
    /// Distance of the low modes' fixed point from the unfiltered one, relative to the latter.
    bias: f64,
}

/// Expectations of a small problem, in double precision.
struct Problem {
    /// `[P, P]`: A⁻¹B, and `[P]`: A⁻¹b.
    transfer: Tensor,
    reward: Tensor,
    /// Action mode of every feature.
    modes: Vec<usize>,
}

/// Features `[P]` of modes of two angles, action modes slowest so that low ones come first; `damping` multiplies action
/// mode `k` by its k-th number.
fn features(state: f64, action: f64, damping: &[f64]) -> Vec<f64> {
    let modes = |angle: f64, count: usize| {
        let pairs = (1..=count).flat_map(move |k| {
            let phase = k as f64 * angle;
            [(k, 2f64.sqrt() * phase.cos()), (k, 2f64.sqrt() * phase.sin())]
        });
        [(0, 1.0)].into_iter().chain(pairs)
    };
    let products = modes(action, ACTION_MODES)
        .flat_map(|(k, of_action)| modes(state, STATE_MODES).map(move |(_, of_state)| (k, of_action * of_state)));
    products.map(|(k, value)| damping[k] * value).collect()
}

impl Problem {
    /// s' = s + 0.7 sin a. The policy steers with −2 sin s' and Gaussian noise; the data has more actions on one side
    /// than on the other, so that modes are correlated under it and none is solved by itself.
    fn new() -> Self {
        let as_is = [1.0; ACTION_MODES + 1];
        // The mean of a mode over the policy's noise, in closed form.
        let policy: Vec<f64> = (0..=ACTION_MODES)
            .map(|k| (-0.5 * (k as f64 * POLICY_STD_RAD).powi(2)).exp())
            .collect();
        let angles = || (0..GRID).map(|index| TAU * index as f64 / GRID as f64);
        let (mut here, mut next, mut reward, mut weight) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (state, action) in angles().flat_map(|state| angles().map(move |action| (state, action))) {
            let next_state = state + 0.7 * action.sin();
            here.extend(features(state, action, &as_is));
            next.extend(features(next_state, -2.0 * next_state.sin(), &policy));
            reward.push(state.cos() - 0.3 * (1.0 - action.cos()) + 0.5 * (5.0 * action).cos());
            weight.push((1.0 + 0.6 * action.cos()) / (GRID * GRID) as f64);
        }
        let matrix = |rows: Vec<f64>| Tensor::from_slice(&rows).view([(GRID * GRID) as i64, -1]);
        let (here, next) = (matrix(here), matrix(next));
        let weighed = (&here * matrix(weight)).transpose(0, 1);
        let a = weighed.mm(&here);
        let solve = |right: &Tensor| Tensor::linalg_solve(&a, right, true);
        let per_mode = 2 * STATE_MODES + 1;
        let modes = (0..=ACTION_MODES).flat_map(|k| vec![k; if k == 0 { per_mode } else { 2 * per_mode }]);
        Problem {
            transfer: solve(&weighed.mm(&next)),
            reward: solve(&weighed.mm(&matrix(reward))).squeeze_dim(-1),
            modes: modes.collect(),
        }
    }

    /// How many features have a low action mode; they come first.
    fn low(&self) -> i64 {
        self.modes.iter().filter(|k| **k <= LOW_MODES).count() as i64
    }

    /// The matrix `γA⁻¹BH` of one sweep `w ← A⁻¹b + γA⁻¹BH w`.
    fn sweep(&self, bandwidth: f64) -> Tensor {
        // A mode k has k radians per radian, and the half-range of an angle is π.
        let gain = |k: &usize| KernelSpec::Gaussian.attenuation(*k as f64 * bandwidth * TAU / 2.0);
        let gains: Vec<f64> = self.modes.iter().map(gain).collect();
        &self.transfer * Tensor::from_slice(&gains) * GAMMA
    }

    fn fixed_point(&self, sweep: &Tensor) -> Tensor {
        let identity = Tensor::eye(sweep.size()[0], (Kind::Double, Device::Cpu));
        Tensor::linalg_solve(&(identity - sweep), &self.reward, true)
    }

    fn solve(&self, bandwidth: f64) -> Row {
        let low = self.low();
        let sweep = self.sweep(bandwidth);
        let high = self.modes.len() as i64 - low;
        let of_low = |w: &Tensor| w.narrow(0, 0, low);
        let (ours, unfiltered) = (self.fixed_point(&sweep), self.fixed_point(&self.sweep(0.0)));
        let gain = |k: usize| KernelSpec::Gaussian.attenuation(k as f64 * bandwidth * TAU / 2.0);
        Row {
            bandwidth,
            low_gain: gain(LOW_MODES),
            high_gain: gain(LOW_MODES + 1),
            coupling: spectral_norm(&sweep.narrow(0, 0, low).narrow(1, low, high)),
            feed_forward: spectral_norm(&sweep.narrow(0, low, high).narrow(1, 0, low)),
            radius: spectral_radius(&sweep),
            leak: self.leak(&sweep),
            bias: norm(&(of_low(&ours) - of_low(&unfiltered))) / norm(&of_low(&unfiltered)),
        }
    }

    /// Largest spectral norm, over powers of a sweep, of the block from high to low.
    fn leak(&self, sweep: &Tensor) -> f64 {
        const SWEEPS: usize = 50; // an error fades with γ from then on
        let (low, high) = (self.low(), self.modes.len() as i64 - self.low());
        let mut power = sweep.copy();
        let mut largest = 0f64;
        for _ in 0..SWEEPS {
            largest = largest.max(spectral_norm(&power.narrow(0, 0, low).narrow(1, low, high)));
            power = power.mm(sweep);
        }
        largest
    }

    fn radius_of_low_modes(&self) -> f64 {
        let low = self.low();
        spectral_radius(&self.sweep(0.0).narrow(0, 0, low).narrow(1, 0, low))
    }
}

fn norm(w: &Tensor) -> f64 {
    w.square().sum(Kind::Double).double_value(&[]).sqrt()
}

fn spectral_norm(matrix: &Tensor) -> f64 {
    spectral_radius(&matrix.mm(&matrix.tr())).sqrt()
}

fn spectral_radius(matrix: &Tensor) -> f64 {
    matrix.linalg_eigvals().abs().max().double_value(&[])
}

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID_LINES: RGBColor = RGBColor(225, 225, 225);

fn draw(rows: &[Row], out: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(out, (720, 440)).into_drawing_area();
    root.fill(&WHITE)?;
    let widest = rows.last().map_or(1.0, |row| row.bandwidth);
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "A linear critic with a band-limited target",
            ("sans-serif", 24).into_font().color(&INK),
        )
        .margin(14)
        .margin_right(30)
        .x_label_area_size(46)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..widest, 0.0..1.05)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID_LINES)
        .axis_style(INK)
        .label_style(("sans-serif", 17).into_font().color(&INK))
        .x_desc("bandwidth, fraction of the half-range")
        .y_desc("share")
        .x_labels(6)
        .y_labels(8)
        .draw()?;
    let unfiltered = rows[0].coupling;
    type Curve = (&'static str, RGBColor, Vec<(f64, f64)>);
    let curves: [Curve; 3] = [
        (
            "coupling of high modes into low ones, as a share of the unfiltered",
            BLUE,
            rows.iter()
                .map(|row| (row.bandwidth, row.coupling / unfiltered))
                .collect(),
        ),
        (
            "errors of high modes that ever reach low ones, likewise",
            ORANGE,
            rows.iter()
                .map(|row| (row.bandwidth, row.leak / rows[0].leak))
                .collect(),
        ),
        (
            "low modes of the solution moved by",
            GREEN,
            rows.iter().map(|row| (row.bandwidth, row.bias)).collect(),
        ),
    ];
    for (label, colour, points) in curves {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(GRID_LINES)
        .label_font(("sans-serif", 16).into_font().color(&INK))
        .draw()?;
    root.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coupling_falls_with_the_bandwidth() {
        let problem = Problem::new();
        let rows: Vec<Row> = BANDWIDTHS.iter().map(|bandwidth| problem.solve(*bandwidth)).collect();
        assert!(
            rows.windows(2).all(|pair| pair[1].coupling < pair[0].coupling),
            "{rows:?}"
        );
        assert!(rows[0].coupling > 0.01, "there is something to fall from");
    }

    /// Without high modes in the target, what is left of a sweep is its low block.
    #[test]
    fn where_high_modes_are_filtered_out_the_low_block_decides() {
        let problem = Problem::new();
        let low = problem.low();
        let sweep = problem.sweep(0.0);
        let columns: Vec<f64> = problem
            .modes
            .iter()
            .map(|k| f64::from(u8::from(*k <= LOW_MODES)))
            .collect();
        let cut = &sweep * Tensor::from_slice(&columns);
        let block = spectral_radius(&sweep.narrow(0, 0, low).narrow(1, 0, low));
        assert!((spectral_radius(&cut) - block).abs() < 1e-9);
    }
}
