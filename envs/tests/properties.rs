//! Properties that hold for random spaces, actions and schedules.

use proptest::prelude::*;
use sac_envs::{
    Dtype, Dynamics, Env, NumpyRng, Registry, RescaleAction, Serial, Simulated, Space, Threaded, Transition, VecEnv,
    VecStep,
};

/// Bounds of any size and sign, some of them infinite.
fn interval() -> impl Strategy<Value = (f32, f32)> {
    let finite = prop_oneof![-2.0f32..2.0, -1e30f32..1e30, -1e-30f32..1e-30];
    (finite.clone(), finite, 0..8u8).prop_map(|(a, b, open)| match open {
        0 => (f32::NEG_INFINITY, a),
        1 => (a, f32::INFINITY),
        2 => (f32::NEG_INFINITY, f32::INFINITY),
        _ => (a.min(b), a.max(b)),
    })
}

fn space() -> impl Strategy<Value = Space> {
    prop_oneof![
        prop::collection::vec(interval(), 1..6).prop_map(|bounds| Space::vector(
            bounds.iter().map(|b| b.0).collect(),
            bounds.iter().map(|b| b.1).collect()
        )),
        (1usize..100).prop_map(|n| Space::Discrete { n }),
        prop::collection::vec(1usize..9, 1..5).prop_map(|n| Space::MultiDiscrete { n }),
    ]
}

proptest! {
    #[test]
    fn samples_belong_to_their_space_and_neighbours_do_not(space in space(), seed: u64) {
        prop_assert_eq!(space.flaw(), None);
        prop_assert_eq!(space.len(), space.shape().iter().product::<usize>());
        let mut rng = NumpyRng::new(seed);
        let mut sample = vec![f32::NAN; space.len()];
        prop_assert!(!space.contains(&sample), "NaN belongs to no space");
        for _ in 0..20 {
            space.sample(&mut rng, &mut sample);
            prop_assert!(space.contains(&sample), "{} does not contain {:?}", space, sample);
            space.gymnasium_sample(&mut rng, &mut sample);
            prop_assert!(space.contains(&sample), "{} does not contain Gymnasium's {:?}", space, sample);
        }
        prop_assert!(!space.contains(&sample[1..]), "too short");
        prop_assert!(!space.contains(&[&sample[..], &[0.0]].concat()), "too long");
    }

    #[test]
    fn integers_stay_below_their_bound(n in 1u64.., seed: u64) {
        let mut rng = NumpyRng::new(seed);
        prop_assert!((0..50).all(|_| rng.integers(n) < n));
    }

    #[test]
    fn rescaling_stays_within_the_bounds_keeps_the_order_and_can_be_undone(
        bounds in (-50.0f32..50.0, 0.01f32..100.0),
        actions in prop::collection::vec(-1.0f32..=1.0, 2),
    ) {
        let (low, high) = (bounds.0, bounds.0 + bounds.1);
        let mut env = RescaleAction::new(Simulated::new("Echo-v0", Echo { low, high, dtype: Dtype::F32 })).expect("bounded");
        let mut scaled = |normalised: f32| {
            let mut obs = [0.0];
            env.reset(None, &mut obs).expect("resets");
            env.step(&[normalised], &mut obs).expect("steps");
            obs[0]
        };
        prop_assert_eq!((scaled(-1.0), scaled(1.0)), (low, high));
        let (a, b) = (actions[0].min(actions[1]), actions[0].max(actions[1]));
        let (scaled_a, scaled_b) = (scaled(a), scaled(b));
        prop_assert!(low <= scaled_a && scaled_a <= scaled_b && scaled_b <= high);
        let middle = (f64::from(low) + f64::from(high)) / 2.0;
        let half = (f64::from(high) - f64::from(low)) / 2.0;
        let back = (f64::from(scaled_a) - middle) / half;
        // One rounding to f32 at the size of the larger bound, in normalised units.
        let tolerance = f64::from(low.abs().max(high.abs())) * f64::from(f32::EPSILON) / half;
        prop_assert!((back - f64::from(a)).abs() <= tolerance, "{} came back as {}", a, back);
    }

    #[test]
    fn a_deserialised_stream_continues(seed: u64, before in 0usize..40) {
        let mut rng = NumpyRng::new(seed);
        for _ in 0..before {
            rng.next_u32();
            rng.standard_normal();
        }
        let text = serde_json::to_string(&(rng.clone(),)).expect("plain data");
        let (mut copy,): (NumpyRng,) = serde_json::from_str(&text).expect("written just now");
        prop_assert_eq!(copy.next_u32(), rng.next_u32());
        prop_assert_eq!(copy.standard_normal().to_bits(), rng.standard_normal().to_bits());
        prop_assert_eq!(copy, rng);
    }
}

