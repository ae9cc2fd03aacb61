//! `sac sweep --slurm`, with stand-ins for Slurm's commands that run the batch script on this machine. `docs/clusters.md` says
//! what was tried with Slurm itself.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{Said, assert_same_checkpoint, command, folder, sac};

const SWEEP: &str = "seeds = [1, 2]\n[[group]]\nenv = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = 800\n\
                     set = ['agent.body.hidden=[16,16]', 'train.batch_size=16', 'train.warmup_env_steps=50', \
                     'replay.capacity=2000', 'eval.every=\"never\"', 'checkpoint.every={env_steps=100}']\n";

/// Runs the tasks of the array, whose script is the last argument.
const SBATCH: &str = "for task in 1 2; do\n\
                          SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task sh \"$2\" > task-$task.log 2>&1 &\n\
                      done\nwait\necho '7;cluster'";

fn stand_in(here: &Path, name: &str, script: &str) {
    let path = here.join("bin").join(name);
    fs::create_dir_all(here.join("bin")).expect("made");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set");
}

/// With the stand-ins before everything else on the PATH.
fn with_slurm<'a>(here: &Path, command: &'a mut Command) -> &'a mut Command {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", here.join("bin").display()))
}

fn submit(here: &Path, more: &[&str]) -> Said {
    let arguments = [&["sweep", "x.toml", "--out", "x", "--slurm"], more].concat();
    Said::of(with_slurm(here, &mut command(here, &arguments)))
}

#[test]
fn the_tasks_of_an_array_do_each_run_once() {
    let here = folder();
    let here = here.path();
    fs::write(here.join("x.toml"), SWEEP).expect("written");
    stand_in(here, "sbatch", SBATCH);
    stand_in(here, "squeue", "echo RUNNING; echo PENDING; echo RUNNING");
    let said = submit(here, &["--jobs", "2", "--sbatch=--time=60"]).ok();
    assert_eq!(said.stdout, "job 7 with 2 task(s): x/.sweep/slurm.sh\n");
    let script = fs::read_to_string(here.join("x/.sweep/slurm.sh")).expect("written");
    for line in ["--array=1-2", "--cpus-per-task=1", "--requeue", "--time=60"] {
        assert!(script.contains(&format!("#SBATCH {line}\n")), "{line}: {script}");
    }

    let status = Said::of(with_slurm(
        here,
        &mut command(here, &["sweep", "x.toml", "--out", "x", "--status"]),
    ))
    .ok();
    for words in ["2 runs: 2 finished", "Slurm: job 7: 2 RUNNING, 1 PENDING"] {
        assert!(status.stdout.contains(words), "{words}: {status}");
    }
    sac(here, &["sweep", "x.toml", "--out", "local"]).ok();
    for seed in ["seed-1", "seed-2"] {
        let [one, other] = ["x", "local"].map(|out| here.join(out).join("Pendulum-v1/sac").join(seed));
        let newest = "checkpoints/800";
        assert_same_checkpoint(&one.join(newest), &other.join(newest), seed);
    }
}

#[test]
fn the_tasks_of_an_array_share_a_search() {
    let here = folder();
    let here = here.path();
    let settings = SWEEP.lines().find(|line| line.starts_with("set")).expect("settings");
    let settings = settings.replace("'eval.every=\"never\"'", "'eval.every={env_steps=100}'");
    let search = format!(
        "env = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = 300\ntrials = 4\n{settings}\n\
         [space]\nagent.gamma = {{ min = 0.9, max = 0.99 }}\n"
    );
    fs::write(here.join("x.toml"), search).expect("written");
    stand_in(here, "sbatch", SBATCH);
    let arguments = ["search", "x.toml", "--out", "x", "--slurm", "--jobs", "2"];
    let said = Said::of(with_slurm(here, &mut command(here, &arguments))).ok();
    assert_eq!(said.stdout, "job 7 with 2 task(s): x/.search/slurm.sh\n");
    let status = sac(here, &["search", "x.toml", "--out", "x", "--status"]).ok();
    assert!(status.stdout.contains("4 of 4 trials: 4 complete"), "{status}");
}

#[test]
fn a_task_that_is_told_to_end_saves_and_asks_to_be_started_again() {
    let here = folder();
    let here = here.path();
    fs::write(
        here.join("x.toml"),
        SWEEP.replace("env_steps = 800", "env_steps = 200000"),
    )
    .expect("written");
    stand_in(here, "sbatch", "echo 7");
    stand_in(here, "scontrol", "echo \"$@\" >> requeued");
    submit(here, &["--jobs", "1"]).ok();
    let mut task = Command::new("sh");
    task.arg("x/.sweep/slurm.sh")
        .current_dir(here)
        .envs([("SLURM_ARRAY_JOB_ID", "7"), ("SLURM_ARRAY_TASK_ID", "1")])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut task = with_slurm(here, &mut task).spawn().expect("starts");
    let run = here.join("x/Pendulum-v1/sac/seed-1");
    let began = Instant::now();
    while !run.join("checkpoints/latest").exists() {
        assert!(began.elapsed() < Duration::from_secs(120), "no checkpoint");
        sleep(Duration::from_millis(10));
    }
    let told = Command::new("kill").args(["-TERM", &task.id().to_string()]).status();
    assert!(told.expect("runs").success());
    assert!(task.wait().expect("ends").success(), "the task asks for another turn");
    let requeued = fs::read_to_string(here.join("requeued")).expect("was called");
    assert_eq!(requeued, "requeue 7_1\n");
    let status = sac(here, &["sweep", "x.toml", "--out", "x", "--status"]).ok();
    assert!(status.stdout.contains("0 running, 1 interrupted"), "{status}");
}

#[test]
fn the_cores_of_this_machine_do_not_matter_to_a_cluster() {
    let here = folder();
    let here = here.path();
    fs::write(here.join("x.toml"), format!("threads = 256\n{SWEEP}")).expect("written");
    stand_in(here, "sbatch", "echo 7");
    let said = submit(here, &["--jobs", "8"]).ok();
    assert_eq!(said.stdout, "job 7 with 2 task(s): x/.sweep/slurm.sh\n");
    assert!(!said.stderr.contains("warning"), "{said}");
    sac(here, &["sweep", "x.toml", "--out", "local", "--jobs", "8", "--dry-run"])
        .ok()
        .says(&["2 runs of 256 thread(s) share"]);
}

#[test]
fn a_cluster_that_is_not_there_or_refuses_is_named() {
    let here = folder();
    let here = here.path();
    fs::write(here.join("x.toml"), SWEEP).expect("written");
    let arguments = ["sweep", "x.toml", "--out", "x", "--slurm"];
    Said::of(command(here, &arguments).env("PATH", here.join("bin")))
        .code(2)
        .says(&["sbatch is not on the PATH", "x/.sweep/slurm.sh"]);
    stand_in(
        here,
        "sbatch",
        "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1",
    );
    submit(here, &["--sbatch=--partition=gpu"])
        .code(2)
        .says(&["sbatch refuses", "invalid partition specified: gpu"]);
}
