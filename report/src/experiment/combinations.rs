//! The settings that vary within a group: [`combinations`].

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Far beyond use. It tells a slip of the finger before anything is made.
pub(super) const MOST_RUNS: usize = 100_000;

/// A setting with one of its values.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    key: String,
    /// The end of the key, where no other setting that varies has the same.
    pub(super) name: String,
    value: Value,
}

impl Setting {
    /// As `--set` takes it.
    pub(super) fn assignment(&self) -> String {
        format!("{}={}", self.key, self.value)
    }

    /// The value without quotes.
    pub(super) fn shown(&self) -> String {
        self.value
            .as_str()
            .map_or_else(|| self.value.to_string(), str::to_string)
    }
}

/// A key with one value.
type Pair = (String, Value);

/// Every combination of the settings of a group that vary: of `grid`, each value with each; of `paired`, the first values
/// together, then the second, and so on; of `list`, what stands in each of its tables. What is there at the same time is
/// combined as well. A group in which nothing varies has one combination, of no setting.
pub(super) fn combinations(group: &Table, place: &str, problems: &mut Vec<String>) -> Vec<Vec<Setting>> {
    let mut factors = grid(group, place, problems);
    factors.extend(paired(group, place, problems));
    factors.extend(listed(group, place, problems));
    let count = factors.iter().map(Vec::len).fold(1, usize::saturating_mul);
    if count > MOST_RUNS {
        problems.push(format!("{place}has more than {MOST_RUNS} combinations of settings"));
        return vec![Vec::new()];
    }
    let all = factors
        .iter()
        .fold(vec![Vec::new()], |all, factor| each_with_each(&all, factor));
    let names = names(all.iter().flatten().map(|(key, _)| key.as_str()));
    let setting = |(key, value): Pair| Setting {
        name: names[&key].clone(),
        key,
        value,
    };
    all.into_iter()
        .map(|pairs| pairs.into_iter().map(setting).collect())
        .collect()
}

fn each_with_each(before: &[Vec<Pair>], more: &[Vec<Pair>]) -> Vec<Vec<Pair>> {
    let with = |pairs: &Vec<Pair>| {
        more.iter()
            .map(|more| [pairs.clone(), more.clone()].concat())
            .collect::<Vec<_>>()
    };
    before.iter().flat_map(with).collect()
}

/// The values of each setting of `grid`.
fn grid(group: &Table, place: &str, problems: &mut Vec<String>) -> Vec<Vec<Vec<Pair>>> {
    let values = |(key, values): (String, Vec<Value>)| {
        let pair = |value| vec![(key.clone(), value)];
        values.into_iter().map(pair).collect()
    };
    lists(group, "grid", place, problems).into_iter().map(values).collect()
}

/// The rows of `paired`, if there is one.
fn paired(group: &Table, place: &str, problems: &mut Vec<String>) -> Option<Vec<Vec<Pair>>> {
    let paired = lists(group, "paired", place, problems);
    let count = paired.first()?.1.len();
    if paired.iter().any(|(_, values)| values.len() != count) {
        let lengths = paired.iter().map(|(key, values)| format!("{key} has {}", values.len()));
        let lengths = lengths.collect::<Vec<_>>().join(", ");
        problems.push(format!("{place}`paired`: expected lists of equal length; {lengths}"));
        return None;
    }
    let at = |index: usize| {
        let row = paired.iter().map(|(key, values)| (key.clone(), values[index].clone()));
        row.collect()
    };
    Some((0..count).map(at).collect())
}

/// The tables of `list`, if there is one.
fn listed(group: &Table, place: &str, problems: &mut Vec<String>) -> Option<Vec<Vec<Pair>>> {
    let place = format!("{place}`list`");
    match group.get("list")? {
        Value::Array(tables) if !tables.is_empty() => {
            let table = |table| pairs(Some(table), &place, problems);
            Some(tables.iter().map(table).collect())
        }
        value => {
            problems.push(format!("{place} = {value}: expected a list of tables"));
            None
        }
    }
}

