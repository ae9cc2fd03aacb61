//! Environments of this interpreter as environments of the library: [`register`].

use std::{
    cell::Cell,
    sync::{Arc, Mutex, PoisonError},
};

use pyo3::{ffi, prelude::*, types::PyBytes};
use sac::{
    Error, Registry,
    envs::{EnvEntry, Outcome, python::PythonObject},
};

use crate::{errors::exception, rows::Rows};

/// The last exception of an environment, to be the cause of the package's.
pub type Failure = Arc<Mutex<Option<PyErr>>>;

/// Adds the environments of a `Source` of `sac/objects.py` to a registry.
pub fn register(registry: &mut Registry, source: &Bound<'_, PyAny>) -> PyResult<Failure> {
    let failure = Failure::default();
    let id: String = source.getattr("id")?.extract()?;
    let description: String = source.getattr("description")?.extract()?;
    let (shared, of_entry) = (Arc::new(source.clone().unbind()), failure.clone());
    let make = move || {
        Box::new(InterpreterEnv {
            source: Arc::clone(&shared),
            failure: of_entry.clone(),
            hosted: Mutex::new(None),
        }) as Box<dyn PythonObject>
    };
    let entry = EnvEntry::of_python_objects(id, &description, make);
    registry.register(entry.map_err(|error| exception(source.py(), &Error::Env(error)))?);
    Ok(failure)
}

/// An environment object. It is made when its first episode begins, because many environments are only asked for their
/// spaces, which are known.
struct InterpreterEnv {
    source: Arc<Py<PyAny>>,
    failure: Failure,
    hosted: Mutex<Option<Hosted>>,
}

struct Hosted {
    /// The object of the class `Hosted`, and two of its methods.
    object: Py<PyAny>,
    reset: Py<PyAny>,
    step: Py<PyAny>,
    action: Rows<f32>,
    obs: Observation,
    end: Rows<f64>,
}

enum Observation {
    Numbers(Rows<f32>),
    Bytes(Rows<u8>),
}

impl Hosted {
    /// Another environment of a source.
    fn new(py: Python<'_>, source: &Py<PyAny>, action_len: usize, obs_len: usize) -> PyResult<Self> {
        let object = source.bind(py).call_method0("hosted")?;
        let obs = object.getattr("out")?;
        let is_bytes = obs.getattr("dtype")?.getattr("itemsize")?.extract::<usize>()? == 1;
        Ok(Hosted {
            reset: object.getattr("reset")?.unbind(),
            step: object.getattr("step")?.unbind(),
            action: Rows::of(&object.getattr("row")?, action_len)?,
            obs: match is_bytes {
                true => Observation::Bytes(Rows::of(&obs, obs_len)?),
                false => Observation::Numbers(Rows::of(&obs, obs_len)?),
            },
            end: Rows::of(&object.getattr("end")?, 2)?,
            object: object.unbind(),
        })
    }

    fn read(&mut self, obs: &mut [f32]) {
        match &mut self.obs {
            Observation::Numbers(numbers) => obs.copy_from_slice(numbers.get()),
            Observation::Bytes(bytes) => {
                let pairs = obs.iter_mut().zip(bytes.get());
                pairs.for_each(|(x, byte)| *x = f32::from(*byte));
            }
        }
    }
}

impl InterpreterEnv {
    /// Runs work on the object. An exception becomes its message, and is kept.
    fn with<T>(&self, work: impl FnOnce(Python<'_>, &mut Option<Hosted>) -> PyResult<T>) -> Result<T, String> {
        stay_known();
        Python::attach(|py| {
            let mut hosted = self.hosted.lock().unwrap_or_else(PoisonError::into_inner);
            work(py, &mut hosted).map_err(|error| self.explained(py, error))
        })
    }

    #[cold]
    fn explained(&self, py: Python<'_>, error: PyErr) -> String {
        let message = self.source.bind(py).call_method1("explained", (error.value(py),));
        let message = message.and_then(|message| message.extract::<String>());
        let message = message.unwrap_or_else(|_| error.to_string());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        message
    }
}

impl PythonObject for InterpreterEnv {
    fn reset(&self, seed: Option<u64>, generator: Option<&str>, obs: &mut [f32]) -> Result<(), String> {
        self.with(|py, hosted| {
            let hosted = match hosted {
                Some(hosted) => hosted,
                None => {
                    let action_len = self.source.bind(py).getattr("action_len")?.extract()?;
                    hosted.insert(Hosted::new(py, &self.source, action_len, obs.len())?)
                }
            };
            hosted.reset.call1(py, (seed, generator))?;
            hosted.read(obs);
            Ok(())
        })
    }

