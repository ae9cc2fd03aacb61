//! The effect of each wrapper, the contract of all of them around every task, and their configuration.

use std::num::NonZero;

use sac_envs::render::{Frame, FrameSize};
use sac_envs::{
    ActionDelay, ActionNoise, ActionRepeat, Dynamics, Env, EnvEntry, EnvError, FrameStack, NumpyRng, ObservationNoise,
    Outcome, Registry, RewardScale, Simulated, Space, Transition, Warning, WrapperSpec, check_env,
};

fn options(text: &str) -> toml::Table {
    text.parse().expect("the test's TOML is valid")
}

/// Every wrapper alone, then several together, as TOML.
const STACKS: [&str; 8] = [
    "wrappers = [{ kind = 'observation_noise', std = 0.3 }]",
    "wrappers = [{ kind = 'action_noise', std = 0.3 }]",
    "wrappers = [{ kind = 'reward_scale', factor = -0.5 }]",
    "wrappers = [{ kind = 'action_delay', steps = 3 }]",
    "wrappers = [{ kind = 'action_repeat', times = 3 }]",
    "wrappers = [{ kind = 'frame_stack', frames = 3 }]",
    "wrappers = [{ kind = 'action_repeat' }, { kind = 'pixels', width = 12, height = 9 }, { kind = 'frame_stack' }]",
    "time_limit = 37
     wrappers = [{ kind = 'action_noise' }, { kind = 'action_delay' }, { kind = 'action_repeat' },
                 { kind = 'observation_noise' }, { kind = 'frame_stack' }, { kind = 'reward_scale' },
                 { kind = 'observation_noise' }, { kind = 'action_noise' }]",
];

#[test]
fn every_stack_of_wrappers_keeps_the_contract_around_every_task() {
    let registry = Registry::builtin();
    // One MuJoCo task is enough, because all of them share `MujocoSim`.
    let is_tried = |entry: &&EnvEntry| !entry.takes_long() || entry.id == "InvertedPendulum-v5";
    for entry in registry.entries().iter().filter(is_tried) {
        let discrete = !matches!(
            entry.make(&options("")).expect("registered").action_space(),
            Space::Box { .. }
        );
        for stack in STACKS {
            let stack = options(stack);
            if discrete && stack["wrappers"].to_string().contains("action_noise") {
                let refused = entry.make(&stack).err().expect("no noise on indices").to_string();
                assert!(refused.contains("take no noise"), "{refused}");
                continue;
            }
            let report = check_env(|| registry.make_normalised(&entry.id, &stack).expect("fits"));
            let report = report.unwrap_or_else(|e| panic!("{e}"));
            assert!(report.saw_an_end, "{}: no episode ended", report.env);
        }
    }
}

/// Observes the last action and the number of the step; ends after eight steps.
struct Echo;

impl Dynamics for Echo {
    type State = (f32, u32);

    fn observation_space(&self) -> Space {
        Space::boxed(2, -10.0, 10.0)
    }

    fn action_space(&self) -> Space {
        Space::boxed(1, -2.0, 2.0)
    }

    fn initial(&self, _rng: &mut NumpyRng) -> (f32, u32) {
        (9.0, 0)
    }

    fn step(&self, state: &mut (f32, u32), action: &[f32], _rng: &mut NumpyRng) -> Transition {
        *state = (action[0], state.1 + 1);
        Transition {
            reward: f64::from(state.1),
            terminated: state.1 == 8,
        }
    }

    fn observe(&self, state: &(f32, u32), obs: &mut [f32]) {
        obs.copy_from_slice(&[state.0, state.1 as f32]);
    }
}

fn echo() -> Simulated<Echo> {
    Simulated::new("Echo-v0", Echo)
}

