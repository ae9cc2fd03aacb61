//! Arguments of the commands on many runs.

use std::path::PathBuf;

use clap::Args;

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
