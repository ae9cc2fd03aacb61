//! From merged layers to [`Settings`], with a problem for every value that cannot be read.

use sac_envs::{plain_words, whole_number};
use sac_report::suggest::nearest;
use toml::{Table, Value};

use super::{
    issue::Issue,
    key::{dotted, lookup, remove, replace},
    layers::Layers,
    settings::Settings,
};
use crate::registry::{self, Catalog, Unread};

/// After so many problems, a file is no configuration.
const MOST_ISSUES: usize = 100;

impl Layers {
    /// Reads the merged layers, which may name the parts of a catalog. Values that cannot be read are reported and left
    /// at their defaults. So are values that a later layer replaced.
    pub fn read(&self, catalog: &Catalog) -> (Settings, Vec<Issue>) {
        let mut table = self.merged.clone();
        let (mut issues, mut blamed) = (Vec::new(), Vec::<Vec<String>>::new());
        // Every round takes a value out of the table, or writes whole floats as integers: this comes to an end.
        let settings = loop {
            let unread = match attempt(&table, catalog) {
                Ok(settings) => break settings,
                Err(unread) => unread,
            };
            let path = culprit(&table, unread, catalog);
            if write_as_integers(&mut table, &path, catalog) {
                continue;
            }
            let problem = problem(&table, &path, catalog);
            let key = match path.as_slice() {
                [] => "settings".to_string(),
                path => dotted(path),
            };
            // Without an entry that was refused, a table may lack what it needs.
            let is_consequence = blamed
                .iter()
                .any(|blamed| blamed.len() > path.len() && blamed.starts_with(&path));
            let removed = remove(&mut table, &path);
            if let Some((_, whole)) = path.split_last().filter(|(name, _)| *name == "kind") {
                // Without its kind, nothing can be said about the rest of a table.
                remove(&mut table, whole);
            }
            if is_consequence && removed.is_some() {
                continue;
            }
            blamed.push(path.clone());
            issues.push(Issue {
                value: lookup(&self.merged, &path).map(short).unwrap_or_default(),
                origin: self.origin(&key).cloned(),
                key,
                problem,
            });
            if removed.is_none() || issues.len() >= MOST_ISSUES {
                return (Settings::default(), issues);
            }
        };
        // What remains can be read, so a replaced value that fails in its place is to blame itself.
        for replaced in &self.replaced {
            let mut trial = table.clone();
            if replace(&mut trial, &replaced.path, replaced.value.clone()).is_none()
                || attempt(&trial, catalog).is_ok()
                || write_as_integers(&mut trial, &replaced.path, catalog)
            {
                continue;
            }
            issues.push(Issue {
                key: dotted(&replaced.path),
                value: short(&replaced.value),
                problem: problem(&trial, &replaced.path, catalog),
                origin: Some(replaced.origin.clone()),
            });
        }
        (settings, issues)
    }
}

fn attempt(table: &Table, catalog: &Catalog) -> Result<Settings, Unread> {
    let mut rest = table.clone();
    let custom = catalog.take(&mut rest)?;
    let settings: Settings = registry::settings(rest)?;
    let settings = Settings {
        agent: custom.place(settings.agent),
        ..settings
    };
    // Serde also reads a table from the list of its values, and the name of a choice from a table. We do not: values
    // without keys mean something else as soon as a setting is added.
    let written = Table::try_from(&settings).unwrap_or_default();
    match misshapen(table, &written) {
        None => Ok(settings),
        Some(path) => Err(Unread {
            path,
            message: MISSHAPEN.to_string(),
        }),
    }
}

/// The message for a list or a table where something else belongs.
const MISSHAPEN: &str = "expected a single value, such as a number or text, and this is a table";

/// The first value that is no table where the settings have one, or the other way round.
fn misshapen(given: &Table, written: &Table) -> Option<Vec<String>> {
    given.iter().find_map(|(name, value)| {
        let mut path = match (value, written.get(name)?) {
            (Value::Table(given), Value::Table(written)) => misshapen(given, written)?,
            // A word may stand for a table, and a table with its kind for a word.
            (Value::Table(given), Value::String(_)) if given.contains_key("kind") => return None,
            (Value::String(_), Value::Table(_)) => return None,
            (Value::Table(_), _) | (_, Value::Table(_)) => Vec::new(),
            _ => return None,
        };
        path.insert(0, name.clone());
        Some(path)
    })
}