/// Rewards and observations for these actions from a reset with seed 0, with resets without a seed after the ends of
/// episodes.
fn story(env: &mut dyn Env, actions: &[f32]) -> Vec<(u64, Vec<u32>)> {
    let mut obs = vec![0.0; env.observation_space().len()];
    env.reset(Some(0), &mut obs).expect("resets");
    let mut story = Vec::new();
    for action in actions {
        let outcome = env.step(&[*action], &mut obs).expect("steps");
        story.push((outcome.reward.to_bits(), obs.iter().map(|x| x.to_bits()).collect()));
        if outcome.status().is_over() {
            env.reset(None, &mut obs).expect("resets");
        }
    }
    story
}

fn wrapped(wrappers: String) -> Box<dyn Env> {
    let options = format!("time_limit = 23\nwrappers = [{wrappers}]")
        .parse()
        .expect("valid TOML");
    Registry::builtin().make("Pendulum-v1", &options).expect("fits")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn two_delays_are_one_of_their_sum(a in 1u64..6, b in 1u64..6, actions in prop::collection::vec(-2.0f32..2.0, 60)) {
        let delay = |steps| format!("{{ kind = 'action_delay', steps = {steps} }}");
        let mut two = wrapped(format!("{}, {}", delay(a), delay(b)));
        let mut one = wrapped(delay(a + b));
        prop_assert_eq!(story(&mut *two, &actions), story(&mut *one, &actions));
    }

    #[test]
    fn repeating_and_stacking_agree_with_doing_both_by_hand(
        times in 1usize..5,
        frames in 1usize..5,
        actions in prop::collection::vec(-2.0f32..2.0, 30),
    ) {
        let repeat = format!("{{ kind = 'action_repeat', times = {times} }}");
        let mut plain = wrapped(repeat.clone());
        let mut stacked = wrapped(format!("{repeat}, {{ kind = 'frame_stack', frames = {frames} }}"));
        for ((reward, obs), (same_reward, all)) in
            story(&mut *plain, &actions).into_iter().zip(story(&mut *stacked, &actions))
        {
            prop_assert_eq!(reward, same_reward);
            prop_assert_eq!(&obs[..], &all[3 * (frames - 1)..], "the newest stands last");
        }
        // The last repetition of an episode of 23 steps may be incomplete.
        let mut env = wrapped(repeat);
        let mut obs = [0.0; 3];
        env.reset(Some(0), &mut obs).expect("resets");
        let decisions = (1..).find(|_| env.step(&[0.0], &mut obs).expect("steps").truncated);
        prop_assert_eq!(decisions, Some(23usize.div_ceil(times)));
    }
}

/// Observes the last action.
struct Echo {
    low: f32,
    high: f32,
    dtype: Dtype,
}

impl Dynamics for Echo {
    type State = f32;

    fn observation_space(&self) -> Space {
        Space::unbounded(1)
    }

    fn action_space(&self) -> Space {
        Space::Box {
            shape: vec![1],
            low: vec![self.low],
            high: vec![self.high],
            dtype: self.dtype,
        }
    }

    fn initial(&self, _rng: &mut NumpyRng) -> f32 {
        0.0
    }

    fn step(&self, state: &mut f32, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        *state = action[0];
        Transition {
            reward: 0.0,
            terminated: false,
        }
    }

    fn observe(&self, state: &f32, obs: &mut [f32]) {
        obs[0] = *state;
    }
}

/// Episodes of random length, so that the environments of a vector end theirs at different steps.
struct Dice;

impl Dynamics for Dice {
    type State = f64;

    fn observation_space(&self) -> Space {
        Space::unbounded(2)
    }

    fn action_space(&self) -> Space {
        Space::boxed(3, -1.0, 1.0)
    }

