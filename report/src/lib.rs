//! Learning curves of runs that differ in their seed: the data files that hold them, statistics with intervals, tables and
//! pictures.
//!
//! | Module | Contents |
//! |---|---|
//! | [`data`] | data files: runs with their evaluations, under a digest |
//! | [`experiment`] | the files of experiments and sweeps: which runs they ask for |
//! | [`toml_file`], [`suggest`] | values of TOML files with all problems at once; what a wrong word was meant to be |
//! | [`folder`] | the folder of a run, read as a row of a data file |
//! | [`state`] | whether a run is being trained, or how it ended |
//! | [`settings`] | the settings of runs, and those in which they differ |
//! | [`listing`] | runs as rows of a list, whatever state their folders are in |
//! | [`statistics`], [`resamples`] | interquartile mean and others, stratified bootstrap, probability of improvement |
//! | [`estimates`] | numbers with intervals, comparisons, performance profiles |
//! | [`scale`] | scores that can be compared between tasks |
//! | [`summary`], [`row`], [`overall`] | all numbers of a report, by task and over all tasks |
//! | [`html`] | a report as one page with pictures, links and tables that sort |
//! | [`markdown`], [`picture`] | a report as tables, and as learning curves |
//! | [`pages`] | tables of results within Markdown pages |
//!
//! Nothing here knows of agents or environments.

#[cfg(feature = "report")]
mod align;
pub mod data;
mod error;
pub mod experiment;
pub mod folder;
pub mod listing;
#[cfg(feature = "report")]
pub mod row;
mod rows;
pub mod settings;
pub mod state;
pub mod suggest;
pub mod toml_file;

#[cfg(feature = "report")]
pub mod estimates;
#[cfg(feature = "report")]
pub mod html;
#[cfg(feature = "report")]
pub mod markdown;
#[cfg(feature = "report")]
pub mod overall;
#[cfg(feature = "report")]
pub mod pages;
#[cfg(feature = "report")]
pub mod picture;
#[cfg(feature = "report")]
mod print;
#[cfg(feature = "report")]
pub mod resamples;
#[cfg(feature = "report")]
pub mod scale;
#[cfg(feature = "report")]
pub mod statistics;
#[cfg(feature = "report")]
pub mod summary;

pub use error::{Error, Result};