/// The key that makes reading fail. Where serde can only point at a table, the entry is sought without which it would
/// complain of something else, and then the one that is wrong alone.
fn culprit(table: &Table, unread: Unread, catalog: &Catalog) -> Vec<String> {
    let mut path: Vec<String> = Vec::new();
    for name in &unread.path {
        path.push(name.clone());
        if lookup(table, &path).is_none() {
            path.pop();
            break;
        }
    }
    if unread.message == MISSHAPEN {
        return path;
    }
    // Many keys can be unknown, and serde names the first of them.
    let unknown = match unread.message.starts_with("unknown field") {
        true => quoted(&unread.message).first().map(ToString::to_string),
        false => None,
    };
    let is_itself = path.last().is_some_and(|last| unknown.as_ref() == Some(last));
    if is_itself && lookup(table, &path).is_none_or(|value| value.get(&path[path.len() - 1]).is_none()) {
        return path;
    }
    let complaint = Some(unread);
    loop {
        let children = match lookup(table, &path) {
            None if path.is_empty() => table,
            Some(Value::Table(children)) => children,
            _ => return path,
        };
        if let Some(name) = unknown.as_ref().filter(|name| children.contains_key(*name)) {
            path.push(name.clone());
            return path;
        }
        let child = |name: &str| [path.as_slice(), &[name.to_string()]].concat();
        let without = |name: &str| {
            let mut without = table.clone();
            remove(&mut without, &child(name));
            attempt(&without, catalog).err()
        };
        let alone = |name: &str| {
            let kept = children.iter().filter(|(other, _)| *other == name || *other == "kind");
            let kept: Table = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
            match path.is_empty() {
                true => attempt(&kept, catalog).err(),
                false => {
                    let mut alone = table.clone();
                    replace(&mut alone, &path, Value::Table(kept));
                    attempt(&alone, catalog).err()
                }
            }
        };
        // Without its kind a table fails with another message whatever else is wrong with it, so `kind` is tried last.
        let (kind, others): (Vec<_>, Vec<_>) = children.keys().partition(|name| *name == "kind");
        let blamed = others
            .iter()
            .find(|name| without(name) != complaint)
            .or_else(|| others.iter().find(|name| alone(name) == complaint))
            .or_else(|| kind.iter().find(|name| without(name) != complaint));
        match blamed {
            Some(name) => path = child(name),
            None => return path,
        }
    }
}

/// Writes the whole numbers in the value at `path` as integers, such as 1e6, if that changes what is wrong with it.
fn write_as_integers(table: &mut Table, path: &[String], catalog: &Catalog) -> bool {
    let Some(integers) = lookup(table, path).and_then(as_integers) else {
        return false;
    };
    let mut trial = table.clone();
    replace(&mut trial, path, integers);
    let helps = attempt(&trial, catalog).err() != attempt(table, catalog).err();
    if helps {
        *table = trial;
    }
    helps
}

/// The value with its whole numbers as integers; `None` if there are none in float notation.
fn as_integers(value: &Value) -> Option<Value> {
    match value {
        Value::Float(float) => whole_number(*float).map(Value::Integer),
        Value::Array(list) if list.iter().any(|value| as_integers(value).is_some()) => {
            let written = list.iter().map(|value| as_integers(value).unwrap_or(value.clone()));
            Some(Value::Array(written.collect()))
        }
        Value::Table(table) if table.values().any(|value| as_integers(value).is_some()) => {
            let written = table.iter().map(|(name, value)| {
                let value = as_integers(value).unwrap_or(value.clone());
                (name.clone(), value)
            });
            Some(Value::Table(written.collect()))
        }
        _ => None,
    }
}

