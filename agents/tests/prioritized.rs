//! Prioritised replay against a naive model (a list of priorities, summed from the front), and in whole runs.

use std::{path::Path, sync::atomic::AtomicBool};

use proptest::prelude::*;
use sac_agents::{
    ActMode, Agent, AgentSpec, Batch, EnvSteps, Every, GradSteps, Parts, PrioritizedSpec, Replay, ReplaySpec,
    SamplerSpec, SaveTo, SoftActorCritic, Trainer, UpdateReport,
    checkpoint::{self, Checkpoint, CheckpointStore},
    critic::{CriticSpec, ScalarSpec},
    encoder::EncoderSpec,
    log::Logger,
    nn::{AdamSpec, BodySpec},
    noise::Stream,
    policy::{ActionDraw, PolicySpec, SquashedGaussianSpec},
    presets,
    temperature::{FixedTemperatureSpec, TemperatureSpec},
    trainer::settings::{CheckpointSettings, EvalSettings, LogSettings, TrainSettings},
};
use sac_envs::{Registry, Space, Status};
use tch::{Device, Kind, Tensor};

use crate::small;

/// A power of two, so that the ranges of a batch are exact.
const BATCH: usize = 8;

fn replay(spec: PrioritizedSpec, capacity: u64, n_step: u64) -> Replay {
    let spec = ReplaySpec {
        capacity,
        n_step,
        sampler: SamplerSpec::Prioritized(spec),
        ..ReplaySpec::default()
    };
    let (obs, action) = (Space::unbounded(1), Space::boxed(1, -1.0, 1.0));
    Replay::new(&spec, (&obs, &action), 1, 0.9, BATCH, Device::Cpu).expect("fits")
}

/// A step whose observation is `number`.
fn push(replay: &mut Replay, number: usize, status: Status) {
    replay.push(0, &[number as f32], &[0.0], 0.0, status, &[0.0]);
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten(0, -1).try_into().expect("numbers")
}

/// The steps that a batch's rows begin with, and their weights.
fn drawn(replay: &mut Replay, stream: &mut Stream) -> (Vec<usize>, Vec<f32>) {
    let batch = replay.sample(stream).expect("no task is asked").expect("rows");
    let steps = numbers(&batch.obs).iter().map(|number| *number as usize).collect();
    (
        steps,
        numbers(batch.weight.as_ref().expect("prioritised rows have weights")),
    )
}

fn learn(replay: &mut Replay, errors: &[f32]) {
    let mut report = UpdateReport::default();
    report.td_error = Some(Tensor::from_slice(errors));
    replay.learned(&report);
}

/// What happens to a replay.
#[derive(Clone, Debug)]
enum Event {
    Push(Status),
    /// One error per place of the batch, in eighths.
    Update([u8; BATCH]),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Push(Status::Running)),
        1 => Just(Event::Push(Status::Truncated)),
        1 => Just(Event::Push(Status::Terminated)),
        5 => prop::array::uniform8(0u8..64).prop_map(Event::Update),
    ]
}

/// Rows in the order of the storage: the step that each begins with, and its priority.
struct Naive {
    capacity: usize,
    rows: Vec<(usize, f64)>,
    cursor: usize,
    greatest: f64,
    /// Steps of the open window.
    window: Vec<usize>,
}

impl Naive {
    fn push(&mut self, step: usize, status: Status, n_step: usize) {
        self.window.push(step);
        while !self.window.is_empty() && (self.window.len() == n_step || status.is_over()) {
            let row = (self.window.remove(0), self.greatest);
            if self.rows.len() < self.capacity {
                self.rows.push(row);
            } else {
                self.rows[self.cursor] = row;
            }
            self.cursor = (self.cursor + 1) % self.capacity;
        }
    }

    fn draw(&self, stream: &mut Stream) -> Vec<usize> {
        let total: f64 = self.rows.iter().map(|(_, priority)| priority).sum();
        (0..BATCH)
            .map(|place| {
                let mass = (place as f64 + stream.fraction()) * (total / BATCH as f64);
                let mut sum = 0.0;
                let found = self.rows.iter().position(|(_, priority)| {
                    sum += priority;
                    mass < sum
                });
                found.expect("the mass is below the total")
            })
            .collect()
    }

