//! Peaks and quantiles of Fourier densities in ONNX, in double precision, as `interpreter/fourier.rs` computes them.

use std::f64::consts::PI;

use super::{
    onnx_nodes::{Name, Nodes, int},
    onnx_proto::element,
};
use crate::op::Fourier;

const POWER_EPS: f32 = 1e-6;
const NEWTON_STEPS: usize = 8;
const ROUNDING: f64 = 1e-9;
const PEAKS: usize = 8;

/// The densities `[N, A]` in a graph, to be evaluated at points `[N, A, M]`.
struct Series {
    settings: Fourier,
    /// `[N, A, K]` each, in double precision.
    cosine: Name,
    sine: Name,
    /// The same as `[N, A, 1, K]`.
    cosine_of_points: Name,
    sine_of_points: Name,
    /// ω_k, `[K]`.
    waves: Name,
}

impl Series {
    /// The densities with `inputs [N, A · 2 · (K + 1)]`.
    fn new(nodes: &mut Nodes, settings: Fourier, inputs: &str, coordinates: usize) -> Self {
        let count = settings.frequencies + 1;
        let parts = nodes.reshape(inputs, &[coordinates, 2, count]);
        let [re, im] = [0, 1].map(|part| {
            let index = nodes.index_tensor(&[], &[part]);
            nodes.op_with("Gather", &[&parts, &index], vec![int("axis", 2)]) // [N, A, K + 1]
        });
        let mut base = vec![0.0; count];
        base[0] = settings.base_amplitude as f32;
        let base = nodes.floats(&[count], &base);
        let re = nodes.op("Add", &[&re, &base]);

        // Row k of a tensor [N, A, K + 1, K + 1] is the amplitudes shifted by k and padded with zeros.
        let pads = nodes.indices(&[0, 0, 0, 0, 0, count as i64 - 1]);
        let shifts: Vec<i64> = (0..count * count).map(|at| (at / count + at % count) as i64).collect();
        let shifts = nodes.index_tensor(&[count, count], &shifts);
        let axis = nodes.indices(&[2]);
        let mut shifted = |part: &str| {
            let padded = nodes.op("Pad", &[part, &pads]);
            let rows = nodes.op_with("Gather", &[&padded, &shifts], vec![int("axis", 2)]);
            (rows, nodes.op("Unsqueeze", &[part, &axis]))
        };
        let ((shifted_re, row_re), (shifted_im, row_im)) = (shifted(&re), shifted(&im));
        let mut correlation = |op: &str, [a, b, c, d]: [&str; 4]| {
            let (first, second) = (nodes.op("Mul", &[a, b]), nodes.op("Mul", &[c, d]));
            let terms = nodes.op(op, &[&first, &second]);
            nodes.reduce("ReduceSum", &terms, &[3], false) // [N, A, K + 1]
        };
        let real = correlation("Add", [&row_re, &shifted_re, &row_im, &shifted_im]);
        let imaginary = correlation("Sub", [&row_re, &shifted_im, &row_im, &shifted_re]);
        let (eps, share) = (
            nodes.scalar(POWER_EPS),
            nodes.scalar((1.0 - settings.uniform_share) as f32),
        );
        let power = nodes.slice(&real, 2, 0, 1);
        let power = nodes.op("Add", &[&power, &eps]);
        let scale = nodes.op("Div", &[&share, &power]); // [N, A, 1]
        let [cosine, sine] = [real, imaginary].map(|part| {
            let part = nodes.slice(&part, 2, 1, count - 1);
            let part = nodes.op("Mul", &[&part, &scale]);
            nodes.cast(&part, element::DOUBLE) // [N, A, K]
        });
        let [cosine_of_points, sine_of_points] = [&cosine, &sine].map(|part| nodes.op("Unsqueeze", &[part, &axis]));
        let waves: Vec<f64> = (1..count).map(|k| k as f64 * PI).collect();
        Series {
            settings,
            cosine,
            sine,
            cosine_of_points,
            sine_of_points,
            waves: nodes.doubles(&[count - 1], &waves),
        }
    }

