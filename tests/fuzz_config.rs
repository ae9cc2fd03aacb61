//! Generated configurations: each is resolved or refused with a key, without a panic and in a short time.
//!
//! `cargo xtask fuzz config --cases N` runs more of them. Case i is the same on every machine.

use std::{
    fmt::Write as _,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::abort,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::generator::Generator;
use sac::{
    Registry,
    config::{Algo, Config, ConfigError, Layers, Origin, layers},
};
use toml::{Table, Value};

/// Cases in CI; a few seconds.
const CASES: u64 = 300;
/// Longest time for a case, far above what is needed on a busy machine.
const MOST_S: f64 = 30.0;
const ENVS: [&str; 4] = [
    "Pendulum-v1",
    "CartPole-v1",
    "EntityReach-v0",
    "MountainCarContinuous-v0",
];

#[test]
fn generated_configurations_are_resolved_or_refused_with_a_key() {
    let cases = std::env::var("SAC_FUZZ_CASES").map_or(CASES, |cases| cases.parse().expect("a number of cases"));
    let registry = Registry::builtin();
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz_config_case.txt");
    let watch = Watch::start();
    let (mut resolved, mut problems) = (0u64, 0u64);
    for number in 0..cases {
        let case = Case::generate(&mut Generator(number), &registry);
        // A process that is aborted leaves the case behind.
        fs::write(&log, format!("case {number}: {case:?}\n")).expect("writable");
        watch.begin(format!("case {number}: {case:?}"));
        match catch_unwind(AssertUnwindSafe(|| case.check(&registry))) {
            Ok(Ok(0)) => resolved += 1,
            Ok(Ok(refused)) => problems += refused,
            Ok(Err(fault)) => panic!("case {number}: {fault}\n{case:?}"),
            Err(_) => panic!("case {number}: a panic\n{case:?}"),
        }
        watch.end();
    }
    eprintln!("{cases} configurations: {resolved} resolved, the others refused with {problems} problems");
    assert!(
        resolved > cases / 20,
        "the generator makes valid configurations too: {resolved} of {cases}"
    );
    assert!(problems > cases / 2, "and invalid ones: {problems} problems");
}

/// A configuration as a user would give it.
#[derive(Debug)]
struct Case {
    algo: &'static str,
    env: &'static str,
    file: String,
    sets: Vec<String>,
}

impl Case {
    /// A few changes to a preset: some in a file, some as `--set`.
    fn generate(generator: &mut Generator, registry: &Registry) -> Case {
        let algo = generator.one_of(Algo::ALL).name();
        let env = *generator.one_of(&ENVS);
        let known = known(algo, env, registry);
        let (mut file, mut sets) = (Table::new(), Vec::new());
        for _ in 0..generator.below(3) + 1 {
            let (mut path, old) = generator.one_of(&known).clone();
            let value = match generator.below(6) {
                0 | 1 => old.clone(),
                2 => generator.near(&old),
                _ => generator.value(&old, 0),
            };
            match generator.below(16) {
                0 => path.truncate(1 + generator.below(path.len())),
                1 => path.push(generator.name()),
                2 => *path.last_mut().expect("a path has a name") = generator.name(),
                _ => {}
            }
            match generator.below(8) {
                0..=3 => put(&mut file, &path, value),
                4 => sets.push(generator.garbage(&path.join("."))),
                _ => {
                    let path: Vec<String> = path.iter().map(|name| quoted(name)).collect();
                    sets.push(format!("{}={value}", path.join(".")));
                }
            }
        }
        Case {
            algo,
            env,
            file: file.to_string(),
            sets,
        }
    }

    /// The number of problems, or what is wrong with the answer.
    fn check(&self, registry: &Registry) -> Result<u64, String> {
        let answer = self.resolve(registry);
        let config = match answer {
            Ok(config) => config,
            Err(ConfigError::Issues(issues)) => {
                for issue in &issues.0 {
                    let text = issue.to_string();
                    let is_rust = [
                        "u64", "usize", "i64", "f64", "u32", "nonzero", "struct ", "enum ", "variant",
                    ];
                    if issue.key.is_empty() || issue.key == "settings" || issue.problem.is_empty() {
                        return Err(format!("a refusal without a key: {text}"));
                    }
                    if let Some(word) = is_rust.iter().find(|word| issue.problem.contains(*word)) {
                        return Err(format!("a word of Rust, `{word}`: {text}"));
                    }
                }
                return Ok(issues.0.len() as u64);
            }
            Err(other) if other.to_string().is_empty() => return Err("a refusal without words".to_string()),
            Err(_) => return Ok(1),
        };
        let written = config.to_toml();
        let mut again = Layers::default();
        again
            .add_toml(Origin::Set, &written)
            .map_err(|issues| format!("what was resolved is no TOML: {issues}"))?;
        match Config::resolve(&again, registry) {
            Ok(again) if again.to_toml() == written => Ok(0),
            Ok(again) => Err(format!(
                "it resolves to another configuration:\n{written}\n{}",
                again.to_toml()
            )),
            Err(error) => Err(format!("what was resolved is refused: {error}\n{written}")),
        }
    }

    fn resolve(&self, registry: &Registry) -> Result<Config, ConfigError> {
        let mut layers = layers(self.env, self.algo)?;
        layers.add_toml(Origin::File("file.toml".into()), &self.file)?;
        self.sets.iter().try_for_each(|set| layers.set_text(set))?;
        Config::resolve(&layers, registry)
    }
}

/// Every key of a preset, tables included, with its value.
fn known(algo: &str, env: &str, registry: &Registry) -> Vec<(Vec<String>, Value)> {
    fn walk(path: &[String], table: &Table, found: &mut Vec<(Vec<String>, Value)>) {
        for (name, value) in table {
            let path = [path, std::slice::from_ref(name)].concat();
            found.push((path.clone(), value.clone()));
            if let Value::Table(table) = value {
                walk(&path, table, found);
            }
        }
    }
    let settings = layers(env, algo).expect("a preset").read(&registry.catalog).0;
    let mut found = Vec::new();
    walk(
        &[],
        &Table::try_from(&settings).expect("settings are a table"),
        &mut found,
    );
    for (name, value) in [
        ("time_limit", Value::Integer(100)),
        ("wrappers", Value::Array(Vec::new())),
    ] {
        found.push((vec!["env".to_string(), name.to_string()], value));
    }
    found
}

fn put(table: &mut Table, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            table.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            if !table.get(name).is_some_and(Value::is_table) {
                table.insert(name.clone(), Value::Table(Table::new()));
            }
            if let Some(Value::Table(inner)) = table.get_mut(name) {
                put(inner, rest, value);
            }
        }
    }
}

