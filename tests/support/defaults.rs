//! Tables of settings in the pages, whose defaults are held to the program.
//!
//! The comment above a table says for which configuration its defaults hold, as settings over the preset `sac` on
//! `Pendulum-v1`:
//!
//! ```text
//! <!-- defaults: agent.policy={kind="fourier"} -->
//! | Key | Default | Meaning |
//! ```
//!
//! A column `Default` holds the defaults of that configuration, and a column with the name of a preset those of the
//! preset. `none` means that the key is not there, `required` that there is no default. Words of the comment are
//! settings, except `env.id=ID`, `algo=NAME`, and `under=KEY`, the table in which the keys lie; with several of these
//! the defaults are the same in each.

use std::collections::BTreeSet;

use sac::{
    Registry,
    config::{Config, Origin, preset_layers},
};
use serde_json::Value;

const MARK: &str = "<!-- defaults:";

/// A table of settings.
pub struct Table {
    place: String,
    /// Arguments of `sac config`: flags and their values in turn.
    arguments: Vec<String>,
    under: Vec<String>,
    columns: Vec<Column>,
}

/// A column that holds defaults.
struct Column {
    /// The preset in its header; none under `Default`.
    preset: Option<String>,
    /// Keys, and what the column says of each.
    rows: Vec<(String, Cell)>,
}

#[derive(Debug, PartialEq)]
enum Cell {
    Absent,
    Required,
    Value(String),
}

/// The marked tables of a page.
pub fn tables(page: &str, markdown: &str) -> Vec<Table> {
    let marked = markdown.match_indices(MARK).map(|(at, _)| &markdown[at + MARK.len()..]);
    let table = |rest: &str| {
        let (words, below) = rest.split_once("-->").expect("the comment ends");
        let lines = below.trim_start().lines().take_while(|line| line.starts_with('|'));
        read(&format!("{page}, `{}`", words.trim()), words, lines)
    };
    marked.map(table).collect()
}

fn read<'a>(place: &str, words: &str, mut lines: impl Iterator<Item = &'a str>) -> Table {
    let (mut env, mut under, mut settings) = ("Pendulum-v1", Vec::new(), Vec::new());
    let mut algo = None;
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some(("env.id", id)) => env = id,
            Some(("algo", name)) => algo = Some(name),
            Some(("under", key)) => under.push(format!("{key}.")),
            _ => settings.extend(["--set", word]),
        }
    }
    let mut arguments = vec!["--env", env];
    arguments.extend(algo.map(|name| ["--algo", name]).into_iter().flatten());
    arguments.extend(settings);

    let header = cells(lines.next().unwrap_or_else(|| panic!("{place}: no table follows")));
    let is_preset = |name: &str| sac::agents::presets::ALL.iter().any(|preset| preset.name == name);
    let mut columns = Vec::new();
    for (index, name) in header.iter().enumerate().skip(1) {
        let preset = code(name).filter(|name| is_preset(name));
        if name == "Default" || preset.is_some() {
            columns.push((index, preset));
        }
    }
    assert!(!columns.is_empty(), "{place}: no column holds defaults");
    let rows: Vec<Vec<String>> = lines.skip(1).map(cells).collect();
    let column = |(index, preset): (usize, Option<String>)| {
        let row = |row: &Vec<String>| {
            let key = code(&row[0]).unwrap_or_else(|| panic!("{place}: no key in `{}`", row[0]));
            let cell = match row[index].as_str() {
                "none" => Cell::Absent,
                "required" => Cell::Required,
                text => Cell::Value(code(text).unwrap_or_else(|| panic!("{place}: `{key}` is `{text}`"))),
            };
            (key, cell)
        };
        Column {
            preset,
            rows: rows.iter().map(row).collect(),
        }
    };
    Table {
        place: place.to_string(),
        arguments: arguments.into_iter().map(str::to_string).collect(),
        under: if under.is_empty() { vec![String::new()] } else { under },
        columns: columns.into_iter().map(column).collect(),
    }
}

