//! Pictures of all tasks.

use sac_envs::render::{Colour, Frame, FrameSize};
use sac_envs::{Env, EnvError, NumpyRng, Outcome, Pixels, Registry, Space};

const SIZE: FrameSize = FrameSize { width: 90, height: 60 };

fn make(id: &str, options: &str) -> Box<dyn Env> {
    let options = options.parse().expect("the test's TOML is valid");
    Registry::builtin().make_normalised(id, &options).expect("registered")
}

/// The picture after a reset with seed 5 and `steps` random steps.
fn picture(env: &mut dyn Env, steps: usize) -> Frame {
    let (mut obs, mut rng) = (vec![0.0; env.observation_space().len()], NumpyRng::new(2));
    let mut action = vec![0.0; env.action_space().len()];
    env.reset(Some(5), &mut obs).expect("resets");
    for _ in 0..steps {
        env.action_space().sample(&mut rng, &mut action);
        if env.step(&action, &mut obs).expect("steps").status().is_over() {
            break;
        }
    }
    env.render(SIZE).expect("drawn")
}

#[test]
fn drawing_changes_no_state_and_equal_states_have_equal_pictures() {
    let registry = Registry::builtin();
    for entry in registry.entries() {
        let [mut env, mut again] = [(), ()].map(|()| make(&entry.id, ""));
        let first = picture(&mut *env, 0);
        let later = picture(&mut *env, 8);
        let before = env.snapshot().expect("written");
        assert_eq!(
            env.render(SIZE).expect("drawn"),
            later,
            "{}: twice the same state",
            entry.id
        );
        assert_eq!(
            env.snapshot().expect("written"),
            before,
            "{}: drawing changed it",
            entry.id
        );
        assert_eq!(picture(&mut *again, 8), later, "{}: a copy in the same state", entry.id);
        let ground = Frame::filled(SIZE, Colour::WHITE);
        assert_ne!(first, ground, "{}: nothing is drawn", entry.id);
        if entry.family != "probe" {
            assert_ne!(first, later, "{}: eight steps cannot be seen", entry.id);
        }
    }
}

#[test]
fn wrappers_have_the_picture_of_the_inner_environment() {
    let wrapped =
        "wrappers = [{ kind = 'action_noise', std = 0.0 }, { kind = 'reward_scale' }, { kind = 'frame_stack' },
        { kind = 'observation_noise' }]";
    assert_eq!(
        picture(&mut *make("Pendulum-v1", wrapped), 4),
        picture(&mut *make("Pendulum-v1", ""), 4)
    );
}

#[test]
fn before_the_first_reset_the_start_of_seed_0_is_drawn() {
    let mut env = make("CartPole-v1", "");
    let before = env.render(SIZE).expect("drawn");
    env.reset(None, &mut [0.0; 4]).expect("resets");
    assert_eq!(env.render(SIZE).expect("drawn"), before);
}

#[test]
fn a_picture_without_pixels_is_refused() {
    let size = FrameSize { width: 0, height: 60 };
    let refused = make("Acrobot-v1", "").render(size).expect_err("no pixels").to_string();
    assert_eq!(
        refused,
        "Acrobot-v1: a picture of 0 × 60 pixels cannot be drawn; sides are 1 to 4096"
    );
}

/// A hand-written environment without a drawing.
struct Plain(Space);

impl Env for Plain {
    fn describe(&self) -> String {
        "Plain-v0".to_string()
    }
    fn observation_space(&self) -> &Space {
        &self.0
    }
    fn action_space(&self) -> &Space {
        &self.0
    }
    fn reset(&mut self, _seed: Option<u64>, _obs: &mut [f32]) -> Result<(), EnvError> {
        Ok(())
    }
    fn step(&mut self, _action: &[f32], _obs: &mut [f32]) -> Result<Outcome, EnvError> {
        Ok(Outcome {
            reward: 0.0,
            terminated: false,
            truncated: false,
            success: None,
        })
    }
    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        Ok(Vec::new())
    }
    fn restore(&mut self, _snapshot: &[u8]) -> Result<(), EnvError> {
        Ok(())
    }
}

#[test]
fn an_environment_without_a_drawing_says_so() {
    let refused = Plain(Space::unbounded(1))
        .render(SIZE)
        .expect_err("no drawing")
        .to_string();
    assert_eq!(refused, "Plain-v0: it has no drawing");
    let refused = Pixels::new(Plain(Space::unbounded(1)), SIZE, true)
        .err()
        .expect("no drawing")
        .to_string();
    assert_eq!(
        refused,
        "Plain-v0: it has no drawing; without the wrapper `pixels` the agent observes numbers"
    );
}