    /// `cosine · a + sine · b` at the points of a table `[K, P]` of numbers for each wave and point: `[N, A, P]`.
    fn on_grid(
        &self,
        nodes: &mut Nodes,
        points: &[f64],
        a: impl Fn(f64, f64) -> f64,
        b: impl Fn(f64, f64) -> f64,
    ) -> Name {
        let frequencies = self.settings.frequencies;
        let table = |of: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            let waves = (1..=frequencies).map(|k| k as f64 * PI);
            waves
                .flat_map(|wave| points.iter().map(move |point| of(wave, *point)))
                .collect()
        };
        let (a, b) = (table(&a), table(&b));
        let dims = [frequencies, points.len()];
        let (a, b) = (nodes.doubles(&dims, &a), nodes.doubles(&dims, &b));
        let (first, second) = (
            nodes.op("MatMul", &[&self.cosine, &a]),
            nodes.op("MatMul", &[&self.sine, &b]),
        );
        nodes.op("Add", &[&first, &second])
    }

    /// Sines and cosines of every wave at `points [N, A, M]`: `[N, A, M, K]`.
    fn angles(&self, nodes: &mut Nodes, points: &str) -> (Name, Name) {
        let axis = nodes.indices(&[3]);
        let points = nodes.op("Unsqueeze", &[points, &axis]);
        let phase = nodes.op("Mul", &[&points, &self.waves]);
        (nodes.op("Sin", &[&phase]), nodes.op("Cos", &[&phase]))
    }

    /// `Σ_k (cosine · a ± sine · b) · factor`: `[N, A, M]`.
    fn sum(&self, nodes: &mut Nodes, (a, op, b): (&str, &str, &str), factor: Option<&str>) -> Name {
        let first = nodes.op("Mul", &[&self.cosine_of_points, a]);
        let second = nodes.op("Mul", &[&self.sine_of_points, b]);
        let mut terms = nodes.op(op, &[&first, &second]);
        if let Some(factor) = factor {
            terms = nodes.op("Mul", &[&terms, factor]);
        }
        nodes.reduce("ReduceSum", &terms, &[3], false)
    }

    /// The density less ½ at the points with these sines and cosines.
    fn density(&self, nodes: &mut Nodes, (sin, cos): (&str, &str)) -> Name {
        self.sum(nodes, (cos, "Sub", sin), None)
    }
}

/// The roots `[N, A, M]` of increasing functions within brackets.
fn roots(
    nodes: &mut Nodes,
    start: Name,
    (low, high): (Name, Name),
    mut at: impl FnMut(&mut Nodes, &str) -> (Name, Name),
) -> Name {
    let (zero, half) = (nodes.double(0.0), nodes.double(0.5));
    let (mut point, mut low, mut high) = (start, low, high);
    for _ in 0..NEWTON_STEPS {
        let (value, derivative) = at(nodes, &point);
        let is_below = nodes.op("Less", &[&value, &zero]);
        low = nodes.op("Where", &[&is_below, &point, &low]);
        high = nodes.op("Where", &[&is_below, &high, &point]);
        let step = nodes.op("Div", &[&value, &derivative]);
        let next = nodes.op("Sub", &[&point, &step]);
        let above_low = nodes.op("GreaterOrEqual", &[&next, &low]);
        let below_high = nodes.op("LessOrEqual", &[&next, &high]);
        let is_inside = nodes.op("And", &[&above_low, &below_high]);
        let both = nodes.op("Add", &[&low, &high]);
        let middle = nodes.op("Mul", &[&both, &half]);
        point = nodes.op("Where", &[&is_inside, &next, &middle]);
    }
    point
}

/// The actions `[N, A]` of highest density.
pub fn peaks(nodes: &mut Nodes, settings: Fourier, inputs: &str, coordinates: usize) -> Name {
    let series = Series::new(nodes, settings, inputs, coordinates);
    let cells = settings.cells();
    let width = 2.0 / cells as f64;
    let points: Vec<f64> = (0..cells).map(|cell| cell as f64 * width - 1.0).collect();
    let grid = series.on_grid(nodes, &points, |wave, z| (wave * z).cos(), |wave, z| -(wave * z).sin());
    let mut is_at_least = |offset: usize| {
        let neighbours: Vec<i64> = (0..cells).map(|cell| ((cell + offset) % cells) as i64).collect();
        let neighbours = nodes.indices(&neighbours);
        let rolled = nodes.op_with("Gather", &[&grid, &neighbours], vec![int("axis", 2)]);
        nodes.op("GreaterOrEqual", &[&grid, &rolled])
    };
    let (left, right) = (is_at_least(cells - 1), is_at_least(1));
    let is_peak = nodes.op("And", &[&left, &right]);
    let least = nodes.double(f64::NEG_INFINITY);
    let heights = nodes.op("Where", &[&is_peak, &grid, &least]);
    let count = nodes.indices(&[PEAKS as i64]);
    let top = nodes.second_of("TopK", &[&heights, &count], Vec::new()); // [N, A, PEAKS]
    let top = nodes.cast(&top, element::DOUBLE);
    let (width_name, one) = (nodes.double(width), nodes.double(1.0));
    let start = nodes.op("Mul", &[&top, &width_name]);
    let start = nodes.op("Sub", &[&start, &one]);
    let bracket = (
        nodes.op("Sub", &[&start, &width_name]),
        nodes.op("Add", &[&start, &width_name]),
    );
    let squares: Vec<f64> = (1..=settings.frequencies).map(|k| (k as f64 * PI).powi(2)).collect();
    let squares = nodes.doubles(&[squares.len()], &squares);
    let found = roots(nodes, start, bracket, |nodes, point| {
        let (sin, cos) = series.angles(nodes, point);
        let descent = series.sum(nodes, (&sin, "Add", &cos), Some(&series.waves));
        let curvature = series.sum(nodes, (&cos, "Sub", &sin), Some(&squares));
        (descent, curvature)
    });
    let (sin, cos) = series.angles(nodes, &found);
    let density = series.density(nodes, (&sin, &cos));
    let best = nodes.op_with("ArgMax", &[&density], vec![int("axis", 2), int("keepdims", 1)]);
    let action = nodes.op_with("GatherElements", &[&found, &best], vec![int("axis", 2)]);
    let action = nodes.reshape(&action, &[coordinates]);
    // The period is 2, so actions below −1 wrap around to the other end.
    let (least, period) = (nodes.double(-1.0), nodes.double(2.0));
    let is_inside = nodes.op("GreaterOrEqual", &[&action, &least]);
    let wrapped = nodes.op("Add", &[&action, &period]);
    let action = nodes.op("Where", &[&is_inside, &action, &wrapped]);
    nodes.cast(&action, element::FLOAT)
}

