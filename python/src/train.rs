//! Training in Python: [`train`] and [`resume`] start a thread, and [`NativeTraining`] hears of it.
//!
//! The calling thread waits in Python, so that Ctrl-C and exceptions of a callback arrive where the user called. An
//! environment of the interpreter is stepped by the training thread, which no signal handler of Python ever interrupts.

use std::{
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use pyo3::{exceptions::PyKeyboardInterrupt, ffi, prelude::*, types::PyDict};
use sac::{
    Error, Registry, Session, Stop, Summary,
    agents::{
        EnvSteps,
        log::{Row, Sink},
    },
    config::{Config, Layers, Origin, preset_layers, shipped},
    envs::panics::caught,
    run::{self, Changes, RunFolder},
    threads,
};
use toml::Value;

use crate::{
    convert,
    errors::{broken, config_exception, exception},
    messages,
    objects::{self, Failure},
};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(200);

/// What a training says.
enum Event {
    Row(Row),
    Progress(EnvSteps),
    Done(Box<Result<Summary, Error>>),
}

/// A training that runs in a thread of its own.
#[pyclass]
pub struct NativeTraining {
    events: Receiver<Event>,
    /// Lets the training go on after a row.
    heard: Sender<()>,
    is_row_heard: bool,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
    /// Python's number of the thread.
    ident: Option<u64>,
    failure: Failure,
    /// Folder of the run, env steps at the end.
    #[pyo3(get)]
    run_dir: PathBuf,
    #[pyo3(get)]
    total_env_steps: u64,
    outcome: Mutex<Option<Result<Summary, Error>>>,
}

/// Sends rows to Python, and waits until they were heard.
struct ToPython {
    events: Sender<Event>,
    heard: Receiver<()>,
    told: Option<Instant>,
}

impl Sink for ToPython {
    fn name(&self) -> &'static str {
        "Python"
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        if self.events.send(Event::Row(row.clone())).is_ok() {
            // If nobody listens any more, training goes on.
            let _ = self.heard.recv();
        }
        Ok(())
    }

    fn progress(&mut self, env_steps: EnvSteps) {
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            let _ = self.events.send(Event::Progress(env_steps));
        }
    }
}

#[pymethods]
impl NativeTraining {
    /// The next event, as a pair: `("row", dict)`, `("progress", env steps)`, `("done", None)`; or `None` after a while.
    /// After a row, training waits for the next call.
    fn next<'py>(&mut self, py: Python<'py>) -> PyResult<Option<(&'static str, Bound<'py, PyAny>)>> {
        if !std::mem::replace(&mut self.is_row_heard, true) {
            // If the training has ended, nobody waits.
            let _ = self.heard.send(());
        }
        let event = py.detach(|| self.events.recv_timeout(Duration::from_millis(50)));
        match event {
            Ok(Event::Row(row)) => {
                self.is_row_heard = false;
                Ok(Some(("row", row_as_dict(py, &row)?.into_any())))
            }
            Ok(Event::Progress(steps)) => Ok(Some(("progress", steps.0.into_pyobject(py)?.into_any()))),
            Ok(Event::Done(outcome)) => {
                *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(*outcome);
                if let Some(thread) = self.thread.take() {
                    py.detach(|| thread.join())
                        .map_err(|_| broken("the training thread panicked"))?;
                }
                Ok(Some(("done", py.None().into_bound(py))))
            }
            Err(RecvTimeoutError::Timeout) => {
                py.check_signals()?;
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => Err(broken("the training thread has gone")),
        }
    }

    /// Asks the training to end, after a checkpoint.
    fn stop(&self) {
        self.stop.request();
    }

    /// Raises KeyboardInterrupt in the code of an environment, which may not come to an end by itself.
    fn interrupt(&self, py: Python<'_>) {
        if let Some(ident) = self.ident {
            // SAFETY: the interpreter is held. A thread that has ended is not found.
            unsafe {
                ffi::PyThreadState_SetAsyncExc(ident as _, py.get_type::<PyKeyboardInterrupt>().as_ptr());
            }
        }
    }

    /// How it ended, as JSON.
    fn summary(&self, py: Python<'_>) -> PyResult<String> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome.as_ref() {
            Some(Ok(summary)) => serde_json::to_string(summary).map_err(|error| broken(&error.to_string())),
            Some(Err(error)) => {
                let raised = exception(py, error);
                let cause = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                raised.set_cause(py, cause);
                Err(raised)
            }
            None => Err(broken("the training has not ended")),
        }
    }
}