/// A bar within a cell is written `\|`.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    let inner = line.trim().trim_matches('|');
    inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// What stands between the first backticks.
fn code(text: &str) -> Option<String> {
    text.split('`').nth(1).map(str::to_string)
}

impl Table {
    /// The keys in full.
    pub fn keys(&self) -> Vec<String> {
        let rows = self
            .columns
            .first()
            .map(|column| column.rows.as_slice())
            .unwrap_or_default();
        let under = self.under.iter();
        under
            .flat_map(|under| rows.iter().map(move |(key, _)| format!("{under}{key}")))
            .collect()
    }

    /// Setting every key to its documented default changes nothing.
    pub fn check(&self) {
        for Column { preset, rows } in &self.columns {
            let mut arguments = self.arguments.clone();
            arguments.extend(preset.iter().flat_map(|name| ["--algo".to_string(), name.clone()]));
            let plain = config(&arguments);
            for under in &self.under {
                for (key, cell) in rows {
                    let key = format!("{under}{key}");
                    if *cell == Cell::Absent {
                        let found = at(&plain, &key).filter(|value| !value.is_null());
                        assert_eq!(found, None, "{}: `{key}` is there", self.place);
                    }
                }
                let set = |(key, cell): &(String, Cell)| match cell {
                    Cell::Absent | Cell::Required => None,
                    Cell::Value(value) => Some(["--set".to_string(), format!("{under}{key}={value}")]),
                };
                let mut written_out = arguments.clone();
                written_out.extend(rows.iter().filter_map(set).flatten());
                let written_out = config(&written_out);
                let (before, after) = (leaves(&plain), leaves(&written_out));
                let differ: Vec<String> = before
                    .symmetric_difference(&after)
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                assert!(
                    differ.is_empty(),
                    "{} {preset:?}: the program and the page differ in {differ:?}",
                    self.place
                );
            }
        }
    }
}

/// Keys that a plain configuration has, without the options of the task.
pub fn keys_of_a_configuration() -> BTreeSet<String> {
    let plain = config(&["--env".to_string(), "Pendulum-v1".to_string()]);
    let keys = leaves(&plain).into_iter().map(|(key, _)| key);
    keys.filter(|key| key != "env.g").collect()
}

/// The settings that `sac config` would print with these arguments, without what follows from them.
fn config(arguments: &[String]) -> Value {
    let pairs: Vec<_> = arguments
        .chunks_exact(2)
        .map(|pair| (pair[0].as_str(), &pair[1]))
        .collect();
    let last = |flag: &str| {
        pairs
            .iter()
            .rev()
            .find(|(name, _)| *name == flag)
            .map(|(_, value)| value.as_str())
    };
    let mut layers = preset_layers(last("--algo").unwrap_or("sac")).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
    layers.set(Origin::Flag("--env"), "env.id", last("--env").expect("an environment"));
    for (_, assignment) in pairs.iter().filter(|(flag, _)| *flag == "--set") {
        layers
            .set_text(assignment)
            .unwrap_or_else(|e| panic!("{assignment}: {e:?}"));
    }
    let config = Config::resolve(&layers, &Registry::builtin()).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
    serde_json::to_value(&config).expect("a configuration is a table")
}

fn at<'a>(config: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(config, |value, part| value.get(part))
}

/// Every value that is no table, by its key. `every` counts as one value.
fn leaves(config: &Value) -> BTreeSet<(String, String)> {
    fn collect(value: &Value, key: &str, found: &mut BTreeSet<(String, String)>) {
        match value {
            Value::Object(table) if !table.is_empty() && !key.ends_with(".every") => {
                for (name, value) in table {
                    let key = if key.is_empty() {
                        name.clone()
                    } else {
                        format!("{key}.{name}")
                    };
                    collect(value, &key, found);
                }
            }
            _ => {
                found.insert((key.to_string(), value.to_string()));
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(config, "", &mut found);
    found
}