/// The actions `[N, A]` at which the distribution function is `uniform [N, A]`.
pub fn quantiles(nodes: &mut Nodes, settings: Fourier, inputs: &str, uniform: &str, coordinates: usize) -> Name {
    let series = Series::new(nodes, settings, inputs, coordinates);
    let cells = settings.cells();
    let width = 2.0 / cells as f64;
    let points: Vec<f64> = (0..=cells).map(|cell| cell as f64 * width - 1.0).collect();
    let waves_part = series.on_grid(
        nodes,
        &points,
        |wave, z| (wave * z).sin() / wave,
        |wave, z| ((wave * z).cos() - wave.cos()) / wave,
    );
    let uniform_part: Vec<f64> = points.iter().map(|z| 0.5 * (z + 1.0)).collect();
    let uniform_part = nodes.doubles(&[cells + 1], &uniform_part);
    let on_grid = nodes.op("Add", &[&waves_part, &uniform_part]); // [N, A, cells + 1]
    let uniform = nodes.cast(uniform, element::DOUBLE);
    let uniform = nodes.reshape(&uniform, &[coordinates, 1]);
    let inner = nodes.slice(&on_grid, 2, 1, cells - 1);
    let is_below = nodes.op("LessOrEqual", &[&inner, &uniform]);
    let is_below = nodes.cast(&is_below, element::INT64);
    let cell = nodes.reduce("ReduceSum", &is_below, &[2], true); // [N, A, 1]
    let next = nodes.index_tensor(&[], &[1]);
    let next = nodes.op("Add", &[&cell, &next]);
    let [below, above] =
        [&cell, &next].map(|index| nodes.op_with("GatherElements", &[&on_grid, index], vec![int("axis", 2)]));
    let (zero, one, width) = (nodes.double(0.0), nodes.double(1.0), nodes.double(width));
    let cell = nodes.cast(&cell, element::DOUBLE);
    let low = nodes.op("Mul", &[&cell, &width]);
    let low = nodes.op("Sub", &[&low, &one]);
    let high = nodes.op("Add", &[&low, &width]);
    let rest = nodes.op("Sub", &[&uniform, &below]);
    let rise = nodes.op("Sub", &[&above, &below]);
    let share = nodes.op("Div", &[&rest, &rise]);
    let share = nodes.op("Max", &[&share, &zero]);
    let share = nodes.op("Min", &[&share, &one]);
    let step = nodes.op("Mul", &[&share, &width]);
    let start = nodes.op("Add", &[&low, &step]);
    let rounding = nodes.double(ROUNDING);
    let bracket = (
        nodes.op("Sub", &[&low, &rounding]),
        nodes.op("Add", &[&high, &rounding]),
    );
    let frequencies = 1..=settings.frequencies;
    let at_end: Vec<f64> = frequencies
        .clone()
        .map(|k| if k % 2 == 0 { 1.0 } else { -1.0 })
        .collect();
    let inverse: Vec<f64> = frequencies.map(|k| 1.0 / (k as f64 * PI)).collect();
    let (at_end, inverse) = (
        nodes.doubles(&[at_end.len()], &at_end),
        nodes.doubles(&[inverse.len()], &inverse),
    );
    let half = nodes.double(0.5);
    let found = roots(nodes, start, bracket, |nodes, point| {
        let (sin, cos) = series.angles(nodes, point);
        let from_end = nodes.op("Sub", &[&cos, &at_end]);
        let waves = series.sum(nodes, (&sin, "Add", &from_end), Some(&inverse));
        let shifted = nodes.op("Add", &[point, &one]);
        let linear = nodes.op("Mul", &[&shifted, &half]);
        let cumulative = nodes.op("Add", &[&linear, &waves]);
        let density = series.density(nodes, (&sin, &cos));
        (
            nodes.op("Sub", &[&cumulative, &uniform]),
            nodes.op("Add", &[&density, &half]),
        )
    });
    let least = nodes.double(-1.0);
    let action = nodes.op("Max", &[&found, &least]);
    let action = nodes.op("Min", &[&action, &one]);
    let action = nodes.reshape(&action, &[coordinates]);
    nodes.cast(&action, element::FLOAT)
}
