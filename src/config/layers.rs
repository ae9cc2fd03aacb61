//! Merging configurations and remembering where each value came from: [`Layers`].

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    issue::{Issue, Issues, nearest},
    origin::Origin,
    settings::Settings,
};
use crate::registry::{self, Catalog, Unread};

/// Settings merged from several sources, later ones over earlier ones, each value with its origin.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    merged: Table,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Adds a TOML text as the uppermost layer.
    ///
    /// # Errors
    /// When it is not TOML; the message has line and column.
    pub fn add_toml(&mut self, origin: Origin, text: &str) -> Result<(), Issues> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| {
            Issues::one(
                &origin.to_string(),
                "",
                error.to_string().trim_end().replace('\n', "\n    "),
                None,
            )
        })?;
        self.add(origin, table);
        Ok(())
    }

    /// Adds a table as the uppermost layer.
    pub fn add(&mut self, origin: Origin, table: Table) {
        merge(&mut self.merged, table, "", &origin, &mut self.origins);
    }

    /// Sets one value by its dotted key.
    pub fn set(&mut self, origin: Origin, key: &str, value: impl Into<Value>) {
        let mut table = Table::new();
        insert(&mut table, key, value.into());
        self.add(origin, table);
    }

    /// Sets `key=value`; the value is TOML, or a bare word, which is taken as text.
    ///
    /// # Errors
    /// When it is neither.
    pub fn set_text(&mut self, assignment: &str) -> Result<(), Issues> {
        let bad = |problem: &str| Issues::one(assignment, "", problem, Some(Origin::Set));
        let (key, value) = assignment.split_once('=').ok_or_else(|| bad("expected KEY=VALUE"))?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.split('.').any(|part| part.is_empty()) {
            return Err(bad("expected a dotted key before the ="));
        }
        let is_word = value.starts_with(|c: char| c.is_ascii_alphabetic())
            && value.chars().all(|c| c.is_ascii_alphanumeric() || "_-:.".contains(c));
        let value = match format!("value = {value}").parse::<Table>() {
            Ok(mut table) => table.remove("value").ok_or_else(|| bad("expected a TOML value"))?,
            Err(_) if is_word => Value::String(value.to_string()),
            Err(_) => return Err(bad("the value is not TOML; text with spaces needs quotes")),
        };
        self.set(Origin::Set, key, value);
        Ok(())
    }

    /// The value at a dotted key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.merged.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The origin of the value at a dotted key, of something within it, or of the nearest table above it.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        let within = format!("{key}.");
        let mut inner = self.origins.range(within.clone()..);
        if let Some((_, origin)) = inner.next().filter(|(key, _)| key.starts_with(&within)) {
            return Some(origin);
        }
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return Some(origin);
            }
            key = &key[..key.rfind('.')?];
        }
    }

    /// Reads the merged layers, which may name the parts of a catalog. Values that cannot be read are reported and left
    /// at their defaults.
    pub fn read(&self, catalog: &Catalog) -> (Settings, Vec<Issue>) {
        let mut table = self.merged.clone();
        let mut issues = Vec::new();
        loop {
            match attempt(&table, catalog) {
                Ok(settings) => return (settings, issues),
                Err((path, _)) => {
                    let (key, problem) = culprit(&table, &path, catalog);
                    let value = remove(&mut table, &key);
                    if let Some(whole) = key.strip_suffix(".kind") {
                        // Without its kind, nothing can be said about the rest of a table.
                        remove(&mut table, whole);
                    }
                    let origin = self.origin(&key).cloned();
                    issues.push(Issue {
                        value: value.map(short).unwrap_or_default(),
                        key,
                        problem,
                        origin,
                    });
                    if table.is_empty() {
                        return (Settings::default(), issues);
                    }
                }
            }
        }
    }
}

fn attempt(table: &Table, catalog: &Catalog) -> Result<Settings, Unread> {
    let mut table = table.clone();
    let custom = catalog.take(&mut table)?;
    let settings: Settings = registry::settings(table)?;
    Ok(Settings {
        agent: custom.place(settings.agent),
        ..settings
    })
}

