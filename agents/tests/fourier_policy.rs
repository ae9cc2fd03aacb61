//! The Fourier policy: properties of the density, and a task with two optimal actions, which a Gaussian cannot
//! represent.

use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, SoftActorCritic,
    critic::{CriticSpec, ScalarSpec},
    nn::{AdamSpec, BodySpec, Params},
    noise::Stream,
    policy::{FourierHead, FourierSpec, PolicyHead, PolicySpec, SquashedGaussianSpec},
    target::TargetSpec,
    temperature::{FixedTemperatureSpec, TemperatureSpec},
};
use sac_envs::Space;
use tch::{Device, Kind, Tensor};

const SHARE: f64 = 0.01;

fn head(frequencies: i64) -> FourierHead {
    let spec = FourierSpec {
        frequencies,
        uniform_share: SHARE,
        ..FourierSpec::default()
    };
    FourierHead::new(&spec, 1)
}

/// Outputs of a network, `[rows, 2 (N + 1)]`: random ones of all magnitudes, and special cases: a uniform density,
/// amplitudes that cancel, a single wave, and geometric sequences whose density touches zero N times.
fn outputs(frequencies: i64, kind: Kind) -> Tensor {
    let width = frequencies + 1;
    let mut stream = Stream::derive(frequencies as u64, "series", 0);
    let random = stream.normal(&[200, 2 * width], Device::Cpu);
    let sizes = (Tensor::linspace(-7, 7, 200, (Kind::Float, Device::Cpu)))
        .exp()
        .unsqueeze(-1);
    let mut rows = vec![random * sizes];
    let corner = |re: &[(i64, f64)]| {
        let row = Tensor::zeros([1, 2 * width], (Kind::Float, Device::Cpu));
        for (index, value) in re {
            let _ = row.select(1, *index).fill_(*value);
        }
        row
    };
    rows.push(corner(&[]));
    rows.push(corner(&[(0, -1.0)]));
    rows.push(corner(&[(0, -1.0), (width - 1, 1e-9)]));
    rows.push(corner(&[(frequencies, 1.0)]));
    for shift in [0.0, 0.3, 1.0, -0.7] {
        let phase = Tensor::arange(width, (Kind::Float, Device::Cpu)) * (shift * std::f64::consts::PI);
        let geometric = Tensor::cat(&[phase.cos(), phase.sin()], 0).unsqueeze(0);
        rows.push(geometric - corner(&[(0, 1.0)]));
    }
    Tensor::cat(&rows, 0).to_kind(kind)
}

/// All `points` for each of `rows` rows, `[rows · count, 1]`, and their number.
fn at_every_point(rows: i64, points: &Tensor) -> (Tensor, i64) {
    let count = points.size()[0];
    (
        points
            .unsqueeze(0)
            .expand([rows, count], false)
            .reshape([rows * count, 1]),
        count,
    )
}

/// Repeats each row `count` times.
fn repeated(rows: &Tensor, count: i64) -> Tensor {
    rows.repeat_interleave_self_int(count, 0, None)
}

