//! `cargo xtask campaign` with this program: killed at any moment it goes on, and no run is lost.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::support::{Said, binary, folder, sac, until};

/// Settings of small networks, as the files of experiments have them.
const SET: &str = "set = ['agent.body.hidden=[16,16]', 'train.batch_size=16', 'train.warmup_env_steps=50', \
                   'replay.capacity=5000', 'eval.episodes=2', 'eval.every={env_steps=100}', \
                   'checkpoint.every={env_steps=100}']";

fn group(label: &str, algo: &str, steps: u64) -> String {
    format!("[[group]]\nlabel = '{label}'\nenv = ['Pendulum-v1']\nalgo = '{algo}'\nenv_steps = {steps}\n{SET}\n")
}

/// Writes `experiments/x.toml`: a campaign with these groups and one seed.
fn write_experiment(here: &Path, groups: &[String]) {
    fs::create_dir_all(here.join("experiments")).expect("made");
    let text = format!(
        "title = 'X'\nseeds = 1\nstages = [1]\ncheckpoint = 'last'\n{}",
        groups.concat()
    );
    fs::write(here.join("experiments/x.toml"), text).expect("written");
}

/// `cargo xtask campaign` in a folder, with the program of these tests.
fn xtask(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_") {
            command.env_remove(&name);
        }
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let target = binary().ancestors().nth(2).expect("the target folder").to_path_buf();
    command
        .current_dir(here)
        .args([
            "run",
            "--quiet",
            "--offline",
            "--manifest-path",
            manifest,
            "--package",
            "xtask",
            "--",
            "campaign",
        ])
        .args([
            "--experiments",
            "experiments",
            "--data",
            "data",
            "--nice",
            "1",
            "--folder",
            "campaign",
            "--binary",
        ])
        .arg(binary())
        .args(arguments)
        .env("CARGO_TARGET_DIR", target)
        .stdin(Stdio::null());
    command
}

fn campaign(here: &Path, arguments: &[&str]) -> Said {
    Said::of(&mut xtask(here, arguments))
}

fn recorded(here: &Path) -> Vec<Value> {
    let text = fs::read_to_string(here.join("data/x.json")).expect("a data file");
    let data: Value = serde_json::from_str(&text).expect("JSON");
    data["runs"].as_array().expect("runs").clone()
}

/// Waits until something is there, at most five minutes.
/// The process that trains in a folder.
fn trainer(run: &Path) -> Option<u32> {
    let text = fs::read_to_string(run.join(".lock")).ok()?;
    text.split_whitespace().nth(1)?.parse().ok()
}

/// Killed at the end of a test, whatever its outcome.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It has ended already where the test got so far.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(name: &str, id: u32) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &id.to_string()])
        .status();
    assert!(status.expect("kill runs").success(), "process {id}");
}

fn niceness(id: u32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    let fields = stat.rsplit(") ").next().expect("fields");
    fields
        .split(' ')
        .nth(16)
        .and_then(|field| field.parse().ok())
        .expect("a number")
}

