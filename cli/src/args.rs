//! The arguments of every command: [`parse`].

use std::{
    ffi::OsString,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue},
};

use crate::familiar;

mod bench;
mod experiments;
mod values;

pub use bench::{BenchCommand, BenchEnvArgs, BenchReplayArgs, BenchTrainArgs, BenchUpdateArgs, Sampler};
pub use experiments::{ManyArgs, ReportArgs, RunsArgs, SearchArgs, SweepArgs};
pub use values::MOST_SEEDS;
use values::{count, seeds, toml_count};

/// The name of the program with all commands of `sac`. Users start `sac`, which starts it where libtorch is needed.
pub const COMPLETE: &str = "sac-torch";

/// The name of the running program: `sac`, or that of a program with tasks of its own.
pub fn program() -> &'static str {
    PROGRAM.get().map_or("sac", String::as_str)
}

static PROGRAM: OnceLock<String> = OnceLock::new();

/// The command that the arguments name, of which the first is the program. Ends the process where they name none, and for
/// `--help`.
pub fn parse(mut arguments: Vec<OsString>) -> Command {
    if let Some(path) = arguments.first_mut() {
        if Path::new(path).file_name() == Some(COMPLETE.as_ref()) {
            *path = "sac".into();
        }
        let name = Path::new(path).file_stem().unwrap_or(path.as_os_str());
        PROGRAM.get_or_init(|| name.to_string_lossy().into_owned());
    }
    let parsed = Cli::command()
        .name(program())
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => cli.command,
        Err(error) => translated(error).exit(),
    }
}

/// The same error; for a flag of another toolkit with what it is called here instead of the most similar flag.
fn translated(mut error: clap::Error) -> clap::Error {
    let answer = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if error.kind() == clap::error::ErrorKind::UnknownArgument => {
            familiar::flag(flag)
        }
        _ => None,
    };
    if let Some(answer) = answer {
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![answer.into()]));
    }
    error
}

/// Soft Actor-Critic and its relatives: train, evaluate, inspect.
///
/// Data goes to stdout, progress and messages to stderr. Exit codes: 0 done, 2 the input was wrong, 130 interrupted
/// (after a checkpoint), 1 anything else.
#[derive(Parser)]
#[command(version, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