/// The key that makes reading fail, and the reason in our words. Where serde can only point at a table, its entries are
/// left out one by one: the entry without which the message changes is the cause.
fn culprit(table: &Table, path: &str, catalog: &Catalog) -> (String, String) {
    let complaint = attempt(table, catalog).err();
    let mut key = path.to_string();
    while let Some(Value::Table(children)) = lookup(table, &key) {
        // Without its kind a table fails with another message whatever else is wrong with it, so `kind` is tried last.
        let (kind, others): (Vec<_>, Vec<_>) = children.keys().partition(|name| *name == "kind");
        let blamed = others
            .into_iter()
            .chain(kind)
            .map(|name| join(&key, name))
            .find(|child| {
                let mut without = table.clone();
                remove(&mut without, child);
                attempt(&without, catalog).err() != complaint
            });
        match blamed {
            Some(child) => key = child,
            None => break,
        }
    }
    let message = complaint.map(|(_, message)| message).unwrap_or_default();
    let name = key.rsplit('.').next().unwrap_or(&key).to_string();
    let kind = key
        .rsplit_once('.')
        .and_then(|(parent, _)| lookup(table, parent)?.get("kind")?.as_str());
    let problem = match contradiction(&key, kind) {
        Some(reason) if message.starts_with("unknown field") => reason.to_string(),
        _ => phrase(&message, &name, &catalog.kinds(&key)),
    };
    (key, problem)
}

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
    let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    if message.starts_with("unknown field") {
        let known = &quoted[1..];
        return match nearest(name, known.iter().copied()) {
            Some(near) => format!("unknown key; did you mean `{near}`?"),
            None if known.is_empty() => "unknown key; this kind has no settings".to_string(),
            None => format!("unknown key; known here: {}", known.join(", ")),
        };
    }
    if message.starts_with("unknown variant") {
        let known = [&quoted[1..], kinds].concat();
        return match nearest(quoted[0], known.iter().copied()) {
            Some(near) => format!("unknown choice; did you mean `{near}`? (known: {})", known.join(", ")),
            None => format!("unknown choice; known: {}", known.join(", ")),
        };
    }
    // Serde names types of Rust; users may not know them.
    for (rust, plain) in [
        ("expected u64", "expected a whole number, at least 0"),
        ("expected usize", "expected a whole number, at least 0"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list, such as [256, 256]"),
    ] {
        if line.ends_with(rust) {
            return plain.to_string();
        }
    }
    if line.contains("expected internally tagged enum") {
        return "expected a table with a kind, such as { kind = \"…\" }".to_string();
    }
    line.to_string()
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_string()
    } else {
        format!("{path}.{name}")
    }
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    if key.is_empty() {
        // The root is a `Table` and no `Value`; its children are found by their own names.
        return None;
    }
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

fn remove(table: &mut Table, key: &str) -> Option<Value> {
    match key.split_once('.') {
        None => table.remove(key),
        Some((first, rest)) => remove(table.get_mut(first)?.as_table_mut()?, rest),
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_string(), value);
        }
        Some((first, rest)) => {
            let mut inner = Table::new();
            insert(&mut inner, rest, value);
            table.insert(first.to_string(), Value::Table(inner));
        }
    }
}

fn short(value: Value) -> String {
    let text = match value {
        Value::Table(table) => Value::Table(table).to_string(),
        other => other.to_string(),
    };
    let text = text.replace('\n', " ");
    if text.chars().count() > 60 {
        text.chars().take(57).chain("...".chars()).collect()
    } else {
        text
    }
}

/// Merges `upper` over `lower`. Tables merge key by key; a table of another `kind` replaces the one below.
fn merge(lower: &mut Table, upper: Table, path: &str, origin: &Origin, origins: &mut BTreeMap<String, Origin>) {
    for (name, value) in upper {
        let key = join(path, &name);
        match (lower.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(above)) if same_kind(below, &above) => {
                merge(below, above, &key, origin, origins);
            }
            (_, value) => {
                let prefix = format!("{key}.");
                origins.retain(|other, _| *other != key && !other.starts_with(&prefix));
                note(&value, &key, origin, origins);
                lower.insert(name, value);
            }
        }
    }
}

fn same_kind(below: &Table, above: &Table) -> bool {
    match (below.get("kind"), above.get("kind")) {
        (Some(below), Some(above)) => below == above,
        _ => true,
    }
}