#[test]
fn a_campaign_that_is_killed_with_one_of_its_runs_goes_on_and_records_what_was_never_interrupted() {
    let here = folder();
    let here = here.path();
    const STEPS: u64 = 1000;
    write_experiment(here, &[group("SAC", "sac", STEPS), group("TQC", "tqc", STEPS)]);
    let runs = ["SAC-1", "TQC-1"].map(|name| here.join("campaign/x/Pendulum-v1").join(name));
    let status = campaign(here, &["--status"]).ok();
    assert!(
        status.stdout.contains("seeds 1 to 1: 0 of 2 runs are recorded"),
        "{status}"
    );

    let mut first = Killed(
        xtask(here, &["--jobs", "2"])
            .stderr(Stdio::null())
            .spawn()
            .expect("cargo runs"),
    );
    until("checkpoint and two trainings", || {
        runs[0].join("checkpoints/latest").exists() && trainer(&runs[1]).is_some()
    });
    let [sac_trainer, tqc_trainer] = runs.each_ref().map(|run| trainer(run).expect("it trains"));
    signal("STOP", sac_trainer);
    signal("STOP", tqc_trainer);
    let expected = (niceness(std::process::id()) + 1).min(19);
    assert_eq!(niceness(sac_trainer), expected, "a training gives way");
    campaign(here, &["--jobs", "2"])
        .code(1)
        .says(&["campaign: process", "runs a campaign in it"]);

    // The campaign and one training die; the other training lives on.
    first.0.kill().expect("it runs");
    first.0.wait().expect("it was killed");
    signal("KILL", sac_trainer);
    signal("CONT", tqc_trainer);
    let lives = || Path::new("/proc").join(tqc_trainer.to_string()).exists();
    let second = campaign(here, &["--jobs", "2"]).ok();
    assert!(second.stderr.contains("going on with x: SAC"), "{second}");
    until("end of the training that lived on", || !lives());

    let status = campaign(here, &["--status"]).ok();
    assert!(
        status
            .stdout
            .contains("2 of 2 runs are recorded, 0.0 h of one core are left"),
        "{status}"
    );
    let records = recorded(here);
    assert_eq!(records.len(), 2);
    for (record, algo) in records.iter().zip(["sac", "tqc"]) {
        let experiment: toml::Table = fs::read_to_string(here.join("experiments/x.toml"))
            .expect("there")
            .parse()
            .expect("TOML");
        let set = experiment["group"][0]["set"].as_array().expect("a list");
        let mut arguments = vec![
            "train",
            "--env",
            "Pendulum-v1",
            "--algo",
            algo,
            "--seed",
            "1",
            "--threads",
            "1",
        ];
        let steps = STEPS.to_string();
        arguments.extend(["--steps", &steps, "--quiet", "--run-dir", algo]);
        for setting in set {
            arguments.extend(["--set", setting.as_str().expect("text")]);
        }
        sac(here, &arguments).ok();
        let straight: Vec<f64> = crate::support::evaluations(&here.join(algo))
            .iter()
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(
            record["evaluations"]["mean_return"],
            serde_json::json!(straight),
            "{algo}"
        );
        assert_eq!(record["scores"][0]["episodes"], 20);
        assert!(record["commit"].is_string() && record["processor"].is_string());
    }
    for run in &runs {
        let last = run.join("checkpoints").join(STEPS.to_string());
        assert!(last.join("policy.safetensors").exists() && !last.join("replay.safetensors").exists());
    }
    // A data file that is lost, such as by a checkout, is written again from the folders of the runs.
    fs::remove_file(here.join("data/x.json")).expect("removed");
    campaign(here, &["--jobs", "2"]).ok();
    assert!(recorded(here) == records);
    // One that was edited is refused.
    let text = fs::read_to_string(here.join("data/x.json")).expect("there");
    fs::write(here.join("data/x.json"), text.replacen("\"seed\":1", "\"seed\":2", 1)).expect("written");
    campaign(here, &["--jobs", "2"])
        .code(1)
        .says(&["x.json: its digest does not fit its contents"]);
}

