//! Learning curves of runs that differ in their seed: the data files that hold them, statistics with intervals, tables and
//! pictures.
//!
//! | Module | Contents |
//! |---|---|
//! | [`data`] | data files: runs with their evaluations, under a digest |
//! | [`folder`] | the folder of a run, read as a row of a data file |
//! | [`state`] | whether a run is being trained, or how it ended |
//! | [`settings`] | the settings of runs, and those in which they differ |
//! | [`listing`] | runs as rows of a list, whatever state their folders are in |
//! | [`statistics`] | interquartile mean, stratified bootstrap, probability of improvement |
//! | [`summary`] | all numbers of a report |
//! | [`markdown`], [`picture`] | a report as tables, and as learning curves |
//! | [`pages`] | tables of results within Markdown pages |
//!
//! Nothing here knows of agents or environments.

pub mod data;
mod error;
pub mod folder;
pub mod listing;
pub mod settings;
pub mod state;

#[cfg(feature = "report")]
pub mod markdown;
#[cfg(feature = "report")]
pub mod pages;
#[cfg(feature = "report")]
pub mod picture;
#[cfg(feature = "report")]
pub mod statistics;
#[cfg(feature = "report")]
pub mod summary;

pub use error::{Error, Result};
