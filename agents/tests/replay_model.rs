//! The replay against a naive model that keeps every step in a list and computes rows from their definition.

use proptest::prelude::*;
use sac_agents::{
    Replay, ReplaySpec, Stacking,
    checkpoint::{self, Checkpoint},
    noise::Stream,
    schedule::{EnvSteps, GradSteps},
};
use sac_envs::{Space, Status};
use tch::{Device, Kind, Tensor};

const GAMMA: f64 = 0.9;

#[derive(Clone, Debug)]
struct Step {
    env: usize,
    obs: f32,
    action: f32,
    reward: f64,
    entropy: f64,
    status: Status,
    next_obs: f32,
}

/// Episodes of `num_envs` environments, interleaved at random. Observations are increasing numbers, which identify
/// rows.
fn history(num_envs: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..num_envs, -1.0f32..1.0, -5.0f64..5.0, -2.0f64..3.0, 0u8..12);
    prop::collection::vec(step, 1..120).prop_map(|steps| {
        let mut clock = 0.0f32;
        let mut current = [None; 8];
        steps
            .into_iter()
            .map(|(env, action, reward, entropy, fate)| {
                clock += 1.0;
                let obs = current[env].unwrap_or(clock + 0.5);
                let status = match fate {
                    0 => Status::Terminated,
                    1 => Status::Truncated,
                    _ => Status::Running,
                };
                let next_obs = clock + 1.0;
                current[env] = (status == Status::Running).then_some(next_obs);
                Step {
                    env,
                    obs,
                    action,
                    reward,
                    entropy,
                    status,
                    next_obs,
                }
            })
            .collect()
    })
}

/// All rows in the order in which they are completed, computed from the definition.
fn naive_rows(history: &[Step], n: usize) -> Vec<[f32; 6]> {
    let mut rows = Vec::new();
    for (now, step) in history.iter().enumerate() {
        let same_env: Vec<&Step> = history[..=now].iter().filter(|other| other.env == step.env).collect();
        let start_of_episode = same_env[..same_env.len() - 1]
            .iter()
            .rposition(|other| other.status.is_over())
            .map_or(0, |at| at + 1);
        let episode = &same_env[start_of_episode..];
        let complete: Vec<usize> = (0..episode.len())
            .filter(|start| {
                let span = episode.len() - start;
                span == n || (span < n && step.status.is_over())
            })
            .collect();
        for start in complete {
            let span = &episode[start..];
            let discounted = |of: fn(&Step) -> f64, from: usize| -> f64 {
                let steps = span.iter().enumerate().skip(from);
                steps.map(|(i, step)| GAMMA.powi(i as i32) * of(step)).sum()
            };
            let reward = discounted(|step| step.reward, 0);
            let entropy = discounted(|step| step.entropy, 1);
            let discount = if step.status == Status::Terminated {
                0.0
            } else {
                GAMMA.powi(span.len() as i32)
            };
            rows.push([
                span[0].obs,
                span[0].action,
                reward as f32,
                discount as f32,
                entropy as f32,
                step.next_obs,
            ]);
        }
    }
    rows
}

fn spaces() -> (Space, Space) {
    (Space::unbounded(1), Space::boxed(1, -1.0, 1.0))
}

fn replay(capacity: u64, n_step: u64, num_envs: usize) -> Replay {
    let spec = ReplaySpec {
        capacity,
        n_step,
        soft_n_step: n_step > 1,
        ..ReplaySpec::default()
    };
    let (obs, action) = spaces();
    Replay::new(&spec, (&obs, &action), num_envs, GAMMA, 64, Device::Cpu).expect("fits")
}

fn feed(replay: &mut Replay, history: &[Step]) {
    for step in history {
        replay.push_soft(
            step.env,
            &[step.obs],
            &[step.action],
            (step.reward, step.entropy),
            step.status,
            &[step.next_obs],
        );
    }
}

