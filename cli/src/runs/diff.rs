//! `sac runs --diff`: what two runs do not have in common.

use std::{collections::BTreeSet, fs, path::Path};

use sac_report::{
    folder,
    settings::{Settings, leaves},
};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    output::{print, print_json},
    table::table,
};

/// A value that two runs have differently; `None` where one has none.
#[derive(Serialize)]
struct Difference {
    key: String,
    a: Option<String>,
    b: Option<String>,
}

/// Everything in which two runs differ.
#[derive(Serialize)]
struct Differences {
    settings: Vec<Difference>,
    provenance: Vec<Difference>,
}

pub fn run(a: &Path, b: &Path, as_json: bool) -> Result<()> {
    let settings = |run: &Path| folder::config(run).map(|config| leaves(&config));
    let found = Differences {
        settings: differences(&settings(a)?, &settings(b)?),
        provenance: differences(&provenance(a)?, &provenance(b)?),
    };
    if as_json {
        return print_json(&found);
    }
    let named = [("settings", &found.settings), ("provenance", &found.provenance)];
    let text = named.map(|(name, list)| match list.is_empty() {
        true => format!("{name}: no difference\n"),
        false => table(&[name, "A", "B"], &[], &list.iter().map(row).collect::<Vec<_>>()),
    });
    print(&text.join("\n"))
}

fn row(difference: &Difference) -> Vec<String> {
    const LONGEST: usize = 48;
    let cell = |value: &Option<String>| match value {
        None => "-".to_string(),
        Some(value) if value.chars().count() > LONGEST => value.chars().take(LONGEST - 1).chain(['…']).collect(),
        Some(value) => value.clone(),
    };
    vec![difference.key.clone(), cell(&difference.a), cell(&difference.b)]
}

fn provenance(run: &Path) -> Result<Settings> {
    let path = run.join("provenance.json");
    let text = fs::read_to_string(&path).map_err(Error::io(&path))?;
    let value = serde_json::from_str(&text).map_err(|error| sac_report::Error::Malformed {
        path,
        problem: error.to_string(),
    })?;
    Ok(leaves(&value))
}

fn differences(a: &Settings, b: &Settings) -> Vec<Difference> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let differs = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
    differs
        .map(|key| Difference {
            key: key.clone(),
            a: a.get(key).cloned(),
            b: b.get(key).cloned(),
        })
        .collect()
}
