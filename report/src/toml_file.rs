//! TOML files that a person writes: reading one ([`read`]), and the values in it, with all that is wrong noted at once.
//!
//! Functions get the place of a table in its file, such as `group 2: `, and add to a list of problems.

use std::{collections::BTreeSet, path::Path};

use toml::{Table, Value};

use crate::{
    error::{Error, Result},
    suggest::nearest,
};

/// Far beyond use.
const MOST_SEEDS: u64 = 100_000;

/// Reads a file with `from_table`, which notes what is wrong with it.
///
/// # Errors
/// All that is wrong with it, at once.
pub fn read<T>(path: &Path, from_table: impl FnOnce(&Table, &mut Vec<String>) -> T) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_path_buf(),
        source,
    })?;
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let problem = error.to_string().trim_end().replace('\n', "\n    ");
            return Err(refused(path, vec![problem]));
        }
    };
    let mut problems = Vec::new();
    let read = from_table(&table, &mut problems);
    match problems.is_empty() {
        true => Ok(read),
        false => Err(refused(path, problems)),
    }
}

/// An error with all problems of a file.
pub fn refused(path: &Path, problems: Vec<String>) -> Error {
    Error::Problems {
        path: path.to_path_buf(),
        problems,
    }
}

/// Notes the keys of a table that are not known.
pub fn check_keys(table: &Table, known: &[&str], place: &str, problems: &mut Vec<String>) {
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let meant = nearest(key, known.iter().copied());
        let meant = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        problems.push(format!("{place}no such key: `{key}`{meant}"));
    }
}

/// Notes the keys that a table lacks.
pub fn check_required(table: &Table, required: &[&str], place: &str, problems: &mut Vec<String>) {
    for key in required.iter().filter(|key| !table.contains_key(**key)) {
        problems.push(format!("{place}`{key}` is missing"));
    }
}

/// `seeds` of a file: a list, or the numbers from 1 to it.
pub fn seeds(table: &Table, problems: &mut Vec<String>) -> Vec<u64> {
    let seeds: Option<Vec<u64>> = match table.get("seeds") {
        Some(Value::Array(list)) => list.iter().map(whole).collect(),
        Some(value) => whole(value)
            .filter(|count| *count <= MOST_SEEDS)
            .map(|count| (1..=count).collect()),
        None => None,
    };
    let seeds = seeds.unwrap_or_default();
    let distinct: BTreeSet<&u64> = seeds.iter().collect();
    if seeds.is_empty() || distinct.len() < seeds.len() {
        problems.push("`seeds`: expected a number of seeds, at least 1, or a list of seeds, no two alike".to_string());
    }
    seeds
}

/// A whole number that is not negative.
pub fn whole(value: &Value) -> Option<u64> {
    value.as_integer().and_then(|number| u64::try_from(number).ok())
}

/// A whole number, at least 1, if the key is there.
pub fn count(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<u64> {
    let value = table.get(key)?;
    let count = whole(value).filter(|count| *count > 0);
    if count.is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected a whole number, at least 1"));
    }
    count
}

/// A number, whole or not, if the key is there.
pub fn number(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<f64> {
    let value = table.get(key)?;
    let number = value
        .as_float()
        .or_else(|| value.as_integer().map(|whole| whole as f64))
        .filter(|number| number.is_finite());
    if number.is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected a number"));
    }
    number
}

/// A text, if the key is there.
pub fn text(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Option<String> {
    let value = table.get(key)?;
    if value.as_str().is_none() {
        problems.push(format!("{place}`{key}` = {value}: expected text"));
    }
    value.as_str().map(str::to_string)
}

/// A text, or a list of them.
pub fn texts(table: &Table, key: &str, place: &str, problems: &mut Vec<String>) -> Vec<String> {
    let list = match table.get(key) {
        None => return Vec::new(),
        Some(Value::Array(list)) => list.clone(),
        Some(one) => vec![one.clone()],
    };
    let texts: Option<Vec<String>> = list.iter().map(|value| value.as_str().map(str::to_string)).collect();
    texts.unwrap_or_else(|| {
        problems.push(format!("{place}`{key}`: expected text, or a list of texts"));
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_the_numbers_up_to_one_or_a_list_without_repeats() {
        let read = |text: &str| {
            let mut problems = Vec::new();
            let seeds = seeds(&text.parse().expect("TOML"), &mut problems);
            (seeds, problems.len())
        };
        assert_eq!(read("seeds = 3"), (vec![1, 2, 3], 0));
        assert_eq!(read("seeds = [7, 0, 3]"), (vec![7, 0, 3], 0));
        for refused in [
            "",
            "seeds = 0",
            "seeds = []",
            "seeds = [1, 1]",
            "seeds = [-1]",
            "seeds = 100001",
        ] {
            assert_eq!(read(refused).1, 1, "{refused}");
        }
    }

    #[test]
    fn a_file_is_refused_with_its_name_and_all_problems_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.toml");
        let error = |text: &str| {
            std::fs::write(&path, text).expect("written");
            let read = read(&path, |table, problems| {
                check_keys(table, &["name"], "", problems);
                check_required(table, &["name"], "", problems);
            });
            read.err()
                .map(|error| error.to_string().replace(&path.display().to_string(), "x.toml"))
        };
        assert_eq!(error("name = 1"), None);
        assert_eq!(
            error("nam = 1").as_deref(),
            Some(
                "x.toml: 2 problems, nothing was started\n  no such key: `nam`; did you mean `name`?\n  `name` is missing"
            )
        );
        let broken = error("name = ").unwrap_or_default();
        assert!(
            broken.starts_with("x.toml: 1 problem, nothing was started\n"),
            "{broken}"
        );
        let missing = read(&folder.path().join("none.toml"), |_, _| ()).expect_err("there is none");
        assert!(missing.to_string().starts_with("cannot read "), "{missing}");
    }
}
