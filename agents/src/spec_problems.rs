//! A list of problems of a specification: [`SpecProblems`].

/// An invalid setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Dotted key that begins with `agent`, for example `agent.gamma`.
    pub key: String,
    /// The invalid value.
    pub value: String,
    /// What was expected, or what is wrong with it.
    pub problem: String,
}

/// All problems found so far, so that they can be reported together.
#[derive(Default)]
pub struct SpecProblems(Vec<SpecProblem>);

impl SpecProblems {
    /// Adds a problem unless `holds`.
    pub fn require(&mut self, holds: bool, key: &str, value: impl ToString, expected: &str) {
        if !holds {
            self.0.push(SpecProblem {
                key: key.into(),
                value: value.to_string(),
                problem: expected.into(),
            });
        }
    }

    /// Whether no problem was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems found.
    pub fn into_vec(self) -> Vec<SpecProblem> {
        self.0
    }
}
