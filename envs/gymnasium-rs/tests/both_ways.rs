//! Both adapters: environments of gymnasium-rs here, and ours there.

use std::collections::HashMap;

use gymnasium_rs::core::{Env as TheirEnv, Info, Options, Reward, Space as TheirSpace};
use gymnasium_rs::envs::cartpole::CartPole;
use ndarray::{Array1, Array3};
use sac_envs::{Env, EnvEntry, EnvError, NumpyRng, Registry, Space, check_env};
use sac_gymnasium_rs::{AsGymnasiumRs, FromGymnasiumRs};

fn theirs() -> FromGymnasiumRs<CartPole, Array1<f32>, i32> {
    FromGymnasiumRs::new("TheirCartPole-v0", CartPole::new()).expect("usable spaces")
}

fn ours(id: &str) -> Box<dyn Env> {
    Registry::builtin().make(id, &toml::Table::new()).expect("registered")
}

#[test]
fn their_cart_pole_keeps_our_contract_except_its_bounds() {
    // The observation at the end of an episode may be outside of the stated bounds.
    let broken = check_env(|| Box::new(theirs()) as Box<dyn Env>)
        .expect_err("it leaves its space")
        .to_string();
    assert!(
        broken.contains("fails 1 of 12 checks") && broken.contains("observations lie in their space"),
        "{broken}"
    );
    let report = check_env(|| Box::new(theirs().with_unbounded_observations()) as Box<dyn Env>);
    assert!(report.unwrap_or_else(|e| panic!("{e}")).saw_an_end);
    assert_eq!(theirs().action_space(), &Space::Discrete { n: 2 });
    let Space::Box { low, high, .. } = theirs().observation_space().clone() else {
        panic!("numbers")
    };
    assert_eq!((low[1], high[1], high[0]), (f32::NEG_INFINITY, f32::INFINITY, 4.8));
}

#[test]
fn their_environment_is_registered_like_ours() {
    let mut registry = Registry::empty();
    let make = || Box::new(theirs()) as Box<dyn Env>;
    registry.register(EnvEntry::from_env("TheirCartPole-v0", "Keep a pole upright", make).with_time_limit(30));
    let env = registry
        .make("TheirCartPole-v0", &toml::Table::new())
        .expect("registered");
    assert_eq!(env.describe(), "TimeLimit(30) > Checked > TheirCartPole-v0");
}

/// An environment behind both adapters returns the numbers of the plain one.
#[test]
fn both_adapters_together_change_nothing() {
    type Vector = Array1<f32>;
    for id in ["Pendulum-v1", "EntityReach-v0"] {
        let mut plain = ours(id);
        let mut back: FromGymnasiumRs<_, Vector, Vector> =
            FromGymnasiumRs::new(id, AsGymnasiumRs::new(ours(id))).expect("usable spaces");
        compare(&mut *plain, &mut back, id);
    }
    let mut back: FromGymnasiumRs<_, Vector, i32> =
        FromGymnasiumRs::new("CartPole-v1", AsGymnasiumRs::new(ours("CartPole-v1"))).expect("usable spaces");
    compare(&mut *ours("CartPole-v1"), &mut back, "CartPole-v1");
}

fn compare(plain: &mut dyn Env, back: &mut dyn Env, id: &str) {
    let width = plain.observation_space().len();
    assert_eq!(back.observation_space().len(), width);
    let (mut a, mut b) = (vec![0.0; width], vec![0.0; width]);
    let mut action = vec![0.0; plain.action_space().len()];
    let (mut actions, mut seeds) = (NumpyRng::new(5), NumpyRng::new(7));
    back.reset(Some(7), &mut b).expect("resets");
    for step in 0..400 {
        if step == 0 {
            // The seed that the adapter passes on.
            plain.reset(Some(seeds.integers(1 << 31)), &mut a).expect("resets");
        }
        assert_eq!(a, b, "{id}, step {step}");
        plain.action_space().sample(&mut actions, &mut action);
        let (x, y) = (plain.step(&action, &mut a), back.step(&action, &mut b));
        let (x, y) = (x.expect("steps"), y.expect("steps"));
        assert_eq!(
            (x.reward as f32, x.status()),
            (y.reward as f32, y.status()),
            "{id}, step {step}"
        );
        if x.status().is_over() {
            plain.reset(Some(seeds.integers(1 << 31)), &mut a).expect("resets");
            back.reset(None, &mut b).expect("resets");
        }
    }
}

#[test]
fn a_step_of_ours_that_fails_ends_their_episode_with_a_reason() {
    let mut env = AsGymnasiumRs::new(ours("Pendulum-v1"));
    let unready: (Array1<f32>, Reward, bool, bool, Info) = env.step(Array1::from_vec(vec![0.0]));
    assert!(
        unready.2 && unready.4["error"].to_string().contains("reset"),
        "{:?}",
        unready.4
    );
    let (first, info) = TheirEnv::<Array1<f32>, Array1<f32>>::reset(&mut env, Some(3), HashMap::new());
    assert!(info.is_empty());
    let wrong = env.step(Array1::from_vec(vec![0.0, 0.0]));
    assert_eq!((wrong.0, wrong.1, wrong.2), (first, 0.0, true));
    assert!(wrong.4.contains_key("error"));
    let picture = TheirEnv::<Array1<f32>, Array1<f32>>::render(&env).expect("drawn");
    assert_eq!(picture.shape(), [320, 480, 3]);
    assert!(picture.iter().any(|value| *value != 255));
}

/// An environment with an invalid space, wrong observations and a panic.
struct Broken(TheirSpace);

impl TheirEnv<Array1<f32>, i32> for Broken {
    fn observation_space(&self) -> TheirSpace {
        TheirSpace::Box {
            low: Array1::zeros(2),
            high: Array1::ones(2),
        }
    }
    fn action_space(&self) -> TheirSpace {
        self.0.clone()
    }
    fn reset(&mut self, _: Option<i32>, _: Options) -> (Array1<f32>, Info) {
        (Array1::zeros(3), Info::new())
    }
    fn step(&mut self, _: i32) -> (Array1<f32>, Reward, bool, bool, Info) {
        panic!("the wheel came off")
    }
    fn render(&self) -> Option<Array3<u8>> {
        None
    }
    fn close(&mut self) {}
}

#[test]
fn an_invalid_environment_is_an_error_and_not_a_panic() {
    let bad = [
        TheirSpace::Discrete(0),
        TheirSpace::Discrete(-3),
        TheirSpace::Box {
            low: Array1::zeros(1),
            high: Array1::ones(2),
        },
    ];
    for space in bad {
        let refused = FromGymnasiumRs::<_, Array1<f32>, i32>::new("Broken-v0", Broken(space)).err();
        assert!(matches!(refused, Some(EnvError::Unsupported { .. })), "{refused:?}");
    }
    let mut env = FromGymnasiumRs::new("Broken-v0", Broken(TheirSpace::Discrete(2))).expect("usable spaces");
    let short = env
        .reset(Some(0), &mut [0.0; 2])
        .expect_err("three numbers")
        .to_string();
    assert!(short.contains('3') && short.contains("Broken-v0"), "{short}");
    let fell = env.step(&[0.0], &mut [0.0; 2]).expect_err("it panics").to_string();
    assert!(fell.contains("the wheel came off"), "{fell}");
}
