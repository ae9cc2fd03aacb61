//! [`Manual`]: the manual page of a task as data.

use std::fmt::{self, Write};

/// The manual page of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Manual {
    /// The task in a few sentences.
    pub description: String,
    /// One row per number of the observation, in order.
    pub observation: Vec<Row>,
    /// One row per number of the action, in order and in the task's own units.
    pub action: Vec<Row>,
    /// Formula and units.
    pub reward: String,
    /// Lowest and highest reward of one step, for actions within their space; both may be infinite.
    pub reward_range: [f64; 2],
    /// Distribution of start states.
    pub start: String,
    /// When episodes are terminated or truncated.
    pub end: String,
    /// Origin of the task: software, papers.
    pub source: String,
}

impl Default for Manual {
    /// An empty page, with rewards of any size.
    fn default() -> Self {
        Manual {
            description: String::new(),
            observation: Vec::new(),
            action: Vec::new(),
            reward: String::new(),
            reward_range: [f64::NEG_INFINITY, f64::INFINITY],
            start: String::new(),
            end: String::new(),
            source: String::new(),
        }
    }
}

/// Description of one number of an observation or action.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The quantity, such as `angular velocity`.
    pub name: String,
    /// Its unit, such as `rad/s`; `1` for a number without one.
    pub unit: String,
    /// Lowest value; may be −∞.
    pub low: f64,
    /// Highest value; may be +∞.
    pub high: f64,
}

impl Row {
    /// A row with these values.
    pub fn new(name: impl Into<String>, unit: impl Into<String>, low: f64, high: f64) -> Self {
        Row {
            name: name.into(),
            unit: unit.into(),
            low,
            high,
        }
    }
}

impl fmt::Display for Manual {
    /// Markdown, without the empty parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let text = |title: &str, text: &str| (!text.is_empty()).then(|| format!("## {title}\n\n{text}\n"));
        if !self.description.is_empty() {
            parts.push(format!("{}\n", self.description));
        }
        parts.extend(table("Observation", &self.observation)?);
        parts.extend(table("Action", &self.action)?);
        let range = match self.reward_range {
            [f64::NEG_INFINITY, f64::INFINITY] => String::new(),
            [low, high] => format!("\n\nBetween {} and {} per step.", short(low), short(high)),
        };
        parts.extend(text("Reward", &format!("{}{range}", self.reward)));
        parts.extend(text("Start", &self.start));
        parts.extend(text("End", &self.end));
        parts.extend(text("Source", &self.source));
        f.write_str(&parts.join("\n"))
    }
}

/// A number with at most six decimals.
pub(crate) fn short(x: f64) -> String {
    match x {
        f64::INFINITY => "∞".to_string(),
        f64::NEG_INFINITY => "-∞".to_string(),
        _ => ((x * 1e6).round() / 1e6).to_string(),
    }
}

fn table(title: &str, rows: &[Row]) -> Result<Option<String>, fmt::Error> {
    if rows.is_empty() {
        return Ok(None);
    }
    let cells = |i: usize, row: &Row| {
        [
            i.to_string(),
            row.name.clone(),
            row.unit.clone(),
            short(row.low),
            short(row.high),
        ]
    };
    let header = ["", "what", "unit", "low", "high"].map(str::to_string);
    let lines: Vec<[String; 5]> = std::iter::once(header)
        .chain(rows.iter().enumerate().map(|(i, row)| cells(i, row)))
        .collect();
    let width: Vec<usize> = (0..5)
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = format!("## {title}\n\n");
    for (i, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(&width) {
            write!(out, "| {cell:<width$} ")?;
        }
        out.push_str("|\n");
        if i == 0 {
            for width in &width {
                write!(out, "|{:-<1$}", "", width + 2)?;
            }
            out.push_str("|\n");
        }
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_prints_as_markdown_without_its_empty_parts() {
        let manual = Manual {
            observation: vec![Row::new("angle", "rad", -1.0, f64::INFINITY)],
            reward: "zero".to_string(),
            reward_range: [0.0, f64::INFINITY],
            ..Manual::default()
        };
        let expected = "## Observation\n\n\
            |   | what  | unit | low | high |\n\
            |---|-------|------|-----|------|\n\
            | 0 | angle | rad  | -1  | ∞    |\n\n\
            ## Reward\n\nzero\n\nBetween 0 and ∞ per step.\n";
        assert_eq!(manual.to_string(), expected);
    }
}
