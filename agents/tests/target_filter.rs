//! The target filter: functions with known averages, invariants, annealing, and checks of its settings.

use std::{collections::BTreeMap, f64::consts::PI, path::Path};

use sac_agents::{
    Agent, AgentSpec, Batch, SoftActorCritic,
    checkpoint::{self, Checkpoint, Section},
    critic::{
        CriticSpec, DsacSpec, DsacTSpec, QuantileSpec, ScalarSpec,
        target_filter::{
            AnnealSpec, Bandwidth, Boundary, FilterOrder, KernelSpec, Scheme, TargetFilter, TargetFilterSpec, Window,
        },
    },
    metrics,
    nn::BodySpec,
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::Space;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

fn update_stream() -> Stream {
    Stream::derive(3, "filter", 0)
}

fn filter(kernel: KernelSpec, scheme: Scheme, bandwidth: f64) -> TargetFilterSpec {
    TargetFilterSpec {
        kernel,
        scheme,
        bandwidth: Bandwidth::All(bandwidth),
        ..TargetFilterSpec::default()
    }
}

/// Filtered values `[B]` at `action [B, A]` of the function `value` from actions `[K·B, A]` to `[K·B]`.
fn filtered(spec: &TargetFilterSpec, action: &Tensor, value: impl Fn(&Tensor) -> Tensor) -> Tensor {
    let obs = Tensor::zeros([action.size()[0], 1], (Kind::Float, Device::Cpu));
    TargetFilter::build(spec, action.size()[1], Device::Cpu)
        .average(&obs, action, &mut update_stream(), |_, action, _| {
            value(action).view([1, -1, 1])
        })
        .view([-1])
}

/// `rows` actions from −0.4 to 0.4, each with equal coordinates.
fn actions(rows: i64, dims: i64) -> Tensor {
    Tensor::linspace(-0.4, 0.4, rows, (Kind::Float, Device::Cpu))
        .view([-1, 1])
        .repeat([1, dims])
}

fn max_abs(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float)
}

const SIGMA: Scheme = Scheme::SigmaPoints { lambda: 2.0 };
const DRAWS: Scheme = Scheme::MonteCarlo { samples: 64 };

fn sinc() -> KernelSpec {
    KernelSpec::Sinc {
        half_length: 4,
        cutoff: 0.125,
        window: Window::Hann,
    }
}

#[test]
fn a_sinusoid_is_multiplied_by_the_kernels_attenuation() {
    let (bandwidth, omega) = (0.08, 6.0); // half a radian per bandwidth
    let cases = [
        (KernelSpec::Gaussian, SIGMA),
        (KernelSpec::Gaussian, Scheme::Stencil),
        (KernelSpec::Boxcar, Scheme::Stencil),
        (KernelSpec::Binomial { taps: 3 }, Scheme::Stencil),
        (KernelSpec::Binomial { taps: 7 }, Scheme::Stencil),
        (sinc(), Scheme::Stencil),
    ];
    let action = actions(33, 1);
    for (kernel, scheme) in cases {
        let actual = filtered(&filter(kernel, scheme, bandwidth), &action, |a| sum(&(a * omega).sin()));
        let expected = sum(&(&action * omega).sin()) * kernel.attenuation(omega * bandwidth);
        let difference = max_abs(&(actual - expected));
        assert!(difference < 1e-3, "{kernel:?}, {scheme:?}: {difference}");
    }
}