fn quoted(name: &str) -> String {
    match !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        true => name.to_string(),
        false => Value::String(name.to_string()).to_string(),
    }
}

impl Generator {
    fn name(&mut self) -> String {
        let odd = [
            "kind",
            "hidden",
            "env",
            "id",
            "a.b",
            "",
            " ",
            "ü",
            "?",
            "=",
            "\"",
            "a\nb",
            "optimizer",
            "every",
            "seeed",
            "0",
        ];
        self.one_of(&odd).to_string()
    }

    /// The same value a little changed.
    fn near(&mut self, old: &Value) -> Value {
        match old {
            Value::Integer(old) => Value::Float(*old as f64),
            Value::Float(old) => Value::Float(old * self.one_of(&[0.5, 2.0, -1.0, 1e10, 1e40]).to_owned()),
            Value::String(old) => Value::String(old.chars().skip(1).collect()),
            Value::Array(list) => Value::Array(list.iter().map(|value| self.near(value)).collect()),
            // A list of its values, in order.
            Value::Table(table) => Value::Array(table.values().cloned().collect()),
            other => Value::Array(vec![other.clone()]),
        }
    }

    fn value(&mut self, old: &Value, depth: usize) -> Value {
        let integers = [0, 1, -1, 2, 64, 65_537, 1 << 31, 1 << 33, i64::MAX, i64::MIN];
        let floats = [
            0.0,
            -0.0,
            0.5,
            1.0,
            1e6,
            1e-300,
            1e300,
            -1.5,
            64.0,
            2e29,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let words = [
            "", "auto", "never", "scalar", "uniform", "critic", "\u{0}", "日本", "a b", "inf", "cuda:99",
        ];
        match self.below(if depth < 4 { 8 } else { 5 }) {
            0 => Value::Integer(*self.one_of(&integers)),
            1 => Value::Float(*self.one_of(&floats)),
            2 => Value::String(self.one_of(&words).to_string()),
            3 => Value::Boolean(self.below(2) == 0),
            4 => old.clone(),
            5 => Value::Array((0..self.below(4)).map(|_| self.value(old, depth + 1)).collect()),
            6 => Value::Array(vec![old.clone(); self.below(70)]),
            _ => {
                let mut table = match old {
                    Value::Table(table) if self.below(2) == 0 => table.clone(),
                    _ => Table::new(),
                };
                for _ in 0..self.below(3) {
                    table.insert(self.name(), self.value(old, depth + 1));
                }
                Value::Table(table)
            }
        }
    }

    /// An assignment as somebody might type it.
    fn garbage(&mut self, key: &str) -> String {
        let texts = [
            "",
            "1",
            "1e3",
            "1_000",
            "64,64",
            "[64,64",
            "{",
            "}",
            "nan",
            "-",
            "/a b/c.xml",
            "./x",
            "a b",
            "'x'",
            "\"x",
            "=",
            "1\ntrain.seed=2",
            "[[[[[[[[[[[[[[]]]]]]]]]]]]]]",
            "0x10",
            "2020-01-01",
            "true",
            "{a.b.c=1}",
            "# x",
            "∞",
        ];
        let mut text = String::new();
        match self.below(12) {
            0 => text.push_str(key),
            1 => write!(text, "{key}.={}", self.one_of(&texts)).expect("a string"),
            2 => write!(text, "={}", self.one_of(&texts)).expect("a string"),
            // Deeper than any stack.
            3 => write!(text, "{key}={}", "[".repeat(100_000)).expect("a string"),
            4 => write!(text, "{}=1", "a.".repeat(50_000) + "a").expect("a string"),
            5 => write!(text, "{key}={}1{}", "{a=".repeat(20_000), "}".repeat(20_000)).expect("a string"),
            _ => write!(text, "{key}={}", self.one_of(&texts)).expect("a string"),
        }
        text
    }
}

/// Ends the process when a case takes too long: a loop cannot be stopped otherwise.
struct Watch {
    case: Arc<Mutex<Option<(String, Instant)>>>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    fn start() -> Watch {
        let watch = Watch {
            case: Arc::default(),
            ended: Arc::default(),
        };
        let (case, ended) = (Arc::clone(&watch.case), Arc::clone(&watch.ended));
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(100));
                let case = case.lock().expect("no holder panics");
                if let Some((case, since)) = &*case
                    && since.elapsed().as_secs_f64() > MOST_S
                {
                    eprintln!("more than {MOST_S} s: {case}");
                    abort();
                }
            }
        });
        watch
    }

    fn begin(&self, case: String) {
        *self.case.lock().expect("no holder panics") = Some((case, Instant::now()));
    }

    fn end(&self) {
        *self.case.lock().expect("no holder panics") = None;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}
