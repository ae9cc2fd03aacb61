//! Values of Python as TOML, and spaces as values of Python.

use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple},
};
use sac::{
    config::{Issue, Issues, Origin},
    envs::{Dtype, Space},
};
use toml::{Table, Value};

/// Keyword arguments as a table: `agent__critic__members=10`, `**{"agent.critic.members": 10}` and
/// `agent={"critic": {"members": 10}}` mean the same.
///
/// # Errors
/// All values that no setting can have.
pub fn settings(given: &Bound<'_, PyDict>) -> PyResult<Result<Table, Issues>> {
    let (mut table, mut issues) = (Table::new(), Vec::new());
    for (key, value) in given {
        let key = key.extract::<String>()?.replace("__", ".");
        if let Some(value) = value_at(&key, &value, &mut issues)? {
            insert(&mut table, &key, value);
        }
    }
    Ok(if issues.is_empty() {
        Ok(table)
    } else {
        Err(Issues(issues))
    })
}

/// A dictionary as a table, whose keys stay as they are.
///
/// # Errors
/// As [`settings`].
pub fn options(given: &Bound<'_, PyDict>) -> PyResult<Result<Table, Issues>> {
    let mut issues = Vec::new();
    let table = table_at("", given, &mut issues)?;
    Ok(if issues.is_empty() {
        Ok(table)
    } else {
        Err(Issues(issues))
    })
}

/// Puts a value at a dotted key. Tables are merged.
fn insert(table: &mut Table, key: &str, value: Value) {
    let (first, value) = match key.split_once('.') {
        None => (key, value),
        Some((first, rest)) => {
            let mut inner = Table::new();
            insert(&mut inner, rest, value);
            (first, Value::Table(inner))
        }
    };
    match (table.get_mut(first), value) {
        (Some(Value::Table(known)), Value::Table(more)) => {
            more.into_iter().for_each(|(key, value)| insert(known, &key, value));
        }
        (_, value) => drop(table.insert(first.to_string(), value)),
    }
}

fn table_at(key: &str, given: &Bound<'_, PyDict>, issues: &mut Vec<Issue>) -> PyResult<Table> {
    let mut table = Table::new();
    for (name, value) in given {
        let name: String = name.str()?.to_string();
        let whole = match key {
            "" => name.clone(),
            key => format!("{key}.{name}"),
        };
        if let Some(value) = value_at(&whole, &value, issues)? {
            match key {
                // Within a table, a dotted key means what it says too.
                "" => drop(table.insert(name, value)),
                _ => insert(&mut table, &name, value),
            }
        }
    }
    Ok(table)
}

fn value_at(key: &str, value: &Bound<'_, PyAny>, issues: &mut Vec<Issue>) -> PyResult<Option<Value>> {
    let mut refuse = |problem: String| {
        issues.push(Issue {
            key: key.to_string(),
            value: value.repr().map(|text| text.to_string()).unwrap_or_default(),
            problem,
            origin: Some(Origin::Argument),
        });
        Ok(None)
    };
    if value.is_instance_of::<PyBool>() {
        return Ok(Some(Value::Boolean(value.extract()?)));
    }
    if value.is_instance_of::<PyInt>() {
        return match value.extract::<i64>() {
            Ok(number) => Ok(Some(Value::Integer(number))),
            Err(_) => refuse("expected a number of at most 64 bits".to_string()),
        };
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(Some(Value::Float(value.extract()?)));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(Some(Value::String(value.extract()?)));
    }
    if let Ok(given) = value.cast::<PyDict>() {
        return Ok(Some(Value::Table(table_at(key, given, issues)?)));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let mut list = Vec::new();
        for (index, item) in value.try_iter()?.enumerate() {
            list.extend(value_at(&format!("{key}[{index}]"), &item?, issues)?);
        }
        return Ok(Some(Value::Array(list)));
    }
    if value.is_none() {
        return refuse("expected a value; leave it out to keep the default".to_string());
    }
    // Numbers and arrays of NumPy, and paths.
    for method in ["tolist", "__fspath__"] {
        if let Ok(plain) = value.call_method0(method)
            && !plain.is(value)
        {
            return value_at(key, &plain, issues);
        }
    }
    let kind = value.get_type().name()?;
    refuse(format!("expected a number, a text, a list or a dict, found {kind}"))
}

/// A space as a dictionary, from which the package makes one of Gymnasium's.
pub fn space<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    match space {
        Space::Box {
            shape,
            low,
            high,
            dtype,
        } => {
            out.set_item("kind", "box")?;
            out.set_item("shape", PyTuple::new(py, shape)?)?;
            out.set_item("low", low)?;
            out.set_item("high", high)?;
            let dtype = match dtype {
                Dtype::F32 => "float32",
                Dtype::U8 => "uint8",
                Dtype::I32 => "int32",
            };
            out.set_item("dtype", dtype)?;
        }
        Space::Discrete { n } => {
            out.set_item("kind", "discrete")?;
            out.set_item("n", *n)?;
        }
        Space::MultiDiscrete { n } => {
            out.set_item("kind", "multi_discrete")?;
            out.set_item("n", n)?;
        }
    }
    Ok(out)
}