#[test]
fn draws_attenuate_a_sinusoid_within_their_standard_error() {
    let (bandwidth, omega, rows) = (0.15, 8.0, 4_000);
    let action = Tensor::full([rows, 2], 0.11, (Kind::Float, Device::Cpu));
    for kernel in [
        KernelSpec::Gaussian,
        KernelSpec::Boxcar,
        KernelSpec::Binomial { taps: 3 },
        KernelSpec::Binomial { taps: 5 },
    ] {
        // For a mode along the diagonal the attenuation is the product of those of the two axes, which are independent.
        let mode = |a: &Tensor| (sum(a) * omega).sin();
        let actual = filtered(&filter(kernel, DRAWS, bandwidth), &action, mode);
        let expected = (omega * 0.22f64).sin() * kernel.attenuation(omega * bandwidth).powi(2);
        let error = actual.std(true).double_value(&[]) / (rows as f64).sqrt();
        let distance = (actual.mean(Kind::Float).double_value(&[]) - expected).abs();
        assert!(
            distance < 4.0 * error && error < 0.02,
            "{kernel:?}: error {distance}, standard error {error}"
        );
    }
}

#[test]
fn an_affine_critic_is_unchanged_away_from_the_bounds() {
    let value = |a: &Tensor| sum(&(a * Tensor::from_slice(&[0.7f32, -1.3, 2.0]))) + 0.4;
    let action = actions(9, 3) * 0.5;
    for (kernel, scheme) in [
        (KernelSpec::Gaussian, DRAWS),
        (KernelSpec::Gaussian, SIGMA),
        (KernelSpec::Gaussian, Scheme::Stencil),
        (KernelSpec::Boxcar, DRAWS),
        (KernelSpec::Binomial { taps: 5 }, DRAWS),
        (KernelSpec::Binomial { taps: 5 }, Scheme::Stencil),
        (sinc(), Scheme::Stencil),
    ] {
        let actual = filtered(&filter(kernel, scheme, 0.05), &action, value);
        let difference = max_abs(&(actual - value(&action)));
        assert!(difference < 1e-5, "{kernel:?}, {scheme:?}: {difference}");
    }
}

#[test]
fn a_quadratic_changes_by_half_the_trace_of_covariance_times_curvature() {
    let curvature = Tensor::from_slice(&[2.0f32, -6.0, 3.0]);
    let value = |a: &Tensor| sum(&(a.square() * &curvature)) * 0.5;
    let action = actions(9, 3) * 0.5;
    let bandwidth = [0.04, 0.1, 0.07];
    let gain = 0.5 * (0.04f64.powi(2) * 2.0 - 0.1f64.powi(2) * 6.0 + 0.07f64.powi(2) * 3.0);
    for (kernel, scheme) in [
        (KernelSpec::Gaussian, SIGMA),
        (KernelSpec::Gaussian, Scheme::SigmaPoints { lambda: 0.0 }),
        (KernelSpec::Gaussian, Scheme::Stencil),
        (KernelSpec::Boxcar, Scheme::Stencil),
        (KernelSpec::Binomial { taps: 3 }, Scheme::Stencil),
        (KernelSpec::Binomial { taps: 7 }, Scheme::Stencil),
    ] {
        let spec = TargetFilterSpec {
            bandwidth: Bandwidth::PerDimension(bandwidth.to_vec()),
            ..filter(kernel, scheme, 0.0)
        };
        let difference = max_abs(&(filtered(&spec, &action, value) - value(&action) - gain));
        assert!(difference < 1e-5, "{kernel:?}, {scheme:?}: {difference}");
    }
}

#[test]
fn a_constant_is_unchanged() {
    for (kernel, scheme) in [
        (KernelSpec::Gaussian, DRAWS),
        (KernelSpec::Gaussian, SIGMA),
        (KernelSpec::Boxcar, Scheme::Stencil),
        (sinc(), Scheme::Stencil),
    ] {
        for boundary in [Boundary::Reflect, Boundary::Clamp, Boundary::PreTanh] {
            let spec = TargetFilterSpec {
                boundary,
                ..filter(kernel, scheme, 0.3)
            };
            let actual = filtered(&spec, &actions(5, 4), |a| a.select(1, 0) * 0.0 + 3.0);
            assert!(max_abs(&(actual - 3.0)) < 1e-6, "{kernel:?}, {scheme:?}, {boundary:?}");
        }
    }
}