    fn generator(&self) -> Result<Option<String>, String> {
        self.with(|py, hosted| match hosted {
            Some(hosted) => hosted.object.bind(py).call_method0("generator")?.extract(),
            None => Ok(None),
        })
    }

    fn step(&self, action: &[f32], obs: &mut [f32]) -> Result<Outcome, String> {
        self.with(|py, hosted| {
            let hosted = hosted
                .as_mut()
                .ok_or_else(|| crate::errors::broken("a step before a reset"))?;
            hosted.action.get().copy_from_slice(action);
            hosted.step.call0(py)?;
            hosted.read(obs);
            let [reward, ends] = [0, 1].map(|i| hosted.end.get()[i]);
            Ok(Outcome::of_flags(reward, ends))
        })
    }

    fn goal_outcomes(&self, count: usize, data: &[u8]) -> Result<Vec<u8>, String> {
        self.with(|py, hosted| {
            let hosted = match hosted {
                Some(hosted) => hosted,
                None => {
                    let source = self.source.bind(py);
                    let [action_len, obs_len] = ["action_len", "obs_len"].map(|name| source.getattr(name)?.extract());
                    hosted.insert(Hosted::new(py, &self.source, action_len?, obs_len?)?)
                }
            };
            let answer = hosted
                .object
                .bind(py)
                .call_method1("goal_outcomes", (count, PyBytes::new(py, data)))?;
            answer.extract()
        })
    }

    fn render(&self) -> Result<(u32, u32, Vec<u8>), String> {
        self.with(|py, hosted| {
            let problem = "there is nothing to draw before the first reset";
            let hosted = hosted
                .as_mut()
                .ok_or_else(|| pyo3::exceptions::PyValueError::new_err(problem))?;
            let drawn = hosted.object.bind(py).call_method0("render")?;
            let (size, rgb): (Bound<'_, PyAny>, Vec<u8>) = drawn.extract()?;
            Ok((
                size.get_item("width")?.extract()?,
                size.get_item("height")?.extract()?,
                rgb,
            ))
        })
    }
}

impl Drop for InterpreterEnv {
    /// Closes the environment, if the package made it.
    fn drop(&mut self) {
        let hosted = self.hosted.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let Some(hosted) = hosted else { return };
        // While the interpreter ends, nothing is closed.
        Python::try_attach(|py| {
            if let Err(error) = self.source.bind(py).call_method1("close", (hosted.object.bind(py),)) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Makes the interpreter remember this thread. Otherwise it would make what it knows of a thread anew at every step.
fn stay_known() {
    thread_local! {
        static KNOWN: Known = const { Known(Cell::new(None)) };
    }
    KNOWN.with(|known| {
        if known.0.get().is_none() {
            known.0.set(Some(Known::enter()));
        }
    });
}

/// What the interpreter was told of a thread that it did not know, until the thread ends.
struct Known(Cell<Option<Told>>);

/// `None` for a thread of Python's own.
type Told = Option<(ffi::PyGILState_STATE, *mut ffi::PyThreadState)>;

impl Known {
    fn enter() -> Told {
        // SAFETY: the calls are undone in the opposite order, on the same thread, in `drop`.
        unsafe {
            ffi::PyGILState_GetThisThreadState().is_null().then(|| {
                let state = ffi::PyGILState_Ensure();
                (state, ffi::PyEval_SaveThread())
            })
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        // SAFETY: see `enter`. After the end of the interpreter, nothing is left to undo.
        unsafe {
            if let Some(Some((state, thread))) = self.0.take()
                && ffi::Py_IsInitialized() != 0
            {
                ffi::PyEval_RestoreThread(thread);
                ffi::PyGILState_Release(state);
            }
        }
    }
}