/// A command with its arguments.
#[derive(Subcommand)]
pub enum Command {
    /// Train an agent, or resume a run
    Train(TrainArgs),
    /// Score a saved policy
    Eval(EvalArgs),
    /// Train many runs: environments, algorithms, settings and seeds of a file
    Sweep(SweepArgs),
    /// Search for the best settings: samplers, early stopping, Optuna's storage
    Search(SearchArgs),
    /// List runs: what they are, how far they got, and how they ended
    Runs(RunsArgs),
    /// Compare runs: tables with intervals over seeds, learning curves, one page
    Report(ReportArgs),
    /// Film a saved policy (.gif, .mp4), or draw a contact sheet of it (.png)
    Play(PlayArgs),
    /// Write a saved policy for use without libtorch: safetensors for Rust, ONNX, or C
    Export(ExportArgs),
    /// Write a page about a saved policy, to publish beside its exported files
    Card(CardArgs),
    /// Step an environment and print every transition as a line of JSON
    Rollout(RolloutArgs),
    /// List the environments, or show the page of one
    Envs(EnvsArgs),
    /// Check that an environment keeps the contract: seeds, spaces, snapshots, ends of episodes
    Check(CheckArgs),
    /// List the algorithms, or print the preset of one with the source of each value
    Algos(AlgosArgs),
    /// Print the resolved configuration and where each value comes from
    Config(ConfigArgs),
    /// Say what was found on this machine, and how to install what is missing
    Doctor(DoctorArgs),
    /// Write a new crate with a task of its own and this command line
    New(NewArgs),
    /// Measure speed
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// The configuration of a run.
#[derive(Default, Args, Clone)]
pub struct Overrides {
    /// Environment id (`sac envs` lists them)
    #[arg(long, value_name = "ID")]
    pub env: Option<String>,
    /// Preset (`sac algos` lists them) [default: sac]
    #[arg(long, value_name = "NAME")]
    pub algo: Option<String>,
    /// Experiment file; `none` skips the one that ships for the environment
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any key, such as `agent.gamma=0.98` or `checkpoint.every={env_steps=500}`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Env steps to train, all environments together (train.total_env_steps)
    #[arg(long, value_name = "N", value_parser = toml_count())]
    pub steps: Option<u64>,
    /// Root of every random stream (train.seed)
    #[arg(long, value_name = "N", value_parser = toml_count())]
    pub seed: Option<u64>,
    /// Environments stepped together (env.num_envs)
    #[arg(long, value_name = "N", value_parser = toml_count())]
    pub num_envs: Option<u64>,
    /// auto, cpu, cuda or cuda:N (train.device)
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads of an update (train.threads)
    #[arg(long, value_name = "N", value_parser = toml_count())]
    pub threads: Option<u64>,
    /// highest (float32) or medium (bfloat16 factors, float32 sums), on the CPU (train.matmul_precision)
    #[arg(long, value_name = "HOW")]
    pub matmul_precision: Option<String>,
}

/// Arguments of `sac train`.
#[derive(Args)]
pub struct TrainArgs {
    /// The configuration
    #[command(flatten)]
    pub overrides: Overrides,
    /// Several seeds, such as `1,2,3,4` or `1-4`: a run for each, on one thread each, --threads of them at a time
    /// [default: as many as there are cores]
    #[arg(long, value_name = "N,N-N,…", value_delimiter = ',', value_parser = seeds, conflicts_with = "seed")]
    pub seeds: Vec<RangeInclusive<u64>>,
    /// Folder of the new run [default: runs/<env>/<algo>/<utc>-s<seed>]; with --seeds, of all runs; with --resume, of a
    /// branch: the run that it goes on from stays as it is
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Resume a run, or all runs of --seeds, from the newest checkpoint. These may change: --steps, --device, --threads,
    /// and with --set learning rates, train.updates_per_env_step, eval.*, checkpoint.* and log.*
    #[arg(long, value_name = "DIR", conflicts_with_all = ["env", "algo", "config", "seed", "seeds", "num_envs", "matmul_precision"])]
    pub resume: Option<PathBuf>,
    /// Begin with what another run on the same spaces has learned: parameters and statistics of its newest checkpoint
    #[arg(long, value_name = "DIR", conflicts_with_all = ["resume", "seeds"])]
    pub init_from: Option<PathBuf>,
    /// Stop after this many env steps of the run's, with a checkpoint; --resume goes on as if it had not stopped
    #[arg(long, value_name = "N", value_parser = count(1..=i64::MAX as u64), conflicts_with = "seeds")]
    pub pause_at: Option<u64>,
    /// No progress, no header
    #[arg(long)]
    pub quiet: bool,
    /// One JSON object on stdout at the end
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac eval`.
#[derive(Args)]
pub struct EvalArgs {
    /// Folder of a run
    pub run: PathBuf,
    /// best, last, or a number of env steps [default: best, or last where nothing was evaluated]
    #[arg(long, value_name = "WHICH")]
    pub checkpoint: Option<String>,
    /// Whole episodes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count(1..=1_000_000))]
    pub episodes: u64,
    /// Seed of the episodes; the same seed gives the same ones
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = toml_count())]
    pub seed: u64,
    /// Draw actions from the policy, instead of taking its mode
    #[arg(long)]
    pub stochastic: bool,
    /// An option of the environment that differs from the run's, such as `wrappers=[{kind="action_noise", std=0.2}]`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Device that computes actions: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac play`.
#[derive(Args)]
pub struct PlayArgs {
    /// Folder of a run
    pub run: PathBuf,
    /// File to write: .gif is a film, .mp4 one that ffmpeg writes, .png a contact sheet
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// best, last, or a number of env steps [default: best, or last where nothing was evaluated]
    #[arg(long, value_name = "WHICH")]
    pub checkpoint: Option<String>,
    /// Whole episodes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1..=1000))]
    pub episodes: u64,
    /// Env steps of an episode at most
    #[arg(long, value_name = "N", value_parser = count(1..=i64::MAX as u64))]
    pub max_steps: Option<u64>,
    /// Seed of the first episode
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = toml_count())]
    pub seed: u64,
    /// An option of the environment that differs from the run's, such as `g=9.81`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Env steps from one picture to the next
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1..=i64::MAX as u64))]
    pub every: u64,
    /// Device that computes actions: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
}

/// A format of exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For the Rust package sac-policy
    Safetensors,
    /// For ONNX Runtime and what else reads ONNX
    Onnx,
    /// A pair of files in C99 that need math.h only
    C,
}