#[test]
fn every_boundary_keeps_actions_inside() {
    let edges = Tensor::from_slice(&[-1.0f32, -0.99, 0.0, 0.99, 1.0]).view([-1, 1]);
    for boundary in [Boundary::Reflect, Boundary::Clamp, Boundary::PreTanh] {
        let spec = TargetFilterSpec {
            boundary,
            ..filter(KernelSpec::Gaussian, DRAWS, 1.5)
        };
        let _ = filtered(&spec, &edges, |a| {
            assert!(
                a.isfinite().all().int64_value(&[]) == 1 && max_abs(a) <= 1.0,
                "{boundary:?}"
            );
            a.select(1, 0)
        });
    }
}

/// The density of filtered points in the cells of a grid, relative to uniform, for points on the grid that are shifted
/// by whole cells.
fn densities(boundary: Boundary) -> Vec<f64> {
    const CELLS: i64 = 64;
    let grid = (Tensor::arange(CELLS, (Kind::Float, Device::Cpu)) + 0.5) * (2.0 / CELLS as f64) - 1.0;
    let spec = TargetFilterSpec {
        boundary,
        // The taps are 10 cells apart, because the spacing of three taps is √2 bandwidths.
        ..filter(
            KernelSpec::Binomial { taps: 3 },
            Scheme::Stencil,
            10.0 * (2.0 / CELLS as f64) / 2f64.sqrt(),
        )
    };
    let density = |cell: i64| {
        let centre = -1.0 + (cell as f64 + 0.5) * (2.0 / CELLS as f64);
        let is_here = |a: &Tensor| {
            let distance = (a.select(1, 0) - centre).abs();
            distance.lt(0.9 / CELLS as f64).to_kind(Kind::Float)
        };
        filtered(&spec, &grid.view([-1, 1]), is_here)
            .sum(Kind::Float)
            .double_value(&[])
    };
    (0..CELLS).map(density).collect()
}

#[test]
fn reflection_keeps_a_uniform_density_uniform_and_clamping_does_not() {
    let reflected = densities(Boundary::Reflect);
    assert!(
        reflected.iter().all(|density| (density - 1.0).abs() < 1e-6),
        "{reflected:?}"
    );
    let clamped = densities(Boundary::Clamp);
    assert!(clamped.iter().any(|density| (density - 1.0).abs() > 0.2), "{clamped:?}");
}

#[test]
fn the_minimum_before_the_filter_is_never_above_the_minimum_after() {
    let (obs, action) = (Tensor::zeros([9, 1], (Kind::Float, Device::Cpu)), actions(9, 2));
    let [after, before] = [FilterOrder::FilterThenMin, FilterOrder::MinThenFilter].map(|order| {
        let spec = TargetFilterSpec {
            order,
            ..filter(KernelSpec::Gaussian, DRAWS, 0.3)
        };
        let members = |_: &Tensor, a: &Tensor, _: &mut Stream| Tensor::stack(&[sum(&(a * 5.0).sin()), sum(a)], 0);
        let smallest = |q: &Tensor| q.min_dim(0, false).0;
        TargetFilter::build(&spec, 2, Device::Cpu).combined(&obs, &action, &mut update_stream(), members, smallest)
    });
    let gap = after - before;
    assert_eq!(gap.size(), [9]);
    assert!(gap.min().double_value(&[]) > -1e-6, "the minimum is concave");
    assert!(
        gap.max().double_value(&[]) > 1e-3,
        "the minimum changes between members, so the orders differ"
    );
}