/// Rows of a batch; entropies are 0 where returns are not soft.
fn sampled(replay: &mut Replay, stream: &mut Stream) -> Vec<[f32; 6]> {
    let Some(batch) = replay.sample(stream).expect("no task is asked") else {
        return Vec::new();
    };
    let column = |tensor: &Tensor| Vec::<f32>::try_from(tensor.flatten(0, -1)).expect("numbers");
    let none = batch.reward.zeros_like();
    let columns = [
        &batch.obs,
        &batch.action,
        &batch.reward,
        &batch.discount,
        batch.entropy.as_ref().unwrap_or(&none),
        &batch.next_obs,
    ]
    .map(column);
    (0..columns[0].len())
        .map(|row| [0, 1, 2, 3, 4, 5].map(|index: usize| columns[index][row]))
        .collect()
}

fn close(a: &[f32; 6], b: &[f32; 6]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn rows_equal_those_of_the_naive_model(
        (num_envs, history) in (1usize..4).prop_flat_map(|n| (Just(n), history(n))),
        n_step in 1u64..6,
        capacity in 1u64..60,
    ) {
        let expected = naive_rows(&history, n_step as usize);
        let kept = &expected[expected.len().saturating_sub(capacity as usize)..];
        let mut replay = replay(capacity, n_step, num_envs);
        feed(&mut replay, &history);
        prop_assert_eq!(replay.len(), kept.len());
        let mut stream = Stream::derive(1, "replay", 0);
        let mut seen = vec![false; kept.len()];
        for _ in 0..40 {
            for row in sampled(&mut replay, &mut stream) {
                let which = kept.iter().position(|candidate| close(&row, candidate));
                prop_assert!(which.is_some(), "sampled {:?}, which is not among {:?}", row, kept);
                seen[which.unwrap_or(0)] = true;
            }
        }
        // 2560 draws from at most 60 rows: the probability of missing one is below 60·(59/60)^2560 < 1e-16.
        prop_assert!(seen.iter().all(|seen| *seen));
    }

    #[test]
    fn a_restored_replay_continues_exactly(
        history in history(2),
        cut in 0usize..120,
        n_step in 1u64..4,
        capacity in 1u64..40,
    ) {
        let cut = cut.min(history.len());
        let mut straight = replay(capacity, n_step, 2);
        feed(&mut straight, &history);
        let mut first = replay(capacity, n_step, 2);
        feed(&mut first, &history[..cut]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("replay");
        checkpoint::write(&path, EnvSteps(0), GradSteps(0), &[first.section().expect("section")]).expect("written");
        let mut second = replay(capacity, n_step, 2);
        second.load(&Checkpoint::read(&path, &[]).expect("read").section("replay").expect("there")).expect("fits");
        feed(&mut second, &history[cut..]);
        let draw = |replay: &mut Replay| sampled(replay, &mut Stream::derive(2, "replay", 0));
        prop_assert_eq!(draw(&mut straight), draw(&mut second));
    }
}

#[test]
fn consecutive_batches_are_different_draws() {
    let mut replay = replay(1000, 1, 1);
    let step = |i: usize| Step {
        env: 0,
        obs: i as f32,
        action: 0.0,
        reward: 0.0,
        entropy: 0.0,
        status: Status::Running,
        next_obs: 0.0,
    };
    feed(&mut replay, &(0..1000).map(step).collect::<Vec<_>>());
    let mut stream = Stream::derive(3, "replay", 0);
    assert_ne!(sampled(&mut replay, &mut stream), sampled(&mut replay, &mut stream));
}

#[test]
fn all_rows_are_drawn_equally_often() {
    let mut replay = replay(50, 1, 1);
    let step = |i: usize| Step {
        env: 0,
        obs: i as f32,
        action: 0.0,
        reward: 0.0,
        entropy: 0.0,
        status: Status::Running,
        next_obs: 0.0,
    };
    feed(&mut replay, &(0..75).map(step).collect::<Vec<_>>());
    let mut stream = Stream::derive(4, "replay", 0);
    let mut counts = [0u32; 75];
    for _ in 0..500 {
        sampled(&mut replay, &mut stream)
            .iter()
            .for_each(|row| counts[row[0] as usize] += 1);
    }
    // 32,000 draws from 50 rows: 640 each with a standard deviation of 25. A deviation of five of them for any row has
    // a probability of 1 in 30,000.
    assert!(
        counts[..25].iter().all(|count| *count == 0),
        "the oldest rows were overwritten"
    );
    assert!(
        counts[25..].iter().all(|count| (515..=765).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_replay_that_does_not_fit_is_rejected_with_its_size() {
    let spec = ReplaySpec {
        capacity: 1 << 50,
        ..ReplaySpec::default()
    };
    let (obs, action) = spaces();
    let error = Replay::new(&spec, (&obs, &action), 1, GAMMA, 64, Device::Cpu)
        .err()
        .expect("it cannot fit");
    assert!(
        error.to_string().contains("MiB") && error.to_string().contains("replay.capacity"),
        "{error}"
    );
}

#[test]
fn bytes_are_stored_exactly() {
    let pixels = Space::Box {
        shape: vec![1, 2, 2],
        low: vec![0.0; 4],
        high: vec![255.0; 4],
        dtype: sac_envs::Dtype::U8,
    };
    let action = Space::boxed(1, -1.0, 1.0);
    let spec = ReplaySpec {
        capacity: 3,
        ..ReplaySpec::default()
    };
    assert_eq!(spec.bytes((&pixels, &action), Stacking::none(1)), 3 * (2 * 4 + 4 + 8));
    let mut replay = Replay::new(&spec, (&pixels, &action), 1, GAMMA, 1, Device::Cpu).expect("fits");
    replay.push(
        0,
        &[0.0, 1.0, 254.0, 255.0],
        &[0.5],
        1.0,
        Status::Running,
        &[9.0, 8.0, 7.0, 6.0],
    );
    let batch = replay
        .sample(&mut Stream::derive(0, "replay", 0))
        .expect("no task is asked")
        .expect("one row");
    assert_eq!((batch.obs.size(), batch.obs.kind()), (vec![1, 1, 2, 2], Kind::Float));
    assert_eq!(
        Vec::<f32>::try_from(batch.obs.flatten(0, -1)).expect("numbers"),
        [0.0, 1.0, 254.0, 255.0]
    );
}

/// `VmRSS` or `VmHWM` of this process, MiB.
#[cfg(target_os = "linux")]
fn resident_mib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .expect("a known key");
    let kib = line.trim_matches([':', ' ', '\t', 'k', 'B']);
    kib.parse::<u64>().expect("a count") / 1024
}

/// A replay is read from its checkpoint straight into place: resuming takes no more memory than training did.
#[cfg(target_os = "linux")]
#[test]
fn a_large_replay_is_never_in_memory_twice() {
    let (observation, action) = (Space::unbounded(2000), Space::boxed(1, -1.0, 1.0));
    let spec = ReplaySpec {
        capacity: 20_000,
        ..ReplaySpec::default()
    };
    let new = || Replay::new(&spec, (&observation, &action), 1, 0.99, 32, Device::Cpu).expect("fits");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoint");
    {
        let mut replay = new();
        let mut obs = vec![0.0; 2000];
        for step in 0..20_000 {
            obs[step % 2000] = step as f32;
            replay.push(0, &obs, &[0.5], 1.0, Status::Running, &obs);
        }
        let section = replay.section().expect("written");
        checkpoint::write(&path, EnvSteps(0), GradSteps(0), &[section]).expect("written");
    }
    // 5 resets the peak.
    std::fs::write("/proc/self/clear_refs", "5").expect("our own process");
    let before = resident_mib("VmRSS");
    let mut replay = new();
    let checkpoint = Checkpoint::read(&path, &[]).expect("whole");
    replay
        .load(&checkpoint.section("replay").expect("there"))
        .expect("fits");
    let (held, peak) = (resident_mib("VmRSS") - before, resident_mib("VmHWM") - before);
    assert!(held > 290, "the replay takes {held} MiB");
    assert!(peak <= held + 64, "{peak} MiB at the most for a replay of {held} MiB");
    assert_eq!(replay.len(), 20_000);
}
