//! Invalid descriptions of environments are errors and never panics.

use std::num::NonZero;

use proptest::prelude::*;
use sac_envs::entity::Arena;
use sac_envs::render::{Frame, FrameSize};
use sac_envs::{
    ActionDelay, ActionNoise, Dtype, Dynamics, EntityReach, Env, EnvEntry, EnvError, FrameStack, NumpyRng,
    ObservationNoise, Outcome, Pixels, Registry, RescaleAction, Serial, Simulated, Space, Transition,
};
use serde::{Deserialize, Serialize};

/// A task with any spaces.
#[derive(Clone, Debug)]
struct Shapeless {
    observation: Space,
    action: Space,
}

impl Dynamics for Shapeless {
    type State = ();

    fn observation_space(&self) -> Space {
        self.observation.clone()
    }

    fn action_space(&self) -> Space {
        self.action.clone()
    }

    fn initial(&self, _rng: &mut NumpyRng) {}

    fn step(&self, (): &mut (), _action: &[f32], _rng: &mut NumpyRng) -> Transition {
        Transition {
            reward: 0.0,
            terminated: true,
        }
    }

    fn observe(&self, (): &(), obs: &mut [f32]) {
        obs.fill(0.0);
    }
}

fn options(text: &str) -> toml::Table {
    text.parse().expect("the test's TOML is valid")
}

fn message<T>(result: Result<T, EnvError>) -> String {
    result.err().expect("refused").to_string()
}

/// Spaces of which most have a flaw.
fn any_space() -> impl Strategy<Value = Space> {
    let bound = || {
        prop_oneof![
            Just(f32::NAN),
            Just(f32::INFINITY),
            Just(f32::NEG_INFINITY),
            -2.0f32..2.0
        ]
    };
    let bounds = || prop::collection::vec(bound(), 0..4);
    let whole = || prop::collection::vec((-300i32..300).prop_map(|bound| bound as f32), 0..4);
    let whole_or_not = || prop_oneof![(bounds(), bounds()), (whole(), whole())];
    let any_dtype = || prop_oneof![Just(Dtype::F32), Just(Dtype::U8), Just(Dtype::I32)];
    let shape = prop_oneof![
        prop::collection::vec(0usize..4, 0..4),
        Just(vec![usize::MAX, 2]),
        (0usize..4).prop_map(|len| vec![len])
    ];
    prop_oneof![
        (bounds(), bounds()).prop_map(|(low, high)| Space::vector(low, high)),
        (shape, whole_or_not(), any_dtype()).prop_map(|(shape, (low, high), dtype)| Space::Box {
            shape,
            low,
            high,
            dtype,
        }),
        (0usize..3).prop_map(|n| Space::Discrete { n }),
        prop::collection::vec(0usize..3, 0..3).prop_map(|n| Space::MultiDiscrete { n }),
    ]
}

proptest! {
    /// Each constructor gives an environment or an error; a panic fails the test.
    #[test]
    fn an_environment_with_a_flawed_space_is_refused_where_it_is_made(observation in any_space(), action in any_space()) {
        let flawed = observation.clone().checked().is_err() || action.clone().checked().is_err();
        let task = Shapeless { observation, action };
        let made = {
            let (task, registered) = (&task, task.clone());
            let mut registry = Registry::empty();
            registry.register(EnvEntry::new("Shapeless-v0", "Any spaces", move || registered.clone()));
            // For an agent an environment may be refused for other reasons as well, but it must not panic.
            let served = registry.make_normalised("Shapeless-v0", &toml::Table::new());
            prop_assert!(!(flawed && served.is_ok()), "{:?} was taken", task);
            registry.make("Shapeless-v0", &toml::Table::new()).map(|_| ())
        };
        prop_assert_eq!(made.is_err(), flawed, "{:?}: {:?}", task, made);
        let env = || Simulated::new("Shapeless-v0", task.clone());
        let two = NonZero::new(2).expect("two");
        for (is_ok, needs_sound_spaces) in [
            (ActionDelay::new(env(), two).is_ok(), true),
            (ActionNoise::new(env(), 0.1, 0).is_ok(), true),
            (FrameStack::new(env(), two).is_ok(), true),
            (RescaleAction::new(env()).is_ok(), true),
            (Serial::new(vec![Box::new(env())]).is_ok(), true),
            (ObservationNoise::new(env(), 0.1, 0).is_ok(), false),
        ] {
            prop_assert!(!(is_ok && needs_sound_spaces && flawed), "{:?} was taken", task);
        }
    }
}