#[test]
fn a_campaign_trains_the_runs_that_a_sweep_of_the_same_file_would() {
    let here = folder();
    let here = here.path();
    let text = format!(
        "title = 'X'\nseeds = [3, 1]\nstages = [1, 2]\ncheckpoint = 'last'\n\
         [[group]]\nenv = ['Pendulum-v1', 'MountainCarContinuous-v0']\nalgo = ['sac', 'tqc']\nenv_steps = 100\n{SET}\n\
         paired = {{ agent.gamma = [0.9, 0.99], replay.n_step = [1, 3] }}\n"
    );
    fs::create_dir_all(here.join("experiments")).expect("made");
    fs::write(here.join("experiments/x.toml"), text).expect("written");
    let sweep = sac(here, &["sweep", "experiments/x.toml", "--status", "--json"])
        .ok()
        .json();
    let status = campaign(here, &["--status"]).ok();
    for stage in ["seeds 3 to 3: 0 of 8 runs", "seeds 1 to 1: 0 of 8 runs"] {
        assert!(status.stdout.contains(stage), "{status}");
    }
    campaign(here, &["--jobs", "2"]).ok();
    let told = |runs: &[Value]| {
        let told = |run: &Value| ["label", "env", "algo", "env_steps", "set", "seed"].map(|key| run[key].to_string());
        runs.iter().map(told).collect::<std::collections::BTreeSet<_>>()
    };
    let planned = told(sweep["runs"].as_array().expect("runs"));
    assert_eq!(planned.len(), 2 * 2 * 2 * 2);
    assert_eq!(told(&recorded(here)), planned);
}

#[test]
fn all_runs_that_cannot_be_configured_are_named_before_anything_starts() {
    let here = folder();
    let bad = group("bad setting", "sac", 100).replace("eval.episodes=2", "eval.episode=2");
    write_experiment(
        here.path(),
        &[group("good", "sac", 100), bad, group("bad preset", "sacc", 100)],
    );
    campaign(here.path(), &["--jobs", "1"]).code(1).says(&[
        "nothing was started, because 2 of the groups cannot be configured",
        "x, bad setting on Pendulum-v1: ",
        "eval.episode",
        "x, bad preset on Pendulum-v1: ",
        "sacc",
    ]);
    assert!(!here.path().join("campaign/x").exists() && !here.path().join("data").exists());
    campaign(here.path(), &["y", "z"])
        .code(1)
        .says(&["no such experiment: y, z"]);
}

#[test]
fn a_run_that_was_trained_elsewhere_is_recorded_if_its_settings_are_those_of_the_experiment() {
    let here = folder();
    let here = here.path();
    write_experiment(here, &[group("SAC", "sac", 200)]);
    let train = |run: &str, steps: &str, more: &[&str]| {
        let set = [
            "agent.body.hidden=[16,16]",
            "train.batch_size=16",
            "train.warmup_env_steps=50",
            "replay.capacity=5000",
        ];
        let more_set = [
            "eval.episodes=2",
            "eval.every={env_steps=100}",
            "log.every={env_steps=50}",
        ];
        let mut arguments = vec![
            "train",
            "--env",
            "Pendulum-v1",
            "--threads",
            "1",
            "--steps",
            steps,
            "--run-dir",
            run,
        ];
        set.iter()
            .chain(&more_set)
            .chain(more)
            .for_each(|setting| arguments.extend(["--set", setting]));
        sac(here, &arguments).ok();
    };
    train("elsewhere/other", "200", &["agent.gamma=0.9"]);
    train("elsewhere/short", "100", &[]);
    let config = here.join("elsewhere/short/config.toml");
    let text = fs::read_to_string(&config)
        .expect("there")
        .replace("total_env_steps = 100", "total_env_steps = 200");
    fs::write(&config, text).expect("written");
    campaign(here, &["--adopt", "elsewhere"]).code(1).says(&[
        "elsewhere/other: is no run of these experiments: x: SAC on Pendulum-v1, seed 1 differs in agent.gamma",
        "elsewhere/short: is not finished: 100 of 200 env steps were evaluated",
    ]);
    train("mine", "200", &[]);
    campaign(here, &["--adopt", "mine"])
        .ok()
        .says(&["recorded mine as x: SAC on Pendulum-v1, seed 1"]);
    assert_eq!(recorded(here)[0]["label"], "SAC");
    assert!(
        here.join("mine/checkpoints/200/replay.safetensors").exists(),
        "a folder of others is left alone"
    );
    campaign(here, &[]).ok().says(&["0 runs are left"]);
}