/// Arguments of `sac export`.
#[derive(Args)]
pub struct ExportArgs {
    /// Folder of a run
    pub run: PathBuf,
    /// Format of what is written
    #[arg(long, value_name = "FORMAT")]
    pub format: Format,
    /// File to write; for C the name of a pair of files
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// best, last, or a number of env steps [default: best, or last where nothing was evaluated]
    #[arg(long, value_name = "WHICH")]
    pub checkpoint: Option<String>,
    /// Actions drawn from the policy, with random numbers that are a second input
    #[arg(long)]
    pub stochastic: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac card`.
#[derive(Args)]
pub struct CardArgs {
    /// Folder of a run
    pub run: PathBuf,
    /// Page to write, in Markdown; the picture is put beside it [default: card.md in the folder of the run]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// best, last, or a number of env steps [default: best, or last where nothing was evaluated]
    #[arg(long, value_name = "WHICH")]
    pub checkpoint: Option<String>,
    /// Whole episodes of the evaluation
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(1..=1_000_000))]
    pub episodes: u64,
    /// Seed of the episodes; the same seed gives the same ones
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = toml_count())]
    pub seed: u64,
}

/// Arguments of `sac rollout`.
#[derive(Args)]
pub struct RolloutArgs {
    /// Environment id
    #[arg(long, value_name = "ID", required_unless_present = "policy")]
    pub env: Option<String>,
    /// Option of the task, such as `g=9.81`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Seed of the first reset, and of random actions
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = toml_count())]
    pub seed: u64,
    /// Env steps to take [default: 1000; with --actions, all of them]
    #[arg(long, value_name = "N", value_parser = toml_count())]
    pub steps: Option<u64>,
    /// JSON array of actions in the environment's own units
    #[arg(long, value_name = "FILE", conflicts_with = "policy")]
    pub actions: Option<PathBuf>,
    /// Folder of a run whose policy acts
    #[arg(long, value_name = "RUN", conflicts_with_all = ["env", "sets"])]
    pub policy: Option<PathBuf>,
    /// best, last, or a number of env steps [default: best, or last where nothing was evaluated]
    #[arg(long, value_name = "WHICH", requires = "policy")]
    pub checkpoint: Option<String>,
    /// Device that computes actions: cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Write here instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `sac check`.
#[derive(Args)]
pub struct CheckArgs {
    /// Environment id
    #[arg(long, value_name = "ID")]
    pub env: String,
    /// Option of the task, such as `g=9.81`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// Arguments of `sac envs`.
#[derive(Args)]
pub struct EnvsArgs {
    /// Show the page of this environment
    pub id: Option<String>,
    /// The page under another value of one of its options, such as `g=9.81`; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "id")]
    pub sets: Vec<String>,
    /// One JSON value on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac algos`.
#[derive(Args)]
pub struct AlgosArgs {
    /// Print this preset
    pub name: Option<String>,
    /// One JSON value on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// The configuration
    #[command(flatten)]
    pub overrides: Overrides,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac doctor`.
#[derive(Args)]
pub struct DoctorArgs {
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac new`.
#[derive(Args)]
pub struct NewArgs {
    /// Folder of the new crate; its last part is the name of the crate
    pub dir: PathBuf,
    /// Checkout of sac to depend on [default: the one that this program was built in, else the published package]
    #[arg(long, value_name = "DIR")]
    pub sac: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_answers_name_exist_and_those_that_are_answered_do_not() {
        let command = Cli::command();
        let long = |command: &clap::Command| -> Vec<String> {
            let flags = command.get_arguments().filter_map(|argument| argument.get_long());
            flags.map(str::to_string).collect()
        };
        let everywhere: Vec<String> = command.get_subcommands().flat_map(long).collect();
        let of_train = long(command.find_subcommand("train").expect("there"));
        for (words, answer) in familiar::FLAGS {
            let named = answer
                .split([' ', '`', ':', '\''])
                .filter_map(|word| word.strip_prefix("--"));
            for flag in named.filter(|flag| *flag != "logdir") {
                assert!(everywhere.iter().any(|known| known == flag), "{answer}");
            }
            let taken = words.iter().find(|word| of_train.iter().any(|known| known == *word));
            assert_eq!(taken, None, "a flag of `sac train`");
        }
    }

    #[test]
    fn seeds_are_numbers_and_ranges() {
        let parsed = |text| Cli::try_parse_from(["sac", "train", "--seeds", text]);
        let Command::Train(args) = parsed("7,1-3").expect("valid").command else {
            panic!("`train` was asked for")
        };
        assert_eq!(args.seeds.into_iter().flatten().collect::<Vec<_>>(), [7, 1, 2, 3]);
        for text in [
            "1-",
            "-3",
            "a-b",
            "1-2-3",
            "3-1",
            "0-2000",
            "",
            "1..3",
            "18446744073709551615",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