    fn initial(&self, rng: &mut NumpyRng) -> f64 {
        rng.standard_normal()
    }

    fn step(&self, state: &mut f64, action: &[f32], rng: &mut NumpyRng) -> Transition {
        *state += action.iter().map(|x| f64::from(*x)).sum::<f64>() + 0.1 * rng.standard_normal();
        Transition {
            reward: *state,
            terminated: rng.integers(4) == 0,
        }
    }

    fn observe(&self, state: &f64, obs: &mut [f32]) {
        obs.copy_from_slice(&[*state as f32, 1.0]);
    }
}

fn dice(n: usize) -> Vec<Box<dyn Env>> {
    (0..n)
        .map(|_| Box::new(Simulated::new("Dice-v0", Dice)) as Box<dyn Env>)
        .collect()
}

fn bits(step: &VecStep) -> (Vec<u32>, Vec<u32>, Vec<u64>, String) {
    let f32s = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect();
    let reward = step.reward.iter().map(|x| x.to_bits()).collect();
    (
        f32s(&step.obs),
        f32s(&step.next_obs),
        reward,
        format!("{:?} {:?}", step.status, step.finished),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn threads_change_no_bit(
        n in 1usize..9,
        threads in 1usize..5,
        seed in 0u64..1000,
        groups in prop::collection::vec((0usize..9, 1usize..9), 1..40),
        snapshot_at in 0usize..40,
    ) {
        let mut serial = Serial::new(dice(n)).expect("alike");
        let mut threaded = Threaded::new(dice(n), threads).expect("alike");
        let seeds: Vec<u64> = (0..n as u64).map(|i| seed + i).collect();
        prop_assert_eq!(bits(serial.reset(&seeds).expect("resets")), bits(threaded.reset(&seeds).expect("resets")));
        let mut rng = NumpyRng::new(seed);
        for (i, (start, len)) in groups.iter().enumerate() {
            let start = start % n;
            let group = start..(start + len).min(n);
            let actions: Vec<f32> = (0..group.len() * 3).map(|_| rng.uniform(-1.0, 1.0) as f32).collect();
            let one = bits(serial.step(group.clone(), &actions).expect("steps"));
            let other = bits(threaded.step(group.clone(), &actions).expect("steps"));
            prop_assert_eq!(one, other, "call {}: group {:?}", i, group);
            if i == snapshot_at {
                // Each continues from the other's snapshot in new environments.
                let (from_serial, from_threaded) =
                    (serial.snapshot().expect("written"), threaded.snapshot().expect("written"));
                prop_assert_eq!(&from_serial, &from_threaded);
                let mut fresh = Serial::new(dice(n)).expect("alike");
                fresh.restore(&from_threaded).expect("fits");
                serial = fresh;
                let mut fresh = Threaded::new(dice(n), threads).expect("alike");
                fresh.restore(&from_serial).expect("fits");
                threaded = fresh;
                prop_assert_eq!(bits(serial.current()), bits(threaded.current()));
            }
        }
    }

    #[test]
    fn a_vector_of_one_equals_a_single_environment(seed in 0u64..1000) {
        let registry = Registry::builtin();
        let none = toml::Table::new();
        let mut vector = registry.make_vec("ProbeEndless-v0", &none, 1, 1).expect("registered");
        let mut single = registry.make_normalised("ProbeEndless-v0", &none).expect("registered");
        let mut obs = vec![0.0; 1];
        single.reset(Some(seed), &mut obs).expect("resets");
        prop_assert_eq!(&vector.reset(&[seed]).expect("resets").obs, &obs);
        for step in 1..=12u64 {
            let outcome = single.step(&[0.5], &mut obs).expect("steps");
            let seen = vector.step(0..1, &[0.5]).expect("steps");
            prop_assert_eq!(&seen.next_obs, &obs);
            prop_assert_eq!((seen.reward[0], seen.status[0]), (outcome.reward, outcome.status()));
            prop_assert_eq!(seen.finished.len(), usize::from(step % 5 == 0));
            if let Some(summary) = seen.finished.first() {
                prop_assert_eq!((summary.episode_return, summary.length), (5.0, 5));
                single.reset(None, &mut obs).expect("resets");
            }
            prop_assert_eq!(&seen.obs, &obs);
        }
    }
}
