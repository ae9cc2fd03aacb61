//! Configuration: preset ← experiment file ← `--set` ← flags.
//!
//! Three types, one direction. [`RawConfig`] is the shape of a file: everything has a default and may say "auto".
//! [`Layers`] merges several and remembers where each value came from. [`Config`] is what they mean for one
//! environment: no "auto" is left in it and it cannot be invalid. Problems are reported all at once, as [`Issue`]s.

mod issue;
mod layers;
mod raw;
mod resolve;
mod shipped;

pub(crate) use issue::nearest;
pub use issue::{Issue, Issues};
pub use layers::{Layers, Origin};
pub use raw::{RawConfig, Setting};
pub use resolve::{CheckpointConfig, Config, EnvConfig, EvalConfig, LogConfig, ResolveError, TrainConfig};
pub use shipped::{SHIPPED, Shipped, shipped};
