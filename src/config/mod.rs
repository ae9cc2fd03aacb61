//! Configuration: preset ← experiment file ← `--set` ← flags.
//!
//! [`Settings`] is everything that can be set, with defaults: a program fills it in, or a file is read into it.
//! [`Layers`] merges several files and assignments and remembers where each value came from. [`Config`] is a
//! [`Settings`] that was checked against one environment: it contains no "auto" and cannot be invalid. All problems are
//! reported at once, as [`Issue`]s.

mod algo;
mod error;
mod finite;
mod issue;
mod key;
mod layers;
mod origin;
mod presets;
mod read;
mod resolve;
mod settings;
mod shipped;

pub use algo::Algo;
pub use error::ConfigError;
pub use issue::{Issue, Issues};
pub use layers::Layers;
pub use origin::Origin;
pub use presets::{configure, layers, preset_layers};
pub use resolve::Config;
pub use sac_agents::trainer::settings::{
    CheckpointSettings, DeviceChoice, EvalSettings, LogSettings, Threads, TrainSettings,
};
pub use settings::{EnvSettings, Settings};
pub use shipped::{SHIPPED, Shipped, shipped};