    /// (N P(i))^−β over its greatest value in the batch, as written.
    fn weights(&self, rows: &[usize], beta: f64) -> Vec<f64> {
        let total: f64 = self.rows.iter().map(|(_, priority)| priority).sum();
        let raw = |row: &usize| (self.rows.len() as f64 * self.rows[*row].1 / total).powf(-beta);
        let greatest = rows.iter().map(raw).fold(0.0, f64::max);
        rows.iter().map(|row| raw(row) / greatest).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Errors are eighths and the constant a power of two, so that every sum is exact in both.
    #[test]
    fn draws_and_weights_are_those_of_a_naive_model(
        events in prop::collection::vec(event(), 1..120),
        capacity in 1u64..40,
        n_step in 1u64..4,
    ) {
        let spec = PrioritizedSpec {
            exponent: 1.0,
            importance_exponent: 0.5,
            importance_exponent_end: 1.0,
            over_grad_steps: 10,
            priority_eps: 1.0 / 1024.0,
        };
        let mut replay = replay(spec, capacity, n_step);
        let mut naive = Naive { capacity: capacity as usize, rows: vec![], cursor: 0, greatest: 1.0, window: vec![] };
        let (mut stream, mut twin) = (Stream::derive(1, "replay", 0), Stream::derive(1, "replay", 0));
        let mut updates = 0;
        for (step, event) in events.iter().enumerate() {
            match event {
                Event::Push(status) => {
                    push(&mut replay, step, *status);
                    naive.push(step, *status, n_step as usize);
                }
                Event::Update(_) if naive.rows.is_empty() => {
                    prop_assert!(replay.sample(&mut stream).expect("no task is asked").is_none());
                }
                Event::Update(eighths) => {
                    let (steps, weights) = drawn(&mut replay, &mut stream);
                    let rows = naive.draw(&mut twin);
                    prop_assert_eq!(steps, rows.iter().map(|row| naive.rows[*row].0).collect::<Vec<_>>());
                    let beta = 0.5 + 0.5 * (f64::from(updates) / 10.0).min(1.0);
                    for (found, expected) in weights.iter().zip(naive.weights(&rows, beta)) {
                        prop_assert!((f64::from(*found) - expected).abs() < 1e-6, "{} {}", found, expected);
                    }
                    let errors = eighths.map(|eighths| f32::from(eighths) / 8.0);
                    learn(&mut replay, &errors);
                    for (row, error) in rows.iter().zip(errors) {
                        naive.rows[*row].1 = f64::from(error) + spec.priority_eps;
                        naive.greatest = naive.greatest.max(naive.rows[*row].1);
                    }
                    updates += 1;
                }
            }
            prop_assert_eq!(replay.len(), naive.rows.len());
        }
    }

    #[test]
    fn a_saved_replay_goes_on_as_if_never_stopped(
        events in prop::collection::vec(event(), 1..80),
        cut in 0usize..80,
        capacity in 1u64..30,
        n_step in 1u64..4,
    ) {
        let cut = cut.min(events.len());
        let spec = PrioritizedSpec { over_grad_steps: 20, ..PrioritizedSpec::default() };
        let go = |replay: &mut Replay, stream: &mut Stream, span: std::ops::Range<usize>| {
            let mut seen = Vec::new();
            for step in span {
                match &events[step] {
                    Event::Push(status) => push(replay, step, *status),
                    Event::Update(_) if replay.len() == 0 => {}
                    Event::Update(eighths) => {
                        seen.push(drawn(replay, stream));
                        learn(replay, &eighths.map(|eighths| f32::from(eighths) / 7.0));
                    }
                }
            }
            seen
        };
        let (mut stream, mut twin) = (Stream::derive(2, "replay", 0), Stream::derive(2, "replay", 0));
        let mut straight = replay(spec, capacity, n_step);
        go(&mut straight, &mut stream, 0..cut);
        let expected = go(&mut straight, &mut stream, cut..events.len());
        let mut first = replay(spec, capacity, n_step);
        go(&mut first, &mut twin, 0..cut);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("replay");
        checkpoint::write(&path, EnvSteps(0), GradSteps(0), &[first.section().expect("section")]).expect("written");
        let mut second = replay(spec, capacity, n_step);
        second.load(&Checkpoint::read(&path, &[]).expect("read").section("replay").expect("there")).expect("fits");
        prop_assert_eq!(go(&mut second, &mut twin, cut..events.len()), expected);
    }
}

/// How often each of `rows` rows is drawn in `batches` batches once row i has the error `error(i)`.
fn counts(replay: &mut Replay, rows: usize, batches: usize, error: impl Fn(usize) -> f32) -> Vec<u32> {
    (0..rows).for_each(|number| push(replay, number, Status::Running));
    let mut stream = Stream::derive(3, "replay", 0);
    let mut counts = vec![0; rows];
    for batch in 0..2000 + batches {
        let (steps, _) = drawn(replay, &mut stream);
        learn(replay, &steps.iter().map(|step| error(*step)).collect::<Vec<_>>());
        if batch >= 2000 {
            steps.iter().for_each(|step| counts[*step] += 1);
        }
    }
    counts
}

/// Σ (found − expected)² / expected.
fn chi_square(counts: &[u32], shares: &[f64]) -> f64 {
    let total: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let expected = shares.iter().map(|share| share * total);
    counts
        .iter()
        .zip(expected)
        .map(|(found, expected)| (f64::from(*found) - expected).powi(2) / expected)
        .sum()
}

/// Beyond this a chi-square of 19 degrees of freedom lies once in 10,000 times. Draws from ranges scatter less.
const CHI_SQUARE_19: f64 = 50.8;

#[test]
fn rows_are_drawn_in_proportion_to_their_priority_to_the_power_of_the_exponent() {
    let spec = PrioritizedSpec::default();
    let error = |row: usize| row as f32 / 4.0;
    let counts = counts(&mut replay(spec, 20, 1), 20, 5000, error);
    let mass: Vec<f64> = (0..20)
        .map(|row| (f64::from(error(row)) + spec.priority_eps).powf(spec.exponent))
        .collect();
    let total: f64 = mass.iter().sum();
    // The row without an error is expected 0.3 times in 40,000 draws; the test needs more, so it joins its neighbour.
    let shares: Vec<f64> = mass.iter().map(|mass| mass / total).collect();
    let (shares, counts) = (
        [&[shares[0] + shares[1]], &shares[2..]].concat(),
        [&[counts[0] + counts[1]], &counts[2..]].concat(),
    );
    let found = chi_square(&counts, &shares);
    assert!(found < CHI_SQUARE_19, "{found}: {counts:?}");
}

#[test]
fn without_an_exponent_all_rows_are_drawn_alike_and_count_alike() {
    let spec = PrioritizedSpec {
        exponent: 0.0,
        importance_exponent: 1.0,
        ..PrioritizedSpec::default()
    };
    let mut replay = replay(spec, 20, 1);
    let counts = counts(&mut replay, 20, 5000, |row| row as f32);
    let found = chi_square(&counts, &[0.05; 20]);
    assert!(found < CHI_SQUARE_19, "{found}: {counts:?}");
    assert_eq!(drawn(&mut replay, &mut Stream::derive(4, "replay", 0)).1, [1.0; BATCH]);
}

#[test]
fn an_overwritten_row_loses_its_priority() {
    let mut replay = replay(PrioritizedSpec::default(), 4, 1);
    (0..4).for_each(|number| push(&mut replay, number, Status::Running));
    // Every row so far is worth next to nothing.
    let mut stream = Stream::derive(5, "replay", 0);
    for _ in 0..50 {
        drawn(&mut replay, &mut stream);
        learn(&mut replay, &[0.0; BATCH]);
    }
    push(&mut replay, 4, Status::Running);
    let (steps, weights) = drawn(&mut replay, &mut stream);
    // The new row has priority 1, the greatest so far; the others 1e-6 to the power of 0.6 each, 0.08 % together.
    assert_eq!((steps, weights), (vec![4; BATCH], vec![1.0; BATCH]));
}

#[test]
fn errors_that_are_not_numbers_do_not_reach_the_sums() {
    let mut replay = replay(PrioritizedSpec::default(), 4, 1);
    (0..4).for_each(|number| push(&mut replay, number, Status::Running));
    let mut stream = Stream::derive(6, "replay", 0);
    drawn(&mut replay, &mut stream);
    learn(
        &mut replay,
        &[
            f32::NAN,
            f32::INFINITY,
            1.0,
            f32::NAN,
            2.0,
            0.5,
            f32::NAN,
            f32::NEG_INFINITY,
        ],
    );
    let (steps, weights) = drawn(&mut replay, &mut stream);
    assert!(steps.iter().all(|step| *step < 4) && weights.iter().all(|weight| weight.is_finite()));
}

#[test]
fn a_sampler_out_of_its_range_is_refused_by_key() {
    let spec = ReplaySpec {
        sampler: SamplerSpec::Prioritized(PrioritizedSpec {
            exponent: 1.5,
            priority_eps: 0.0,
            over_grad_steps: 0,
            ..PrioritizedSpec::default()
        }),
        ..ReplaySpec::default()
    };
    let keys: Vec<String> = spec.problems().into_iter().map(|problem| problem.key).collect();
    assert_eq!(
        keys,
        ["exponent", "over_grad_steps", "priority_eps"].map(|key| format!("replay.sampler.{key}"))
    );
}

/// Whatever its critic: without errors, priorities would stay what they were at first.
#[test]
fn every_preset_says_how_far_each_weighted_row_was_from_its_target() {
    for preset in presets::ALL {
        let spec = small::spec(preset.name, [16, 16]).for_budget(GradSteps(100));
        // Presets for pixels see an image of every shade, the others a vector.
        let (obs, rows): (Space, &[i64]) = match &spec.encoder {
            EncoderSpec::Conv(_) => (Space::unbounded(3 * 40 * 40).reshaped(vec![3, 40, 40]), &[8, 3, 40, 40]),
            _ => (Space::unbounded(3), &[8, 3]),
        };
        let of_actions = |action: Space| SoftActorCritic::new(&spec, "test", (&obs, &action), 1, Device::Cpu);
        let mut agent = of_actions(Space::boxed(1, -1.0, 1.0))
            .or_else(|_| of_actions(Space::Discrete { n: 2 }))
            .expect("one of them fits");
        let ones = |shape: &[i64]| Tensor::ones(shape, (Kind::Float, Device::Cpu));
        let batch = Batch {
            weight: Some(ones(&[8]) * 0.5),
            ..Batch::new(
                ones(rows),
                ones(&[8, 1]) * 0.0,
                ones(&[8]),
                ones(&[8]) * 0.9,
                ones(rows),
            )
        };
        let report = agent.update(&batch, &mut Stream::derive(1, "update", 0));
        let errors = numbers(report.td_error.as_ref().expect(preset.name));
        let is_error = |error: &f32| error.is_finite() && *error >= 0.0;
        assert!(
            errors.len() == 8 && errors.iter().all(is_error),
            "{}: {errors:?}",
            preset.name
        );
    }
}

const OPTIMIZER: AdamSpec = AdamSpec {
    learning_rate: 3e-3,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0.0,
    max_gradient_norm: None,
    anneal: None,
};

/// A small learner with prioritised replay, and a trainer of it.
fn trainer(id: &str, env_steps: u64, n_step: u64, folder: Option<&Path>) -> (Trainer, SoftActorCritic) {
    tch::set_num_threads(1);
    let registry = Registry::builtin();
    let make = || registry.make_vec(id, &toml::Table::new(), 1, 1).expect("a built-in id");
    let (envs, eval_envs) = (make(), make());
    let spaces = (envs.observation_space(), envs.action_space());
    let spec = AgentSpec {
        gamma: 0.9,
        body: BodySpec::mlp(&[32, 32]),
        policy: PolicySpec::SquashedGaussian(SquashedGaussianSpec {
            optimizer: OPTIMIZER,
            ..Default::default()
        }),
        critic: CriticSpec::Scalar(ScalarSpec {
            optimizer: OPTIMIZER,
            ..Default::default()
        }),
        targets: sac_agents::target::TargetSpec::Polyak { tau: 0.05 },
        temperature: TemperatureSpec::Fixed(FixedTemperatureSpec { alpha: 0.0 }),
        ..AgentSpec::default()
    };
    let agent = || SoftActorCritic::new(&spec, id, spaces, 1, Device::Cpu).expect("valid");
    let (agent, twin) = (agent(), agent());
    let replay_spec = ReplaySpec {
        capacity: 1_000,
        n_step,
        sampler: SamplerSpec::Prioritized(PrioritizedSpec {
            over_grad_steps: 500,
            ..PrioritizedSpec::default()
        }),
        ..ReplaySpec::default()
    };
    let replay = Replay::new(&replay_spec, spaces, 1, spec.gamma, 64, Device::Cpu).expect("fits");
    let parts = Parts {
        train: TrainSettings {
            total_env_steps: env_steps,
            warmup_env_steps: 200.min(env_steps / 4),
            ..TrainSettings::default()
        },
        eval: EvalSettings {
            every: Every::Never,
            episodes: 1,
            ..EvalSettings::default()
        },
        checkpoint: CheckpointSettings {
            every: Every::Never,
            ..CheckpointSettings::default()
        },
        log: LogSettings { every: Every::Never },
        agent: Box::new(agent),
        envs,
        eval_envs,
        eval_agent: None,
        replay,
        logger: Logger::default(),
        save_to: folder.map(|folder| SaveTo {
            checkpoints: {
                std::fs::create_dir_all(folder).expect("writable");
                CheckpointStore::new(folder.join("checkpoints"), 10)
            },
            best: folder.join("best"),
            settings: Default::default(),
        }),
    };
    (Trainer::new(parts).expect("resets"), twin)
}

fn run_to(trainer: &mut Trainer, env_steps: u64) {
    let stop = AtomicBool::new(false);
    trainer.run_until(EnvSteps(env_steps), &stop).expect("trains");
}

#[test]
fn a_resumed_run_is_indistinguishable_from_one_that_never_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let read = |name: &str, at: u64| {
        Checkpoint::read(&folder.path().join(format!("{name}/checkpoints/{at}")), &[]).expect("whole")
    };
    let make = |name: &str| trainer("Pendulum-v1", 400, 3, Some(&folder.path().join(name))).0;
    let mut straight = make("straight");
    run_to(&mut straight, 400);
    straight.save().expect("saved");
    let mut first = make("resumed");
    run_to(&mut first, 203);
    first.save().expect("saved");
    let mut second = make("resumed");
    second.restore(&read("resumed", 203)).expect("fits");
    run_to(&mut second, 400);
    second.save().expect("saved");
    assert_eq!(
        read("straight", 400).manifest.files,
        read("resumed", 400).manifest.files
    );
}

