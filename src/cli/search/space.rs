//! What a search varies: [`Space`].

use std::collections::BTreeMap;

use serde::Serialize;
use toml::Value;

/// Digits of a drawn number: as many as somebody would write.
const DIGITS: i32 = 4;

/// The settings that a search varies; each comes after those that its condition names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Space(pub Vec<Parameter>);

/// A setting that varies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// As `--set` takes it.
    pub key: String,
    pub range: Range,
    /// Other settings of the space, with the values that they must have for this one to count.
    pub when: BTreeMap<String, Vec<Value>>,
}

/// The values of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Range {
    Float {
        min: f64,
        max: f64,
        log: bool,
        step: Option<f64>,
    },
    Integer {
        min: i64,
        max: i64,
        log: bool,
        step: i64,
    },
    Choice(Vec<Value>),
}

/// A value for each setting of a space that counts: numbers as they are, choices by their index. This is how Optuna's storage
/// has them.
pub type Point = BTreeMap<String, f64>;

impl Space {
    /// The settings of a point, as `--set` takes them.
    pub fn assignments(&self, point: &Point) -> Vec<String> {
        let settings = self.settings(point).into_iter();
        settings.map(|(key, value)| format!("{key}={value}")).collect()
    }

    /// The settings of a point.
    pub fn settings(&self, point: &Point) -> Vec<(&str, Value)> {
        let drawn = |parameter: &'_ Parameter| Some(parameter.range.value(*point.get(&parameter.key)?));
        let settings = self
            .0
            .iter()
            .filter_map(|parameter| Some((parameter.key.as_str(), drawn(parameter)?)));
        settings.collect()
    }

    /// A point without the settings whose conditions it does not fulfil.
    pub fn counting(&self, mut point: Point) -> Point {
        for parameter in &self.0 {
            let value_of = |key: &str| {
                let other = self.0.iter().find(|other| other.key == key)?;
                Some(other.range.value(*point.get(key)?))
            };
            let counts = parameter
                .when
                .iter()
                .all(|(key, values)| value_of(key).is_some_and(|value| values.contains(&value)));
            if !counts {
                point.remove(&parameter.key);
            }
        }
        point
    }

    /// Points that show what is wrong with a space before anything is trained: the middle of all ranges, and every end and every
    /// choice, one at a time.
    pub fn probes(&self) -> Vec<Point> {
        let middle: Point = self
            .0
            .iter()
            .map(|parameter| (parameter.key.clone(), parameter.range.middle()))
            .collect();
        let mut probes = vec![self.counting(middle.clone())];
        for parameter in &self.0 {
            for value in parameter.range.ends() {
                let mut probe = middle.clone();
                probe.insert(parameter.key.clone(), value);
                self.fulfil(&parameter.when, &mut probe);
                probes.push(self.counting(probe));
            }
        }
        probes
    }

    /// Makes conditions true, and those behind them.
    fn fulfil(&self, when: &BTreeMap<String, Vec<Value>>, point: &mut Point) {
        for (key, values) in when {
            let other = self.0.iter().find(|other| other.key == *key);
            let raw = other
                .zip(values.first())
                .and_then(|(other, value)| other.range.raw(value));
            if let Some((other, raw)) = other.zip(raw) {
                point.insert(key.clone(), raw);
                self.fulfil(&other.when, point);
            }
        }
    }
}

impl Range {
    /// The number of a point at a place in [0, 1]. Every whole number and every choice has the same share of it, on a logarithmic
    /// scale by its logarithm.
    pub fn at(&self, unit: f64) -> f64 {
        let within = |min: f64, max: f64, log: bool| match log {
            true => (min.ln() + unit * (max / min).ln()).exp(),
            false => min + unit * (max - min),
        };
        let stepped = |raw: f64, min: f64, max: f64, step: f64| {
            let steps = ((max - min) / step + 1e-9).floor();
            min + ((raw - min) / step).round().clamp(0.0, steps) * step
        };
        match *self {
            Range::Float {
                min,
                max,
                log,
                step: None,
            } => self.rounded(within(min, max, log)),
            Range::Float {
                min,
                max,
                step: Some(step),
                ..
            } => stepped(within(min - step / 2.0, max + step / 2.0, false), min, max, step),
            Range::Integer { min, max, log, step } => {
                let (min, max, step) = (min as f64, max as f64, step as f64);
                stepped(within(min - step / 2.0, max + step / 2.0, log), min, max, step)
            }
            Range::Choice(ref values) => ((unit * values.len() as f64) as usize).min(values.len() - 1) as f64,
        }
    }