/// The keys of a table of a group, each with its list of values.
fn lists(group: &Table, name: &str, place: &str, problems: &mut Vec<String>) -> Vec<(String, Vec<Value>)> {
    let pairs = pairs(group.get(name), &format!("{place}`{name}`"), problems);
    let list = |(key, value): Pair| match value {
        Value::Array(values) if !values.is_empty() => Some((key, values)),
        value => {
            problems.push(format!("{place}`{name}`: {key} = {value}: expected a list of values"));
            None
        }
    };
    pairs.into_iter().filter_map(list).collect()
}

/// The values of a table by their dotted keys. `agent.gamma = 1` and `"agent.gamma" = 1` are the same.
fn pairs(table: Option<&Value>, place: &str, problems: &mut Vec<String>) -> Vec<Pair> {
    fn collect(table: &Table, prefix: &str, found: &mut Vec<Pair>) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                // A table with a kind is the value of a setting.
                Value::Table(table) if !table.contains_key("kind") => collect(table, &format!("{key}."), found),
                value => found.push((key, value.clone())),
            }
        }
    }
    let mut found = Vec::new();
    match table {
        None => {}
        Some(Value::Table(table)) => collect(table, "", &mut found),
        Some(value) => problems.push(format!("{place} = {value}: expected a table of settings")),
    }
    found
}

/// The shortest clear name of every key.
fn names<'a>(keys: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let keys: std::collections::BTreeSet<&str> = keys.collect();
    let end = |key: &'a str| key.rsplit('.').next().unwrap_or(key);
    let name = |key: &&'a str| {
        let is_clear = keys.iter().filter(|other| end(other) == end(key)).count() == 1;
        (key.to_string(), if is_clear { end(key) } else { key }.to_string())
    };
    keys.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> (Vec<String>, Vec<String>) {
        let mut problems = Vec::new();
        let all = combinations(&text.parse().expect("TOML"), "", &mut problems);
        let shown = |settings: &Vec<Setting>| {
            let settings = settings
                .iter()
                .map(|setting| format!("{}={}", setting.name, setting.shown()));
            settings.collect::<Vec<_>>().join(" ")
        };
        (all.iter().map(shown).collect(), problems)
    }

    #[test]
    fn a_grid_has_each_with_each_pairs_go_together_and_lists_stand_for_themselves() {
        assert_eq!(found("").0, [""]);
        assert_eq!(found("grid = { a.b = [1, 2], 'c' = ['x'] }").0, ["b=1 c=x", "b=2 c=x"]);
        assert_eq!(found("paired = { a = [1, 2], b = [3, 4] }").0, ["a=1 b=3", "a=2 b=4"]);
        assert_eq!(
            found("list = [{ a = 1 }, {}, { b = [4, 4] }]").0,
            ["a=1", "", "b=[4, 4]"]
        );
        let both = found("grid = { a = [1, 2] }\npaired = { b = [3, 4] }").0;
        assert_eq!(both, ["a=1 b=3", "a=1 b=4", "a=2 b=3", "a=2 b=4"]);
        let kinds = found("list = [{ replay.sampler = { kind = 'uniform' } }]").0;
        assert_eq!(kinds, ["sampler={ kind = \"uniform\" }"]);
        assert_eq!(
            found("grid = { x.rate = [1], y.rate = [2] }").0,
            ["x.rate=1 y.rate=2"],
            "clear names"
        );
    }

    #[test]
    fn what_is_no_list_of_values_is_refused() {
        for (text, problem) in [
            ("grid = { a = 1 }", "`grid`: a = 1: expected a list of values"),
            ("grid = [1]", "`grid` = [1]: expected a table of settings"),
            (
                "paired = { a = [1], b = [1, 2] }",
                "expected lists of equal length; a has 1, b has 2",
            ),
            ("list = 3", "`list` = 3: expected a list of tables"),
            ("list = []", "`list` = []: expected a list of tables"),
            ("list = [3]", "`list` = 3: expected a table of settings"),
        ] {
            let (_, problems) = found(text);
            assert!(
                problems.len() == 1 && problems[0].contains(problem),
                "{text}: {problems:?}"
            );
        }
    }
    #[test]
    fn more_combinations_than_anybody_can_train_are_refused_before_they_are_made() {
        let values = format!(
            "[{}]",
            (0..1000).map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
        );
        let (all, problems) = found(&format!("grid = {{ a = {values}, b = {values}, c = {values} }}"));
        assert_eq!(all, [""]);
        assert_eq!(problems, ["has more than 100000 combinations of settings"]);
    }
}
