//! The replay of stacked frames against a naive model that stores complete observations.

use proptest::prelude::*;
use sac_agents::{
    PrioritizedSpec, Replay, ReplaySpec, SamplerSpec, Stacking, UpdateReport,
    checkpoint::{self, Checkpoint},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::{Dtype, Registry, Space, Status};
use tch::{Device, Tensor};

const GAMMA: f64 = 0.9;
const BATCH: usize = 64;
/// Size of a frame, bytes.
const WIDTH: usize = 5;

#[derive(Clone, Debug)]
struct Step {
    env: usize,
    obs: Vec<f32>,
    reward: f64,
    status: Status,
    next_obs: Vec<f32>,
}

/// A row of a sampled batch.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    obs: Vec<f32>,
    reward: f32,
    discount: f32,
    next_obs: Vec<f32>,
}

/// A frame that occurs once, or, if `repeats`, one of three frames that occur often.
fn frame(clock: u32, repeats: bool) -> Vec<f32> {
    let number = if repeats { clock % 3 } else { clock + 3 };
    let byte = |place: usize| (number >> (8 * (place % 4))) as u8 as f32;
    (0..WIDTH).map(byte).collect()
}

/// Episodes of `num_envs` environments with stacks of `stack` frames, stepped in random order. One of them may be idle
/// for a long time.
fn history(num_envs: usize, stack: usize, steps: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..num_envs, -5.0f64..5.0, 0u8..14, 0u8..4);
    (prop::collection::vec(step, 1..steps), any::<bool>()).prop_map(move |(steps, rests)| {
        let mut clock = 0;
        let mut next_frame = |repeats| {
            clock += 1;
            frame(clock, repeats)
        };
        let mut current: Vec<Option<Vec<Vec<f32>>>> = vec![None; num_envs];
        let count = steps.len();
        let with_env = steps.into_iter().enumerate().map(|(at, (env, reward, fate, repeats))| {
            // The first environment is idle in the middle, longer than any window.
            let env = if rests && num_envs > 1 && at > count / 5 && at < count * 4 / 5 {
                1 + env % (num_envs - 1)
            } else {
                env
            };
            let mut frames = current[env]
                .take()
                .unwrap_or_else(|| vec![next_frame(repeats == 0); stack]);
            let obs = frames.concat();
            frames.remove(0);
            frames.push(next_frame(repeats == 1));
            let status = match fate {
                0 | 1 => Status::Terminated,
                2 => Status::Truncated,
                _ => Status::Running,
            };
            let next_obs = frames.concat();
            current[env] = (status == Status::Running).then_some(frames);
            Step {
                env,
                obs,
                reward,
                status,
                next_obs,
            }
        });
        with_env.collect()
    })
}

/// All rows in the order in which they are completed, computed from the definition. `discards(i)` says whether all open
/// windows are discarded before step i.
fn naive_rows(history: &[Step], n: usize, discards: impl Fn(usize) -> bool) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut open: Vec<Vec<&Step>> = vec![Vec::new(); 8];
    for (at, step) in history.iter().enumerate() {
        if discards(at) {
            open.iter_mut().for_each(Vec::clear);
        }
        let window = &mut open[step.env];
        window.push(step);
        while !window.is_empty() && (window.len() == n || step.status.is_over()) {
            let powers = (0..).map(|i| GAMMA.powi(i));
            let reward: f64 = window.iter().zip(powers).map(|(step, power)| power * step.reward).sum();
            rows.push(Row {
                obs: window[0].obs.clone(),
                reward: reward as f32,
                discount: match step.status {
                    Status::Terminated => 0.0,
                    _ => GAMMA.powi(window.len() as i32) as f32,
                },
                next_obs: step.next_obs.clone(),
            });
            window.remove(0);
        }
    }
    rows
}

fn pixels(stack: usize) -> Space {
    let len = stack * WIDTH;
    Space::Box {
        shape: vec![stack, 1, WIDTH],
        low: vec![0.0; len],
        high: vec![255.0; len],
        dtype: Dtype::U8,
    }
}

fn replay(spec: &ReplaySpec, stack: usize, num_envs: usize) -> Replay {
    let (obs, action) = (pixels(stack), Space::boxed(1, -1.0, 1.0));
    let stacking = Stacking {
        frames: stack,
        num_envs,
    };
    Replay::stacked(spec, (&obs, &action), stacking, GAMMA, BATCH, Device::Cpu).expect("fits")
}

