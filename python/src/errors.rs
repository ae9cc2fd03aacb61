//! Errors of the library as exceptions of the package, which `sac/errors.py` defines.

use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    types::{PyDict, PyList},
};
use sac::{
    Error,
    agents::Error as AgentsError,
    config::{Issue, Issues},
    envs::panics::caught,
};

/// Runs work of the library without holding the interpreter. A panic is an error.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T, Error> + Send) -> PyResult<T> {
    let done = py.detach(|| caught(work).unwrap_or_else(|message| Err(Error::of_panic(message))));
    done.map_err(|error| exception(py, &error))
}

/// The exception for an error.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    raised(py, error).unwrap_or_else(|failed| failed)
}

/// The exception for problems of settings.
pub fn config_exception(py: Python<'_>, issues: Issues) -> PyErr {
    exception(py, &Error::Config(issues))
}

fn raised(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let name = match error {
        Error::Config(_) | Error::UnknownAlgo(_) => "ConfigError",
        Error::Env(_) | Error::Agents(AgentsError::EnvDuringTraining { .. } | AgentsError::Env(_)) => "EnvError",
        Error::Agents(AgentsError::Diverged { .. }) => "DivergedError",
        Error::RunExists(_)
        | Error::InUse { .. }
        | Error::NotARun { .. }
        | Error::OtherSpaces { .. }
        | Error::Folder { .. }
        | Error::NoCheckpoint(_) => "RunError",
        Error::Usage(_) => "ArgumentError",
        _ => "Error",
    };
    // The message with its causes and the hint, which names flags of the command.
    let message = format!("{error:?}")
        .replace("--resume", "sac.resume")
        .replace("--run-dir", "run_dir");
    let details = PyDict::new(py);
    match error {
        Error::Config(Issues(issues)) => {
            let problems = PyList::empty(py);
            for issue in issues {
                problems.append(problem(py, issue)?)?;
            }
            details.set_item("problems", problems)?;
        }
        Error::UnknownAlgo(message) => {
            let problem = PyDict::new(py);
            problem.set_item("key", "algo")?;
            problem.set_item("problem", message)?;
            details.set_item("problems", vec![problem])?;
        }
        Error::Agents(AgentsError::EnvDuringTraining { checkpoint, .. } | AgentsError::Diverged { checkpoint, .. }) => {
            details.set_item("checkpoint", checkpoint)?
        }
        _ => {}
    }
    let class = py.import("sac.errors")?.getattr(name)?;
    Ok(PyErr::from_value(class.call((message,), Some(&details))?))
}

fn problem<'py>(py: Python<'py>, issue: &Issue) -> PyResult<Bound<'py, PyDict>> {
    let problem = PyDict::new(py);
    problem.set_item("key", &issue.key)?;
    problem.set_item("value", &issue.value)?;
    problem.set_item("problem", &issue.problem)?;
    problem.set_item("origin", issue.origin.as_ref().map(ToString::to_string))?;
    Ok(problem)
}

/// An error of the package itself.
pub fn broken(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("this is a bug in sac: {what}"))
}
