//! `cargo xtask campaign`: experiments that take days, in the background.
//!
//! Runs train on one thread each at the lowest priority, as many at once as the machine has idle cores, in the order that
//! completes tables soonest. All state is in files: the folders of runs, which resume exactly, and the data files. A campaign
//! that is killed at any moment goes on when it is started again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use sac_report::{data::Record, experiment::Experiment, folder, state};
use serde_json::Value;

use super::cores::Cores;
use super::data::{data_file, read_data};
use super::experiment::{Run, read, runs_of};
use super::list::hours;
use super::work::{Places, is_complete, record, work};
use super::{build, order};
use crate::launch::COMPLETE;
use crate::setup;
use crate::workspace::Workspace;

/// What `cargo xtask campaign` is to do.
#[derive(Default)]
pub struct Options {
    /// Experiments; all with `stages` if none is named.
    pub names: Vec<String>,
    /// Prints what is done and what is left.
    pub status: bool,
    /// Folders of runs that were trained elsewhere, to record instead of training them.
    pub adopt: Vec<PathBuf>,
    /// Runs at once, whatever else the machine does.
    pub jobs: Option<usize>,
    /// Added to the niceness of everything that is started, instead of 19, which gives the lowest priority.
    pub nice: Option<i32>,
    /// Where runs are trained, instead of `runs/campaign`.
    pub folder: Option<PathBuf>,
    /// The program that trains, instead of the release build of this checkout.
    pub binary: Option<PathBuf>,
    /// Instead of `configs/experiments`.
    pub experiments: Option<PathBuf>,
    /// Instead of `docs/curves`.
    pub data: Option<PathBuf>,
}

const LOWEST_PRIORITY: i32 = 19;

const LOCK: &str = ".campaign.lock";

/// Far more than a holder is described with.
const MOST_BYTES: u64 = 256;

/// Trains what is left of the campaigns, or says what that is.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let root = workspace.root();
    let place = |given: &Option<PathBuf>, default: &str| given.clone().unwrap_or_else(|| root.join(default));
    let absolute = |path: PathBuf| std::path::absolute(&path).with_context(|| format!("{}", path.display()));
    let all = read(&place(&options.experiments, "configs/experiments"))?;
    let chosen = chosen(&all, &options.names)?;
    let mut places = Places {
        sac: PathBuf::new(),
        programs: None,
        runs: absolute(place(&options.folder, "runs/campaign"))?,
        curves: absolute(place(&options.data, "docs/curves"))?,
        children: Mutex::default(),
    };
    if options.status {
        print!("{}", status(&places, &chosen)?);
        return Ok(ExitCode::SUCCESS);
    }
    fs::create_dir_all(&places.runs).with_context(|| format!("cannot make {}", places.runs.display()))?;
    let _lock = lock(&places.runs)?;
    // Everything that is started from here on gives way to whoever else uses the machine.
    rustix::process::nice(options.nice.unwrap_or(LOWEST_PRIORITY)).context("cannot lower the priority")?;
    let built = match &options.binary {
        Some(binary) => complete(absolute(binary.clone())?),
        None => {
            setup::ensure(workspace, setup::Options::QUICK)?;
            setup::compiler()?;
            build(workspace)?
        }
    };
    let programs = places.runs.join("programs");
    places.sac = kept(&built, &programs)?;
    places.programs = Some(programs);
    check(&places, &chosen)?;
    if !options.adopt.is_empty() {
        adopt(&places, &chosen, &options.adopt)?;
        return Ok(ExitCode::SUCCESS);
    }

    let left = left(&places, &chosen)?;
    let runs = order::by_stage(left, |run| progress(&places, run));
    say!("{} runs are left", runs.len());
    let mut cores = Cores::new();
    work(&places, &runs, |running| match options.jobs {
        Some(jobs) => running < jobs,
        None => {
            let own = places
                .children
                .lock()
                .map(|children| children.clone())
                .unwrap_or_default();
            // One whose training has not begun or is being scored has no process here; it counts all the same.
            cores.has_idle(running, &own)
        }
    })?;
    say!("every run is recorded; `cargo xtask results` writes tables and pictures anew");
    Ok(ExitCode::SUCCESS)
}