/// The observations of a reset with seed 7 and of steps with these actions.
fn run(env: &mut dyn Env, actions: &[f32]) -> Vec<Vec<f32>> {
    let mut obs = vec![0.0; env.observation_space().len()];
    env.reset(Some(7), &mut obs).expect("resets");
    let mut seen = vec![obs.clone()];
    for action in actions {
        if env.step(&[*action], &mut obs).expect("steps").status().is_over() {
            env.reset(None, &mut obs).expect("resets");
        }
        seen.push(obs.clone());
    }
    seen
}

fn std_of(numbers: &[f64]) -> f64 {
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    (numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / numbers.len() as f64).sqrt()
}

#[test]
fn observation_noise_has_its_scale_and_leaves_the_task_alone() {
    let none = options("");
    let noisy = options("wrappers = [{ kind = 'observation_noise', std = 0.25 }]");
    let mut envs = [none, noisy].map(|options| Registry::builtin().make("Pendulum-v1", &options).expect("valid"));
    let actions: Vec<f32> = (0..2000).map(|i| (i as f32 / 7.0).sin()).collect();
    let [clean, noisy] = envs.each_mut().map(|env| run(&mut **env, &actions));
    let noise: Vec<f64> = clean
        .concat()
        .iter()
        .zip(noisy.concat())
        .map(|(x, y)| f64::from(y - x))
        .collect();
    // If the task had drawn other numbers, the difference would be as large as the observations.
    let std = std_of(&noise);
    assert!((std - 0.25).abs() < 0.01, "{std}");
}

#[test]
fn wrappers_of_one_stack_draw_different_noise_and_a_seeded_reset_repeats_it() {
    let noise = |stream| {
        run(
            &mut ObservationNoise::new(echo(), 1.0, stream).expect("fits"),
            &[0.0; 50],
        )
        .concat()
    };
    assert_eq!(noise(0), noise(0));
    assert_ne!(noise(0), noise(1));
    let mut env = ObservationNoise::new(echo(), 1.0, 0).expect("fits");
    let first = run(&mut env, &[0.0; 50]);
    assert_eq!(first, run(&mut env, &[0.0; 50]), "the same seed again");
    assert_ne!(first[0], first[8], "an unseeded reset continues the stream");
}

#[test]
fn action_noise_is_relative_to_the_range_and_stays_within_it() {
    let mut env = ActionNoise::new(echo(), 0.1, 0).expect("fits");
    let seen = run(&mut env, &[0.5; 4000]);
    let arrived: Vec<f64> = seen
        .iter()
        .filter(|obs| obs[1] > 0.0)
        .map(|obs| f64::from(obs[0]) - 0.5)
        .collect();
    let std = std_of(&arrived);
    assert!(
        (std - 0.2).abs() < 0.01,
        "a tenth of half the range of 4 is 0.2, found {std}"
    );
    let seen = run(&mut ActionNoise::new(echo(), 5.0, 0).expect("fits"), &[2.0; 100]);
    assert!(
        seen.iter()
            .filter(|obs| obs[1] > 0.0)
            .all(|obs| (-2.0..=2.0).contains(&obs[0]))
    );
}

#[test]
fn a_delayed_action_arrives_that_many_steps_later_and_never_in_the_next_episode() {
    let mut env = ActionDelay::new(echo(), NonZero::new(3).expect("three")).expect("fits");
    let actions: Vec<f32> = (1..=16).map(|i| i as f32 / 10.0).collect();
    let seen: Vec<f32> = run(&mut env, &actions).iter().map(|obs| obs[0]).collect();
    let expected = [
        9.0, 0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 9.0, 0.0, 0.0, 0.0, 0.9, 1.0, 1.1, 1.2, 9.0,
    ];
    assert_eq!(seen, expected);
    let refused = env.step(&[f32::NAN], &mut [0.0; 2]).expect_err("NaN").to_string();
    assert_eq!(refused, "Echo-v0: action [NaN] is outside Box[1] in [-2, 2]");
}

