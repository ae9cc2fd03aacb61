//! The MuJoCo tasks: Gymnasium's numbers, snapshots during contacts, and invalid input.
#![cfg(feature = "mujoco")]

use std::path::{Path, PathBuf};
use std::process::Command;

use sac_envs::render::FrameSize;
use sac_envs::{Env, EnvError, NumpyRng, Outcome, Registry, Space, Warning};
use serde_json::Value;

fn options(text: &str) -> toml::Table {
    text.parse().expect("the test's TOML is valid")
}

fn make(id: &str, text: &str) -> Box<dyn Env> {
    Registry::builtin().make(id, &options(text)).expect("valid options")
}

fn refused(id: &str, text: &str) -> String {
    let error = Registry::builtin().make(id, &options(text)).err();
    error.unwrap_or_else(|| panic!("{id} took {text}")).to_string()
}

/// The ids of a family of tasks.
fn family(name: &str) -> Vec<String> {
    let registry = Registry::builtin();
    let family = registry.entries().iter().filter(|entry| entry.family == name);
    family.map(|entry| entry.id.clone()).collect()
}

/// The ids of all MuJoCo tasks, without those that differ from another one only in their reward.
fn ids() -> Vec<String> {
    let fetch = family("fetch").into_iter().filter(|id| !id.contains("Dense"));
    family("mujoco").into_iter().chain(fetch).collect()
}

/// An environment with a generator of actions.
struct Driver {
    env: Box<dyn Env>,
    actions: NumpyRng,
    /// Size of the actions relative to the bounds.
    reach: f64,
    obs: Vec<f32>,
}

impl Driver {
    fn new(env: Box<dyn Env>, action_seed: u64, reach: f64) -> Self {
        let obs = vec![0.0; env.observation_space().len()];
        let actions = NumpyRng::new(action_seed);
        Driver {
            env,
            actions,
            reach,
            obs,
        }
    }

    fn action(&mut self) -> Vec<f32> {
        let Space::Box { low, high, .. } = self.env.action_space() else {
            panic!("motors take real numbers")
        };
        let bounds = low.iter().zip(high);
        bounds
            .map(|(low, high)| (self.actions.uniform(f64::from(*low), f64::from(*high)) * self.reach) as f32)
            .collect()
    }

    fn reset(&mut self, seed: Option<u64>) {
        self.env.reset(seed, &mut self.obs).expect("resets");
    }

    fn step(&mut self) -> Outcome {
        let action = self.action();
        self.env.step(&action, &mut self.obs).expect("steps")
    }

    /// Steps, and resets after the end of an episode. Returns all results as bits.
    fn step_on(&mut self) -> (u64, Vec<u32>) {
        let outcome = self.step();
        let mut seen: Vec<u32> = self.obs.iter().map(|x| x.to_bits()).collect();
        if outcome.status().is_over() {
            self.reset(None);
            seen.extend(self.obs.iter().map(|x| x.to_bits()));
        }
        (outcome.reward.to_bits(), seen)
    }
}