#[test]
fn filtered_moments_equal_those_of_the_mixture() {
    // Two points with weights ½ each: means 1000 ± 2, standard deviations 1 and 3.
    let spec = filter(KernelSpec::Gaussian, Scheme::SigmaPoints { lambda: 0.0 }, 0.25);
    let obs = Tensor::zeros([1, 1], (Kind::Float, Device::Cpu));
    let filter = TargetFilter::build(&spec, 1, Device::Cpu);
    let (mean, std) = filter.moments(&obs, &actions(1, 1).zeros_like(), &mut update_stream(), |_, a, _| {
        let side = (a / 0.25).view([1, -1]); // −1, 1, and 0 with weight 0
        (&side * 2.0 + 1000.0, &side + 2.0)
    });
    assert_eq!((mean.size(), std.size()), (vec![1, 1], vec![1, 1]));
    assert!((mean.double_value(&[0, 0]) - 1000.0).abs() < 1e-3);
    // The variance ½ (1 + 9) + 2² = 9 is exact although the second moment is a million.
    assert!((std.double_value(&[0, 0]) - 3.0).abs() < 1e-5);
}

#[test]
fn filtered_states_are_drawn_in_pairs_around_the_observation() {
    let spec = TargetFilterSpec {
        state_std: Some(0.5),
        ..filter(KernelSpec::Gaussian, DRAWS, 0.1)
    };
    let obs = Tensor::linspace(-2.0, 2.0, 500 * 3, (Kind::Float, Device::Cpu)).view([500, 3]);
    let filter = TargetFilter::build(&spec, 2, Device::Cpu);
    let moments = filter.average(&obs, &actions(500, 2), &mut update_stream(), |moved, _, _| {
        Tensor::cat(&[moved, &moved.square()], 1).unsqueeze(0) // [1, K·B, 6]
    });
    let (first, second) = (
        moments.narrow(2, 0, 3).squeeze_dim(0),
        moments.narrow(2, 3, 3).squeeze_dim(0),
    );
    assert!(max_abs(&(first - &obs)) < 1e-5, "mirror images cancel");
    let variance = (second - obs.square()).mean(Kind::Float).double_value(&[]);
    assert!((variance - 0.25).abs() < 0.01, "{variance}");
}

/// Every critic whose target depends on an action.
fn critics(filter: Option<TargetFilterSpec>) -> [CriticSpec; 4] {
    [
        CriticSpec::Scalar(ScalarSpec {
            target_filter: filter.clone(),
            ..ScalarSpec::default()
        }),
        CriticSpec::Dsac(DsacSpec {
            target_filter: filter.clone(),
            ..DsacSpec::default()
        }),
        CriticSpec::DsacT(DsacTSpec {
            target_filter: filter.clone(),
            ..DsacTSpec::default()
        }),
        CriticSpec::Quantile(QuantileSpec {
            quantiles: 5,
            target_filter: filter,
            ..QuantileSpec::default()
        }),
    ]
}

fn agent_spec(filter: Option<TargetFilterSpec>) -> AgentSpec {
    agent_spec_of(CriticSpec::Scalar(ScalarSpec {
        target_filter: filter,
        ..ScalarSpec::default()
    }))
}

fn agent_spec_of(critic: CriticSpec) -> AgentSpec {
    AgentSpec {
        body: BodySpec::mlp(&[16, 16]),
        critic,
        ..AgentSpec::default()
    }
}

fn agent(filter: Option<TargetFilterSpec>) -> SoftActorCritic {
    agent_of(&agent_spec(filter))
}

fn agent_of(spec: &AgentSpec) -> SoftActorCritic {
    let spaces = (Space::unbounded(3), Space::boxed(2, -1.0, 1.0));
    SoftActorCritic::new(spec, "filter", (&spaces.0, &spaces.1), 5, Device::Cpu).expect("valid")
}

fn batch(stream: &mut Stream) -> Batch {
    let mut draw = |shape: &[i64]| stream.normal(shape, Device::Cpu);
    Batch::new(
        draw(&[8, 3]),
        draw(&[8, 2]).tanh(),
        draw(&[8]),
        Tensor::full([8], 0.99, (Kind::Float, Device::Cpu)),
        draw(&[8, 3]),
    )
}

fn update(agent: &mut SoftActorCritic, updates: u64, batches: &mut Stream, stream: &mut Stream) {
    for _ in 0..updates {
        let _ = agent.update(&batch(batches), stream);
    }
}

