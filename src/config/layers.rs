//! Merging configurations and remembering where each value came from: [`Layers`].

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    finite::collect_not_finite,
    issue::{Issue, Issues},
    key::{dotted, join},
    origin::Origin,
};

/// Settings merged from several sources, later ones over earlier ones, each value with its origin.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    pub(super) merged: Table,
    pub(super) replaced: Vec<Replaced>,
    origins: BTreeMap<String, Origin>,
}

/// A value that a later layer replaced. It takes no effect, but it must be one that could.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
    pub(super) origin: Origin,
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

    /// Adds a table as the uppermost layer. `agent.learning_rate` in it stands for those of all optimisers.
    pub fn add(&mut self, origin: Origin, mut table: Table) {
        let rates = self.take_learning_rate(&mut table);
        let mut merged = std::mem::take(&mut self.merged);
        for table in rates.into_iter().chain([table]) {
            self.merge(&mut merged, table, &[], &origin);
        }
        self.merged = merged;
    }

    /// Takes `agent.learning_rate` out of a table: the same for every optimiser that there is then.
    fn take_learning_rate(&self, table: &mut Table) -> Option<Table> {
        let agent = table.get_mut("agent")?.as_table_mut()?;
        let rate = agent.remove("learning_rate")?;
        let kind = agent.get("temperature").and_then(|temperature| temperature.get("kind"));
        let kind = kind.or_else(|| self.get("agent.temperature.kind"));
        let is_learned = kind.is_none_or(|kind| kind.as_str() != Some("fixed"));
        let mut rates = Table::new();
        for part in ["policy", "critic"]
            .into_iter()
            .chain(is_learned.then_some("temperature"))
        {
            let mut of_part = Table::new();
            insert(&mut of_part, "optimizer.learning_rate", rate.clone());
            rates.insert(part.to_string(), Value::Table(of_part));
        }
        Some(Table::from_iter([("agent".to_string(), Value::Table(rates))]))
    }

    /// Sets one value by its dotted key.
    pub fn set(&mut self, origin: Origin, key: &str, value: impl Into<Value>) {
        let mut table = Table::new();
        insert(&mut table, key, value.into());
        self.add(origin, table);
    }

    /// Sets `key=value`; the value is TOML, or a bare word or a path, which are taken as text.
    ///
    /// # Errors
    /// When it is neither.
    pub fn set_text(&mut self, assignment: &str) -> Result<(), Issues> {
        let bad = |problem: &str| Issues::one(assignment, "", problem, Some(Origin::Set));
        let (key, text) = assignment.split_once('=').ok_or_else(|| bad("expected KEY=VALUE"))?;
        let (key, text) = (key.trim(), text.trim());
        let is_key = !key.contains(['\n', '\r', '#', '[']);
        let mut table = match format!("{key} = 0").parse::<Table>() {
            Ok(table) if is_key => table,
            _ => return Err(bad("expected a dotted key before the =")),
        };
        let value = match format!("value = {text}").parse::<Table>() {
            Ok(mut table) if table.len() == 1 => table.remove("value"),
            Ok(_) => return Err(bad("expected one value")),
            Err(_) if is_bare(text) => Some(Value::String(text.to_string())),
            Err(_) => None,
        };
        let value = value.ok_or_else(|| bad(&not_toml(key, text)))?;
        put_innermost(&mut table, value);
        self.add(Origin::Set, table);
        Ok(())
    }

    /// The value at a dotted key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut parts = key.split('.');
        let first = self.merged.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// Refuses numbers that are not a number (NaN), for values that no [`Settings`](super::Settings) hold.
    ///
    /// # Errors
    /// All of them, with their keys.
    pub(crate) fn check_numbers(&self) -> Result<(), Issues> {
        let mut found = Vec::new();
        collect_not_finite("", &Value::Table(self.merged.clone()), &mut found);
        let issues: Vec<Issue> = found
            .into_iter()
            .filter(|(_, value)| value.is_nan())
            .map(|(key, _)| Issue {
                origin: self.origin(&key).cloned(),
                key,
                value: "nan".to_string(),
                problem: "expected a number".to_string(),
            })
            .collect();
        match issues.is_empty() {
            true => Ok(()),
            false => Err(Issues(issues)),
        }
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
            key = &key[..key.rfind(['.', '['])?]; // `env.wrappers[0].std` is within `env.wrappers`
        }
    }

    /// Merges `upper` over `lower`, which is at `path`. Tables merge key by key; a table of another `kind` replaces the
    /// one below, and a key the one that says the same in another way.
    fn merge(&mut self, lower: &mut Table, upper: Table, path: &[String], origin: &Origin) {
        for other in ALTERNATIVES.iter().filter_map(|pair| said_otherwise(pair, &upper)) {
            if lower.remove(other).is_some() {
                self.origins.remove(&join(&dotted(path), other));
            }
        }
        for (name, value) in upper {
            let path = [path, std::slice::from_ref(&name)].concat();
            let key = dotted(&path);
            match (lower.get_mut(&name), value) {
                (Some(Value::Table(below)), Value::Table(above)) if same_kind(below, &above) => {
                    self.merge(below, above, &path, origin);
                }
                (below, value) => {
                    if let (Some(below), Some(origin)) =
                        (below.filter(|below| !below.is_table()), self.origins.get(&key))
                    {
                        self.replaced.push(Replaced {
                            path,
                            value: below.clone(),
                            origin: origin.clone(),
                        });
                    }
                    let prefix = format!("{key}.");
                    self.origins
                        .retain(|other, _| *other != key && !other.starts_with(&prefix));
                    note(&value, &key, origin, &mut self.origins);
                    lower.insert(name, value);
                }
            }
        }
    }
}