#[test]
fn repeated_actions_add_up_their_rewards_until_the_episode_ends() {
    let mut env = ActionRepeat::new(echo(), NonZero::new(3).expect("three"));
    let mut obs = [0.0; 2];
    env.reset(Some(0), &mut obs).expect("resets");
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let outcome = env.step(&[1.0], &mut obs).expect("steps");
        outcomes.push((outcome.reward, outcome.terminated, obs[1]));
    }
    assert_eq!(outcomes, [(6.0, false, 3.0), (15.0, false, 6.0), (15.0, true, 8.0)]);
}

#[test]
fn the_time_limit_below_a_repetition_counts_task_steps() {
    let text = "time_limit = 100\nwrappers = [{ kind = 'action_repeat', times = 8 }]";
    let mut env = Registry::builtin().make("Pendulum-v1", &options(text)).expect("valid");
    let mut obs = [0.0; 3];
    env.reset(Some(0), &mut obs).expect("resets");
    let steps = (1..).find(|_| env.step(&[0.0], &mut obs).expect("steps").truncated);
    assert_eq!(steps, Some(13));
}

#[test]
fn stacked_vectors_are_ordered_oldest_first() {
    let mut env = FrameStack::new(echo(), NonZero::new(3).expect("three")).expect("fits");
    let seen = run(&mut env, &[0.1, 0.2, 0.3]);
    assert_eq!(seen[0], [9.0, 0.0, 9.0, 0.0, 9.0, 0.0]);
    assert_eq!(seen[2], [9.0, 0.0, 0.1, 1.0, 0.2, 2.0]);
    assert_eq!(seen[3], [0.1, 1.0, 0.2, 2.0, 0.3, 3.0]);
    assert_eq!(env.observation_space().shape(), [6]);
}

#[test]
fn stacked_tokens_stay_tokens() {
    let text = "wrappers = [{ kind = 'frame_stack', frames = 2 }]";
    let registry = Registry::builtin();
    let mut plain = registry.make("EntityReach-v0", &options("")).expect("registered");
    let mut stacked = registry.make("EntityReach-v0", &options(text)).expect("registered");
    assert_eq!(stacked.observation_space().shape(), [9, 12]);
    let (mut before, mut after, mut both) = ([0.0; 54], [0.0; 54], [0.0; 108]);
    plain.reset(Some(1), &mut before).expect("resets");
    plain.step(&[1.0, 0.0], &mut after).expect("steps");
    stacked.reset(Some(1), &mut both).expect("resets");
    stacked.step(&[1.0, 0.0], &mut both).expect("steps");
    for (token, (before, after)) in both.chunks(12).zip(before.chunks(6).zip(after.chunks(6))) {
        assert_eq!(token, [before, after].concat());
    }
    assert!(
        stacked.observation_space().contains(&both),
        "bounds moved with their numbers"
    );
}

#[test]
fn pixels_are_the_picture_channel_by_channel_and_stack_along_the_channels() {
    let text = "wrappers = [{ kind = 'pixels' }, { kind = 'frame_stack' }]";
    let mut env = Registry::builtin().make("Pendulum-v1", &options(text)).expect("valid");
    assert_eq!(env.observation_space().to_string(), "Box[9, 84, 84] u8");
    let mut obs = vec![0.0; env.observation_space().len()];
    env.reset(Some(0), &mut obs).expect("resets");
    env.step(&[2.0], &mut obs).expect("steps");
    let size = FrameSize { width: 84, height: 84 };
    let frame = env.render(size).expect("drawn");
    let newest = &obs[6 * 84 * 84..];
    for (i, pixel) in frame.rgb.chunks(3).enumerate() {
        let shown = [0, 1, 2].map(|channel| newest[channel * 84 * 84 + i]);
        assert_eq!(shown, [0, 1, 2].map(|channel| f32::from(pixel[channel])), "pixel {i}");
    }
    let red = newest.iter().filter(|level| **level < 255.0).count();
    assert!(red > 100, "the rod is drawn: {red}");
    assert_ne!(newest, &obs[..3 * 84 * 84], "the rod moved");

    let text = "wrappers = [{ kind = 'pixels', grey = true }]";
    let mut env = Registry::builtin().make("Pendulum-v1", &options(text)).expect("valid");
    assert_eq!(env.observation_space().shape(), [1, 84, 84]);
    let mut obs = vec![0.0; 84 * 84];
    env.reset(Some(0), &mut obs).expect("resets");
    let grey: Vec<f32> = env.render(size).expect("drawn").grey().map(f32::from).collect();
    assert_eq!(obs, grey);
}