impl Drop for NativeTraining {
    /// A training that nobody hears of any more ends, after a checkpoint.
    fn drop(&mut self) {
        self.stop.request();
    }
}

fn row_as_dict<'py>(py: Python<'py>, row: &Row) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("env_steps", row.env_steps.0)?;
    dict.set_item("grad_steps", row.grad_steps.0)?;
    dict.set_item("seconds", row.seconds)?;
    row.values
        .iter()
        .try_for_each(|(name, value)| dict.set_item(name.as_ref(), value))?;
    Ok(dict)
}

/// The registry of a training, and the exceptions of its environments.
fn registry(source: Option<&Bound<'_, PyAny>>) -> PyResult<(Registry, Failure)> {
    let mut registry = Registry::builtin();
    let failure = match source {
        Some(source) => objects::register(&mut registry, source)?,
        None => Failure::default(),
    };
    Ok((registry, failure))
}

/// Starts a training. `config` is a file, `"none"` for the preset alone, or `None` for the experiment that ships.
#[pyfunction]
#[pyo3(signature = (env, algo, config, settings, source, run_dir, init_from))]
#[allow(clippy::too_many_arguments)] // One call in `sac/training.py`, which names them.
pub fn train(
    py: Python<'_>,
    env: Option<String>,
    algo: Option<String>,
    config: Option<PathBuf>,
    settings: &Bound<'_, PyDict>,
    source: Option<&Bound<'_, PyAny>>,
    run_dir: Option<PathBuf>,
    init_from: Option<PathBuf>,
) -> PyResult<NativeTraining> {
    messages::install();
    let settings = convert::settings(settings)?.map_err(|issues| config_exception(py, issues))?;
    let (registry, failure) = registry(source)?;
    let of_registry = registry.clone();
    let (config, has_threads) = crate::errors::detached(py, move || {
        let layers = layers(env, algo, config, settings)?;
        let has_threads = layers.get("train.threads").is_some_and(Value::is_integer);
        Ok((Config::resolve(&layers, &of_registry)?, has_threads))
    })?;
    let (config, folder) = crate::errors::detached(py, || {
        let measured = match has_threads {
            true => None,
            false => threads::measure(&config, &registry)?,
        };
        let config = measured.map_or(config.clone(), |measured| config.with_threads(measured.threads()));
        let folder = match &run_dir {
            Some(path) => RunFolder::create(path)?,
            None => RunFolder::create_default(&config)?,
        };
        Ok((config, folder))
    })?;
    let total = config.train.total_env_steps;
    start(py, folder.clone(), total, failure, move |mut session| {
        session.init_from = init_from;
        run::train_into(&config, &registry, &folder, session)
    })
}

fn layers(
    env: Option<String>,
    algo: Option<String>,
    config: Option<PathBuf>,
    settings: toml::Table,
) -> Result<Layers, Error> {
    let file = match &config {
        Some(path) if path.as_os_str() != "none" => {
            let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
            Some((Origin::File(path.clone()), text))
        }
        _ => None,
    };
    let mut upper = Layers::default();
    if let Some((origin, text)) = &file {
        upper.add_toml(origin.clone(), text)?;
    }
    upper.add(Origin::Argument, settings.clone());
    let named = |key: &str| upper.get(key).and_then(Value::as_str).map(str::to_string);
    let algo = algo.or_else(|| named("algo")).unwrap_or_else(|| "sac".to_string());
    let env = env.or_else(|| named("env.id"));
    let mut layers = preset_layers(&algo)?;
    match (file, &env) {
        (Some((origin, text)), _) => layers.add_toml(origin, &text)?,
        (None, Some(env)) if config.is_none() => {
            if let Some(shipped) = shipped(env, &algo) {
                layers.add_toml(Origin::Shipped(shipped.path.to_string()), shipped.toml)?;
            }
        }
        _ => {}
    }
    layers.add(Origin::Argument, settings);
    layers.set(Origin::Argument, "algo", algo);
    if let Some(env) = env {
        layers.set(Origin::Argument, "env.id", env);
    }
    Ok(layers)
}

