//! The command line of `sac`, as far as it needs no libtorch.
//!
//! | Module | Contents |
//! |---|---|
//! | [`launch`] | the program `sac`: it runs the commands that need no libtorch, and starts `sac-torch` for the others |
//! | [`args`] | the arguments of every command |
//! | [`runs`], [`report`] | the commands that need no libtorch |
//! | [`messages`] | what is said on stderr: warnings, errors, one line for a panic |
//! | [`output`], [`table`] | data on stdout |
//! | [`exit_code`] | how a command ended |
//! | [`familiar`] | answers to words of other toolkits, which do not exist here |
//!
//! The package `sac-rl` has the other commands.

// The comments on arguments are what `--help` says, in which `<env>` stands for a name.
#[allow(rustdoc::invalid_html_tags)]
pub mod args;
mod error;
pub mod exit_code;
pub mod familiar;
pub mod launch;
pub mod messages;
pub mod output;
pub mod report;
pub mod runs;
pub mod table;

pub use error::{Error, Failure, Result, bug};
