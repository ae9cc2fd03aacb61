//! Arguments of `sac bench`.

use clap::{Args, Subcommand};

use super::values::{count, seconds, toml_count};

/// What `sac bench` measures.
#[derive(Subcommand)]
pub enum BenchCommand {
    /// Updates per second, compared with the matrix products alone
    Update(BenchUpdateArgs),
    /// A whole run: env steps and updates per second, and the time of the loop besides updates
    Train(BenchTrainArgs),
    /// Environment steps per second under random actions
    Env(BenchEnvArgs),
    /// Rows inserted and batches sampled per second, for full replays of several sizes
    Replay(BenchReplayArgs),
}

/// Arguments of `sac bench update`.
#[derive(Args)]
pub struct BenchUpdateArgs {
    /// Numbers per observation
    #[arg(long, value_name = "N", default_value_t = 17, value_parser = count(1..=100_000))]
    pub obs_dim: u64,
    /// Channels, height and width of observations, for presets that see images
    #[arg(long, value_name = "C,H,W", default_value = "9,84,84", value_delimiter = ',')]
    pub image: Vec<u64>,
    /// Numbers per action; for presets for discrete actions, the number of actions
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = count(1..=10_000))]
    pub act_dim: u64,
    /// Transitions per update
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = count(1..=1_000_000))]
    pub batch: u64,
    /// Units per hidden layer [default: the preset's]
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    pub hidden: Option<Vec<i64>>,
    /// Preset
    #[arg(long, value_name = "NAME", default_value = "sac")]
    pub algo: String,
    /// Any setting of the agent, such as `agent.critic.members=5`; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Threads of an update [default: as many as cores, at most 4]
    #[arg(long, value_name = "N", value_parser = count(1..=1_024))]
    pub threads: Option<u64>,
    /// highest (float32) or medium (bfloat16 factors, float32 sums) [default: highest]
    #[arg(long, value_name = "HOW")]
    pub matmul_precision: Option<String>,
    /// How long to measure each, seconds
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac bench train`.
#[derive(Args)]
pub struct BenchTrainArgs {
    /// Environment id
    #[arg(long, value_name = "ID")]
    pub env: String,
    /// Preset
    #[arg(long, value_name = "NAME", default_value = "sac")]
    pub algo: String,
    /// Any setting, such as `train.pipelined=true`; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Env steps after the warm-up
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = count(1..=1_000_000_000_000))]
    pub steps: u64,
    /// Threads [default: as many as cores, at most 4]
    #[arg(long, value_name = "N", value_parser = toml_count())]
    pub threads: Option<u64>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac bench env`.
#[derive(Args)]
pub struct BenchEnvArgs {
    /// Environment id
    #[arg(long, value_name = "ID")]
    pub env: String,
    /// Environments stepped together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1..=100_000))]
    pub num_envs: u64,
    /// Threads that step them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1..=1_024))]
    pub threads: u64,
    /// How long to measure, seconds
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `sac bench replay`.
#[derive(Args)]
pub struct BenchReplayArgs {
    /// Rows of each replay to compare
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_value = "10000,100000,1000000", value_parser = count(1..=1_000_000_000))]
    pub capacity: Vec<u64>,
    /// How rows are sampled
    #[arg(long, value_enum, default_value_t = Sampler::Uniform)]
    pub sampler: Sampler,
    /// Numbers per observation
    #[arg(long, value_name = "N", default_value_t = 17, value_parser = count(1..=100_000))]
    pub obs_dim: u64,
    /// Numbers per action
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = count(1..=10_000))]
    pub act_dim: u64,
    /// Transitions per batch
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = count(1..=1_000_000))]
    pub batch: u64,
    /// How long to sample from each, in a row and again between updates, seconds
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = seconds)]
    pub seconds: f64,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// How a replay samples rows.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Sampler {
    /// All rows with the same probability
    Uniform,
    /// By priority
    Prioritized,
}