/// Goes on with a run.
#[pyfunction]
#[pyo3(signature = (run_dir, settings, source, branch))]
pub fn resume(
    py: Python<'_>,
    run_dir: PathBuf,
    settings: &Bound<'_, PyDict>,
    source: Option<&Bound<'_, PyAny>>,
    branch: Option<PathBuf>,
) -> PyResult<NativeTraining> {
    messages::install();
    let settings = convert::settings(settings)?.map_err(|issues| config_exception(py, issues))?;
    let mut assignments = Vec::new();
    flatten("", &Value::Table(settings), &mut assignments);
    let (registry, failure) = registry(source)?;
    let changes = Changes {
        assignments,
        ..Changes::default()
    };
    let (config, folder, branch) = crate::errors::detached(py, || {
        let folder = RunFolder::open(run_dir)?;
        let config = folder.config_with(&changes, &registry)?;
        let branch = branch.map(RunFolder::create).transpose()?;
        Ok((config, folder, branch))
    })?;
    let total = config.train.total_env_steps;
    let shown = branch.clone().unwrap_or_else(|| folder.clone());
    start(py, shown, total, failure, move |session| match &branch {
        Some(branch) => run::branch(&config, &registry, &folder, branch, session),
        None => run::resume_with(&config, &registry, &folder, session),
    })
}

/// Settings as `key=value`.
fn flatten(key: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Table(table) if !table.is_empty() || key.is_empty() => {
            for (name, value) in table {
                let key = match key {
                    "" => name.clone(),
                    key => format!("{key}.{name}"),
                };
                flatten(&key, value, out);
            }
        }
        value => out.push(format!("{key}={value}")),
    }
}

/// Runs the work in a thread that the interpreter knows.
fn start(
    py: Python<'_>,
    folder: RunFolder,
    total_env_steps: u64,
    failure: Failure,
    work: impl FnOnce(Session) -> Result<Summary, Error> + Send + 'static,
) -> PyResult<NativeTraining> {
    let (events, inbox) = unbounded();
    let (heard, hears) = bounded(1);
    let (idents, ident) = bounded(1);
    let stop = Stop::default();
    let session = Session {
        sinks: vec![Box::new(ToPython {
            events: events.clone(),
            heard: hears,
            told: None,
        })],
        stop: stop.clone(),
        pause_at: None,
        init_from: None,
    };
    let body = move || {
        let outcome = Python::attach(|py| {
            let ident = py
                .import("threading")
                .and_then(|threading| threading.call_method0("get_ident")?.extract::<u64>());
            let _ = idents.send(ident.ok());
            py.detach(|| caught(|| work(session)).unwrap_or_else(|message| Err(Error::of_panic(message))))
        });
        // Nobody listens if the caller was interrupted twice.
        let _ = events.send(Event::Done(Box::new(outcome)));
    };
    let thread = std::thread::Builder::new()
        .name("sac-train".to_string())
        .spawn(body)
        .map_err(|error| exception(py, &Error::io("thread")(error)))?;
    let ident = py.detach(|| ident.recv().ok().flatten());
    Ok(NativeTraining {
        events: inbox,
        heard,
        is_row_heard: true,
        stop,
        thread: Some(thread),
        ident,
        failure,
        run_dir: folder.path().to_path_buf(),
        total_env_steps,
        outcome: Mutex::new(None),
    })
}