fn chosen<'a>(all: &'a [Experiment], names: &[String]) -> Result<Vec<&'a Experiment>> {
    let unknown: Vec<&str> = names
        .iter()
        .filter(|name| !all.iter().any(|experiment| experiment.name == **name))
        .map(String::as_str)
        .collect();
    ensure!(
        unknown.is_empty(),
        "no such experiment: {}; `cargo xtask curves` lists them",
        unknown.join(", ")
    );
    let is_chosen = |experiment: &&Experiment| match names {
        [] => experiment.is_campaign(),
        names => names.contains(&experiment.name),
    };
    let chosen: Vec<_> = all.iter().filter(is_chosen).collect();
    ensure!(
        !chosen.is_empty(),
        "no experiment has `stages`, which make it a campaign"
    );
    Ok(chosen)
}

/// The lock on a campaign's folder, which the system releases however the process ends.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(LOCK);
    let open = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = open.with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)
                .and_then(|()| writeln!(file, "process {}", std::process::id()))
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(file)
        }
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is said as far as it can be read.
            let _ = file.take(MOST_BYTES).read_to_string(&mut holder);
            bail!("{}: {} runs a campaign in it", folder.display(), holder.trim())
        }
        Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// The complete program beside a `sac` that starts it, which alone would be of no use; any other program as it is.
fn complete(program: PathBuf) -> PathBuf {
    let complete = program.with_file_name(COMPLETE);
    match program.file_name() == Some("sac".as_ref()) && complete.is_file() {
        true => complete,
        false => program,
    }
}

/// A copy of the program under its commit, so that runs go on with what began them, whatever is built meanwhile.
fn kept(built: &Path, programs: &Path) -> Result<PathBuf> {
    let output = Command::new(built).args(["doctor", "--json"]).output();
    let output = output.with_context(|| format!("cannot run {}", built.display()))?;
    let found: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} doctor --json wrote something else than JSON", built.display()))?;
    let commit = found["commit"].as_str().context("`sac doctor` names no commit")?;
    if commit.ends_with("-modified") {
        say!("warning: the program has uncommitted changes, and so its runs say: {commit}");
    }
    fs::create_dir_all(programs).with_context(|| format!("cannot make {}", programs.display()))?;
    let copy = programs.join(format!("sac-{commit}"));
    // One of a clean commit is what it was; one with changes may be another by now.
    if !copy.is_file() || commit.ends_with("-modified") {
        let unfinished = copy.with_extension("tmp");
        fs::copy(built, &unfinished)
            .and_then(|_| fs::rename(&unfinished, &copy))
            .with_context(|| format!("cannot copy {} to {}", built.display(), copy.display()))?;
    }
    Ok(copy)
}

/// Refuses experiments with runs that cannot be configured, and names all of them.
fn check(places: &Places, experiments: &[&Experiment]) -> Result<()> {
    let mut problems = Vec::new();
    for experiment in experiments {
        for group in &experiment.groups {
            let run = Run {
                experiment,
                group,
                seed: experiment.seeds[0],
            };
            if let Err(error) = config(places, &run.arguments()) {
                problems.push(format!(
                    "{}, {} on {}: {error:#}",
                    experiment.name, group.label, group.env
                ));
            }
        }
    }
    ensure!(
        problems.is_empty(),
        "nothing was started, because {} of the groups cannot be configured:\n{}",
        problems.len(),
        problems.join("\n")
    );
    Ok(())
}

/// The settings that arguments resolve to.
fn config(places: &Places, arguments: &[String]) -> Result<Value> {
    let output = Command::new(&places.sac)
        .arg("config")
        .args(arguments)
        .args(["--threads", "1", "--json"])
        .output()
        .context("cannot run sac config")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{}", text.trim().trim_start_matches("error: ").replace('\n', "; "));
    }
    serde_json::from_slice(&output.stdout).context("sac config wrote something else than JSON")
}

/// Runs that are not recorded as the experiments ask for them.
fn left<'a>(places: &Places, experiments: &[&'a Experiment]) -> Result<Vec<Run<'a>>> {
    let mut left = Vec::new();
    for experiment in experiments {
        let data = read_data(&data_file(&places.curves, &experiment.name))?;
        left.extend(runs_of(experiment).filter(|run| !data.runs.iter().any(|record| run.is_told_by(record))));
    }
    Ok(left)
}

