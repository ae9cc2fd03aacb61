//! The native half of the package `sac` for Python: the module `sac._sac`. `sac/` holds the half that is Python.
//!
//! Names are private to the package, so what it hands over is trusted: rows of numbers are arrays that it made.

mod convert;
mod envs;
mod errors;
mod messages;
mod objects;
mod policy;
mod rows;
mod train;

use std::{ffi::OsString, path::PathBuf};

use pyo3::prelude::*;
use sac::{Registry, envs::python};

#[pymodule]
mod _sac {
    #[pymodule_export]
    use super::{
        cli, env_ids,
        envs::{NativeEnv, NativeVecEnv, page},
        policy::{NativePolicy, eval_seeds},
        train::{NativeTraining, resume, train},
    };

    use super::*;

    /// Once, when the package is imported.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        let interpreter: PathBuf = py.import("sys")?.getattr("executable")?.extract()?;
        python::set_interpreter(interpreter);
        module.add("HOSTED", python::HOSTED)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Ids and families of the built-in environments.
#[pyfunction]
fn env_ids() -> Vec<(String, String)> {
    let registry = Registry::builtin();
    let entries = registry.entries().iter();
    entries.map(|entry| (entry.id.clone(), entry.family.clone())).collect()
}

/// Runs the command line and returns its exit code.
#[pyfunction]
fn cli(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| sac::cli::run_with(arguments, Registry::builtin()))
}
