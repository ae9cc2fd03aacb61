//! `sac export`: what it writes acts as the agent, in every format, and what it refuses.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use crate::support::{folder, python, sac, train};
use sac::{
    Algo, EvaluateOptions, Policy, Registry,
    agents::{ActMode, noise::derived_seed},
    configure,
    envs::{Dtype, NumpyRng, Space},
    run::{RunFolder, Session, train_into},
};
use sac_policy::{Export, TOLERANCE, c_files, largest_error, onnx_model};
use sha2::{Digest, Sha256};

const SELF_TEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policy/tests/support/self_test.py");

/// A program that acts on observations from stdin, one at a time.
const DRIVER: &str = r#"
#include "policy.h"
#include <stdio.h>
int main(void)
{
    static float obs[SAC_POLICY_OBSERVATION], action[SAC_POLICY_ACTION];
    while (fread(obs, sizeof obs, 1, stdin) == 1) {
        if (sac_policy_act(obs, action) != SAC_POLICY_OK) {
            return 1;
        }
        fwrite(action, sizeof action, 1, stdout);
        fflush(stdout);
    }
    return 0;
}
"#;

/// A run of few steps, of a preset with its shipped settings and these over them.
fn trained(here: &Path, env: &str, algo: &str, assignments: &[&str]) -> Policy {
    let small = [
        "train.total_env_steps=90",
        "train.warmup_env_steps=60",
        "train.batch_size=16",
        "train.threads=1",
        "replay.capacity=500",
        "eval.every='never'",
        "checkpoint.every='never'",
    ];
    let registry = Registry::builtin();
    let config = configure(&registry, env, algo, &[&small, assignments].concat())
        .unwrap_or_else(|error| panic!("{algo} on {env}: {error}"));
    let run = RunFolder::create(here.join(format!("{env}-{algo}"))).expect("a new folder");
    train_into(&config, &registry, &run, Session::default()).unwrap_or_else(|error| panic!("{algo} on {env}: {error}"));
    Policy::load(run.path()).expect("a policy")
}

/// Observations `[rows, O]`: of episodes, at random, and extremes, a third each.
fn observations(policy: &mut Policy, rows: usize) -> Vec<f32> {
    let space = policy.spaces().observation.clone();
    let width = space.len();
    let mut env = policy.env().expect("an environment");
    let (mut obs, mut action) = (vec![0.0; width], vec![0.0; policy.spaces().action.len()]);
    let mut all = Vec::with_capacity(rows * width);
    env.reset(Some(3), &mut obs).expect("resets");
    for _ in 0..rows / 3 {
        all.extend_from_slice(&obs);
        policy.act_into(&obs, &mut action).expect("acts");
        if env.step(&action, &mut obs).expect("steps").status().is_over() {
            env.reset(None, &mut obs).expect("resets");
        }
    }
    let Space::Box { low, high, dtype, .. } = &space else {
        panic!("the observations of these tasks are boxes")
    };
    // Where there is no bound: three times what was met.
    let met = |index: usize| {
        all.iter()
            .skip(index)
            .step_by(width)
            .fold(0.0f32, |most, x| most.max(x.abs()))
    };
    let bounds: Vec<(f32, f32)> = (0..width)
        .map(|index| match (low[index], high[index]) {
            (low, high) if low.is_finite() && high.is_finite() && high < 1e6 => (low, high),
            _ => (-3.0 * met(index), 3.0 * met(index)),
        })
        .collect();
    let mut rng = NumpyRng::new(4);
    while all.len() < rows * width {
        let is_extreme = (all.len() / width).is_multiple_of(2);
        for (low, high) in &bounds {
            let at = rng.random();
            let at = if is_extreme { at.round() } else { at };
            let number = low + (high - low) * at as f32;
            all.push(if *dtype == Dtype::U8 { number.round() } else { number });
        }
    }
    all
}

