//! Problems of a specification, collected so that all are reported at once: [`SpecProblems`].

/// A value out of range: dotted key (from `agent` on), value, what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// Such as `agent.gamma`.
    pub key: String,
    /// As given.
    pub value: String,
    /// What it should be.
    pub problem: String,
}

/// Collects problems so that all are reported at once.
#[derive(Default)]
pub struct SpecProblems(Vec<SpecProblem>);

impl SpecProblems {
    /// Notes a problem unless `holds`.
    pub fn require(&mut self, holds: bool, key: &str, value: impl ToString, expected: &str) {
        if !holds {
            self.0.push(SpecProblem {
                key: key.into(),
                value: value.to_string(),
                problem: expected.into(),
            });
        }
    }

    /// Whether none was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that were found.
    pub fn into_vec(self) -> Vec<SpecProblem> {
        self.0
    }
}