#[test]
fn stacked_frames_is_one_where_older_frames_change() {
    let promised = |id: &str, wrappers: &str| {
        let stack = options(&format!("wrappers = [{wrappers}]"));
        let env = Registry::builtin().make_normalised(id, &stack).expect("valid");
        env.stacked_frames()
    };
    let pixels = "{ kind = 'pixels', width = 12, height = 9 }";
    let stack = "{ kind = 'frame_stack', frames = 4 }";
    for (frames, wrappers) in [
        (1, String::new()),
        (4, stack.to_string()),
        (4, format!("{pixels}, {stack}")),
        (
            4,
            format!(
                "{pixels}, {stack}, {{ kind = 'action_delay' }}, {{ kind = 'action_noise' }}, {{ kind = 'reward_scale' }}"
            ),
        ),
        (4, format!("{pixels}, {stack}, {{ kind = 'action_repeat', times = 1 }}")),
        (1, format!("{pixels}, {stack}, {{ kind = 'action_repeat', times = 2 }}")),
        (1, format!("{stack}, {{ kind = 'observation_noise' }}")),
        (1, format!("{stack}, {pixels}")),
        (4, format!("{{ kind = 'observation_noise' }}, {stack}")),
        (4, format!("{pixels}, {{ kind = 'frame_stack', frames = 2 }}, {stack}")),
    ] {
        assert_eq!(promised("Pendulum-v1", &wrappers), frames, "{wrappers}");
    }
    assert_eq!(
        promised("EntityReach-v0", stack),
        1,
        "the rows of a set are joined one by one"
    );
    for threads in [1, 2] {
        let stack = options(&format!("wrappers = [{pixels}, {stack}]"));
        let envs = Registry::builtin()
            .make_vec("Pendulum-v1", &stack, 2, threads)
            .expect("valid");
        assert_eq!(envs.stacked_frames(), 4);
    }
}

#[test]
fn rewards_are_scaled() {
    let mut env = RewardScale::new(echo(), -0.5).expect("fits");
    let mut obs = [0.0; 2];
    env.reset(Some(0), &mut obs).expect("resets");
    assert_eq!(env.step(&[0.0], &mut obs).expect("steps").reward, -0.5);
    assert_eq!(env.step(&[0.0], &mut obs).expect("steps").reward, -1.0);
}

#[test]
fn a_snapshot_of_another_stack_is_refused_with_the_name_of_the_difference() {
    let registry = Registry::builtin();
    let make = |text: &str| registry.make("Pendulum-v1", &options(text)).expect("valid");
    let mut env = make("wrappers = [{ kind = 'action_noise', std = 0.2 }, { kind = 'frame_stack' }]");
    for (other, problem) in [
        (
            "wrappers = [{ kind = 'frame_stack' }, { kind = 'action_noise', std = 0.2 }]",
            "taken from `ActionNoise(0.2)`",
        ),
        (
            "wrappers = [{ kind = 'action_noise', std = 0.2 }, { kind = 'frame_stack', frames = 2 }]",
            "taken from `FrameStack(2)`",
        ),
        (
            "wrappers = [{ kind = 'action_noise', std = 0.3 }, { kind = 'frame_stack' }]",
            "taken from `ActionNoise(0.3)`",
        ),
        ("", "taken from `TimeLimit(200)`"),
    ] {
        let mut taken_from = make(other);
        let mut obs = vec![0.0; taken_from.observation_space().len()];
        taken_from.reset(Some(0), &mut obs).expect("resets");
        let refused = env
            .restore(&taken_from.snapshot().expect("written"))
            .expect_err("another stack")
            .to_string();
        assert!(refused.contains(problem), "{refused}");
    }
}

