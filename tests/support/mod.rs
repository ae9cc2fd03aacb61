//! The binary in a temporary folder, with small networks and few steps.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Small enough that hundreds of updates take a second.
pub const SMALL: &[&str] = &[
    "--threads",
    "1",
    "--set",
    "agent.body.hidden=[16,16]",
    "--set",
    "train.batch_size=16",
    "--set",
    "train.warmup_env_steps=50",
    "--set",
    "replay.capacity=2000",
    "--set",
    "eval.episodes=2",
];

/// Every Markdown file that we wrote, relative to the root.
pub fn pages() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<String> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "configs/README.md",
    ]
    .map(str::to_string)
    .to_vec();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).expect("there").flatten() {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.to_string_lossy().into_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// A folder that is gone with the test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The path of `sac`, which starts [`complete`] where libtorch is needed.
pub fn binary() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("sac").to_path_buf()
}

/// The path of the program with every command.
pub fn complete() -> PathBuf {
    assert_cmd::cargo::cargo_bin!("sac-torch").to_path_buf()
}

/// `sac` with these arguments, in this folder.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// What a command said.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    shown: String,
}

impl Said {
    pub fn of(command: &mut Command) -> Said {
        let output = command.output().expect("the binary starts");
        Said::from_output(output, format!("{command:?}"))
    }

    pub fn from_output(output: Output, shown: String) -> Said {
        let said = Said {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
            shown,
        };
        for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", "a bug in sac"] {
            assert!(!said.stderr.contains(word), "a user sees `{word}`: {said}");
        }
        said
    }

    /// Exit code 0.
    pub fn ok(self) -> Said {
        self.code(0)
    }

    pub fn code(self, code: i32) -> Said {
        assert_eq!(self.code, Some(code), "exit code: {self}");
        self
    }

    /// Each word stands in the message, which is an error or warning with at most a hint behind it.
    pub fn says(self, words: &[&str]) -> Said {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing: {self}");
        }
        self
    }

    /// The one JSON object on stdout.
    pub fn json(&self) -> Value {
        let mut lines = self.stdout.lines();
        let line = lines.next().unwrap_or_else(|| panic!("nothing on stdout: {self}"));
        assert_eq!(lines.next(), None, "more than one line on stdout: {self}");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Said {
            code,
            stdout,
            stderr,
            shown,
        } = self;
        write!(
            f,
            "{shown}\nexit code {code:?}\n--- stdout\n{stdout}--- stderr\n{stderr}"
        )
    }
}

/// `sac` with these arguments, in this folder, to its end.
pub fn sac(folder: &Path, arguments: &[&str]) -> Said {
    Said::of(&mut command(folder, arguments))
}

/// Arguments of `sac train` on Pendulum into `run`, with small networks.
pub fn train_arguments<'a>(run: &'a str, steps: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", "--env", "Pendulum-v1", "--run-dir", run, "--steps", steps];
    arguments.extend_from_slice(SMALL);
    arguments.extend_from_slice(more);
    arguments
}

/// `sac train` on Pendulum, to its end.
pub fn train(folder: &Path, run: &str, steps: &str, more: &[&str]) -> Said {
    sac(folder, &train_arguments(run, steps, more)).ok()
}

/// Waits for something that comes within five minutes: as long as Slurm lets a requeued job wait, and a busy machine takes.
pub fn until(what: &str, mut is_there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_there() {
        assert!(began.elapsed() < Duration::from_secs(300), "no {what}");
        sleep(Duration::from_millis(5));
    }
}

/// Every file below a folder with its bytes, by relative path.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn collect(folder: &Path, prefix: &str, found: &mut BTreeMap<String, Vec<u8>>) {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("has a name").to_string_lossy();
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                collect(&path, &format!("{name}/"), found);
            } else {
                let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.insert(name, bytes);
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(folder, "", &mut found);
    found
}

/// Asserts that two checkpoints hold the same files with the same bytes.
pub fn assert_same_checkpoint(a: &Path, b: &Path, claim: &str) {
    let (left, right) = (contents(a), contents(b));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&left), names(&right), "{claim}: files");
    assert!(left.contains_key("manifest.json"), "{claim}: {} is empty", a.display());
    let differing: Vec<&String> = left
        .iter()
        .filter(|(name, bytes)| right[*name] != **bytes)
        .map(|(name, _)| name)
        .collect();
    assert!(differing.is_empty(), "{claim}: {differing:?} differ");
}

/// Steps of the checkpoints of a run, ascending.
pub fn checkpoints(run: &Path) -> Vec<u64> {
    let mut steps: Vec<u64> = fs::read_dir(run.join("checkpoints"))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.expect("readable").file_name().to_str()?.parse().ok())
        .collect();
    steps.sort_unstable();
    steps
}

/// Lines of `metrics.jsonl`.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).expect("the run has metrics");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The same without what depends on the clock.
pub fn timeless(run: &Path) -> Vec<Value> {
    let mut rows = metrics(run);
    for row in &mut rows {
        let row = row.as_object_mut().expect("an object");
        row.remove("seconds");
        row.retain(|name, _| !name.starts_with("time/"));
    }
    rows
}

/// Rows of `eval.csv`: env steps and mean return.
pub fn evaluations(run: &Path) -> Vec<(u64, f64)> {
    let text = fs::read_to_string(run.join("eval.csv")).expect("the run has evaluations");
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("env_steps,grad_steps,seconds,mean_return,std_return,mean_length,success_rate")
    );
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            assert_eq!(cells.len(), 7, "{line}");
            (
                cells[0].parse().expect("a count"),
                cells[3].parse().expect("a mean return"),
            )
        })
        .collect()
}

/// The keys of an object.
pub fn keys(value: &Value) -> Vec<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("an object: {value}"));
    object.keys().map(String::as_str).collect()
}

/// Whether an object has all of these keys.
#[track_caller]
pub fn assert_has(value: &Value, wanted: &[&str]) {
    let keys = keys(value);
    for key in wanted {
        assert!(keys.contains(key), "`{key}` is missing among {keys:?}");
    }
}

/// The interpreter; `None`, after saying so, where there is none and none is required.
pub fn python() -> Option<String> {
    let python = std::env::var("SAC_TEST_PYTHON").ok().filter(|path| !path.is_empty());
    if python.is_none() {
        let is_required = std::env::var("SAC_TEST_REQUIRE_PYTHON").is_ok_and(|value| value != "0");
        assert!(
            !is_required,
            "SAC_TEST_REQUIRE_PYTHON is set, and SAC_TEST_PYTHON names no interpreter"
        );
        eprintln!("skipped: SAC_TEST_PYTHON names no interpreter (`cargo xtask python` makes one)");
    }
    python
}