fn max_abs(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

const FREQUENCIES: [i64; 4] = [1, 2, 8, 32];

#[test]
fn the_density_has_a_lower_bound_integrates_to_one_and_is_the_slope_of_the_cumulative() {
    for frequencies in FREQUENCIES {
        let rows = outputs(frequencies, Kind::Double);
        // The trapezoidal rule is exact for waves with enough points per period.
        let points = Tensor::linspace(-1, 1, 257, (Kind::Double, Device::Cpu));
        let (action, count) = at_every_point(rows.size()[0], &points);
        let series = head(frequencies).series(&repeated(&rows, count));
        let density = series.density(&action);
        assert!(density.min().double_value(&[]) >= SHARE / 2.0 * (1.0 - 1e-12));
        assert!(density.max().double_value(&[]) <= (frequencies + 1) as f64 / 2.0);
        let density = density.view([-1, count]);
        let inner = density.narrow(1, 0, count - 1);
        let total = inner.mean_dim([1i64].as_slice(), false, Kind::Double) * 2.0;
        assert!(max_abs(&(total - 1.0)) < 1e-12, "{frequencies}");
        assert!(
            max_abs(&(density.select(1, 0) - density.select(1, -1))) < 1e-11,
            "periodic"
        );
        let cumulative = series.cumulative(&action).view([-1, count]);
        assert!(max_abs(&cumulative.select(1, 0)) < 1e-12 && max_abs(&(cumulative.select(1, -1) - 1.0)) < 1e-12);
        let step = 1e-5;
        let slope = (series.cumulative(&(&action + step)) - series.cumulative(&(&action - step))) / (2.0 * step);
        let difference = max_abs(&(slope.view([-1, count]) - density));
        assert!(
            difference < 1e-8 * (frequencies as f64).powi(3),
            "{frequencies}: {difference}"
        );
    }
}

#[test]
fn the_cumulative_at_a_drawn_action_equals_its_noise() {
    for frequencies in FREQUENCIES {
        for (kind, tolerance) in [(Kind::Double, 1e-12), (Kind::Float, 1e-6)] {
            let rows = outputs(frequencies, kind);
            let mut noise: Vec<f32> = Stream::derive(1, "noise", 0)
                .uniform(&[60], Device::Cpu)
                .try_into()
                .expect("numbers");
            noise.extend([0.0, 1e-7, 0.5, 1.0 - f32::EPSILON / 2.0]);
            let (noise, count) = at_every_point(rows.size()[0], &Tensor::from_slice(&noise));
            let series = head(frequencies).series(&repeated(&rows, count));
            let action = series.quantile(&noise.to_kind(kind));
            assert!(max_abs(&action) <= 1.0);
            // F is evaluated in double precision, so that the error is that of the action alone.
            let exact = head(frequencies).series(&repeated(&rows.to_kind(Kind::Double), count));
            let difference = max_abs(&(exact.cumulative(&action.to_kind(Kind::Double)) - noise));
            assert!(difference < tolerance, "{frequencies} {kind:?}: {difference}");
        }
    }
}

#[test]
fn log_probabilities_and_their_gradients_are_finite_everywhere() {
    for frequencies in FREQUENCIES {
        let head = head(frequencies);
        let inputs = outputs(frequencies, Kind::Float).set_requires_grad(true);
        for noise in [0.0, 1e-6, 0.37, 0.5, 1.0 - 6e-8] {
            let noise = Tensor::full([inputs.size()[0], 1], noise, (Kind::Float, Device::Cpu));
            let draw = head.draw(&Params::default(), &inputs, &noise);
            assert!(draw.log_prob.min().double_value(&[]) >= (SHARE / 2.0).ln() - 1e-4);
            assert!(draw.log_prob.max().double_value(&[]) <= ((frequencies + 1) as f64 / 2.0).ln());
            let loss = draw.log_prob.sum(Kind::Float) + draw.sampled().sum(Kind::Float);
            let gradient = Tensor::run_backward(&[loss], &[&inputs], false, false).remove(0);
            assert_eq!(gradient.isfinite().all().int64_value(&[]), 1, "{frequencies}");
        }
    }
}

#[test]
fn drawn_actions_follow_the_density() {
    const DRAWS: i64 = 100_000;
    const BINS: i64 = 40;
    let head = head(6);
    let rows = outputs(6, Kind::Float);
    // A random density of medium magnitude, and one that touches zero.
    for row in [110, 204] {
        let inputs = rows.narrow(0, row, 1);
        let noise = head.noise(DRAWS, &mut Stream::derive(2, "draws", 0), Device::Cpu);
        let explored = head.explore(&Params::default(), &inputs.expand([DRAWS, -1], false), &noise);
        let edges = Tensor::linspace(-1, 1, BINS + 1, (Kind::Float, Device::Cpu)).unsqueeze(-1);
        let cumulative = head
            .series(&inputs.expand([BINS + 1, -1], false))
            .cumulative(&edges)
            .squeeze();
        let expected = (cumulative.narrow(0, 1, BINS) - cumulative.narrow(0, 0, BINS)) * DRAWS as f64;
        let actual = explored.squeeze().histc(BINS);
        // χ² with mean BINS − 1 and standard deviation √(2 BINS): it exceeds the bound with a probability of 10⁻⁵.
        let distance = ((&actual - &expected).square() / &expected)
            .sum(Kind::Float)
            .double_value(&[]);
        assert!(distance < 90.0, "chi-square {distance}\n{actual}\n{expected}");
        // The test is sensitive: the statistic for the uniform density is much larger.
        let flat = DRAWS as f64 / BINS as f64;
        assert!(((actual - flat).square() / flat).sum(Kind::Float).double_value(&[]) > 900.0);
    }
}

#[test]
fn the_gradient_of_a_drawn_action_equals_that_of_the_quantile() {
    let frequencies = 5;
    let head = head(frequencies);
    let rows = outputs(frequencies, Kind::Double).narrow(0, 60, 90);
    let noise = Stream::derive(3, "noise", 0)
        .uniform(&[90, 1], Device::Cpu)
        .to_kind(Kind::Double);
    let inputs = rows.copy().set_requires_grad(true);
    let action = head.series(&inputs).sample(&noise);
    assert_eq!(
        action,
        head.series(&rows).quantile(&noise),
        "the value is the quantile's"
    );
    let gradient = Tensor::run_backward(&[action.sum(Kind::Double)], &[&inputs], false, false).remove(0);
    let step = 1e-6;
    for column in 0..rows.size()[1] {
        let moved = |by: f64| {
            let rows = rows.copy();
            let _ = rows.select(1, column).g_add_scalar_(by);
            head.series(&rows).quantile(&noise)
        };
        let slope = (moved(step) - moved(-step)).squeeze() / (2.0 * step);
        let actual = gradient.select(1, column);
        let difference = max_abs(&((&slope - &actual) / (actual.abs() + 1.0)));
        assert!(difference < 1e-5, "column {column}: {difference}");
    }
    assert!(max_abs(&gradient) > 0.1, "the gradient is not zero");
}

#[test]
fn the_mode_is_where_the_density_is_greatest() {
    for frequencies in FREQUENCIES {
        let head = head(frequencies);
        let rows = outputs(frequencies, Kind::Float);
        let mode = head.mode(&Params::default(), &rows);
        assert!(max_abs(&mode) <= 1.0);
        let at_mode = head.series(&rows).density(&mode); // [rows, 1]
        // A grid over all actions, and one as fine as 1/10,000 around the mode.
        let coarse = Tensor::linspace(-1, 1, 801, (Kind::Float, Device::Cpu)).expand([rows.size()[0], 801], false);
        let near = &mode + Tensor::linspace(-0.003, 0.003, 61, (Kind::Float, Device::Cpu));
        let points = Tensor::cat(&[coarse, near.clamp(-1.0, 1.0)], 1);
        let count = points.size()[1];
        let greatest = head
            .series(&repeated(&rows, count))
            .density(&points.view([-1, 1]))
            .view([-1, count])
            .amax([1i64].as_slice(), true);
        let shortfall = ((greatest - &at_mode) / at_mode).max().double_value(&[]);
        assert!(shortfall < 1e-5, "{frequencies}: {shortfall}");
    }
}

#[test]
fn the_initial_policy_is_nearly_uniform() {
    let spaces = (Space::unbounded(11), Space::boxed(3, -1.0, 1.0));
    let spec = AgentSpec {
        policy: PolicySpec::Fourier(FourierSpec::default()),
        ..AgentSpec::default()
    };
    let agent = SoftActorCritic::new(&spec, "test", (&spaces.0, &spaces.1), 1, Device::Cpu).expect("a box");
    let policy = agent.policy();
    let mut stream = Stream::derive(1, "test", 0);
    let obs = stream.normal(&[500, 11], Device::Cpu);
    let draw = policy.draw_frozen(&obs, &policy.noise(500, &mut stream));
    let entropy = -draw.log_prob.mean(Kind::Float).double_value(&[]);
    let uniform = 3.0 * std::f64::consts::LN_2;
    assert!(
        entropy > uniform - 0.3 && entropy < uniform,
        "entropy {entropy}, uniform density {uniform}"
    );
}

// A task with one step and two optimal actions ±0.6: r(a) = −8 (a² − 0.36)². At temperature α the optimal policy has
// the density exp(r(a)/α) / Z (Haarnoja et al. 2018b, equation 4).

const ALPHA: f64 = 0.3;

fn reward(action: &Tensor) -> Tensor {
    (action.square() - 0.36).square() * -8.0
}

/// Midpoints of `count` equal cells.
fn midpoints(count: i64) -> Tensor {
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) + 0.5) * (2.0 / count as f64) - 1.0
}