/// What is wrong with the value at `path`, in our words.
fn problem(table: &Table, path: &[String], catalog: &Catalog) -> String {
    let value = lookup(table, path);
    if let Some(problem) = value
        .filter(|value| !value.is_table())
        .and_then(|_| expected_table(table, path, catalog))
    {
        return problem;
    }
    let message = attempt(table, catalog).err().map(|unread| unread.message);
    let message = message.unwrap_or_default();
    let key = dotted(path);
    let kind = path
        .split_last()
        .and_then(|(_, parent)| lookup(table, parent)?.get("kind")?.as_str());
    match contradiction(&key, kind) {
        Some(reason) if message.starts_with("unknown field") => reason.to_string(),
        _ => {
            let name = path.last().map(String::as_str).unwrap_or_default();
            phrase(&message, name, &catalog.kinds(&key))
        }
    }
}

/// That a table belongs at `path`, and with which keys; `None` if none does.
fn expected_table(table: &Table, path: &[String], catalog: &Catalog) -> Option<String> {
    const NO_KEY: &str = "?";
    let mut trial = table.clone();
    let probe = Table::from_iter([(NO_KEY.to_string(), Value::Boolean(true))]);
    replace(&mut trial, path, Value::Table(probe))?;
    let message = match attempt(&trial, catalog) {
        Ok(_) => return Some("expected a table".to_string()),
        Err(unread) => unread.message,
    };
    if message.starts_with("missing field `kind`") {
        return Some(TABLE_WITH_KIND.to_string());
    }
    let known: Vec<&str> = quoted(message.lines().next()?.strip_prefix("unknown field")?);
    match known.split_first()? {
        (&NO_KEY, [first, ..]) => Some(format!(
            "expected a table, such as {{ {first} = … }}; known keys: {}",
            known[1..].join(", ")
        )),
        _ => None,
    }
}

const TABLE_WITH_KIND: &str = "expected a table with a kind, such as { kind = \"…\" }";

/// Why a key that belongs to another kind of the same table has no meaning in this one.
fn contradiction(key: &str, kind: Option<&str>) -> Option<&'static str> {
    match (key, kind?) {
        ("agent.critic.target_filter", "state_value") => Some(
            "this critic's target is a value of states, so there is no action to filter over; critics with one: scalar, \
             dsac, dsac_t, quantile",
        ),
        ("agent.temperature.target_entropy", "fixed") => {
            Some("a fixed temperature follows no target; leave it out, or use kind = \"learned\"")
        }
        ("agent.temperature.alpha", "learned") => {
            Some("a learned temperature has no fixed value; use initial_alpha, or kind = \"fixed\"")
        }
        _ => None,
    }
}

/// Serde's message, shortened; for an unknown key with the nearest known one. `kinds` are choices that serde does not
/// know.
fn phrase(message: &str, name: &str, kinds: &[&str]) -> String {
    let line = message.lines().next().unwrap_or(message);
    let quoted = quoted(line);
    if let (true, Some((_, known))) = (message.starts_with("unknown field"), quoted.split_first()) {
        return match nearest(name, known.iter().copied()) {
            Some(near) => format!("unknown key; did you mean `{near}`?"),
            None if known.is_empty() => "unknown key; this kind has no settings".to_string(),
            None => format!("unknown key; known here: {}", known.join(", ")),
        };
    }
    if let (true, Some((given, known))) = (message.starts_with("unknown variant"), quoted.split_first()) {
        let known = [known, kinds].concat();
        return match nearest(given, known.iter().copied()) {
            Some(near) => format!("unknown choice; did you mean `{near}`? (known: {})", known.join(", ")),
            None => format!("unknown choice; known: {}", known.join(", ")),
        };
    }
    if line.ends_with("expected a sequence") {
        return "expected a list, such as [256, 256]".to_string();
    }
    if line.contains("expected internally tagged enum") {
        return TABLE_WITH_KIND.to_string();
    }
    plain_words(line)
}

/// What stands between backquotes.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

fn short(value: &Value) -> String {
    let text = value.to_string().replace('\n', " ");
    if text.chars().count() > 60 {
        text.chars().take(57).chain("...".chars()).collect()
    } else {
        text
    }
}
