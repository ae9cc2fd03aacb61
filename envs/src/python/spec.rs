//! [`PythonSpec`]: which environment a worker makes, and how.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::EnvError;

/// What ids of Python environments begin with.
const PREFIX: &str = "py:";

/// What `auto` means as an interpreter, if a program has set it.
static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();

/// Sets the interpreter of worker processes whose option `python` is `auto`, for a program that runs in one. Only the
/// first call counts.
pub fn set_interpreter(path: PathBuf) {
    INTERPRETER.get_or_init(|| path);
}

/// Whether an id is that of a Python environment.
pub(crate) fn is_python(id: &str) -> bool {
    id.starts_with(PREFIX)
}

/// The options of every Python environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PythonOptions {
    /// Interpreter, or `auto`.
    python: String,
    /// Number of processes, or `auto`.
    workers: Workers,
    /// Seconds that a step or a reset may take.
    step_timeout_s: f64,
    /// Modules to import first.
    imports: Vec<String>,
    /// Arguments of the constructor.
    kwargs: toml::Table,
}

impl Default for PythonOptions {
    fn default() -> Self {
        PythonOptions {
            python: AUTO.to_string(),
            workers: Workers::Auto(Auto::Auto),
            step_timeout_s: 300.0,
            imports: Vec::new(),
            kwargs: toml::Table::new(),
        }
    }
}

const AUTO: &str = "auto";

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a whole number, at least 1, or \"auto\"")]
enum Workers {
    Count(NonZero<usize>),
    Auto(Auto),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Auto {
    Auto,
}

/// Which environment a worker makes, and how.
#[derive(Clone, Debug)]
pub(crate) struct PythonSpec {
    /// The whole id, `py:` included.
    pub(super) name: String,
    /// What follows `py:`.
    id: String,
    options: PythonOptions,
    /// `package.module:Wrapper`, innermost first.
    wrappers: Vec<String>,
    /// Control steps per episode, if they were given.
    time_limit: Option<NonZero<u64>>,
}

impl PythonSpec {
    /// The environment `name`, an id with its prefix.
    ///
    /// # Errors
    /// [`EnvError::Option`] for a timeout that is no time, and for arguments that JSON cannot hold.
    pub(crate) fn new(
        name: &str,
        options: PythonOptions,
        wrappers: &[String],
        time_limit: Option<NonZero<u64>>,
    ) -> Result<Self, EnvError> {
        let wrong = |option: &str, problem: String| EnvError::Option {
            env: name.to_string(),
            option: option.to_string(),
            problem,
        };
        let id = name.strip_prefix(PREFIX).unwrap_or(name);
        if id.is_empty() {
            return Err(EnvError::Unsupported {
                env: name.to_string(),
                problem: "expected an id behind it, such as py:Pendulum-v1 or py:package.module:Class".to_string(),
            });
        }
        let timeout_s = options.step_timeout_s;
        if Duration::try_from_secs_f64(timeout_s).is_err() || timeout_s <= 0.0 {
            return Err(wrong(
                "step_timeout_s",
                format!("expected a number of seconds above 0, found {timeout_s}"),
            ));
        }
        if let Some((key, _)) = options.kwargs.iter().find(|(_, value)| holds_no_json(value)) {
            return Err(wrong(
                "kwargs",
                format!("`{key}` is or holds a date or a number that is not finite, which JSON cannot hold"),
            ));
        }
        Ok(PythonSpec {
            name: name.to_string(),
            id: id.to_string(),
            options,
            wrappers: wrappers.to_vec(),
            time_limit,
        })
    }

    /// The interpreter: the given one, that of this program, that of the active virtual environment, or `python3`.
    pub(super) fn interpreter(&self) -> PathBuf {
        if self.options.python != AUTO {
            return PathBuf::from(&self.options.python);
        }
        if let Some(path) = INTERPRETER.get() {
            return path.clone();
        }
        let active = std::env::var_os("VIRTUAL_ENV").filter(|folder| !folder.is_empty());
        active.map_or_else(|| "python3".into(), |folder| PathBuf::from(folder).join("bin/python"))
    }

    pub(super) fn step_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.options.step_timeout_s)
    }

    /// The number of processes for this number of environments.
    pub(crate) fn workers(&self, num_envs: usize) -> usize {
        let wanted = match self.options.workers {
            Workers::Count(count) => count.get(),
            Workers::Auto(Auto::Auto) => std::thread::available_parallelism().map_or(1, NonZero::get),
        };
        wanted.clamp(1, num_envs.max(1))
    }

    /// All that an environment which was just made depends on.
    pub(super) fn made_by(&self) -> String {
        format!(
            "{} {} {:?}",
            self.interpreter().display(),
            self.request(),
            self.step_timeout()
        )
    }

    /// The request that makes the environment.
    pub(super) fn request(&self) -> serde_json::Value {
        serde_json::json!({
            "do": "make",
            "id": self.id,
            "callable": self.is_callable(),
            "kwargs": self.options.kwargs,
            "imports": self.options.imports,
            "wrappers": self.wrappers,
            "time_limit": self.time_limit,
        })
    }

    /// Whether the id names a class or function: `package.module:name`. Gymnasium has ids with a colon of its own,
    /// `module:Name-v0`.
    fn is_callable(&self) -> bool {
        let version = |name: &str| {
            let version = name.rsplit_once("-v").map(|(_, version)| version);
            version.is_some_and(|version| !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()))
        };
        self.id.split_once(':').is_some_and(|(_, name)| !version(name))
    }
}

/// Whether a value holds something that JSON cannot.
fn holds_no_json(value: &toml::Value) -> bool {
    match value {
        toml::Value::Datetime(_) => true,
        toml::Value::Float(number) => !number.is_finite(),
        toml::Value::Array(list) => list.iter().any(holds_no_json),
        toml::Value::Table(table) => table.values().any(holds_no_json),
        toml::Value::String(_) | toml::Value::Integer(_) | toml::Value::Boolean(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(id: &str) -> PythonSpec {
        PythonSpec::new(id, PythonOptions::default(), &[], None).expect("valid")
    }

    #[test]
    fn ids_of_gymnasium_and_names_of_callables_are_told_apart() {
        for (id, is_callable) in [
            ("py:Pendulum-v1", false),
            ("py:ALE/Pong-v5", false),
            ("py:minigrid:MiniGrid-Empty-8x8-v0", false),
            ("py:package.module:make_env", true),
            ("py:module:Env-v", true),
        ] {
            assert_eq!(spec(id).is_callable(), is_callable, "{id}");
        }
    }

    #[test]
    fn there_are_at_most_as_many_workers_as_environments() {
        let options: PythonOptions =
            toml::from_str("python = 'auto'\nworkers = 3\nstep_timeout_s = 1.0\nimports = []\nkwargs = {}")
                .expect("valid");
        let spec = PythonSpec::new("py:A-v0", options, &[], None).expect("valid");
        assert_eq!([1, 2, 8].map(|envs| spec.workers(envs)), [1, 2, 3]);
    }

    #[test]
    fn a_timeout_is_a_time() {
        for step_timeout_s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let options = PythonOptions {
                step_timeout_s,
                ..PythonOptions::default()
            };
            let error = PythonSpec::new("py:A-v0", options, &[], None).expect_err("refused");
            assert!(error.to_string().contains("step_timeout_s"), "{error}");
        }
    }
}
