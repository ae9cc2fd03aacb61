//! Arguments of the commands on many runs.

use std::path::PathBuf;

use clap::Args;

use super::values::count;

/// Arguments of `sac runs`.
#[derive(Args)]
pub struct RunsArgs {
    /// Folder that holds the runs, however deep
    #[arg(value_name = "PATH", default_value = "runs")]
    pub path: PathBuf,
    /// Only runs with this setting or column, such as `agent.gamma=0.98` or `state=finished`; may be given several times
    #[arg(long = "where", value_name = "KEY=VALUE")]
    pub conditions: Vec<String>,
    /// Order by a column or a setting [default: by path]
    #[arg(long, value_name = "KEY")]
    pub sort: Option<String>,
    /// The other way round
    #[arg(long, requires = "sort")]
    pub reverse: bool,
    /// The settings and the provenance in which two runs differ
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["conditions", "sort", "prune"])]
    pub diff: Option<Vec<PathBuf>>,
    /// Remove from finished runs what only resuming needs: replays, and all checkpoints but the newest. Policies stay
    #[arg(long, conflicts_with = "sort")]
    pub prune: bool,
    /// Do not ask
    #[arg(long, requires = "prune")]
    pub yes: bool,
    /// One JSON value on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac report`.
#[derive(Args)]
pub struct ReportArgs {
    /// Run folders, folders of runs, or data files such as those of docs/curves; LABEL=PATH names a curve, which is
    /// otherwise named after its algorithm and the settings that differ
    #[arg(required = true, value_name = "[LABEL=]PATH")]
    pub paths: Vec<String>,
    /// Write one file: .html is a page with pictures and links, .md and .json are the same as text and as numbers. Any other
    /// name is a folder for all three, a picture for each task, and the runs behind them as data.json
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Compare with this label only [default: every pair]
    #[arg(long, value_name = "LABEL")]
    pub against: Option<String>,
    /// Compare with the runs of this path only; their label is `baseline` unless LABEL is given
    #[arg(long, value_name = "[LABEL=]PATH", conflicts_with = "against")]
    pub baseline: Option<String>,
    /// Scores over all tasks, by a file with `low` (score 0) and `high` (score 1) in a table for each task
    #[arg(long, value_name = "FILE.toml")]
    pub reference: Option<PathBuf>,
    /// Scores over all tasks, between the lowest and the highest final return of these runs on each task
    #[arg(long, conflicts_with = "reference")]
    pub min_max: bool,
    /// Above the report [default: Report]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Leave out runs that have not reached their end, and say so in the report
    #[arg(long)]
    pub skip_unfinished: bool,
    /// Leave out runs with an evaluation that is not a number, and say so in the report
    #[arg(long)]
    pub skip_diverged: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// What the commands that train many runs have in common.
#[derive(Args)]
pub struct ManyArgs {
    /// Runs at a time [default: as many as there are cores for]
    #[arg(long, value_name = "N", value_parser = count(1..=1024))]
    pub jobs: Option<u64>,
    /// An option for sbatch, such as `--sbatch=--time=4:00:00`; may be given several times
    #[arg(long, value_name = "OPTION", requires = "slurm")]
    pub sbatch: Vec<String>,
    /// End when other processes train all that is left, instead of waiting for them
    #[arg(long)]
    pub no_wait: bool,
    /// No progress
    #[arg(long)]
    pub quiet: bool,
    /// One JSON object on stdout at the end
    #[arg(long, conflicts_with = "dry_run")]
    pub json: bool,
}

/// Arguments of `sac sweep`.
#[derive(Args)]
pub struct SweepArgs {
    /// What to train: environments, algorithms, settings and seeds (docs/experiments.md)
    pub file: PathBuf,
    /// Folder of the runs; one that holds this sweep already goes on [default: runs/<name of the file>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print the runs with the time and disk that they will take, and start nothing
    #[arg(long, conflicts_with = "status")]
    pub dry_run: bool,
    /// Submit an array of N tasks to Slurm that train the runs, N from --jobs [default: one for each run]
    #[arg(long, conflicts_with_all = ["status", "dry_run", "json"])]
    pub slurm: bool,
    /// Print the state of every run, and start nothing
    #[arg(long)]
    pub status: bool,
    /// How they are trained
    #[command(flatten)]
    pub many: ManyArgs,
}

/// Arguments of `sac search`.
#[derive(Args)]
pub struct SearchArgs {
    /// What to train, which settings to vary, and how (docs/experiments.md)
    pub file: PathBuf,
    /// Folder of the trials; one that holds this search already goes on [default: runs/<name of the file>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print where trials pause and what the search will take, and start nothing
    #[arg(long, conflicts_with = "status")]
    pub dry_run: bool,
    /// Submit an array of N tasks to Slurm that share the search, N from --jobs
    #[arg(long, conflicts_with_all = ["status", "dry_run", "json"], requires = "jobs")]
    pub slurm: bool,
    /// Print the trials, the best first, and start nothing
    #[arg(long)]
    pub status: bool,
    /// How they are trained
    #[command(flatten)]
    pub many: ManyArgs,
}
