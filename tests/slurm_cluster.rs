//! A sweep and a search on Slurm itself, a cluster of one node made of this machine. `cargo xtask slurm` runs it, as root, where
//! Debian's packages `slurm-wlm` and `munge` are installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::support::{Said, assert_same_checkpoint, command, folder, sac, until};

const SET: &str = "set = ['agent.body.hidden=[16,16]', 'train.batch_size=16', 'train.warmup_env_steps=50', \
                   'replay.capacity=4000', 'eval.episodes=1', 'eval.every={env_steps=500}', \
                   'checkpoint.every={env_steps=500}']\n";
const STEPS: u64 = 20_000;

/// The daemons of a cluster, which end with it.
struct Cluster {
    folder: TempDir,
    daemons: Vec<Child>,
}

impl Cluster {
    /// Starts `munged`, `slurmctld` and `slurmd`, and waits until the node takes jobs.
    fn start() -> Cluster {
        let folder = folder();
        let here = folder.path();
        for name in ["state", "spool", "log", "munge"] {
            fs::create_dir(here.join(name)).expect("made");
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("there");
        let path = here.display();
        let key = here.join("munge/key");
        fs::write(&key, [7; 1024]).expect("written");
        let only_ours = "chmod 700 \"$0\" && chmod 600 \"$0/key\"";
        let made = Command::new("sh")
            .args(["-c", only_ours])
            .arg(here.join("munge"))
            .status();
        assert!(made.expect("sh runs").success());
        let socket = here.join("munge/socket");
        let text = format!(
            "ClusterName=one\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nAuthType=auth/munge\n\
             AuthInfo=socket={socket}\nCredType=cred/munge\nSlurmctldPort=16817\nSlurmdPort=16818\n\
             StateSaveLocation={path}/state\nSlurmdSpoolDir={path}/spool\nSlurmctldPidFile={path}/ctld.pid\n\
             SlurmdPidFile={path}/d.pid\nSlurmctldLogFile={path}/log/ctld.log\nSlurmdLogFile={path}/log/d.log\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSchedulerType=sched/backfill\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\nPreemptType=preempt/partition_prio\n\
             PreemptMode=REQUEUE\nSlurmctldParameters=preempt_send_user_signal\nJobRequeue=1\nReturnToService=2\n\
             MpiDefault=none\nJobAcctGatherType=jobacct_gather/none\nAccountingStorageType=accounting_storage/none\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=2 Sockets=1 CoresPerSocket=2 ThreadsPerCore=1 RealMemory=4000\n\
             PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10\n\
             PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10\n",
            host = host.trim(),
            socket = socket.display(),
        );
        fs::write(here.join("slurm.conf"), text).expect("written");
        let mut cluster = Cluster {
            folder,
            daemons: Vec::new(),
        };
        let files = ["key-file", "socket", "pid-file", "log-file", "seed-file"];
        let options: Vec<String> = files
            .iter()
            .map(|option| {
                let file = option.strip_suffix("-file").unwrap_or(option);
                format!("--{option}={}", cluster.path().join("munge").join(file).display())
            })
            .collect();
        let mut munged = vec!["-F", "--force"];
        munged.extend(options.iter().map(String::as_str));
        cluster.daemon("munged", &munged);
        until("socket of munge", || socket.exists());
        cluster.daemon("slurmctld", &["-D"]);
        cluster.daemon("slurmd", &["-D"]);
        until("node that takes jobs", || {
            cluster.says("sinfo", &["-h", "-o", "%T"]).contains("idle")
        });
        cluster
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn daemon(&mut self, name: &str, arguments: &[&str]) {
        let log = fs::File::create(self.path().join("log").join(name)).expect("written");
        let mut command = Command::new(name);
        let child = self
            .with(command.args(arguments))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemons
            .push(child.unwrap_or_else(|error| panic!("{name} (packages slurm-wlm, munge): {error}")));
    }

    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("SLURM_CONF", self.path().join("slurm.conf"))
    }

    fn says(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.with(Command::new(program).args(arguments)).output().expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn sac(&self, here: &Path, arguments: &[&str]) -> Said {
        Said::of(self.with(&mut command(here, arguments)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for daemon in self.daemons.iter_mut().rev() {
            let _ = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status();
            let _ = daemon.wait();
        }
    }
}

fn has_checkpoint(run: &Path) -> bool {
    run.join("checkpoints/latest").exists()
}

#[test]
fn a_sweep_and_a_search_on_a_cluster_are_preempted_and_end_with_the_bits_of_local_ones() {
    if env::var_os("SAC_TEST_SLURM").is_none() {
        eprintln!("skipped: `cargo xtask slurm` runs this test");
        return;
    }
    let cluster = Cluster::start();
    let here = folder();
    let here = here.path();
    let sweep =
        format!("seeds = [1, 2, 3, 4]\n[[group]]\nenv = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = {STEPS}\n{SET}");
    fs::write(here.join("sweep.toml"), sweep).expect("written");
    let submitted = cluster
        .sac(here, &["sweep", "sweep.toml", "--out", "far", "--slurm", "--jobs", "2"])
        .ok();
    assert!(submitted.stdout.contains("with 2 task(s)"), "{submitted}");
    let runs: Vec<PathBuf> = (1..=4)
        .map(|seed| here.join(format!("far/Pendulum-v1/sac/seed-{seed}")))
        .collect();
    until("two runs with checkpoints", || {
        runs.iter().filter(|run| has_checkpoint(run)).count() >= 2
    });

    // A job that matters more takes the whole node for a while.
    let urgent = [
        "--partition=high",
        "--exclusive",
        "--parsable",
        "--output=/dev/null",
        "--wrap=sleep 3",
    ];
    let urgent = cluster.says("sbatch", &urgent);
    assert!(!urgent.trim().is_empty(), "the urgent job is taken");
    let job = |state: &str| {
        cluster
            .says("squeue", &["-h", "-j", urgent.trim(), "-t", state])
            .lines()
            .count()
    };
    until("urgent job that runs", || job("RUNNING") == 1);
    let preempted = cluster
        .sac(here, &["sweep", "sweep.toml", "--out", "far", "--status", "--json"])
        .ok()
        .json();
    assert_eq!(preempted["running"], 0, "preempted: {preempted}");
    assert!(
        preempted["interrupted"].as_u64() >= Some(1),
        "with checkpoints: {preempted}"
    );
    let finished = || {
        let status = cluster
            .sac(here, &["sweep", "sweep.toml", "--out", "far", "--status", "--json"])
            .ok()
            .json();
        status["finished"] == 4
    };
    until("end of the sweep after its tasks were requeued", finished);
    sac(here, &["sweep", "sweep.toml", "--out", "near"]).ok();
    for far in &runs {
        let near = here
            .join("near")
            .join(far.strip_prefix(here.join("far")).expect("below"));
        let last = format!("checkpoints/{STEPS}");
        assert_same_checkpoint(&far.join(&last), &near.join(&last), &far.display().to_string());
    }
    let said = cluster
        .sac(here, &["sweep", "sweep.toml", "--out", "far", "--status"])
        .ok();
    assert!(said.stdout.contains("Slurm: job "), "{said}");

    let search = format!(
        "env = 'Pendulum-v1'\nalgo = 'sac'\nenv_steps = 900\ntrials = 6\n{}prune = {{ min_env_steps = 100 }}\n\
         [space]\nagent.gamma = {{ min = 0.9, max = 0.99 }}\n",
        SET.replace("env_steps=500", "env_steps=100")
    );
    fs::write(here.join("search.toml"), search).expect("written");
    cluster
        .sac(
            here,
            &["search", "search.toml", "--out", "found", "--slurm", "--jobs", "2"],
        )
        .ok();
    let complete = || {
        let status = cluster
            .sac(here, &["search", "search.toml", "--out", "found", "--status", "--json"])
            .ok()
            .json();
        let trials = status["trials"].as_array().cloned().unwrap_or_default();
        let is_over = |trial: &serde_json::Value| trial["state"] == "complete" || trial["state"] == "pruned";
        trials.len() == 6 && trials.iter().all(is_over)
    };
    until("end of the search", complete);
}