/// Every tensor of every section.
fn all_tensors(agent: &SoftActorCritic) -> BTreeMap<String, Tensor> {
    let sections = agent.sections().expect("sections");
    let tensors = sections.iter().flat_map(|section| {
        let tensor = |name: &str| section.any_tensor(name).expect("listed");
        section
            .tensor_names()
            .map(move |name| (format!("{}/{name}", section.name()), tensor(name)))
    });
    tensors.collect()
}

#[test]
fn bandwidth_zero_equals_the_unfiltered_algorithm_to_the_bit() {
    let off = filter(KernelSpec::Gaussian, Scheme::MonteCarlo { samples: 4 }, 0.0);
    let on = TargetFilterSpec::default();
    let run = |critic: CriticSpec| {
        let (mut agent, mut stream) = (agent_of(&agent_spec_of(critic)), Stream::derive(1, "update", 0));
        update(&mut agent, 50, &mut Stream::derive(2, "batches", 0), &mut stream);
        (all_tensors(&agent), stream.position())
    };
    let cases = critics(None).into_iter().zip(critics(Some(off))).zip(critics(Some(on)));
    for ((without, off), on) in cases {
        let name = format!("{off:?}");
        let (plain, filtered_off, filtered_on) = (run(without), run(off), run(on));
        assert!(
            plain == filtered_off,
            "{name}: parameters, moments, targets and the stream's position"
        );
        assert!(
            plain.0 != filtered_on.0 && plain.1 != filtered_on.1,
            "{name}: an active filter changes the result"
        );
    }
}

/// With one member there is no minimum, so both orders are equal; with several members they differ.
#[test]
fn the_order_of_filter_and_minimum_matters_with_several_members() {
    let run = |members: i64, order: FilterOrder| {
        let filter = Some(TargetFilterSpec {
            order,
            ..filter(KernelSpec::Gaussian, SIGMA, 0.6)
        });
        critics(filter).map(|mut critic| {
            match &mut critic {
                CriticSpec::Scalar(spec) => spec.members = members,
                CriticSpec::Dsac(spec) => spec.members = members,
                CriticSpec::DsacT(spec) => spec.members = members,
                CriticSpec::Quantile(spec) => {
                    spec.members = members;
                    spec.quantiles = 1; // with one atom of one member there is nothing to sort
                    spec.dropped_per_member = 0;
                }
                CriticSpec::Categorical(spec) => spec.members = members,
                CriticSpec::StateValue(_) | CriticSpec::Custom(_) => {}
            }
            let mut agent = agent_of(&agent_spec_of(critic));
            update(
                &mut agent,
                5,
                &mut Stream::derive(2, "batches", 0),
                &mut update_stream(),
            );
            all_tensors(&agent)["critic/critic/body.0.weight"].shallow_clone()
        })
    };
    let difference = |members: i64| {
        let (after, before) = (
            run(members, FilterOrder::FilterThenMin),
            run(members, FilterOrder::MinThenFilter),
        );
        std::array::from_fn::<f64, 4, _>(|index| max_abs(&(&after[index] - &before[index])))
    };
    assert!(difference(1).iter().all(|value| *value < 1e-6), "{:?}", difference(1));
    // With many members, the member with the minimum changes within the kernel.
    let difference = difference(12);
    assert!(difference.iter().all(|value| *value > 1e-6), "{difference:?}");
}

fn annealed() -> TargetFilterSpec {
    TargetFilterSpec {
        anneal: Some(AnnealSpec {
            to: Bandwidth::All(0.0),
            over_grad_steps: 15,
        }),
        ..TargetFilterSpec::default()
    }
}