/// Text that stands for itself without quotes: a word, or the path of a file. Nothing in TOML begins like a path.
fn is_bare(text: &str) -> bool {
    let is_word = |more: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    match ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start)) {
        true => !text.contains(char::is_control),
        false => {
            (text.starts_with(|c: char| c.is_ascii_alphabetic()) && is_word("_-:./\\"))
                || (text.contains('/') && is_word("_-:./"))
        }
    }
}

/// Why a text is no value, and how to write what was probably meant.
fn not_toml(key: &str, text: &str) -> String {
    let is_toml = |text: &str| format!("value = {text}").parse::<Table>().is_ok();
    if text.contains(',') && is_toml(&format!("[{text}]")) {
        return format!("the value is not TOML; a list needs brackets: {key}=[{text}]");
    }
    match text.contains(char::is_whitespace) {
        true => "the value is not TOML; text with spaces needs quotes".to_string(),
        false => "the value is not TOML; text with other characters than letters and digits needs quotes".to_string(),
    }
}

/// Puts `value` in the place of the only value of nested tables with one entry each.
fn put_innermost(table: &mut Table, value: Value) {
    match table.iter_mut().next() {
        Some((_, Value::Table(inner))) => put_innermost(inner, value),
        Some((_, place)) => *place = value,
        None => {}
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

/// Keys that each begin another way of saying the same value, as `kind` does for settings.
const LEADING: [&str; 3] = ["of_uniform", "nats", "per_action"];

/// Pairs of keys of one table that say the same in two ways.
const ALTERNATIVES: [[&str; 2]; 2] = [
    ["over_grad_steps", "over_budget"],
    ["at_grad_steps", "every_grad_steps"],
];

/// The key of a pair that is not in a table which has the other one.
fn said_otherwise(pair: &[&'static str; 2], table: &Table) -> Option<&'static str> {
    match pair.map(|key| table.contains_key(key)) {
        [true, false] => Some(pair[1]),
        [false, true] => Some(pair[0]),
        _ => None,
    }
}

/// Whether a table is merged with the one below it, instead of replacing it.
fn same_kind(below: &Table, above: &Table) -> bool {
    if LEADING.iter().any(|key| above.contains_key(*key)) {
        return false;
    }
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
            ..Layers::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Catalog;

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
    fn one_learning_rate_stands_for_all_and_one_of_its_own_wins() {
        let mut layers = crate::config::preset_layers("sac").unwrap();
        let text = "[agent]\nlearning_rate = 1e-3\ncritic = { optimizer = { learning_rate = 2e-3 } }\n";
        layers.add_toml(Origin::File("x.toml".into()), text).unwrap();
        layers
            .set_text("agent.temperature.optimizer.learning_rate=5e-3")
            .unwrap();
        let rate = |layers: &Layers, part: &str| {
            layers
                .get(&format!("agent.{part}.optimizer.learning_rate"))
                .and_then(Value::as_float)
        };
        let rates = |layers: &Layers| ["policy", "critic", "temperature"].map(|part| rate(layers, part));
        assert_eq!(rates(&layers), [1e-3, 2e-3, 5e-3].map(Some));
        // A later layer replaces them all.
        layers.set_text("agent.learning_rate=1e-4").unwrap();
        assert_eq!(rates(&layers), [1e-4; 3].map(Some));
        let (settings, issues) = layers.read(&Catalog::default());
        assert!(issues.is_empty(), "{issues:?}");
        assert_eq!(settings.agent.policy.optimizer().learning_rate, 1e-4);
        // A fixed temperature has no optimiser.
        layers.set_text("agent.temperature={kind='fixed', alpha=0.1}").unwrap();
        layers.set_text("agent.learning_rate=7e-4").unwrap();
        assert_eq!(rates(&layers), [Some(7e-4), Some(7e-4), None]);
        layers.set_text("agent.learning_rate='fast'").unwrap();
        let (_, issues) = layers.read(&Catalog::default());
        assert!(
            issues.iter().all(|issue| issue.key.ends_with("learning_rate")) && issues.len() == 2,
            "{issues:?}"
        );
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
    fn a_key_replaces_what_says_the_same_in_another_way() {
        let schedule = "agent.critic.optimizer.anneal";
        let mut layers = crate::config::preset_layers("flashsac").expect("there");
        assert!(layers.get(&format!("{schedule}.over_budget")).is_some());
        layers
            .set_text("agent.resets={at_grad_steps=[5], of=[\"critic\"]}")
            .unwrap();
        layers.set_text(&format!("{schedule}.over_grad_steps=100")).unwrap();
        layers.set_text("agent.resets.every_grad_steps=9").unwrap();
        let (settings, issues) = layers.read(&Catalog::default());
        assert!(issues.is_empty(), "{issues:?}");
        let resets = settings.agent.resets.expect("given");
        assert_eq!((resets.every_grad_steps, resets.at_grad_steps.len()), (Some(9), 0));
        assert_eq!(layers.get(&format!("{schedule}.over_budget")), None);
        assert_eq!(layers.get(&format!("{schedule}.to")), Some(&Value::Float(1.5e-4)));

        // Both in one place are a contradiction, which is refused when the settings are resolved.
        layers
            .set_text(&format!("{schedule}={{to=1e-4, over_budget=1.0, over_grad_steps=100}}"))
            .unwrap();
        assert!(layers.get(&format!("{schedule}.over_budget")).is_some());
        assert!(layers.get(&format!("{schedule}.over_grad_steps")).is_some());
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