/// Trains on a probe.
fn trained(id: &str, updates: u64) -> SoftActorCritic {
    let (mut trainer, mut twin) = trainer(id, 200 + updates, 1, None);
    run_to(&mut trainer, 200 + updates);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("agent");
    let sections = trainer.agent().sections().expect("sections");
    checkpoint::write(&path, EnvSteps(0), trainer.grad_steps(), &sections).expect("written");
    twin.load(&Checkpoint::read(&path, &[]).expect("read")).expect("fits");
    twin
}

fn q(agent: &SoftActorCritic, obs: f32) -> f64 {
    let column = |value: f32| Tensor::from_slice(&[value]).view([1, 1]);
    let draw = ActionDraw::given(column(0.0));
    let value = agent
        .critic()
        .actor_value(&column(obs), &draw, &mut Stream::scripted([]));
    value.double_value(&[0])
}

fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: found {found}, expected {expected} ± {tolerance}"
    );
}

#[test]
fn p1_one_step_of_reward_one_is_worth_one() {
    assert_near("Q", q(&trained("ProbeConstant-v0", 600), 1.0), 1.0, 0.03);
}

#[test]
fn p2_a_reward_one_step_ahead_is_worth_gamma() {
    let agent = trained("ProbeTwoStep-v0", 1200);
    assert_near("Q at the second step", q(&agent, 1.0), 1.0, 0.03);
    assert_near("Q at the start", q(&agent, 0.0), 0.9, 0.03);
}

#[test]
fn p3_a_reward_equal_to_the_observation_is_its_value() {
    let agent = trained("ProbeSign-v0", 800);
    assert_near("Q(+1)", q(&agent, 1.0), 1.0, 0.04);
    assert_near("Q(-1)", q(&agent, -1.0), -1.0, 0.04);
}

#[test]
fn p4_the_mode_finds_the_rewarded_action() {
    let mut agent = trained("ProbeTarget-v0", 1200);
    let mut action = [0.0f32];
    agent.act(
        &[1.0],
        ActMode::Evaluate,
        &mut Stream::derive(0, "unused", 0),
        &mut action,
    );
    assert_near("mode", f64::from(action[0]), 0.3, 0.05);
}