    /// The place of a number of a point in [0, 1].
    pub fn unit(&self, raw: f64) -> f64 {
        let place = |min: f64, max: f64, log: bool| match log {
            true => (raw / min).ln() / (max / min).ln(),
            false => (raw - min) / (max - min),
        };
        let place = match *self {
            Range::Float {
                min,
                max,
                log,
                step: None,
            } => place(min, max, log),
            Range::Float {
                min,
                max,
                step: Some(step),
                ..
            } => place(min - step / 2.0, max + step / 2.0, false),
            Range::Integer { min, max, log, step } => {
                let half = step as f64 / 2.0;
                place(min as f64 - half, max as f64 + half, log)
            }
            Range::Choice(ref values) => (raw + 0.5) / values.len() as f64,
        };
        place.clamp(0.0, 1.0)
    }

    /// The setting for a number of a point.
    pub fn value(&self, raw: f64) -> Value {
        match self {
            Range::Float { .. } => Value::Float(raw),
            Range::Integer { .. } => Value::Integer(raw as i64),
            Range::Choice(values) => values[(raw as usize).min(values.len() - 1)].clone(),
        }
    }

    /// The number of a point for a setting, if the setting is one of this range.
    pub fn raw(&self, value: &Value) -> Option<f64> {
        match self {
            Range::Float { min, max, .. } => value.as_float().filter(|value| (*min..=*max).contains(value)),
            Range::Integer { min, max, .. } => value
                .as_integer()
                .filter(|value| (*min..=*max).contains(value))
                .map(|value| value as f64),
            Range::Choice(values) => values
                .iter()
                .position(|choice| choice == value)
                .map(|index| index as f64),
        }
    }

    /// A drawn number with few digits, within the range.
    fn rounded(&self, raw: f64) -> f64 {
        match *self {
            Range::Float {
                min, max, step: None, ..
            } if raw != 0.0 => {
                let digits = DIGITS - 1 - raw.abs().log10().floor() as i32;
                // Through text: 0.0003 is not 3 times the inverse of 10,000.
                let rounded = format!("{raw:.*}", digits.max(0) as usize);
                rounded.parse().unwrap_or(raw).clamp(min, max)
            }
            _ => raw,
        }
    }

    fn middle(&self) -> f64 {
        match *self {
            Range::Float {
                min, max, log: true, ..
            } => self.rounded((min * max).sqrt()),
            Range::Float { min, step: Some(_), .. } => min,
            Range::Float { min, max, .. } => self.rounded((min + max) / 2.0),
            Range::Integer { min, .. } => min as f64,
            Range::Choice(_) => 0.0,
        }
    }