fn feed(replay: &mut Replay, history: &[Step]) {
    for step in history {
        replay.push(step.env, &step.obs, &[0.5], step.reward, step.status, &step.next_obs);
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.flatten(0, -1)).expect("numbers")
}

fn sampled(replay: &mut Replay, stream: &mut Stream) -> Vec<Row> {
    let Some(batch) = replay.sample(stream).expect("no task is asked") else {
        return Vec::new();
    };
    let (obs, next_obs) = (numbers(&batch.obs), numbers(&batch.next_obs));
    let (reward, discount) = (numbers(&batch.reward), numbers(&batch.discount));
    let width = obs.len() / BATCH;
    let row = |row: usize| Row {
        obs: obs[row * width..(row + 1) * width].to_vec(),
        reward: reward[row],
        discount: discount[row],
        next_obs: next_obs[row * width..(row + 1) * width].to_vec(),
    };
    (0..BATCH).map(row).collect()
}

/// Whether two rows are equal: bytes exactly, sums up to rounding.
fn is_same(a: &Row, b: &Row) -> bool {
    let close = |a: f32, b: f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
    a.obs == b.obs && a.next_obs == b.next_obs && close(a.reward, b.reward) && close(a.discount, b.discount)
}

fn sampler(prioritized: bool) -> SamplerSpec {
    match prioritized {
        false => SamplerSpec::Uniform,
        true => SamplerSpec::Prioritized(PrioritizedSpec::default()),
    }
}

/// A report with random TD errors of the last batch.
fn report(stream: &mut Stream) -> UpdateReport {
    let mut report = UpdateReport::default();
    report.td_error = Some(stream.uniform(&[BATCH as i64], Device::Cpu) + 0.1);
    report
}

#[derive(Clone, Debug)]
struct Case {
    num_envs: usize,
    stack: usize,
    history: Vec<Step>,
    spec: ReplaySpec,
}

