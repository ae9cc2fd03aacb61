//! Python environments. Needs a Python with Gymnasium in `SAC_TEST_PYTHON`, as `cargo xtask test` sets it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

use sac_envs::{Env, EnvError, GoalBatch, NumpyRng, Registry, Transition, check_env};
use tempfile::TempDir;

/// The interpreter; `None`, after saying so, where there is none and none is required.
fn interpreter() -> Option<String> {
    let python = std::env::var("SAC_TEST_PYTHON").ok().filter(|path| !path.is_empty());
    if python.is_none() {
        let is_required = std::env::var("SAC_TEST_REQUIRE_PYTHON").is_ok_and(|value| value != "0");
        assert!(
            !is_required,
            "SAC_TEST_REQUIRE_PYTHON is set, and SAC_TEST_PYTHON names no interpreter"
        );
        eprintln!("skipped: SAC_TEST_PYTHON names no interpreter (`cargo xtask python` makes one)");
    }
    python
}

/// An interpreter that finds the modules of a folder, in which `tests/python/tasks.py` is.
struct Python {
    folder: TempDir,
}

impl Python {
    fn new() -> Option<Self> {
        let python = interpreter()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/tasks.py");
        fs::copy(tasks, folder.path().join("tasks.py")).expect("writable");
        let script = format!(
            "#!/bin/sh\nPYTHONPATH='{}' exec '{python}' \"$@\"\n",
            folder.path().display()
        );
        let made = Python { folder };
        fs::write(made.path(), script).expect("writable");
        fs::set_permissions(made.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        Some(made)
    }

    fn path(&self) -> String {
        self.folder.path().join("python.sh").display().to_string()
    }

    fn make(&self, id: &str, more: &str) -> Result<Box<dyn Env>, EnvError> {
        Registry::builtin().make(id, &options(&self.path(), more))
    }

    fn refusal(&self, id: &str, more: &str) -> String {
        self.make(id, more).err().expect("refused").to_string()
    }
}

fn options(python: &str, more: &str) -> toml::Table {
    format!("python = {python:?}\n{more}")
        .parse()
        .expect("the test's TOML is valid")
}

/// Observations, rewards and ends of `steps` steps with random actions, and of the resets between them, as text.
fn trajectory(env: &mut dyn Env, rng: &mut NumpyRng, steps: usize) -> Vec<String> {
    let mut obs = vec![0.0; env.observation_space().len()];
    let mut action = vec![0.0; env.action_space().len()];
    let mut all = Vec::new();
    for _ in 0..steps {
        env.action_space().gymnasium_sample(rng, &mut action);
        let outcome = env.step(&action, &mut obs).expect("steps");
        all.push(format!("{obs:?} {outcome:?}"));
        if outcome.status().is_over() {
            env.reset(None, &mut obs).expect("resets");
            all.push(format!("{obs:?}"));
        }
    }
    all
}

fn reset(env: &mut dyn Env, seed: u64) -> Vec<f32> {
    let mut obs = vec![0.0; env.observation_space().len()];
    env.reset(Some(seed), &mut obs).expect("resets");
    obs
}

/// The error of the first step that fails, with the number of steps before it.
fn failure(env: &mut dyn Env) -> (u64, String) {
    let mut obs = reset(env, 1);
    let action = vec![0.0; env.action_space().len()];
    for steps in 0..5 {
        if let Err(error) = env.step(&action, &mut obs) {
            return (steps, error.to_string());
        }
    }
    panic!("no step failed");
}

#[test]
fn gymnasiums_tasks_are_ours_bit_for_bit() {
    let Some(python) = interpreter() else { return };
    let registry = Registry::builtin();
    for id in ["Pendulum-v1", "CartPole-v1"] {
        let mut ours = registry.make(id, &toml::Table::new()).expect("registered");
        let mut theirs = registry.make(&format!("py:{id}"), &options(&python, "")).expect("made");
        assert_eq!(ours.action_space(), theirs.action_space(), "{id}");
        let [ours, theirs] = [&mut ours, &mut theirs].map(|env| {
            let first = format!("{:?}", reset(env, 3));
            [vec![first], trajectory(env, &mut NumpyRng::new(3), 450)].concat()
        });
        assert_eq!(ours, theirs, "{id}");
    }
}

#[test]
fn every_space_is_flattened_as_gymnasium_does_it() {
    let Some(python) = Python::new() else { return };
    let by_channel: Vec<f32> = (0..60).map(|i| (i % 20 * 3 + i / 20) as f32).collect();
    let composite = [0.0, 0.0, 1.0, 0.1, 7.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0];
    // Kind, observations and the first of them, actions and one of them, its reward.
    type Case<'a> = (&'a str, &'a str, &'a [f32], &'a str, &'a [f32], f64);
    let cases: [Case; 5] = [
        ("composite", "Box[12]", &composite, "Box[3]", &[-0.5, 1.0, 0.5], 59.5),
        (
            "picture_last",
            "Box[3, 4, 5] u8",
            &by_channel,
            "Discrete(3)",
            &[2.0],
            7.0,
        ),
        (
            "picture_first",
            "Box[1, 4, 5] u8",
            &by_channel[..0],
            "MultiDiscrete([3, 4])",
            &[2.0, 1.0],
            12.0,
        ),
        (
            "discrete",
            "Discrete(4)",
            &[3.0],
            "MultiDiscrete([2, 2, 2])",
            &[1.0, 0.0, 1.0],
            101.0,
        ),
        (
            "integers",
            "Box[4] in [-5, 300]",
            &[1.0, -2.0, 3.0, 300.0],
            "Box[2] i32 in [0, 7]",
            &[7.0, 3.0],
            37.0,
        ),
    ];
    for (kind, observations, expected, actions, action, reward) in cases {
        let mut env = python
            .make("py:tasks:Spaces", &format!("kwargs = {{ kind = {kind:?} }}"))
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(env.observation_space().to_string(), observations, "{kind}");
        assert_eq!(env.action_space().to_string(), actions, "{kind}");
        let mut obs = reset(env.as_mut(), 0);
        if !expected.is_empty() {
            assert_eq!(obs, expected, "{kind}");
        }
        let outcome = env
            .step(action, &mut obs)
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(outcome.reward, reward, "{kind}");
    }
}