#[test]
fn a_flaw_is_named_with_the_environment_and_the_space() {
    let task = Shapeless {
        observation: Space::unbounded(2),
        action: Space::boxed(1, 1.0, -1.0),
    };
    let mut registry = Registry::empty();
    registry.register(EnvEntry::new("Shapeless-v0", "Any spaces", move || task.clone()));
    assert_eq!(
        message(registry.make("Shapeless-v0", &options("wrappers = [{ kind = 'action_delay' }]"))),
        "Shapeless-v0: its action space Box[1] in [1, -1] has a flaw: the bounds [1, -1] of coordinate 0 contain no number"
    );
    assert_eq!(
        message(Space::vector(vec![0.0; 2], vec![1.0; 3]).checked()),
        "Box[2] in [0, 1]: shape [2] has 2 coordinates, but there are 2 lower and 3 upper bounds"
    );
}

#[test]
fn a_scalar_observation_stacks_to_a_vector() {
    let task = Shapeless {
        observation: Space::unbounded(1).reshaped(Vec::new()),
        action: Space::Discrete { n: 1 },
    };
    let env = FrameStack::new(Simulated::new("Scalar-v0", task), NonZero::new(3).expect("three")).expect("sound");
    assert_eq!(env.observation_space().shape(), [3]);
}

#[test]
fn a_time_limit_of_no_steps_is_an_error_of_the_entry() {
    let entry = EnvEntry::with_options::<EntityReach>("Reach-v0", "A copy").with_time_limit(0);
    let expected = "Reach-v0: option `time_limit`: expected at least 1 step, found 0";
    let none = toml::Table::new();
    assert_eq!(message(entry.make(&none)), expected);
    assert_eq!(message(entry.page(&none)), expected);
    let mut registry = Registry::empty();
    registry.register(entry);
    assert_eq!(message(registry.make_vec("Reach-v0", &none, 2, 1)), expected);
}

/// Options that are a number and not a table.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Bare(f64);

#[test]
fn options_that_are_no_table_are_an_error_of_the_entry() {
    let entry = EnvEntry::from_options("Bare-v0", "Bare", |_: Bare| {
        Registry::builtin().make("Pendulum-v1", &options(""))
    });
    let refused = message(entry.make(&toml::Table::new()));
    assert!(refused.starts_with("Bare-v0: its options are not a table"), "{refused}");
}

#[test]
fn an_arena_without_entities_marks_none() {
    let EntityReach(arena) = EntityReach::default();
    let empty = Arena { entities: 0, ..arena };
    assert_eq!(empty.marked(), 0);
    let mut env = Simulated::new("Empty-v0", EntityReach(empty));
    let mut obs = vec![0.0; env.observation_space().len()];
    env.reset(Some(0), &mut obs).expect("one token");
    env.step(&[0.0, 0.0], &mut obs).expect("still one token");
}

/// Draws a picture of the wrong size, or one whose bytes are missing.
struct Painter {
    inner: Simulated<EntityReach>,
    missing_bytes: bool,
}

impl Env for Painter {
    fn describe(&self) -> String {
        "Painter-v0".into()
    }

    fn observation_space(&self) -> &Space {
        self.inner.observation_space()
    }

    fn action_space(&self) -> &Space {
        self.inner.action_space()
    }

    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.inner.reset(seed, obs)
    }

    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.inner.step(action, obs)
    }

    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        self.inner.snapshot()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.inner.restore(snapshot)
    }

    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        let mut frame = self.inner.render(FrameSize { width: 9, height: 9 })?;
        if self.missing_bytes {
            frame.size = size;
        }
        Ok(frame)
    }
}

#[test]
fn a_picture_that_does_not_fit_is_an_error_of_the_environment() {
    for (missing_bytes, expected) in [
        (false, "Painter-v0: it drew a picture of 9 × 9 pixels, expected 12 × 10"),
        (
            true,
            "Painter-v0: a picture of 12 × 10 pixels has 243 bytes, expected 360",
        ),
    ] {
        let inner = Simulated::new("EntityReach-v0", EntityReach::default());
        let painter = Painter { inner, missing_bytes };
        let size = FrameSize { width: 12, height: 10 };
        let mut env = Pixels::new(painter, size, false).expect("it draws");
        let mut obs = vec![0.0; env.observation_space().len()];
        assert_eq!(message(env.reset(Some(0), &mut obs)), expected);
    }
}