fn case(steps: usize) -> impl Strategy<Value = Case> {
    (1usize..4, 2usize..5, 1u64..5, 1u64..40, any::<bool>()).prop_flat_map(
        move |(num_envs, stack, n_step, capacity, prioritized)| {
            history(num_envs, stack, steps).prop_map(move |history| Case {
                num_envs,
                stack,
                history,
                spec: ReplaySpec {
                    capacity,
                    n_step,
                    sampler: sampler(prioritized),
                    ..ReplaySpec::default()
                },
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_the_newest_of_the_naive_model(case in case(300), discard_every in 20usize..200) {
        let Case { num_envs, stack, history, spec } = case;
        let mut replay = replay(&spec, stack, num_envs);
        let discards = |at: usize| at > 0 && at.is_multiple_of(discard_every);
        let (mut stream, mut errors) = (Stream::derive(1, "replay", 0), Stream::derive(2, "errors", 0));
        for (at, step) in history.iter().enumerate() {
            if discards(at) {
                replay.abandon_windows();
            }
            feed(&mut replay, std::slice::from_ref(step));
            if at % 7 != 6 && at + 1 != history.len() {
                continue;
            }
            let rows = naive_rows(&history[..=at], spec.n_step as usize, discards);
            prop_assert!(replay.len() <= rows.len().min(spec.capacity as usize));
            // This number of rows fits even if no frames are shared.
            let at_least = (spec.capacity as usize).div_ceil(2 * stack).min(rows.len());
            prop_assert!(replay.len() >= at_least, "{} rows, expected {at_least}", replay.len());
            let kept = &rows[rows.len() - replay.len()..];
            let mut seen = vec![false; kept.len()];
            let draws = if at + 1 == history.len() { 30 } else { 1 };
            for _ in 0..draws {
                for row in sampled(&mut replay, &mut stream) {
                    prop_assert!(kept.iter().any(|other| is_same(&row, other)), "{:?} is not among {:?}", row, kept);
                    for (seen, other) in seen.iter_mut().zip(kept) {
                        *seen |= is_same(&row, other);
                    }
                }
            }
            // 1920 draws from at most 40 rows with equal probabilities, or with priorities that started at the maximum.
            if draws > 1 {
                prop_assert!(seen.iter().all(|seen| *seen));
            }
            if replay.len() > 0 {
                replay.learned(&report(&mut errors));
            }
        }
    }

    #[test]
    fn a_restored_replay_continues_exactly(case in case(200), cut in 0usize..200) {
        let Case { num_envs, stack, history, spec } = case;
        let cut = cut.min(history.len());
        let learn = |replay: &mut Replay, history: &[Step], stream: &mut Stream| {
            let mut rows = Vec::new();
            for steps in history.chunks(5) {
                feed(replay, steps);
                rows.push(sampled(replay, stream));
                if replay.len() > 0 {
                    replay.learned(&report(stream));
                }
            }
            rows
        };
        let save = |replay: &Replay, folder: &std::path::Path| {
            checkpoint::write(folder, EnvSteps(0), GradSteps(0), &[replay.section().expect("section")]).expect("written");
            Checkpoint::read(folder, &[]).expect("read")
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut stream = Stream::derive(3, "replay", 0);
        let mut straight = replay(&spec, stack, num_envs);
        learn(&mut straight, &history[..cut], &mut stream);
        let saved = save(&straight, &folder.path().join("half"));
        let mut resumed = replay(&spec, stack, num_envs);
        resumed.load(&saved.section("replay").expect("there")).expect("fits");
        let mut resumed_stream = Stream::derive(0, "other", 0);
        resumed_stream.seek(&stream.position()).expect("a position");
        let rows = learn(&mut straight, &history[cut..], &mut stream);
        prop_assert_eq!(rows, learn(&mut resumed, &history[cut..], &mut resumed_stream));
        let files = |replay: &Replay, name: &str| save(replay, &folder.path().join(name)).manifest.files;
        prop_assert_eq!(files(&straight, "straight"), files(&resumed, "resumed"));
    }
}

/// Steps of environments in turn, as in the trainer, with episodes of `length` steps.
fn in_turn(num_envs: usize, stack: usize, length: usize, steps: usize) -> Vec<Step> {
    let mut clock = 0;
    let mut next_frame = || {
        clock += 1;
        frame(clock, false)
    };
    let mut current: Vec<(usize, Vec<Vec<f32>>)> = (0..num_envs).map(|_| (0, vec![next_frame(); stack])).collect();
    let mut history = Vec::new();
    for at in 0..steps {
        let (age, frames) = &mut current[at % num_envs];
        let obs = frames.concat();
        frames.remove(0);
        frames.push(next_frame());
        *age += 1;
        let is_over = *age == length;
        history.push(Step {
            env: at % num_envs,
            obs,
            reward: at as f64,
            status: if is_over { Status::Truncated } else { Status::Running },
            next_obs: frames.concat(),
        });
        if is_over {
            (*age, *frames) = (0, vec![next_frame(); stack]);
        }
    }
    history
}

#[test]
fn episodes_of_at_least_64_steps_allow_the_full_capacity_and_shorter_ones_less() {
    let spec = ReplaySpec {
        capacity: 1000,
        n_step: 3,
        ..ReplaySpec::default()
    };
    let rows_held = |length| {
        let mut replay = replay(&spec, 3, 3);
        feed(&mut replay, &in_turn(3, 3, length, 5000));
        replay.len()
    };
    assert_eq!([rows_held(64), rows_held(500)], [1000, 1000]);
    // Ten steps need eleven frames, and there is room for 1000 + 16 frames.
    let short = rows_held(10);
    assert!((1016 * 10 / 11..950).contains(&short), "{short}");
}

#[test]
fn a_hundred_thousand_stacks_of_three_frames_fit_into_the_documented_memory() {
    let of = |shape: [usize; 3], frames, capacity, sampler, num_envs| {
        let space = Space::Box {
            low: vec![0.0; shape.iter().product()],
            high: vec![255.0; shape.iter().product()],
            shape: shape.to_vec(),
            dtype: Dtype::U8,
        };
        let spec = ReplaySpec {
            capacity,
            n_step: 3,
            sampler,
            ..ReplaySpec::default()
        };
        spec.bytes((&space, &Space::boxed(21, -1.0, 1.0)), Stacking { frames, num_envs })
    };
    let rgb = of([9, 84, 84], 3, 100_000, sampler(true), 16);
    assert!(rgb <= 2_200_000_000, "{rgb} bytes");
    assert!(
        rgb > 100_000 * 84 * 84 * 3,
        "{rgb} bytes are less than the frames themselves"
    );
    let grey = of([3, 84, 84], 3, 100_000, sampler(false), 1);
    assert!(grey <= 730_000_000, "{grey} bytes");
    // Without sharing, each row has two complete observations.
    let whole = of([9, 84, 84], 1, 100_000, sampler(false), 1);
    assert_eq!(whole, 100_000 * (2 * 9 * 84 * 84 + 4 * 21 + 8));
}

#[test]
fn a_checkpoint_stores_each_frame_once() {
    let spec = ReplaySpec {
        capacity: 1000,
        ..ReplaySpec::default()
    };
    let mut replay = replay(&spec, 4, 1);
    feed(&mut replay, &in_turn(1, 4, 100, 500));
    let section = replay.section().expect("section");
    let frames = section.tensor_names().filter(|name| *name == "frames").count();
    let mut bytes = vec![0u8; 2000 * WIDTH];
    assert_eq!(frames, 1);
    // 500 steps and the first frames of five episodes. The first frame of the sixth episode is not in a row yet.
    assert_eq!(section.copy_to("frames", &mut bytes).expect("bytes"), 505 * WIDTH);
}

#[test]
fn a_checkpoint_of_another_storage_layout_is_rejected() {
    let spec = ReplaySpec {
        capacity: 10,
        ..ReplaySpec::default()
    };
    let (obs, action) = (pixels(2), Space::boxed(1, -1.0, 1.0));
    let whole = || Replay::new(&spec, (&obs, &action), 1, GAMMA, BATCH, Device::Cpu).expect("fits");
    let fed = |mut replay: Replay| {
        feed(&mut replay, &in_turn(1, 2, 5, 7));
        replay
    };
    let refused = |mut into: Replay, from: Replay| {
        let section = from.section().expect("section");
        into.load(&section).expect_err("another layout").to_string()
    };
    let message = refused(whole(), fed(replay(&spec, 2, 1)));
    assert!(message.contains("expected whole observations"), "{message}");
    let message = refused(replay(&spec, 2, 1), fed(whole()));
    assert!(message.contains("expected stacked frames"), "{message}");
    let message = refused(replay(&spec, 2, 2), fed(replay(&spec, 2, 1)));
    assert!(message.contains("environments"), "{message}");
}

/// Compares a replay with shared frames and one with complete observations on a real task with pixels.
#[test]
fn frames_of_pendulums_are_stored_exactly() {
    let options: toml::Table =
        "time_limit = 9\nwrappers = [{ kind = 'pixels', width = 12, height = 10 }, { kind = 'frame_stack' }]"
            .parse()
            .expect("TOML");
    let mut envs = Registry::builtin()
        .make_vec("Pendulum-v1", &options, 2, 1)
        .expect("valid");
    envs.reset(&[1, 2]).expect("resets");
    let spec = ReplaySpec {
        capacity: 500,
        n_step: 2,
        ..ReplaySpec::default()
    };
    let spaces = (&envs.observation_space().clone(), &envs.action_space().clone());
    let build = |stacking| Replay::stacked(&spec, spaces, stacking, GAMMA, BATCH, Device::Cpu).expect("fits");
    let stacking = Stacking::of(envs.as_ref());
    assert_eq!(stacking, Stacking { frames: 3, num_envs: 2 });
    let (mut shared, mut whole) = (build(stacking), build(Stacking::none(2)));
    let width = spaces.0.len();
    let mut stream = Stream::derive(1, "actions", 0);
    for _ in 0..100 {
        let before = envs.current().obs.clone();
        let mut actions = [0.0; 2];
        stream.uniform_into(-1.0, 1.0, &mut actions);
        let step = envs.step(0..2, &actions).expect("steps");
        for env in 0..2 {
            let span = env * width..(env + 1) * width;
            for replay in [&mut shared, &mut whole] {
                replay.push(
                    env,
                    &before[span.clone()],
                    &actions[env..=env],
                    step.reward[env],
                    step.status[env],
                    &step.next_obs[span.clone()],
                );
            }
        }
    }
    assert_eq!(shared.len(), whole.len());
    for seed in 0..5 {
        let rows = |replay: &mut Replay| sampled(replay, &mut Stream::derive(seed, "replay", 0));
        assert_eq!(rows(&mut shared), rows(&mut whole));
    }
    let section = shared.section().expect("section");
    let mut frames = vec![0u8; 300 * width / 3];
    let count = section.copy_to("frames", &mut frames).expect("bytes") / (width / 3);
    // Two environments with 100 steps each in eleven complete episodes and one partial one: about one frame per step.
    assert!(count <= 200 + 2 * 12, "{count} frames");
}