fn bytes_of(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn numbers_of(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}

/// The program of a policy in C.
fn compiled(export: &Export, here: &Path) -> PathBuf {
    fs::create_dir_all(here).expect("a folder");
    let files = c_files(export, "policy").expect("can be written");
    for (name, text) in [
        ("policy.h", &files.header[..]),
        ("policy.c", &files.source),
        ("driver.c", DRIVER),
    ] {
        fs::write(here.join(name), text).expect("writable");
    }
    let program = here.join("driver");
    let output = Command::new("gcc")
        .args([
            "-std=c99",
            "-Wall",
            "-Wextra",
            "-Wconversion",
            "-Werror",
            "-O1",
            "policy.c",
            "driver.c",
            "-lm",
            "-o",
        ])
        .arg(&program)
        .current_dir(here)
        .output()
        .expect("gcc starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

/// A program that answers every observation with an action.
struct Served {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Served {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Served {
            stdin: child.stdin.take().expect("piped"),
            stdout: child.stdout.take().expect("piped"),
            child,
        }
    }

    fn act(&mut self, obs: &[f32], action: &mut [f32]) {
        self.stdin.write_all(&bytes_of(obs)).expect("it reads");
        let mut answer = vec![0; 4 * action.len()];
        self.stdout.read_exact(&mut answer).expect("it answers");
        action.copy_from_slice(&numbers_of(&answer));
    }

    fn end(mut self) {
        drop(self.stdin);
        assert!(self.child.wait().expect("ends").success());
    }
}

/// Settings with which every preset trains in moments, and its environment.
fn task_of(algo: Algo) -> (&'static str, Vec<&'static str>) {
    let mut small = match algo {
        Algo::FlashSac | Algo::Simba | Algo::SimbaV2 | Algo::Bro => {
            vec!["agent.body.width=16", "agent.critic_body.width=16"]
        }
        Algo::Xqc | Algo::CrossQ => vec!["agent.body.hidden=[32,32]", "agent.critic_body.hidden=[32,32]"],
        _ => vec!["agent.body.hidden=[32,32]"],
    };
    let env = match algo.name() {
        "sac-discrete" | "sac-discrete-paper" | "sac-gumbel" => "CartPole-v1",
        "sac-pixels" | "drq" => {
            small.push("env.wrappers=[{kind='pixels', width=36, height=36}, {kind='frame_stack', frames=3}]");
            small.push("agent.encoder.channel_multiplier=0.25");
            "Pendulum-v1"
        }
        _ => "Pendulum-v1",
    };
    (env, small)
}

#[test]
fn every_preset_acts_alike_in_every_format() {
    let here = folder();
    let mut python_arguments = Vec::new();
    let mut expected = Vec::new();
    // A small size is its preset with other widths, and the test chooses the widths.
    for algo in Algo::ALL.iter().filter(|algo| !algo.name().ends_with("-small")) {
        let (env, small) = task_of(*algo);
        let mut policy = trained(here.path(), env, algo.name(), &small);
        // Images are a thousand times as many numbers.
        let rows = if policy.spaces().observation.len() > 1000 {
            300
        } else {
            9_999
        };
        let obs = observations(&mut policy, rows);
        let theirs: Vec<f32> = obs
            .chunks(policy.spaces().observation.len() * 333)
            .flat_map(|obs| policy.act_batch(obs, ActMode::Evaluate).expect("acts"))
            .collect();
        let export = policy.export(false).expect("exports");
        let space = export.facts().action_space.clone();
        let close = |actions: &[f32], how: &str| {
            assert_eq!(actions.len(), theirs.len(), "{algo}, {how}");
            let (at, error) = largest_error(&space, actions, &theirs);
            eprintln!("{algo}, {how}: {error:.1e}");
            assert!(error <= TOLERANCE, "{algo}, {how}: {error:e} at {at}");
        };

        let bytes = export.to_bytes().expect("can be written");
        let mut loaded = sac_policy::Policy::new(Export::from_bytes(&bytes).expect("is whole"));
        close(&loaded.act_batch(&obs, &[]).expect("acts"), "sac-policy");

        let own = here.path().join(format!("c-{algo}"));
        let program = compiled(&export, &own);
        let numbers = own.join("numbers");
        fs::write(&numbers, bytes_of(&obs)).expect("writable");
        let output = Command::new(program)
            .stdin(fs::File::open(&numbers).expect("written"))
            .output()
            .expect("starts");
        assert!(output.status.success(), "{algo}");
        close(&numbers_of(&output.stdout), "C");

        let [model, actions] = ["policy.onnx", "actions"].map(|name| own.join(name));
        fs::write(&model, onnx_model(&export)).expect("writable");
        python_arguments.extend([model, numbers, actions.clone()]);
        expected.push((algo, space.clone(), actions, theirs));
    }
    let Some(python) = python() else { return };
    let output = Command::new(python)
        .arg(SELF_TEST)
        .args(python_arguments)
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (algo, space, actions, theirs) in expected {
        let ours = numbers_of(&fs::read(actions).expect("written"));
        assert_eq!(ours.len(), theirs.len(), "{algo}");
        let (at, error) = largest_error(&space, &ours, &theirs);
        eprintln!("{algo}, ONNX Runtime: {error:.1e}");
        assert!(error <= TOLERANCE, "{algo}, ONNX Runtime: {error:e} at {at}");
    }
}

/// Returns of the episodes of `sac eval` with this seed, with the actions of a program.
fn returns(policy: &Policy, program: &mut Served, episodes: u64, seed: u64) -> Vec<f64> {
    let mut env = policy.env().expect("an environment");
    let mut obs = vec![0.0; policy.spaces().observation.len()];
    let mut action = vec![0.0; policy.spaces().action.len()];
    let episode = |index: u64| {
        env.reset(Some(derived_seed(seed, "eval", index)), &mut obs)
            .expect("resets");
        let mut total = 0.0;
        loop {
            program.act(&obs, &mut action);
            let outcome = env.step(&action, &mut obs).expect("steps");
            total += outcome.reward;
            if outcome.status().is_over() {
                return total;
            }
        }
    };
    (0..episodes).map(episode).collect()
}

#[test]
fn twenty_episodes_driven_by_an_export_give_the_returns_of_sac_eval() {
    const EPISODES: u64 = 20;
    let here = folder();
    for env in ["Pendulum-v1", "HalfCheetah-v5"] {
        let mut policy = trained(here.path(), env, "sac", &["agent.body.hidden=[32,32]"]);
        let export = policy.export(false).expect("exports");
        let options = EvaluateOptions {
            episodes: EPISODES,
            seed: 11,
            ..EvaluateOptions::default()
        };
        let evaluation = policy.evaluate_with(&options).expect("episodes");
        let half_width = 1.96 * evaluation.std_return() / (EPISODES as f64).sqrt();

        let own = here.path().join(format!("c-{env}"));
        let mut commands = vec![("C", Command::new(compiled(&export, &own)))];
        let model = own.join("policy.onnx");
        fs::write(&model, onnx_model(&export)).expect("writable");
        if let Some(python) = python() {
            let mut command = Command::new(python);
            command.arg(SELF_TEST).arg(&model).arg("serve");
            commands.push(("ONNX Runtime", command));
        }
        for (how, command) in &mut commands {
            let mut program = Served::start(command);
            let returns = returns(&policy, &mut program, EPISODES, options.seed);
            program.end();
            let mean = returns.iter().sum::<f64>() / EPISODES as f64;
            let difference = (mean - evaluation.mean_return()).abs();
            eprintln!(
                "{env}, {how}: {mean:.4}, sac eval: {:.4} ± {half_width:.4}",
                evaluation.mean_return()
            );
            assert!(
                difference <= half_width,
                "{env}, {how}: {mean} {}",
                evaluation.mean_return()
            );
        }
    }
}

#[test]
fn the_command_writes_every_format_and_refuses_to_write_over_one() {
    let here = folder();
    train(here.path(), "run", "80", &[]);
    for (format, out, files) in [
        ("safetensors", "policy.safetensors", &["policy.safetensors"][..]),
        ("onnx", "policy.onnx", &["policy.onnx"]),
        ("c", "policy.c", &["policy.h", "policy.c"]),
    ] {
        let arguments = ["export", "run", "--format", format, "--out", out, "--json"];
        let said = sac(here.path(), &arguments).ok().json();
        let written: Vec<&str> = said["files"]
            .as_array()
            .expect("files")
            .iter()
            .filter_map(|x| x.as_str())
            .collect();
        assert_eq!(written, files);
        assert_eq!(
            (said["recorded"].as_u64(), said["env"].as_str()),
            (Some(32), Some("Pendulum-v1"))
        );
        assert!(
            said["largest_error"].as_f64().is_some_and(|error| error < 1e-5),
            "{said}"
        );
        let lengths = files
            .iter()
            .map(|file| fs::metadata(here.path().join(file)).expect("written").len());
        assert_eq!(said["bytes"].as_u64(), Some(lengths.sum()));
        let again = sac(here.path(), &arguments).code(2);
        again.says(&[files[0], "exists already", "choose another --out"]);
    }
    let mut policy = sac_policy::Policy::load(here.path().join("policy.safetensors")).expect("is whole");
    assert!(policy.self_test().expect("acts as recorded") < 1e-5);
    assert_eq!(
        (policy.facts().algorithm.as_str(), policy.facts().env_steps),
        ("sac", 80)
    );
    let manifest = fs::read(here.path().join("run/best/manifest.json")).expect("a policy");
    let digest: String = Sha256::digest(manifest)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(policy.facts().checkpoint_sha256, digest);

    let output = Command::new("gcc")
        .args(["-std=c99", "-DSAC_POLICY_MAIN", "policy.c", "-lm", "-o", "self_test"])
        .current_dir(here.path())
        .output()
        .expect("gcc starts");
    assert!(output.status.success());
    let output = Command::new(here.path().join("self_test")).output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_card_tells_what_a_policy_is_and_how_to_use_it() {
    let here = folder();
    train(here.path(), "run", "120", &["--set", "eval.every={env_steps=60}"]);
    sac(here.path(), &["card", "run", "--out", "card.md", "--episodes", "3"]).ok();
    let card = fs::read_to_string(here.path().join("card.md")).expect("written");
    for words in [
        "# Pendulum-v1, sac",
        "Box[1] in [-2, 2]",
        "Mean return **-",
        "over 3 episodes",
        "sac eval run --checkpoint best --episodes 3 --seed 0",
        "(card.svg)",
        "| `agent.body.hidden` | `[16, 16]` | `[256, 256]` |",
        "sac_policy::Policy::load",
        "sac.load(\"run\")",
        "sac_policy_act(observation, action)",
        "sac export run --checkpoint best --format onnx --out policy.onnx",
    ] {
        assert!(card.contains(words), "{words}: {card}");
    }
    let picture = fs::read_to_string(here.path().join("card.svg")).expect("written");
    assert!(
        picture.starts_with("<svg") && picture.contains("Pendulum-v1"),
        "{picture}"
    );
    sac(here.path(), &["card", "run", "--out", "card.md"])
        .code(2)
        .says(&["card.md exists already"]);

    train(here.path(), "unscored", "60", &["--set", "eval.every='never'"]);
    sac(here.path(), &["card", "unscored", "--episodes", "1"]).ok();
    let card = fs::read_to_string(here.path().join("unscored/card.md")).expect("written");
    assert!(card.contains("Nothing was evaluated during training."), "{card}");
}

#[test]
fn drawn_actions_take_noise_and_bad_input_is_explained() {
    let here = folder();
    train(here.path(), "run", "80", &["--set", "eval.every='never'"]);
    let drawn = [
        "export",
        "run",
        "--format",
        "safetensors",
        "--out",
        "drawn",
        "--stochastic",
        "--checkpoint",
        "last",
    ];
    sac(here.path(), &drawn).ok();
    let mut policy = sac_policy::Policy::load(here.path().join("drawn")).expect("is whole");
    assert!(policy.self_test().expect("acts as recorded") < 1e-5);
    let [low, high] = [-1.0, 1.0].map(|x| policy.act_with_noise(&[1.0, 0.0, 0.0], &[x]).expect("acts")[0]);
    assert!(low < high, "{low} {high}");
    let error = policy.act(&[1.0, 0.0, 0.0]).expect_err("noise is missing");
    assert_eq!(error.to_string(), "noise has 0 numbers, expected 1");
    let error = sac_policy::Policy::load(here.path().join("run")).expect_err("a run is no export");
    assert!(error.to_string().contains("sac export"), "{error}");

    let cases: [(&[&str], &[&str]); 5] = [
        (&["none", "--format", "onnx", "--out", "x"], &["none: no such folder"]),
        (&["run", "--format", "pickle", "--out", "x"], &["pickle", "safetensors"]),
        (
            &["run", "--format", "c", "--out", "x.rs"],
            &["--out x.rs", ".c, .h or none"],
        ),
        (
            &["run", "--format", "c", "--out", "x", "--checkpoint", "7"],
            &["no checkpoint at 7"],
        ),
        (
            &["run", "--format", "c", "--out", "x", "--checkpoint", "best"],
            &["no policy was evaluated yet"],
        ),
    ];
    for (arguments, words) in cases {
        sac(here.path(), &[&["export"], arguments].concat()).code(2).says(words);
    }
}