/// Steps through the recorded cases of a file and compares every number. `more` returns options of a case besides those
/// in the file. Returns the environments after their last step.
fn replay(file: &str, more: impl Fn(&Value) -> String) -> Vec<Driver> {
    let path = format!("{}/tests/golden/mujoco/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("committed");
    let data: Value = serde_json::from_str(&text).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let floats = |value: &Value| -> Vec<f32> {
        list(value)
            .iter()
            .map(|x| x.as_f64().expect("a number") as f32)
            .collect()
    };
    let mut ends = Vec::new();
    for case in list(&data["cases"]) {
        let id = case["id"].as_str().expect("an id");
        let given = format!("{}{}", case["options"].as_str().expect("TOML"), more(&case));
        let seed = case["seed"].as_u64().expect("a seed");
        let limit = case["time_limit"].as_u64().expect("a limit");
        let entry = Registry::builtin()
            .get(id)
            .expect("registered")
            .into_owned()
            .with_time_limit(limit);
        let env = entry.make(&options(&given)).expect("valid options");
        let reach = if seed % 2 == 1 { 1.5 } else { 1.0 };
        let mut driver = Driver::new(env, 10_000 + seed, reach);
        let mut reset_seed = Some(seed);
        for (i, event) in list(&case["events"]).iter().enumerate() {
            let place = format!("{id} with {given:?}, event {i}");
            match list(event).as_slice() {
                [expected] => {
                    driver.reset(reset_seed.take());
                    assert_eq!(driver.obs, floats(expected), "{place}: reset");
                }
                [expected, reward, terminated, truncated, solved @ ..] => {
                    let outcome = driver.step();
                    let solved = solved.first().map(|solved| solved.as_bool().expect("a flag"));
                    assert_eq!(outcome.success, solved, "{place}");
                    let bits = reward.as_f64().map(f64::to_bits);
                    assert_eq!(Some(outcome.reward.to_bits()), bits, "{place}: reward");
                    assert_eq!(Some(outcome.terminated), terminated.as_bool(), "{place}");
                    assert_eq!(Some(outcome.truncated), truncated.as_bool(), "{place}");
                    if !expected.is_null() {
                        assert_eq!(driver.obs, floats(expected), "{place}: observation");
                    }
                }
                other => panic!("{place}: {other:?} is no event"),
            }
        }
        ends.push(driver);
    }
    ends
}

#[test]
fn trajectories_are_gymnasiums() {
    let ends = replay("traces.json", |_| String::new());
    for id in family("mujoco") {
        let seen = ends.iter().filter(|driver| driver.env.describe().ends_with(&id));
        assert_eq!(seen.count(), 2, "{id}: defaults and changed options");
    }
    for driver in ends {
        assert_eq!(driver.env.warnings(), [], "{}", driver.env.describe());
    }
}

#[test]
fn trajectories_of_the_fetch_tasks_are_those_of_gymnasium_robotics() {
    let ends = replay("fetch.json", |_| String::new());
    for id in family("fetch") {
        let seen = ends.iter().filter(|driver| driver.env.describe().ends_with(&id));
        assert_eq!(seen.count(), 2, "{id}: two seeds");
    }
}

/// The option for a copy of one of Gymnasium's models with another time step.
fn with_time_step(model: &str, seconds: f64) -> String {
    let text = std::fs::read_to_string(
        sac_envs::mujoco::ModelFiles::Gymnasium
            .path()
            .expect("set-up has run")
            .join(model),
    );
    let text = text.expect("a model of Gymnasium");
    let (before, rest) = text.split_once("timestep=\"").expect("a time step");
    let (_, after) = rest.split_once('"').expect("a closing quote");
    let path = folder("unstable").join(format!("{seconds}_{model}"));
    // Written under another name first: tests run side by side.
    let own = path.with_extension(format!("{:?}", std::thread::current().id()));
    std::fs::write(&own, format!("{before}timestep=\"{seconds}\"{after}")).expect("writable");
    std::fs::rename(&own, &path).expect("writable");
    format!("xml_file = '{}'\n", path.display())
}

#[test]
fn after_a_warning_trajectories_are_gymnasiums() {
    let ends = replay("unstable.json", |case| {
        let [model, seconds] = case["model"].as_array().expect("a list").as_slice() else {
            panic!("a model and its time step")
        };
        with_time_step(model.as_str().expect("a name"), seconds.as_f64().expect("a number"))
    });
    assert_eq!(ends.len(), 4);
    for driver in ends {
        let count: u64 = driver.env.warnings().iter().map(|warning| warning.count).sum();
        assert!(count > 0, "{}", driver.env.describe());
    }
}

#[test]
fn a_snapshot_taken_after_a_warning_continues_bit_for_bit() {
    // With short episodes, because some numbers would become too large for an `f32`.
    for (id, model, seconds, seed, reach) in [
        ("HalfCheetah-v5", "half_cheetah.xml", 0.1, 2, 1.0),
        ("Humanoid-v5", "humanoid.xml", 0.03, 3, 1.5),
        ("HumanoidStandup-v5", "humanoidstandup.xml", 0.03, 4, 1.0),
    ] {
        let given = with_time_step(model, seconds) + "time_limit = 35";
        let mut driver = Driver::new(make(id, &given), 10_000 + seed, reach);
        driver.reset(Some(seed));
        let (mut copies, mut tried) = (Vec::<Driver>::new(), 0);
        for step in 0..60 {
            let seen = driver.env.warnings();
            let expected = driver.step_on();
            for copy in &mut copies {
                assert!(copy.step_on() == expected, "{id}: step {step}");
            }
            if driver.env.warnings() != seen {
                let snapshot = driver.env.snapshot().expect("written");
                let mut copy = Driver::new(make(id, &given), 0, reach);
                copy.env.restore(&snapshot).expect("taken back");
                assert_eq!(copy.env.warnings(), [], "{id}: restoring is no step");
                assert_eq!(copy.env.snapshot().expect("written"), snapshot, "{id}: step {step}");
                copy.actions = driver.actions.clone();
                copies.push(copy);
                tried += 1;
            }
            if copies.len() > 4 {
                copies.remove(0);
            }
        }
        assert!(tried > 5, "{id}: only {tried} snapshots");
    }
}

#[test]
fn a_snapshot_taken_during_contacts_continues_in_another_copy_bit_for_bit() {
    for id in ids() {
        let mut driver = Driver::new(make(&id, ""), 1, 1.0);
        driver.reset(Some(5));
        for at in [37, 301] {
            (0..at).for_each(|_| drop(driver.step_on()));
            let snapshot = driver.env.snapshot().expect("written");
            let mut copy = Driver::new(make(&id, ""), 0, 1.0);
            copy.reset(Some(9));
            copy.step();
            copy.env.restore(&snapshot).expect("taken back");
            assert_eq!(
                copy.env.snapshot().expect("written"),
                snapshot,
                "{id}: a restored state is the same state"
            );
            copy.actions = driver.actions.clone();
            for step in 0..400 {
                assert!(
                    driver.step_on() == copy.step_on(),
                    "{id}: step {step} after the snapshot at {at}"
                );
            }
        }
    }
}

#[test]
fn a_snapshot_of_another_model_is_refused_and_changes_nothing() {
    let mut driver = Driver::new(make("HalfCheetah-v5", ""), 1, 1.0);
    driver.reset(Some(0));
    driver.step();
    let before = driver.env.snapshot().expect("written");
    // The walker has the same number of positions, velocities and motors as the cheetah; the hopper has fewer.
    for model in ["walker2d.xml", "hopper.xml"] {
        let mut other = Driver::new(make("HalfCheetah-v5", &format!("xml_file = '{model}'")), 1, 1.0);
        other.reset(Some(0));
        let foreign = other.env.snapshot().expect("written");
        let error = driver.env.restore(&foreign).expect_err("refused").to_string();
        assert!(
            error.ends_with("it was taken with another model than half_cheetah.xml holds now"),
            "{error}"
        );
        assert!(driver.env.snapshot().expect("written") == before, "{model}");
    }
}

#[test]
fn the_manual_fits_the_observation_under_every_option_that_changes_it() {
    let registry = Registry::builtin();
    for id in ids() {
        let entry = registry.get(&id).expect("registered");
        let switches = entry
            .options
            .iter()
            .filter(|(key, value)| value.is_bool() && key.contains("observation"));
        for (key, value) in switches {
            let changed = options(&format!("{key} = {}", !value.as_bool().expect("a switch")));
            let env = entry.make(&changed).expect("valid");
            let rows = entry.manual_for(&changed).expect("valid").observation.len();
            assert_eq!(rows, env.observation_space().len(), "{id} with {changed}");
            assert_ne!(rows, entry.manual.observation.len(), "{id}: {key} changes nothing");
        }
    }
    let ant = registry.get("Ant-v5").expect("registered");
    let page = ant
        .manual_for(&options("healthy_z_range = [0.31, 0.9]"))
        .expect("valid");
    assert!(page.reward.contains("[0.31, 0.9]"), "{}", page.reward);
    assert!(ant.manual_for(&options("healthy_z_rage = 1")).is_err());
}

#[test]
fn invalid_options_are_refused_by_name() {
    for (id, given, expected) in [
        (
            "Ant-v5",
            "healthy_z_range = [1.0, 0.2]",
            "option `healthy_z_range`: expected [low, high] with low < high, found [1, 0.2]",
        ),
        (
            "Ant-v5",
            "healthy_z_range = 3",
            "option `healthy_z_range`: expected a list of 2",
        ),
        (
            "Ant-v5",
            "healthy_z_range = [nan, 1.0]",
            "option `healthy_z_range`: expected [low, high]",
        ),
        (
            "Ant-v5",
            "main_body = 'nose'",
            "option `main_body`: the model has no body `nose`",
        ),
        (
            "Ant-v5",
            "main_body = 99",
            "option `main_body`: the model has bodies 0 to 13, but not 99",
        ),
        (
            "Ant-v5",
            "main_body = 1.5",
            "option `main_body`: expected a body's name or number",
        ),
        (
            "Hopper-v5",
            "frame_skip = 0",
            "option `frame_skip`: expected at least 1, found 0",
        ),
        (
            "Hopper-v5",
            "frame_skip = -1",
            "option `frame_skip`: expected a whole number from 0 to 4294967295",
        ),
        (
            "Hopper-v5",
            "reset_noise_scale = -0.1",
            "option `reset_noise_scale`: expected a finite number that is not negative",
        ),
        (
            "Swimmer-v5",
            "ctrl_cost_weight = inf",
            "option `ctrl_cost_weight`: expected a finite number, found inf",
        ),
        (
            "Walker2d-v5",
            "forward_reward_wieght = 1",
            "did you mean `forward_reward_weight`?",
        ),
    ] {
        let message = refused(id, given);
        assert!(
            message.starts_with(&format!("{id}: option `")) && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn a_sparse_reward_and_a_dense_one_are_options_of_the_same_fetch_task() {
    let trajectory = |id: &str, text: &str| {
        let mut driver = Driver::new(make(id, text), 3, 1.0);
        driver.reset(Some(3));
        (0..20).map(|_| driver.step_on()).collect::<Vec<_>>()
    };
    let dense = trajectory("FetchSlideDense-v4", "");
    assert_eq!(trajectory("FetchSlide-v4", "reward_type = 'dense'"), dense);
    assert_ne!(trajectory("FetchSlide-v4", ""), dense);
    assert!(refused("FetchSlide-v4", "reward_type = 'rich'").contains("`sparse` or `dense`"));
}

/// Creates a folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mujoco-{name}"));
    std::fs::create_dir_all(&folder).expect("writable");
    folder
}

/// A model of a cart with a pole, with `extra` at its top level.
fn cart_pole(folder: &Path, name: &str, gear: &str, extra: &str) -> String {
    let path = folder.join(name);
    let model = format!(
        "<mujoco>{extra}<worldbody><body name='cart'><joint name='a' type='slide'/><geom size='1'/>\
         <body><joint name='b'/><geom size='1' pos='0 0 1'/></body></body></worldbody>\
         <actuator><motor joint='a' gear='{gear}' ctrlrange='-1 1'/></actuator></mujoco>"
    );
    std::fs::write(&path, model).expect("writable");
    format!("xml_file = '{}'", path.display())
}

#[test]
fn a_model_of_the_users_own_is_simulated() {
    let given = cart_pole(&folder("own"), "own.xml", "1", "");
    let mut driver = Driver::new(make("InvertedPendulum-v5", &given), 0, 1.0);
    driver.reset(Some(0));
    driver.step();
}

#[test]
fn an_unusable_model_is_refused_with_mujocos_message_and_the_path() {
    let folder = folder("bad");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("writable");
        format!("xml_file = '{}'", folder.join(name).display())
    };
    let place = folder.display();
    let absent = refused("Ant-v5", &format!("xml_file = '{place}/absent.xml'"));
    assert_eq!(
        absent,
        format!("Ant-v5: option `xml_file`: there is no file {place}/absent.xml")
    );
    let unknown = refused("Ant-v5", "xml_file = 'ants.xml'");
    assert!(unknown.contains("there is no model `ants.xml` in "), "{unknown}");
    for (name, text, expected) in [
        ("cut.xml", "<mujoco><worldbody><body", "XML parse error"),
        ("empty.xml", "", "empty file"),
        (
            "weightless.xml",
            "<mujoco>\n<worldbody>\n<body name='ghost'><joint/></body>\n</worldbody></mujoco>",
            "mass and inertia of moving bodies must be larger than mjMINVAL Element name 'ghost', id 1, line 3",
        ),
    ] {
        let message = refused("Ant-v5", &write(name, text));
        assert!(
            message.starts_with(&format!(
                "Ant-v5: option `xml_file`: MuJoCo cannot load {place}/{name}: "
            )) && message.contains(expected),
            "{message}"
        );
    }
    let still = refused("Ant-v5", &write("still.xml", "<mujoco><worldbody/></mujoco>"));
    assert!(still.ends_with("the model has no actuators"), "{still}");
    for (id, model, expected) in [
        (
            "Ant-v5",
            "inverted_pendulum.xml",
            "this task needs 3 positions (nq) or more, the model has 2",
        ),
        (
            "Reacher-v5",
            "hopper.xml",
            "this task needs 4 positions (nq), the model has 6",
        ),
        (
            "Pusher-v5",
            "ant.xml",
            "this task needs a body `tips_arm`, the model has none",
        ),
        (
            "Humanoid-v5",
            "swimmer.xml",
            "this task needs 6 velocities (nv) or more, the model has 5",
        ),
        (
            "FetchPush-v4",
            "fetch/reach.xml",
            "this task needs 22 positions (nq), the model has 15",
        ),
    ] {
        let message = refused(id, &format!("xml_file = '{model}'"));
        assert_eq!(message, format!("{id}: option `xml_file`: {expected}"));
    }
}

#[test]
fn a_warning_is_counted_and_named_and_the_episode_goes_on() {
    let given = cart_pole(&folder("warning"), "strong.xml", "1e14", "");
    let mut env = make("InvertedPendulum-v5", &given);
    let mut obs = vec![0.0; 4];
    env.reset(Some(0), &mut obs).expect("resets");
    env.step(&[0.0], &mut obs).expect("nothing happens yet");
    assert_eq!(env.warnings(), []);
    // The frame skip is 2. The reset of the first simulation step clears the control, so that the second one is calm.
    env.step(&[1.0], &mut obs).expect("goes on");
    let expected = Warning {
        kind: "mjWARN_BADQACC",
        count: 1,
        first: "InvertedPendulum-v5: MuJoCo at step 2 of episode 1: Nan, Inf or huge value in QACC at DOF 0. The \
                simulation is unstable"
            .to_string(),
    };
    assert_eq!(env.warnings(), std::slice::from_ref(&expected));
    env.reset(None, &mut obs).expect("resets");
    env.step(&[1.0], &mut obs).expect("goes on");
    assert_eq!(
        env.warnings(),
        [Warning { count: 2, ..expected }],
        "the first stays, the count grows"
    );

    // Without bounds on the start there is no valid simulation, but there are numbers.
    let mut ant = make("Ant-v5", "reset_noise_scale = 1e30");
    let mut obs = vec![0.0; ant.observation_space().len()];
    ant.reset(Some(0), &mut obs).expect("Gymnasium goes on as well");
    ant.step(&[0.0; 8], &mut obs).expect("Gymnasium goes on as well");
    assert!(!ant.warnings().is_empty());
    assert!(
        !Path::new("MUJOCO_LOG.TXT").exists(),
        "warnings belong to the caller, not into the current folder"
    );
}

#[test]
fn a_number_that_is_not_finite_is_refused_whatever_mujoco_does() {
    let mut ant = make("Ant-v5", "");
    let mut obs = vec![0.0; ant.observation_space().len()];
    ant.reset(Some(0), &mut obs).expect("resets");
    let message = ant.step(&[1e30; 8], &mut obs).expect_err("no such cost").to_string();
    assert_eq!(message, "Ant-v5: reward is -inf at step 1 of episode 1");
}

#[test]
fn with_the_option_a_warning_is_an_error_with_the_step_and_a_reset_recovers() {
    let given = cart_pole(&folder("diverging"), "strong.xml", "1e14", "") + "\non_warning = 'error'";
    let mut env = make("InvertedPendulum-v5", &given);
    let mut obs = vec![0.0; 4];
    for episode in 1..=2 {
        env.reset(Some(0), &mut obs).expect("resets");
        env.step(&[0.0], &mut obs).expect("nothing happens yet");
        let error = env.step(&[1.0], &mut obs).expect_err("diverges");
        assert!(matches!(error, EnvError::Simulation { step: 2, .. }), "{error}");
        let message = error.to_string();
        let expected =
            format!("InvertedPendulum-v5: MuJoCo at step 2 of episode {episode}: Nan, Inf or huge value in QACC");
        assert!(message.starts_with(&expected), "{message}");
        let again = env.step(&[0.0], &mut obs).expect_err("the episode is over").to_string();
        assert_eq!(
            again,
            "InvertedPendulum-v5: step was called after the simulation failed; call reset first"
        );
        let counts: Vec<u64> = env.warnings().iter().map(|warning| warning.count).collect();
        assert_eq!(counts, [episode]);
    }
    let wrong = refused("InvertedPendulum-v5", "on_warning = 'ignore'");
    assert!(
        wrong.starts_with("InvertedPendulum-v5: option `on_warning`: ") && wrong.contains("`continue` or `error`"),
        "{wrong}"
    );
}

#[test]
fn a_vector_adds_up_the_warnings_of_its_environments() {
    let given = options(&cart_pole(&folder("vector"), "strong.xml", "1e14", ""));
    for threads in [1, 2, 3] {
        let mut envs = Registry::builtin()
            .make_vec("InvertedPendulum-v5", &given, 3, threads)
            .expect("valid options");
        assert_eq!(envs.warnings(), []);
        envs.reset(&[1, 2, 3]).expect("resets");
        envs.step(0..3, &[1.0, 0.0, 1.0]).expect("goes on");
        let all = envs.warnings();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!((all[0].kind, all[0].count), ("mjWARN_BADQACC", 2), "{threads} threads");
        envs.step(0..3, &[0.0; 3])
            .expect("a request for warnings does not disturb the next step");
    }
}

#[test]
fn an_error_of_mujoco_does_not_end_the_process() {
    // Enough memory to compile the model, but too little for contacts.
    let text = "<mujoco><size memory='3K'/><worldbody><geom type='plane' size='9 9 1'/>\
        <body><joint type='slide' axis='0 0 1'/><geom size='1'/></body>\
        <body><joint type='slide' axis='0 0 1'/><geom size='1 1 1' type='box'/></body></worldbody>\
        <actuator><motor joint='j'/></actuator></mujoco>";
    let text = text.replacen("<joint ", "<joint name='j' ", 1);
    let path = folder("memory").join("small.xml");
    std::fs::write(&path, text).expect("writable");
    let mut env = make("InvertedPendulum-v5", &format!("xml_file = '{}'", path.display()));
    let mut obs = vec![0.0; 4];
    for episode in 1..=2 {
        let message = env.reset(Some(0), &mut obs).expect_err("out of memory").to_string();
        let expected = format!("InvertedPendulum-v5: MuJoCo at step 0 of episode {episode}: ");
        assert!(
            message.starts_with(&expected) && message.contains("memory"),
            "{message}"
        );
    }
    // The thread can still simulate.
    let mut driver = Driver::new(make("HalfCheetah-v5", ""), 0, 1.0);
    driver.reset(Some(0));
    driver.step();
}

/// Runs in a separate process, started by the next test.
#[test]
#[ignore = "a part of the next test"]
fn with_assets_elsewhere() {
    eprintln!("answer: {}", refused("Ant-v5", ""));
}

#[test]
fn the_error_for_missing_model_files_has_the_command_to_get_them() {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "mujoco::with_assets_elsewhere", "--ignored", "--nocapture"])
        .env("SAC_MUJOCO_ASSETS", "/nowhere")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let expected = "answer: Ant-v5: option `xml_file`: Gymnasium's model files are missing: /nowhere does not exist; run \
        `cargo xtask setup`, or set SAC_MUJOCO_ASSETS to their folder";
    assert!(text.contains(expected), "{text}");
}