fn note(value: &Value, key: &str, origin: &Origin, origins: &mut BTreeMap<String, Origin>) {
    match value {
        Value::Table(table) if !table.is_empty() => {
            table
                .iter()
                .for_each(|(name, value)| note(value, &join(key, name), origin, origins));
        }
        _ => {
            origins.insert(key.to_string(), origin.clone());
        }
    }
}

impl<'de> Deserialize<'de> for Layers {
    /// One layer without an origin, for tests and tools.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Layers {
            merged: Table::deserialize(deserializer)?,
            origins: BTreeMap::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str) -> Layers {
        let mut layers = Layers::default();
        layers.add_toml(Origin::File("x.toml".into()), text).unwrap();
        layers
    }

    #[test]
    fn later_layers_win_and_are_remembered() {
        let mut layers = layers("[train]\nseed = 3\nbatch_size = 64\n");
        layers.set(Origin::Flag("--seed"), "train.seed", 9);
        let (raw, issues) = layers.read(&Catalog::default());
        assert!(issues.is_empty(), "{issues:?}");
        assert_eq!((raw.train.seed, raw.train.batch_size), (9, 64));
        assert_eq!(layers.origin("train.seed"), Some(&Origin::Flag("--seed")));
        assert_eq!(layers.origin("train.batch_size"), Some(&Origin::File("x.toml".into())));
    }

    #[test]
    fn a_key_of_another_kind_is_refused_with_the_reason() {
        let layers = layers(
            "[agent.critic]\nkind = \"state_value\"\ntarget_filter = { bandwidth = 0.1 }\n\
             [agent.temperature]\nkind = \"fixed\"\nalpha = 0.1\ntarget_entropy = -1.0\n",
        );
        let (_, issues) = layers.read(&Catalog::default());
        let told = |key: &str| issues.iter().find(|issue| issue.key == key).map(ToString::to_string);
        let filter = told("agent.critic.target_filter").unwrap();
        assert!(
            filter.contains("no action to filter") && filter.contains("x.toml"),
            "{filter}"
        );
        let entropy = told("agent.temperature.target_entropy").unwrap();
        assert!(
            entropy.contains("follows no target") && entropy.contains("x.toml"),
            "{entropy}"
        );
        assert_eq!(issues.len(), 2, "{issues:?}");
    }

    #[test]
    fn another_kind_replaces_the_table_below() {
        let mut layers = layers("[agent.temperature]\nkind = \"learned\"\ninitial_alpha = 0.5\n");
        layers
            .set_text("agent.temperature={kind=\"fixed\", alpha=0.2}")
            .unwrap();
        let (_, issues) = layers.read(&Catalog::default());
        assert!(issues.is_empty(), "{issues:?}");
    }

    #[test]
    fn all_problems_come_at_once_each_with_its_key_and_origin() {
        let mut layers = layers(
            "[train]\nwarmup_env_step = 10\nbatch_size = \"big\"\n[agent.critic]\nkind = \"scalar\"\nmembers = 1.5\n\
             [agent.policy]\nkind = \"squashed_gaussian\"\n[agent.targets]\nkind = \"polyakk\"\n[env]\nnum_envs = \"two\"\n",
        );
        layers.set_text("agent.policy.optimizer.learning_rate=fast").unwrap();
        let (_, issues) = layers.read(&Catalog::default());
        let keys: Vec<&str> = issues.iter().map(|issue| issue.key.as_str()).collect();
        for key in [
            "train.warmup_env_step",
            "train.batch_size",
            "agent.critic.members",
            "agent.targets.kind",
            "env.num_envs",
            "agent.policy.optimizer.learning_rate",
        ] {
            assert!(keys.contains(&key), "{key} is not among {keys:?}");
        }
        assert_eq!(issues.len(), 6, "{issues:#?}");
        let unknown = issues
            .iter()
            .find(|issue| issue.key == "train.warmup_env_step")
            .unwrap();
        assert!(unknown.problem.contains("did you mean `warmup_env_steps`"), "{unknown}");
        let rate = issues
            .iter()
            .find(|issue| issue.key.ends_with("learning_rate"))
            .unwrap();
        assert_eq!(rate.origin, Some(Origin::Set));
    }
}