#[test]
fn a_filter_annealed_to_zero_draws_nothing() {
    let (mut agent, mut stream) = (agent(Some(annealed())), update_stream());
    let mut batches = Stream::derive(2, "batches", 0);
    let words_per_update: Vec<u128> = (0..20)
        .map(|_| {
            let word = |stream: &Stream| {
                let position = serde_json::to_value(stream.position()).expect("a table");
                position["word"]
                    .as_str()
                    .expect("text")
                    .parse::<u128>()
                    .expect("digits")
            };
            let before = word(&stream);
            update(&mut agent, 1, &mut batches, &mut stream);
            word(&stream) - before
        })
        .collect();
    // A normal number takes two words, rarely more: 2 · 8 · 2 numbers without the filter, and the same for its two
    // pairs.
    assert!(
        words_per_update[..15].iter().all(|words| *words >= 128),
        "{words_per_update:?}"
    );
    assert!(
        words_per_update[15..].iter().all(|words| *words < 96),
        "{words_per_update:?}"
    );
}

fn written(agent: &SoftActorCritic, path: &Path) -> Checkpoint {
    let sections = agent.sections().expect("sections");
    checkpoint::write(path, EnvSteps(0), GradSteps(0), &sections).expect("written");
    Checkpoint::read(path, &[]).expect("whole")
}

#[test]
fn annealing_resumes_to_the_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut straight, mut stream) = (agent(Some(annealed())), update_stream());
    let mut batches = Stream::derive(2, "batches", 0);
    update(&mut straight, 7, &mut batches, &mut stream);
    let mut resumed = agent(Some(annealed()));
    resumed
        .load(&written(&straight, &folder.path().join("7")))
        .expect("fits");
    let (mut other_stream, mut other_batches) = (update_stream(), update_stream());
    other_stream.seek(&stream.position()).expect("a position");
    other_batches.seek(&batches.position()).expect("a position");
    update(&mut straight, 12, &mut batches, &mut stream);
    update(&mut resumed, 12, &mut other_batches, &mut other_stream);
    assert!(all_tensors(&straight) == all_tensors(&resumed));
    assert_eq!(stream.position(), other_stream.position());
}

/// The keys of all problems of an agent with the given filter.
fn keys(filter: TargetFilterSpec, change: impl Fn(&mut AgentSpec), action: &Space) -> Vec<String> {
    let mut spec = agent_spec(Some(filter));
    change(&mut spec);
    let problems = spec.problems().into_iter().chain(spec.space_problems(action));
    let short = |key: String| key.replace("agent.critic.target_filter", "");
    problems.map(|problem| short(problem.key)).collect()
}