#[test]
fn the_order_of_wrappers_is_that_of_the_list() {
    let mut registry = Registry::empty();
    registry.register(EnvEntry::new("Echo-v0", "an echo", || Echo).with_time_limit(5));
    let text = "time_limit = 6\nwrappers = [{ kind = 'action_delay', steps = 2 }, { kind = 'frame_stack' }]";
    let env = registry.make_normalised("Echo-v0", &options(text)).expect("valid");
    assert_eq!(
        env.describe(),
        "RescaleAction > FrameStack(3) > ActionDelay(2) > TimeLimit(6) > Checked > Echo-v0"
    );
}

#[test]
fn invalid_wrappers_are_refused_with_their_position_and_the_valid_choices() {
    let kinds = "observation_noise, action_noise, reward_scale, action_delay, action_repeat, frame_stack, \
                 pixels";
    for (text, expected) in [
        (
            "wrappers = 3",
            "option `wrappers`: expected tables with a `kind`, found 3".to_string(),
        ),
        (
            "wrappers = ['noise']",
            "option `wrappers[0]`: expected tables with a `kind`, found \"noise\"".to_string(),
        ),
        (
            "wrappers = [{ std = 1.0 }]",
            format!("option `wrappers[0]`: it has no `kind`; expected one of {kinds}"),
        ),
        (
            "wrappers = [{ kind = 'reward_scale' }, { kind = 'actionnoise' }]",
            format!("option `wrappers[1].kind`: there is no wrapper \"actionnoise\"; expected one of {kinds}"),
        ),
        (
            "wrappers = [{ kind = 'actionnoise' }]",
            "; did you mean `action_noise`?".to_string(),
        ),
        (
            "wrappers = [{ kind = 'action_noise', sdt = 0.1 }]",
            "option `wrappers[0].sdt`: unknown parameter; expected one of std; did you mean `std`?".to_string(),
        ),
        (
            "wrappers = [{ kind = 'action_noise', std = 'big' }]",
            "option `wrappers[0].std`: expected a number".to_string(),
        ),
        (
            "wrappers = [{ kind = 'action_noise', std = -1 }]",
            "option `wrappers[0]`: std is -1, expected a number of at least 0".to_string(),
        ),
        (
            "wrappers = [{ kind = 'observation_noise', std = nan }]",
            "std is NaN, expected a number of at least 0".to_string(),
        ),
        (
            "wrappers = [{ kind = 'reward_scale', factor = 0.0 }]",
            "factor is 0, expected a finite number other than 0".to_string(),
        ),
        (
            "wrappers = [{ kind = 'frame_stack', frames = 0 }]",
            "option `wrappers[0].frames`: expected a whole number, at least 1".to_string(),
        ),
        (
            "wrappers = [{ kind = 'frame_stack', frames = 1000000000000 }]",
            "option `wrappers[0]`: frames is 1000000000000, expected at most 256".to_string(),
        ),
        (
            "wrappers = [{ kind = 'action_delay', steps = 1000000000000 }]",
            "option `wrappers[0]`: steps is 1000000000000, expected at most 10000".to_string(),
        ),
        (
            "wrappers = [{ kind = 'pixels', width = 0 }]",
            "option `wrappers[0]`: a picture of 0 × 84 pixels cannot be drawn; sides are 1 to 4096".to_string(),
        ),
        (
            "wrappers = [{ kind = 'pixels', gray = true }]",
            "option `wrappers[0].gray`: unknown parameter; expected one of width, height, grey; did you mean `grey`?"
                .to_string(),
        ),
        (
            "wrappers = [{ kind = 'pixels' }, { kind = 'observation_noise' }]",
            "option `wrappers[1]`: observations in Box[3, 84, 84] u8 take no noise".to_string(),
        ),
        (
            "wrappers = [{ kind = 'action_delay', steps = -2 }]",
            "option `wrappers[0].steps`: expected a whole number, at least 1".to_string(),
        ),
        (
            "time_limit = 0",
            "option `time_limit`: expected a whole number of at least 1, found 0".to_string(),
        ),
        (
            "time_limit = 'long'",
            "option `time_limit`: expected a whole number of at least 1, found \"long\"".to_string(),
        ),
        ("wraper = []", "did you mean `wrappers`?".to_string()),
    ] {
        let found = Registry::builtin()
            .make("Pendulum-v1", &options(text))
            .err()
            .expect("refused")
            .to_string();
        assert!(
            found.contains(&expected),
            "{text}\n  found    {found}\n  expected {expected}"
        );
    }
}