#[test]
fn what_cannot_be_served_is_refused_with_what_would_work() {
    let Some(python) = Python::new() else { return };
    let kind = |kind: &str| format!("kwargs = {{ kind = {kind:?} }}");
    for (kind, words) in [
        ("text", ["observation.mission is in Text (", "Python wrapper"]),
        ("unbounded", ["no finite bounds", "gymnasium.ActionWrapper"]),
    ] {
        let said = python.refusal("py:tasks:Spaces", &format!("kwargs = {{ kind = {kind:?} }}"));
        assert!(words.iter().all(|word| said.contains(word)), "{kind}: {said}");
    }
    let wrapped = format!(
        "wrappers = ['tasks:Keep', {{ kind = 'frame_stack', frames = 2 }}]\n{}",
        kind("text")
    );
    let env = python
        .make("py:tasks:Spaces", &wrapped)
        .expect("a wrapper leaves the text out");
    assert_eq!(
        env.describe(),
        "FrameStack(2) > Checked > py:tasks:Spaces",
        "our wrapper is around theirs"
    );
    assert_eq!(env.observation_space().len(), 2);
}

#[test]
fn wrong_options_are_named_with_what_would_work() {
    let Some(python) = Python::new() else { return };
    let folder = python.folder.path();
    for (name, version) in [("none", ""), ("old", "__version__ = '0.26.3'")] {
        let package = folder.join(name).join("gymnasium");
        fs::create_dir_all(&package).expect("writable");
        let missing = "raise ModuleNotFoundError(\"No module named 'gymnasium'\", name='gymnasium')";
        let text = if version.is_empty() { missing } else { version };
        fs::write(package.join("__init__.py"), text).expect("writable");
        let script = format!(
            "#!/bin/sh\nPYTHONPATH='{}' exec '{}' \"$@\"\n",
            folder.join(name).display(),
            interpreter().expect("there")
        );
        fs::write(folder.join(format!("{name}.sh")), script).expect("writable");
        fs::set_permissions(folder.join(format!("{name}.sh")), fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let path = |name: &str| folder.join(name).display().to_string();
    let with_python = |python: &str| {
        let error = Registry::builtin().make("py:Pendulum-v1", &options(python, ""));
        error.err().expect("refused").to_string()
    };
    let cases = [
        (with_python(&path("absent")), "option `python`: there is no interpreter"),
        (
            with_python(&path("none.sh")),
            "has no package gymnasium; install it with",
        ),
        (
            with_python(&path("old.sh")),
            "has gymnasium 0.26.3, expected at least 0.29",
        ),
        (python.refusal("py:Pendulun-v1", ""), "Did you mean: `Pendulum`"),
        (
            python.refusal("py:tasks:Nothing", ""),
            "module 'tasks' has no 'Nothing'; it has ",
        ),
        (python.refusal("py:tusks:Task", ""), "there is no module 'tusks' in "),
        (
            python.refusal("py:tasks:needs_a_package", ""),
            "No module named 'a_package_that_nobody_has'",
        ),
        (
            python.refusal("py:Pendulum-v1", "imports = ['gymnasium_robotic_s']"),
            "option `imports`: No module named 'gymnasium_robotic_s'; install it with",
        ),
        (
            python.refusal("py:tasks:Unmade", "kwargs = { length = 3 }"),
            "option `kwargs`: the constructor refuses them: ",
        ),
        (
            python.refusal("py:tasks:Task", "wrappers = ['tasks']"),
            "option `wrappers[0]`: expected \"package.module:name\"",
        ),
    ];
    for (said, expected) in cases {
        assert!(said.contains(expected), "expected `{expected}` in: {said}");
    }
}

#[test]
fn an_option_that_needs_no_python_to_be_refused_is_refused_without() {
    let refusal = |id: &str, options: &str| {
        let made = Registry::builtin().make(id, &options.parse().expect("valid TOML"));
        made.err().expect("refused").to_string()
    };
    for (id, options, expected) in [
        ("py:", "", "expected an id behind it"),
        ("py:A-v0", "step_timeout_s = -1", "expected a number of seconds above 0"),
        (
            "py:A-v0",
            "workers = 0",
            "expected a whole number, at least 1, or \"auto\"",
        ),
        (
            "py:A-v0",
            "kwargs = { x = [0, { y = nan }] }",
            "`x` is or holds a date or a number that is not finite",
        ),
        (
            "py:A-v0",
            "arguments = 1",
            "unknown option; expected one of python, workers",
        ),
        (
            "py:A-v0",
            "wrappers = [{ kind = 'frame_stack' }, 'a:B']",
            "come first in the list",
        ),
        ("Pendulum-v1", "wrappers = ['a:B']", "needs an id with `py:`"),
    ] {
        let said = refusal(id, options);
        assert!(said.contains(expected), "expected `{expected}` in: {said}");
    }
}

#[test]
fn every_fault_is_named_with_its_place() {
    let Some(python) = Python::new() else { return };
    let place = "Python at step 3 of episode 1: ";
    for (fault, words) in [
        ("raise", [place, "in helper\n", "ValueError: the arm is out of reach"]),
        ("exit", [place, "SystemExit", "the simulator quits"]),
        (
            "die",
            [place, "ended with exit code 3", "the simulator is about to die"],
        ),
        ("crash", [place, "ended", "by signal 11"]),
        ("hang", [place, "step has not ended after 1", "env.step_timeout_s"]),
        ("shape", [place, "shape (3,)", "expected (2,)"]),
        ("dtype", [place, "dtype <U1", "expected float32"]),
        ("nan", ["observation[1] is NaN", "step 3", "episode 1"]),
        ("reward", [place, "array of shape (2,)", "return float(reward)"]),
        ("reward_text", [place, "str '1'", "return float(reward)"]),
        ("reward_nan", ["reward is NaN", "step 3", "episode 1"]),
        ("flag", [place, "terminated is NoneType", "expected True or False"]),
        ("four", [place, "a tuple of 4", "gym before 0.26"]),
    ] {
        let options = format!("step_timeout_s = 1.0\nkwargs = {{ fault = {fault:?} }}");
        let mut env = python.make("py:tasks:Faulty", &options).expect("made");
        let began = Instant::now();
        let (steps, said) = failure(env.as_mut());
        assert_eq!(steps, 2, "{fault}: {said}");
        assert!(words.iter().all(|word| said.contains(word)), "{fault}: {said}");
        assert!(!said.contains("<string>"), "{fault}: frames of the worker: {said}");
        let (mut obs, action) = ([0.0; 2], [0.0]);
        // Numbers that are not finite are found outside of Python, which can go on.
        if !fault.contains("nan") {
            let error = env
                .step(&action, &mut obs)
                .expect_err("a failed episode does not go on");
            assert!(matches!(error, EnvError::ResetNeeded { .. }), "{fault}: {error}");
        }
        // A worker that is gone says so at once; another goes on.
        let is_gone = ["die", "crash", "hang"].contains(&fault);
        assert_eq!(env.reset(Some(1), &mut obs).is_err(), is_gone, "{fault}");
        assert!(began.elapsed().as_secs_f64() < 20.0, "{fault}");
    }
    let mut env = python
        .make("py:tasks:Faulty", "kwargs = { fault = 'old_reset' }")
        .expect("made");
    let said = env.reset(Some(0), &mut [0.0; 2]).expect_err("refused").to_string();
    assert!(said.contains("gym before 0.26"), "{said}");
}

#[test]
fn an_environment_that_prints_forks_or_leaves_its_space_goes_on() {
    let Some(python) = Python::new() else { return };
    for fault in ["print", "fork", "outside"] {
        let mut env = python
            .make("py:tasks:Faulty", &format!("kwargs = {{ fault = {fault:?} }}"))
            .expect("made");
        reset(env.as_mut(), 1);
        let all = trajectory(env.as_mut(), &mut NumpyRng::new(1), 12);
        assert_eq!(all.len(), 14, "{fault}");
        if fault != "outside" {
            let mut healthy = python.make("py:tasks:Task", "").expect("made");
            reset(healthy.as_mut(), 1);
            assert_eq!(all, trajectory(healthy.as_mut(), &mut NumpyRng::new(1), 12), "{fault}");
        }
        let warnings = env.warnings();
        match fault {
            "outside" => {
                assert_eq!(warnings[0].count, 2);
                let first = &warnings[0].first;
                assert!(
                    first.contains("observation[1] is 1.5 at step 3 of episode 1"),
                    "{first}"
                );
            }
            _ => assert!(warnings.is_empty(), "{warnings:?}"),
        }
    }
}

#[test]
fn a_snapshot_continues_the_episode_in_another_process() {
    let Some(python) = Python::new() else { return };
    let mut env = python.make("py:tasks:Drift", "").expect("made");
    reset(env.as_mut(), 5);
    // In the seeded episode, and in one that continues the generator.
    for steps in [3, 4] {
        let mut rng = NumpyRng::new(steps as u64);
        trajectory(env.as_mut(), &mut rng, steps);
        let saved = env.snapshot().expect("saved");
        let mut other = python.make("py:tasks:Drift", "").expect("made");
        other.restore(&saved).expect("played again");
        let mut same = rng.clone();
        assert_eq!(
            trajectory(other.as_mut(), &mut same, 12),
            trajectory(env.as_mut(), &mut rng, 12)
        );
        let refused = other.restore(&saved[..saved.len() - 1]).expect_err("half a snapshot");
        assert!(matches!(refused, EnvError::Snapshot { .. }), "{refused}");
    }
}

#[test]
fn an_episode_that_cannot_be_played_again_ends_as_truncated() {
    let Some(python) = Python::new() else { return };
    let own = "kwargs = { own = true }";
    let mut env = python.make("py:tasks:Drift", own).expect("made");
    reset(env.as_mut(), 5);
    let mut obs = [0.0; 2];
    env.step(&[0.5], &mut obs).expect("steps");
    let mut other = python.make("py:tasks:Drift", own).expect("made");
    other.restore(&env.snapshot().expect("saved")).expect("restored");
    let mut last = [0.0; 2];
    let outcome = other.step(&[0.5], &mut last).expect("the last step");
    assert_eq!(
        (outcome.reward, outcome.terminated, outcome.truncated),
        (0.0, false, true)
    );
    assert_eq!(last, obs, "nothing moves");
    assert!(matches!(
        other.step(&[0.5], &mut last),
        Err(EnvError::ResetNeeded { .. })
    ));
    other.reset(None, &mut last).expect("a new episode");
    other.step(&[0.5], &mut last).expect("goes on");
}

#[test]
fn a_generator_that_takes_short_seeds_gets_the_low_half_of_a_long_one() {
    let Some(python) = Python::new() else { return };
    let mut env = python.make("py:tasks:OldSeeds", "").expect("made");
    let [short, long, other] = [5, (7 << 32) + 5, 6].map(|seed| reset(env.as_mut(), seed));
    assert_eq!(short, long);
    assert_ne!(short, other);
}

#[test]
fn several_processes_give_the_same_as_one() {
    let Some(python) = Python::new() else { return };
    let run = |workers: usize| {
        let options = options(&python.path(), &format!("workers = {workers}"));
        let mut envs = Registry::builtin()
            .make_vec("py:tasks:Drift", &options, 3, 1)
            .expect("made");
        envs.reset(&[1, 2, 3]).expect("reset");
        let steps = (0..7).map(|_| format!("{:?}", envs.step(0..3, &[0.0, 0.5, -0.5]).expect("steps")));
        steps.collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn a_picture_has_the_size_that_was_asked_for() {
    let Some(python) = Python::new() else { return };
    let size = sac_envs::render::FrameSize { width: 60, height: 40 };
    let env = python.make("py:CartPole-v1", "").expect("made");
    match env.render(size) {
        Ok(frame) => {
            assert_eq!(frame.size, size);
            assert!(
                frame.rgb.iter().any(|level| *level != frame.rgb[0]),
                "something is drawn"
            );
        }
        // Drawing needs pygame.
        Err(error) => assert!(error.to_string().contains("pygame"), "{error}"),
    }
    let undrawn = python.make("py:tasks:Task", "").expect("made").render(size);
    assert!(undrawn.is_err());
}

/// What a task says about two steps that achieved 1 and 2 where 2 was asked for. The first of them terminated.
fn judged(env: &mut dyn Env) -> Result<Vec<(f64, bool)>, EnvError> {
    let batch = GoalBatch {
        achieved: &[1.0, 2.0],
        desired: &[2.0, 2.0],
        info: &[0.0; 4],
    };
    let mut outcomes = [true, false].map(|terminated| Transition {
        reward: 9.0,
        terminated,
    });
    env.goal_outcomes(&batch, &mut outcomes)?;
    Ok(outcomes.map(|outcome| (outcome.reward, outcome.terminated)).into())
}

#[test]
fn goals_are_found_and_asked_about_in_one_call() {
    let Some(python) = Python::new() else { return };
    let make = |kind: &str| {
        let kwargs = format!("kwargs = {{ kind = {kind:?} }}");
        python.make("py:tasks:Reach", &kwargs).expect("there")
    };
    let mut whole = make("whole");
    let layout = whole.goals().expect("goals").to_string();
    assert_eq!(layout, "achieved_goal 0..1, desired_goal 1..2, observation 2..4");
    assert_eq!(judged(whole.as_mut()).expect("answered"), [(-1.0, false), (0.0, true)]);
    check_env(|| make("whole")).unwrap_or_else(|failure| panic!("{failure}"));
    let unending = judged(make("unending").as_mut()).expect("answered");
    assert_eq!(
        unending,
        [(-1.0, true), (0.0, false)],
        "terminations stay where the task does not know"
    );
    let problem = judged(make("single").as_mut())
        .expect_err("one number for two goals")
        .to_string();
    assert!(
        problem.contains("compute_reward returned") && problem.contains("expected 2 rewards"),
        "{problem}"
    );
    let mut none = python.make("py:tasks:Drift", "").expect("there");
    assert!(none.goals().is_none() && judged(none.as_mut()).is_err());
}

#[test]
fn success_is_what_the_info_says() {
    let Some(python) = Python::new() else { return };
    let mut env = python
        .make("py:tasks:Reach", "kwargs = { kind = 'unending' }")
        .expect("there");
    let obs = reset(env.as_mut(), 1);
    let mut next = vec![0.0; obs.len()];
    for t in 1..=5 {
        let outcome = env.step(&[0.0], &mut next).expect("steps");
        assert_eq!(outcome.success, Some(t as f32 == obs[1]), "step {t}");
    }
    let mut silent = python.make("py:tasks:Drift", "").expect("there");
    reset(silent.as_mut(), 1);
    assert_eq!(silent.step(&[0.0], &mut [0.0; 2]).expect("steps").success, None);
}