/// How far a run got, 0 to 1.
fn progress(places: &Places, run: &Run) -> f64 {
    if is_complete(places, run) {
        return 1.0;
    }
    let steps = folder::read(&places.path(run))
        .ok()
        .and_then(|found| found.record.env_steps_evaluated());
    steps.unwrap_or(0) as f64 / run.group.env_steps as f64
}

/// Settings that change no digit of a run.
const OF_NO_CONCERN: [&str; 2] = ["/checkpoint", "/log"];

/// Records finished runs that were trained elsewhere, where their settings are those of a run of the experiments.
fn adopt(places: &Places, experiments: &[&Experiment], paths: &[PathBuf]) -> Result<()> {
    let mut problems = Vec::new();
    for path in paths {
        for path in folder::runs_in(path)? {
            match adopt_one(places, experiments, &path) {
                Ok(names) => names
                    .iter()
                    .for_each(|name| say!("recorded {} as {name}", path.display())),
                Err(error) => problems.push(format!("{}: {error:#}", path.display())),
            }
        }
    }
    ensure!(problems.is_empty(), "not recorded:\n{}", problems.join("\n"));
    Ok(())
}

fn adopt_one(places: &Places, experiments: &[&Experiment], path: &Path) -> Result<Vec<String>> {
    let folder::Run {
        record: found,
        is_finished,
    } = folder::read(path)?;
    ensure!(
        is_finished,
        "is not finished: {} of {} env steps were evaluated",
        found.env_steps_evaluated().unwrap_or(0),
        found.env_steps
    );
    // What this program makes of the run's settings: keys that are younger than the run have their defaults.
    let config_file = path.join("config.toml").to_string_lossy().into_owned();
    let settings = config(places, &["--config".to_string(), config_file])?;
    let (mut names, mut nearest) = (Vec::new(), None);
    for experiment in experiments {
        for run in runs_of(experiment) {
            let group = run.group;
            if (&group.env, group.env_steps, Some(run.seed)) != (&found.env, found.env_steps, found.seed)
                || found.algo.as_ref() != Some(&group.algo)
            {
                continue;
            }
            let differ = differing(&settings, &config(places, &run.arguments())?);
            if differ.is_empty() {
                record(places, &run, path)?;
                names.push(run.name());
            } else {
                nearest.get_or_insert(format!("{} differs in {}", run.name(), differ.join(", ")));
            }
        }
    }
    ensure!(
        !names.is_empty(),
        "is no run of these experiments{}",
        nearest.map_or(String::new(), |nearest| format!(": {nearest}"))
    );
    Ok(names)
}

/// Keys of settings that influence a run and differ.
fn differing(these: &Value, those: &Value) -> Vec<String> {
    fn leaves(value: &Value, key: &str, found: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(table) => table
                .iter()
                .for_each(|(name, value)| leaves(value, &format!("{key}/{name}"), found)),
            _ => drop(found.insert(key.to_string(), value.to_string())),
        }
    }
    let [mut a, mut b] = [BTreeMap::new(), BTreeMap::new()];
    leaves(these, "", &mut a);
    leaves(those, "", &mut b);
    let is_of_concern = |key: &&String| !OF_NO_CONCERN.iter().any(|part| key.starts_with(part));
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).filter(is_of_concern).collect();
    let differs = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
    differs.map(|key| key[1..].replace('/', ".")).collect()
}