#[test]
fn invalid_settings_are_rejected_by_key() {
    let space = Space::boxed(4, -1.0, 1.0);
    let default = TargetFilterSpec::default;
    let refused = |filter: TargetFilterSpec| keys(filter, |_| {}, &space);
    let sinc = |half_length, window| KernelSpec::Sinc {
        half_length,
        cutoff: 0.25,
        window,
    };
    let with_kernel = |kernel| filter(kernel, Scheme::Stencil, 0.1);
    let with_scheme = |scheme| filter(KernelSpec::Gaussian, scheme, 0.1);
    assert_eq!(refused(default()), [""; 0]);
    for window in [
        Window::Rect,
        Window::Hann,
        Window::Hamming,
        Window::Blackman,
        Window::Lanczos,
    ] {
        assert_eq!(
            refused(with_kernel(sinc(2, window))),
            [""; 0],
            "{window:?}: no negative lobe"
        );
        assert_eq!(refused(with_kernel(sinc(3, window))), [".kernel"], "{window:?}");
    }
    let slow = keys(with_kernel(sinc(3, Window::Blackman)), |spec| spec.gamma = 0.95, &space);
    assert_eq!(slow, [""; 0], "0.95 · 1.029 contracts");
    assert_eq!(refused(with_kernel(KernelSpec::Binomial { taps: 4 })), [".kernel.taps"]);
    for samples in [3, 0, 1, -2] {
        assert_eq!(
            refused(with_scheme(Scheme::MonteCarlo { samples })),
            [".scheme.samples"]
        );
    }
    assert_eq!(
        refused(with_scheme(Scheme::SigmaPoints { lambda: -1.0 })),
        [".scheme.lambda"]
    );
    assert_eq!(
        refused(with_scheme(Scheme::SigmaPoints { lambda: -4.0 })),
        [".scheme.lambda"]
    );
    assert_eq!(
        refused(with_scheme(Scheme::SigmaPoints { lambda: -0.01 })),
        [""; 0],
        "0.99 · 1.005"
    );
    assert_eq!(refused(filter(KernelSpec::Boxcar, SIGMA, 0.1)), [".scheme"]);
    assert_eq!(refused(filter(sinc(2, Window::Hann), DRAWS, 0.1)), [".scheme"]);
    assert_eq!(refused(filter(KernelSpec::Gaussian, DRAWS, -0.1)), [".bandwidth"]);
    assert_eq!(refused(filter(KernelSpec::Gaussian, DRAWS, f64::NAN)), [".bandwidth"]);
    let list = TargetFilterSpec {
        bandwidth: Bandwidth::PerDimension(vec![0.1; 3]),
        ..default()
    };
    assert_eq!(refused(list), [".bandwidth"]);
    let states = |scheme| TargetFilterSpec {
        state_std: Some(0.1),
        ..with_scheme(scheme)
    };
    assert_eq!(
        refused(states(DRAWS)),
        [".state_std"],
        "observations are not normalised"
    );
    let normalised = |spec: &mut AgentSpec| spec.normalize_observations = true;
    assert_eq!(keys(states(DRAWS), normalised, &space), [""; 0]);
    assert_eq!(keys(states(Scheme::Stencil), normalised, &space), [".state_std"]);
    let enumerated = keys(default(), |_| {}, &Space::Discrete { n: 3 });
    assert!(enumerated.contains(&String::new()), "{enumerated:?}");
}

#[test]
fn all_problems_are_reported_together() {
    let wrong = TargetFilterSpec {
        kernel: KernelSpec::Boxcar,
        bandwidth: Bandwidth::PerDimension(vec![-0.1]),
        anneal: Some(AnnealSpec {
            to: Bandwidth::All(-1.0),
            over_grad_steps: 0,
        }),
        scheme: SIGMA,
        state_std: Some(-1.0),
        ..TargetFilterSpec::default()
    };
    let actual = keys(wrong, |_| {}, &Space::boxed(2, -1.0, 1.0));
    for key in [
        ".bandwidth",
        ".anneal.to",
        ".anneal.over_grad_steps",
        ".scheme",
        ".state_std",
    ] {
        assert!(
            actual.iter().any(|other| other == key),
            "{key} is missing from {actual:?}"
        );
    }
}

#[derive(Deserialize)]
struct Stored {
    shape: Vec<usize>,
    data: Vec<f64>,
}

#[derive(Deserialize)]
struct Dims {
    obs: usize,
    act: usize,
    hidden: i64,
    batch: i64,
}

#[derive(Deserialize)]
struct UpdateCase {
    dims: Dims,
    bandwidth: f64,
    batch: BTreeMap<String, Vec<f64>>,
    noise: Vec<f64>,
    before: BTreeMap<String, Stored>,
    after: BTreeMap<String, Stored>,
    critic_loss: f64,
    actor_loss: f64,
    alpha_loss: f64,
}

fn tensor(values: &[f64]) -> Tensor {
    let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
    Tensor::from_slice(&values)
}

/// The largest difference relative to the expected value, or to 0.1 for smaller values.
fn relative_difference(actual: &Tensor, expected: &[f64]) -> f64 {
    let expected = Tensor::from_slice(expected);
    let actual = actual.flatten(0, -1).to_kind(Kind::Double);
    assert_eq!(actual.size(), expected.size());
    max_abs(&((actual - &expected) / expected.abs().clamp_min(0.1)))
}

