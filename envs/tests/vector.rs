//! Vector environments: errors, and the ends of episodes.

use sac_envs::{Dynamics, Env, NumpyRng, Serial, Simulated, Space, Status, Threaded, Transition, VecEnv};

/// Counts its steps. An action of -1 makes it panic, and the third step ends the episode.
struct Counter;

impl Dynamics for Counter {
    type State = u32;

    fn observation_space(&self) -> Space {
        Space::boxed(1, 0.0, 3.0)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -1.0, 1.0)
    }

    fn initial(&self, _rng: &mut NumpyRng) -> u32 {
        0
    }

    fn step(&self, steps: &mut u32, action: &[f32], _rng: &mut NumpyRng) -> Transition {
        assert!(action[0] >= 0.0, "a negative action");
        *steps += 1;
        Transition {
            reward: f64::from(*steps),
            terminated: *steps == 3,
        }
    }

    fn observe(&self, steps: &u32, obs: &mut [f32]) {
        obs[0] = *steps as f32;
    }
}

fn counters(n: usize) -> Vec<Box<dyn Env>> {
    (0..n)
        .map(|_| Box::new(Simulated::new("Counter-v0", Counter)) as Box<dyn Env>)
        .collect()
}

fn both(n: usize) -> [Box<dyn VecEnv>; 2] {
    [
        Box::new(Serial::new(counters(n)).expect("alike")),
        Box::new(Threaded::new(counters(n), 2).expect("alike")),
    ]
}

#[test]
fn at_an_episodes_end_next_obs_is_the_successor_and_obs_the_new_start() {
    for mut envs in both(3) {
        envs.reset(&[0, 1, 2]).expect("resets");
        envs.step(0..3, &[0.0; 3]).expect("steps");
        envs.step(1..3, &[0.0; 2]).expect("steps");
        let step = envs.step(1..2, &[0.0]).expect("steps");
        assert_eq!(step.obs, [1.0, 0.0, 2.0]);
        assert_eq!(step.next_obs, [1.0, 3.0, 2.0]);
        assert_eq!(step.reward, [1.0, 3.0, 2.0]);
        assert_eq!(step.status, [Status::Running, Status::Terminated, Status::Running]);
        let [ended] = step.finished[..] else {
            panic!("one episode ended: {:?}", step.finished)
        };
        assert_eq!((ended.env, ended.episode_return, ended.length), (1, 6.0, 3));
        assert!(envs.step(0..1, &[0.0]).expect("steps").finished.is_empty());
    }
}

#[test]
fn a_panicking_environment_is_named_and_leaves_the_others_unharmed() {
    for mut envs in both(4) {
        envs.reset(&[0; 4]).expect("resets");
        let message = envs
            .step(0..4, &[0.0, 0.0, -1.0, 0.0])
            .expect_err("the third panics")
            .to_string();
        assert_eq!(
            message,
            "Counter-v0 (environment 2): panicked after step 0 of an episode: a negative action"
        );
        assert_eq!(envs.current().obs, [1.0, 1.0, 0.0, 1.0]);
        envs.step(0..2, &[0.0; 2]).expect("the neighbours go on");
        let message = envs.step(2..4, &[0.0; 2]).expect_err("still spoilt").to_string();
        assert_eq!(
            message,
            "Counter-v0 (environment 2): step was called after a panic; call reset first"
        );
        assert!(envs.snapshot().is_err(), "a half-made state is not written down");
        envs.reset(&[0; 4]).expect("all start afresh");
        assert_eq!(envs.step(0..4, &[0.0; 4]).expect("steps").obs, [1.0; 4]);
    }
}

#[test]
fn arguments_of_the_wrong_length_are_refused() {
    for mut envs in both(3) {
        assert!(
            envs.step(0..3, &[0.0; 3])
                .expect_err("no reset yet")
                .to_string()
                .contains("before the first reset")
        );
        assert!(envs.reset(&[0; 2]).is_err());
        envs.reset(&[0; 3]).expect("resets");
        for (group, actions) in [(0..0, 0), (0..4, 4), (0..2, 3), (3..4, 1)] {
            assert!(
                envs.step(group.clone(), &vec![0.0; actions]).is_err(),
                "{group:?} with {actions} actions"
            );
        }
        let mut snapshots = envs.snapshot().expect("written");
        snapshots[1].pop();
        let message = envs.restore(&snapshots).expect_err("one byte short").to_string();
        assert!(message.contains("(environment 1): cannot restore"), "{message}");
        assert!(envs.restore(&snapshots[..2]).is_err());
    }
}

#[test]
fn environments_with_different_spaces_are_refused() {
    let mixed = || {
        let mut envs = counters(2);
        envs.push(Box::new(Simulated::new(
            "Pendulum-v1",
            sac_envs::classic::Pendulum::default(),
        )));
        envs
    };
    let message = Serial::new(mixed()).err().expect("refused").to_string();
    assert_eq!(
        message,
        "Counter-v0: environment 2 (Pendulum-v1) has other spaces than environment 0"
    );
    assert!(Threaded::new(mixed(), 2).is_err());
    assert!(Serial::new(Vec::new()).is_err());
}