/// Runs in a separate process in an empty folder, started by the next test.
#[test]
#[ignore = "a part of the next test"]
fn every_task_in_the_current_folder() {
    let play = |id: &String| {
        let mut driver = Driver::new(make(id, ""), 0, 1.0);
        driver.reset(Some(0));
        (0..20).for_each(|_| drop(driver.step_on()));
        driver.env.render(SIZE).expect("drawn");
    };
    // In parallel, so that the first thread installs the handler for all.
    let ids = ids();
    std::thread::scope(|scope| ids.iter().for_each(|id| drop(scope.spawn(|| play(id)))));
    let given = cart_pole(&folder("diverging-elsewhere"), "strong.xml", "1e14", "");
    let mut env = make("InvertedPendulum-v5", &given);
    let mut obs = vec![0.0; 4];
    env.reset(Some(0), &mut obs).expect("resets");
    env.step(&[1.0], &mut obs).expect("goes on");
    assert!(!env.warnings().is_empty());
    eprintln!("answer: {} tasks", ids.len());
}

#[test]
fn no_task_leaves_a_file_or_a_warning_in_the_current_folder() {
    let empty = folder("empty");
    std::fs::remove_dir_all(&empty).expect("its own");
    std::fs::create_dir(&empty).expect("writable");
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "mujoco::every_task_in_the_current_folder",
            "--ignored",
            "--nocapture",
        ])
        .current_dir(&empty)
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("answer: {} tasks", ids().len())), "{text}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        !text.contains("WARNING") && !stdout.contains("WARNING"),
        "{text}{stdout}"
    );
    let left: Vec<_> = std::fs::read_dir(&empty).expect("a folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

const SIZE: FrameSize = FrameSize { width: 90, height: 60 };

#[test]
fn drawing_does_not_change_the_trajectory() {
    for id in ids() {
        let [mut watched, mut alone] = [(), ()].map(|()| Driver::new(make(&id, ""), 4, 1.0));
        watched.reset(Some(6));
        alone.reset(Some(6));
        for step in 0..120 {
            watched.env.render(SIZE).expect("drawn");
            assert_eq!(watched.step_on(), alone.step_on(), "{id}, step {step}");
        }
    }
}

#[test]
fn a_restored_simulation_has_the_same_picture() {
    for id in ids() {
        let mut driver = Driver::new(make(&id, ""), 4, 1.0);
        driver.reset(Some(6));
        (0..7).for_each(|_| drop(driver.step_on()));
        let (picture, snapshot) = (
            driver.env.render(SIZE).expect("drawn"),
            driver.env.snapshot().expect("written"),
        );
        (0..30).for_each(|_| drop(driver.step_on()));
        assert_ne!(
            driver.env.render(SIZE).expect("drawn"),
            picture,
            "{id}: thirty steps cannot be seen"
        );
        let mut other = make(&id, "");
        other.restore(&snapshot).expect("its own");
        assert_eq!(other.render(SIZE).expect("drawn"), picture, "{id}");
    }
}

/// A body that moves must stay in the picture.
#[test]
fn the_camera_follows_the_robot() {
    const OPTIONS: &str = "frame_skip = 60\nexclude_current_positions_from_observation = false";
    let mut driver = Driver::new(make("Swimmer-v5", OPTIONS), 4, 1.0);
    driver.reset(Some(6));
    for _ in 0..900 {
        driver.step();
    }
    let distance = driver.obs[0].hypot(driver.obs[1]);
    assert!(distance > 3.0, "it swam {distance} m, and the picture shows five");
    let frame = driver.env.render(SIZE).expect("drawn");
    let (width, height) = (SIZE.width, SIZE.height);
    // The swimmer is brown, everything else greenish grey: red is far above blue.
    let is_brown = |x: u32, y: u32| {
        let colour = frame.pixel(x, y);
        colour.red > colour.blue.saturating_add(60)
    };
    let brown: Vec<_> = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .filter(|(x, y)| is_brown(*x, *y))
        .collect();
    assert!(brown.len() > 20, "{} brown pixels", brown.len());
    let (left, right) = (brown.iter().map(|p| p.0).min(), brown.iter().map(|p| p.0).max());
    assert!(
        left > Some(0) && right < Some(width - 1),
        "it lies from {left:?} to {right:?}"
    );
}