const CELLS: i64 = 400;

fn learned(policy: PolicySpec) -> SoftActorCritic {
    tch::set_num_threads(1);
    let optimizer = AdamSpec {
        learning_rate: 1e-3,
        ..AdamSpec::default()
    };
    let spec = AgentSpec {
        body: BodySpec::mlp(&[32, 32]),
        policy,
        critic: CriticSpec::Scalar(ScalarSpec {
            optimizer,
            ..ScalarSpec::default()
        }),
        targets: TargetSpec::Polyak { tau: 0.05 },
        temperature: TemperatureSpec::Fixed(FixedTemperatureSpec { alpha: ALPHA }),
        ..AgentSpec::default()
    };
    let spaces = (Space::boxed(1, 1.0, 1.0), Space::boxed(1, -1.0, 1.0));
    let mut agent = SoftActorCritic::new(&spec, "bandit", (&spaces.0, &spaces.1), 1, Device::Cpu).expect("valid");
    let mut stream = Stream::derive(1, "bandit", 0);
    let rows = 128;
    let obs = Tensor::ones([rows, 1], (Kind::Float, Device::Cpu));
    for _ in 0..UPDATES {
        let action = stream.uniform(&[rows, 1], Device::Cpu) * 2.0 - 1.0;
        let reward = reward(&action).squeeze_dim(-1);
        let batch = Batch::new(
            obs.copy(),
            action,
            reward,
            Tensor::zeros([rows], (Kind::Float, Device::Cpu)),
            obs.copy(),
        );
        let _ = agent.update(&batch, &mut stream);
    }
    agent
}