/// Done and left, stage by stage, with hours of one core.
fn status(places: &Places, experiments: &[&Experiment]) -> Result<String> {
    let mut text = String::new();
    let (mut seconds, mut unknown) = (0.0, 0);
    let all = all_records(places)?;
    for experiment in experiments {
        let data = read_data(&data_file(&places.curves, &experiment.name))?;
        text += &format!("{}\n", experiment.name);
        for seeds in experiment.seeds_by_stage() {
            let runs: Vec<Run> = runs_of(experiment).filter(|run| seeds.contains(&run.seed)).collect();
            let (done, left): (Vec<&Run>, Vec<&Run>) = runs
                .iter()
                .partition(|run| data.runs.iter().any(|record| run.is_told_by(record)));
            let estimates = left.iter().map(|run| estimate(places, run, &data.runs, &all));
            let (mut stage_seconds, mut stage_unknown) = (0.0, 0);
            for estimate in estimates {
                match estimate {
                    Some(seconds) => stage_seconds += seconds,
                    None => stage_unknown += 1,
                }
            }
            text += &format!(
                "  seeds {}: {} of {} runs are recorded, {} of one core are left\n",
                listed(seeds),
                done.len(),
                runs.len(),
                estimated(stage_seconds, stage_unknown)
            );
            for run in left.iter().filter(|run| state::holder(&places.path(run)).is_some()) {
                text += &format!(
                    "    training {} on {}, seed {}: {:.1} % done\n",
                    run.group.label,
                    run.group.env,
                    run.seed,
                    100.0 * progress(places, run)
                );
            }
            seconds += stage_seconds;
            unknown += stage_unknown;
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    text += &format!(
        "left: {} of one core, {} on this machine's {cores} if nothing else runs\n",
        estimated(seconds, unknown),
        estimated(seconds / cores as f64, unknown)
    );
    Ok(text)
}

/// `1 to 5`, or `7, 3`.
fn listed(seeds: &[u64]) -> String {
    let follows = |pair: &[u64]| pair[1] == pair[0] + 1;
    match (seeds.first(), seeds.last()) {
        (Some(first), Some(last)) if seeds.windows(2).all(follows) => format!("{first} to {last}"),
        _ => seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// `12.5 h`, and how many runs are not in it.
fn estimated(seconds: f64, unknown: usize) -> String {
    match unknown {
        0 => hours(seconds),
        unknown if seconds > 0.0 => format!("{} (without {unknown} runs that nothing is known of)", hours(seconds)),
        _ => "an unknown time".to_string(),
    }
}

/// Every recorded run, whatever its experiment, with the networks of its preset.
fn all_records(places: &Places) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for entry in fs::read_dir(&places.curves).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "json") {
            records.extend(read_data(&path)?.runs);
        }
    }
    let is_as_preset = |record: &Record| {
        let set = record.set.iter().flatten();
        !set.into_iter().any(|setting| setting.starts_with("agent.body"))
    };
    records.retain(is_as_preset);
    Ok(records)
}

/// Seconds that the rest of a run takes: from its own speed, or that of recorded runs: of its group, of its algorithm on its
/// environment, of its label, of its algorithm anywhere.
fn estimate(places: &Places, run: &Run, records: &[Record], all: &[Record]) -> Option<f64> {
    let group = run.group;
    let own = || {
        let found = folder::read(&places.path(run)).ok()?.record;
        Some(found.seconds()? / found.env_steps_evaluated()? as f64)
    };
    let of = |records: &[Record], same: &dyn Fn(&&Record) -> bool| {
        let per_step = |record: &Record| Some(record.seconds()? / record.env_steps as f64);
        let mut all: Vec<f64> = records.iter().filter(same).filter_map(per_step).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    };
    let is_algo = |record: &&Record| record.algo.as_ref() == Some(&group.algo);
    let seconds_per_step = own()
        .or_else(|| {
            of(records, &|record| {
                (&record.label, &record.env) == (&group.label, &group.env)
            })
        })
        .or_else(|| of(all, &|record| is_algo(record) && record.env == group.env))
        .or_else(|| of(records, &|record| record.label == group.label))
        .or_else(|| of(all, &|record| is_algo(record)))?;
    Some(seconds_per_step * group.env_steps as f64 * (1.0 - progress(places, run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_change_no_digit_of_a_run_are_no_difference() {
        let these =
            serde_json::json!({ "agent": { "gamma": 0.99 }, "log": { "every": 1 }, "checkpoint": { "keep": 2 } });
        let mut those = serde_json::json!({ "agent": { "gamma": 0.99 }, "log": { "every": 2 } });
        assert!(differing(&these, &those).is_empty());
        those["agent"] = serde_json::json!({ "gamma": 0.9, "next_action": "online" });
        assert_eq!(differing(&these, &those), ["agent.gamma", "agent.next_action"]);
    }

    #[test]
    fn seeds_of_a_stage_are_a_range_or_a_list() {
        assert_eq!(
            [listed(&[4, 5, 6]), listed(&[1]), listed(&[7, 3])],
            ["4 to 6", "1 to 1", "7, 3"]
        );
    }

    #[test]
    fn a_folder_has_one_campaign_at_a_time() {
        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let first = lock(folder.path()).unwrap_or_else(|e| panic!("{e:#}"));
        let error = lock(folder.path())
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            error.ends_with(&format!("process {} runs a campaign in it", std::process::id())),
            "{error}"
        );
        drop(first);
        assert!(lock(folder.path()).is_ok());
    }
}
