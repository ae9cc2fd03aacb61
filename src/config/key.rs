//! Paths into tables, whose names may hold any character: [`dotted`], [`lookup`], [`remove`], [`replace`].

use toml::{Table, Value};

/// A path as it is written in a file: `agent.body.hidden`, and `agent."a.b"` for a name that needs quotes.
pub(super) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    path.iter().fold(String::new(), |key, name| join(&key, name.as_ref()))
}

/// The key `name` within the table at `key`, which is empty for the root.
pub(super) fn join(key: &str, name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_string(),
        false => Value::String(name.to_string()).to_string(),
    };
    match key {
        "" => name,
        key => format!("{key}.{name}"),
    }
}

/// The value at a path. The root is no value, so there is none at the empty path.
pub(super) fn lookup<'a>(table: &'a Table, path: &[String]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(first)?, |value, name| value.get(name))
}

/// Takes out the value at a path, if there is one.
pub(super) fn remove(table: &mut Table, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    innermost(table, parents)?.remove(last)
}

/// Puts another value at a path where there is one, and returns the one before.
pub(super) fn replace(table: &mut Table, path: &[String], value: Value) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let old = innermost(table, parents)?.get_mut(last)?;
    Some(std::mem::replace(old, value))
}

fn innermost<'a>(table: &'a mut Table, parents: &[String]) -> Option<&'a mut Table> {
    parents
        .iter()
        .try_fold(table, |table, name| table.get_mut(name)?.as_table_mut())
}