const UPDATES: usize = 2000;

/// The learned density in 40 cells, `[40]`, from many samples.
fn density(agent: &SoftActorCritic) -> Tensor {
    const DRAWS: i64 = 200_000;
    let noise = agent.policy().noise(DRAWS, &mut Stream::derive(5, "draws", 0));
    let obs = Tensor::ones([DRAWS, 1], (Kind::Float, Device::Cpu));
    let draw = agent.policy().draw_frozen(&obs, &noise);
    let edges = 2.0 / 40.0;
    let counts = draw.sampled().squeeze().histc(40);
    counts / (DRAWS as f64 * edges)
}

/// The total variation distance between the learned and the optimal density, and the learned density at −0.6, 0 and
/// 0.6.
fn compare_with_optimum(agent: &SoftActorCritic) -> (f64, [f64; 3]) {
    let actual = density(agent);
    let optimum = (reward(&midpoints(CELLS)) / ALPHA).exp();
    let optimum = &optimum / (optimum.sum(Kind::Float) * (2.0 / CELLS as f64));
    let optimum = optimum.view([40, -1]).mean_dim([1i64].as_slice(), false, Kind::Float);
    let distance = ((&actual - optimum).abs().sum(Kind::Float) * 0.5 * (2.0 / 40.0)).double_value(&[]);
    // Means over the two cells adjacent to −0.6, 0 and 0.6.
    let around = |cell: i64| actual.narrow(0, cell - 1, 2).mean(Kind::Float).double_value(&[]);
    (distance, [around(8), around(20), around(32)])
}

#[test]
fn two_optimal_actions_are_both_learned_unlike_with_a_gaussian() {
    let optimizer = AdamSpec {
        learning_rate: 1e-3,
        ..AdamSpec::default()
    };
    let mut fourier = learned(PolicySpec::Fourier(FourierSpec {
        frequencies: 8,
        optimizer,
        ..FourierSpec::default()
    }));
    let (distance, [left, middle, right]) = compare_with_optimum(&fourier);
    eprintln!("Fourier: total variation {distance:.3}, density {left:.2} {middle:.2} {right:.2}");
    let mut action = [0.0f32];
    fourier.act(&[1.0], ActMode::Evaluate, &mut Stream::scripted([]), &mut action);
    let gaussian = learned(PolicySpec::SquashedGaussian(SquashedGaussianSpec {
        optimizer,
        ..SquashedGaussianSpec::default()
    }));
    let (gaussian_distance, [gaussian_left, gaussian_middle, gaussian_right]) = compare_with_optimum(&gaussian);
    eprintln!("Gaussian: {gaussian_distance:.3}, density {gaussian_left:.2} {gaussian_middle:.2} {gaussian_right:.2}");

    assert!(distance < 0.1, "{distance}");
    assert!(left.min(right) > 3.0 * middle, "{left} {middle} {right}");
    assert!((action[0].abs() - 0.6).abs() < 0.08, "{action:?}");
    assert!(gaussian_distance > 0.25, "{gaussian_distance}");
    assert!(
        gaussian_left.min(gaussian_right) < 2.0 * gaussian_middle,
        "{gaussian_left} {gaussian_middle} {gaussian_right}"
    );
}

#[test]
fn a_setting_out_of_range_is_reported_once() {
    let mut fourier = FourierSpec::default();
    fourier.optimizer.learning_rate = -1.0;
    let spec = AgentSpec {
        policy: PolicySpec::Fourier(fourier),
        ..AgentSpec::default()
    };
    let keys: Vec<String> = spec.problems().into_iter().map(|problem| problem.key).collect();
    assert_eq!(keys, ["agent.policy.optimizer.learning_rate"]);
}