    fn ends(&self) -> Vec<f64> {
        match *self {
            Range::Float { min, max, .. } => vec![min, max],
            Range::Integer { min, max, .. } => vec![min as f64, max as f64],
            Range::Choice(ref values) => (0..values.len()).map(|index| index as f64).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::search::table::space;

    fn read(text: &str) -> (Space, Vec<String>) {
        let mut problems = Vec::new();
        let found = space(&text.parse().expect("TOML"), &mut problems);
        (found, problems)
    }

    #[test]
    fn ranges_choices_and_conditions_become_settings() {
        let (space, problems) = read(
            "agent.gamma = { min = 0.9, max = 0.99 }\ntrain.batch_size = { min = 32, max = 256, log = true }\n\
             agent.a = { min = 1, max = 3, when = { agent.z.kind = 'polyak' } }\n\
             agent.z.kind = { choice = ['polyak', 'hard'] }",
        );
        assert_eq!(problems, Vec::<String>::new());
        let keys: Vec<&str> = space.0.iter().map(|parameter| parameter.key.as_str()).collect();
        assert_eq!(keys, ["agent.gamma", "agent.z.kind", "agent.a", "train.batch_size"]);
        let point = |kind: f64| -> Point {
            let pairs = [
                ("agent.gamma", 0.95),
                ("train.batch_size", 64.0),
                ("agent.a", 2.0),
                ("agent.z.kind", kind),
            ];
            pairs.map(|(key, value)| (key.to_string(), value)).into()
        };
        assert_eq!(
            space.assignments(&space.counting(point(0.0))),
            [
                "agent.gamma=0.95",
                "agent.z.kind=\"polyak\"",
                "agent.a=2",
                "train.batch_size=64"
            ]
        );
        let hard = space.assignments(&space.counting(point(1.0)));
        assert!(!hard.iter().any(|setting| setting.starts_with("agent.a=")), "{hard:?}");
        // The middle, two ends of three ranges, and two choices.
        let probes = space.probes();
        assert_eq!(probes.len(), 1 + 2 * 3 + 2);
        let ends = probes.iter().filter_map(|probe| probe.get("agent.a"));
        assert!(
            ends.clone().any(|end| *end == 1.0) && ends.clone().any(|end| *end == 3.0),
            "conditions are fulfilled"
        );
    }

    #[test]
    fn drawn_numbers_have_few_digits_and_stay_in_their_range() {
        let range = Range::Float {
            min: 1e-5,
            max: 3.3333e-4,
            log: true,
            step: None,
        };
        assert_eq!(range.rounded(0.000_123_456), 1.235e-4);
        assert_eq!(range.rounded(3.333_29e-4), 3.333e-4);
        assert_eq!(range.rounded(1.000_04e-5), 1e-5);
        let wide = Range::Float {
            min: 0.0,
            max: 1e6,
            log: false,
            step: None,
        };
        assert_eq!(wide.rounded(123_456.7), 123_457.0);
    }

    #[test]
    fn places_and_numbers_are_the_inverse_of_each_other() {
        let (space, problems) = read(
            "a = { min = -2.0, max = 2.0 }\nb = { min = 1e-4, max = 1.0, log = true }\nc = { min = 8, max = 64, step = 8 }\n\
             d = { min = 1, max = 100, log = true }\ne = { min = 0.0, max = 1.0, step = 0.25 }\nf = { choice = [1, 2, 3] }",
        );
        assert_eq!(problems, Vec::<String>::new());
        for Parameter { key, range, .. } in &space.0 {
            for place in 0..=40 {
                let number = range.at(f64::from(place) / 40.0);
                assert_eq!(range.at(range.unit(number)), number, "{key} at {place}");
            }
            for (end, place) in [(range.ends()[0], 0.0), (range.ends()[range.ends().len() - 1], 1.0)] {
                assert_eq!(range.at(place), end, "{key}: the ends are within reach");
            }
        }
        let counts = |range: &Range, number: f64| {
            (0..1000)
                .filter(|place| range.at(f64::from(*place) / 1000.0) == number)
                .count()
        };
        let whole = &space.0[2].range;
        assert_eq!(
            [8.0, 32.0, 64.0].map(|number| counts(whole, number)),
            [125; 3],
            "every number has the same share"
        );
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for (text, problem) in [
            ("", "expected at least one setting"),
            ("agent.gamma = 0.9", "agent.gamma = 0.9: expected { min"),
            ("agent.gamma = { min = 0.9 }", "`max`: expected a number"),
            (
                "agent.gamma = { min = 0.9, max = 0.8 }",
                "`min` = 0.9 is not below `max` = 0.8",
            ),
            (
                "agent.x = { min = 0, max = 4, log = true }",
                "a logarithmic range is above 0",
            ),
            (
                "agent.x = { min = 1, max = 4, steps = 2 }",
                "no such key: `steps`; did you mean `step`?",
            ),
            ("agent.x = { choice = 3 }", "`choice`: expected a list of values"),
            (
                "train.seed = { min = 1, max = 4 }",
                "a search does not vary `train.seed`",
            ),
            ("eval.episodes = { min = 1, max = 4 }", "a search does not vary `eval`"),
            (
                "a = { min = 1, max = 2, when = { b = 1 } }",
                "`when`: b is not in the space",
            ),
            (
                "a = { min = 1, max = 2, when = { b = 7 } }\nb = { choice = [1] }",
                "b is never 7",
            ),
            (
                "a = { choice = [1], when = { b = 1 } }\nb = { choice = [1], when = { a = 1 } }",
                "the conditions of a, b go in a circle",
            ),
        ] {
            let (_, problems) = read(text);
            assert!(
                problems.iter().any(|found| found.contains(problem)),
                "{text}: {problems:?}"
            );
        }
    }
}