/// Gives an agent the parameters of the golden case, by loading a checkpoint as a user would.
fn put_parameters(agent: &mut SoftActorCritic, case: &UpdateCase) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sections = agent.sections().expect("sections");
    let mut replaced = Vec::new();
    for section in &sections {
        let mut copy = Section::new(section.name());
        copy.set_state(&section.state::<serde_json::Value>().expect("state"))
            .expect("state");
        for name in section.tensor_names() {
            match case.before.get(name) {
                Some(stored) => {
                    let values: Vec<f32> = stored.data.iter().map(|value| *value as f32).collect();
                    copy.put_tensor(
                        name,
                        &Tensor::from_slice(&values)
                            .view(stored.shape.iter().map(|n| *n as i64).collect::<Vec<_>>().as_slice()),
                    );
                }
                None => copy.put_tensor(name, &section.any_tensor(name).expect("listed")),
            }
        }
        replaced.push(copy);
    }
    let path = folder.path().join("start");
    checkpoint::write(&path, EnvSteps(0), GradSteps(0), &replaced).expect("written");
    agent.load(&Checkpoint::read(&path, &[]).expect("read")).expect("fits");
}

#[test]
fn one_full_band_limited_update_equals_the_derivation() {
    let case: UpdateCase =
        serde_json::from_str(include_str!("golden/bl_sac_update/data.json")).expect("the shape that the test expects");
    let mut spec = agent_spec(Some(filter(
        KernelSpec::Gaussian,
        Scheme::MonteCarlo { samples: 4 },
        case.bandwidth,
    )));
    spec.body = BodySpec::mlp(&[case.dims.hidden; 2]);
    let spaces = (Space::unbounded(case.dims.obs), Space::boxed(case.dims.act, -1.0, 1.0));
    let mut agent = SoftActorCritic::new(&spec, "golden", (&spaces.0, &spaces.1), 0, Device::Cpu).expect("valid");
    put_parameters(&mut agent, &case);
    let rows = |name: &str| tensor(&case.batch[name]).view([case.dims.batch, -1]);
    let flat = |name: &str| tensor(&case.batch[name]);
    let batch = Batch::new(
        rows("obs"),
        rows("action"),
        flat("reward"),
        flat("discount"),
        rows("next_obs"),
    );
    let mut stream = Stream::scripted(case.noise.iter().map(|value| *value as f32));
    let report: BTreeMap<_, _> = agent.update(&batch, &mut stream).read().into_iter().collect();
    for (name, expected) in [
        (metrics::CRITIC_LOSS, case.critic_loss),
        (metrics::ACTOR_LOSS, case.actor_loss),
        (metrics::ALPHA_LOSS, case.alpha_loss),
    ] {
        let difference = (report[name] - expected).abs();
        assert!(
            difference < 1e-5 * expected.abs().max(1.0),
            "{name}: {} {expected}",
            report[name]
        );
    }
    let sections = agent.sections().expect("sections");
    let mut compared = 0;
    for (name, expected) in &case.after {
        let mut holders = sections.iter();
        let section = holders.find(|section| section.tensor_names().any(|other| other == name));
        let actual = section.expect(name).any_tensor(name).expect(name);
        let difference = relative_difference(&actual, &expected.data);
        assert!(difference < 1e-5, "{name}: {difference}");
        let moved = relative_difference(&actual, &case.before[name].data);
        assert!(moved > 1e-5, "{name} did not change, so the comparison proves nothing");
        compared += expected.data.len();
    }
    assert!(compared > 200, "{compared} numbers were compared");
}

/// Half a cycle per tap is the upper end of the frequency band.
#[test]
fn the_highest_mode_of_a_stencil_vanishes() {
    let bandwidth = 0.1;
    let spacing = bandwidth * 2f64.sqrt();
    let spec = filter(KernelSpec::Binomial { taps: 3 }, Scheme::Stencil, bandwidth);
    let actual = filtered(&spec, &actions(17, 1), |a| sum(&(a * (PI / spacing)).cos()));
    assert!(max_abs(&actual) < 1e-5);
}
