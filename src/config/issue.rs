//! Problems of a configuration: [`Issue`], [`Issues`].

use std::fmt;

use super::origin::Origin;

/// One problem of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Issue {
    /// Dotted key.
    pub key: String,
    /// The value as given; empty when none was.
    pub value: String,
    /// What is wrong, or what it should be.
    pub problem: String,
    /// The layer that set it, if one did.
    pub origin: Option<Origin>,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if !self.value.is_empty() {
            write!(f, " = {}", self.value)?;
        }
        write!(f, ": {}", self.problem)?;
        match &self.origin {
            Some(origin) => write!(f, " ({origin})"),
            None => Ok(()),
        }
    }
}

/// All problems of a configuration; at least one.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub struct Issues(pub Vec<Issue>);

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(
            f,
            "{count} problem{} in the configuration",
            if count == 1 { "" } else { "s" }
        )?;
        self.0.iter().try_for_each(|issue| write!(f, "\n  {issue}"))
    }
}

impl Issues {
    /// A single problem, as a list.
    pub fn one(key: &str, value: &str, problem: impl Into<String>, origin: Option<Origin>) -> Self {
        Issues(vec![Issue {
            key: key.into(),
            value: value.into(),
            problem: problem.into(),
            origin,
        }])
    }
}