#[test]
fn the_table_in_the_documentation_has_every_kind_with_its_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wrappers.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    for spec in WrapperSpec::defaults() {
        let mut table = toml::Table::try_from(spec).expect("a wrapper is a table");
        let kind = table.remove("kind").expect("its kind");
        let parameters: Vec<String> = table.iter().map(|(key, value)| format!("`{key} = {value}`")).collect();
        let row = format!("| `{}` | {} |", kind.as_str().expect("a name"), parameters.join(", "));
        assert!(page.contains(&row), "docs/wrappers.md lacks: {row}");
    }
    let example = page
        .split("```")
        .nth(1)
        .and_then(|block| block.strip_prefix("toml"))
        .expect("an example");
    let mut example: toml::Table = example.parse().expect("valid TOML");
    let mut env = example
        .remove("env")
        .expect("a section")
        .as_table()
        .expect("a table")
        .clone();
    let id = env.remove("id").expect("an id");
    let env = Registry::builtin()
        .make_normalised(id.as_str().expect("a name"), &env)
        .expect("valid");
    assert!(page.contains(&format!("`{}`", env.describe())), "{}", env.describe());
}

/// An environment that has always warned once.
struct Warns(Simulated<Echo>);

impl Env for Warns {
    fn describe(&self) -> String {
        self.0.describe()
    }
    fn observation_space(&self) -> &Space {
        self.0.observation_space()
    }
    fn action_space(&self) -> &Space {
        self.0.action_space()
    }
    fn reset(&mut self, seed: Option<u64>, obs: &mut [f32]) -> Result<(), EnvError> {
        self.0.reset(seed, obs)
    }
    fn step(&mut self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, EnvError> {
        self.0.step(action, obs)
    }
    fn snapshot(&self) -> Result<Vec<u8>, EnvError> {
        self.0.snapshot()
    }
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), EnvError> {
        self.0.restore(snapshot)
    }
    fn render(&self, size: FrameSize) -> Result<Frame, EnvError> {
        self.0.render(size)
    }
    fn warnings(&self) -> Vec<Warning> {
        let first = "once".to_string();
        vec![Warning {
            kind: "test",
            count: 1,
            first,
        }]
    }
}

#[test]
fn every_wrapper_passes_on_the_warnings_of_its_environment() {
    let mut registry = Registry::empty();
    let entry = EnvEntry::from_env("Warns-v0", "", || Box::new(Warns(echo())));
    registry.register(entry.with_time_limit(5));
    for spec in WrapperSpec::defaults() {
        let wrapper = toml::Table::try_from(&spec).expect("a table");
        let given = toml::Table::from_iter([("wrappers".to_string(), toml::Value::Array(vec![wrapper.into()]))]);
        let env = registry.make_normalised("Warns-v0", &given).expect("fits");
        assert_eq!(env.warnings().len(), 1, "{}", env.describe());
        let envs = registry.make_vec("Warns-v0", &given, 3, 2).expect("fits");
        assert_eq!(envs.warnings()[0].count, 3, "{}", envs.describe());
    }
}
