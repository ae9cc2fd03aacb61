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

/// Limits of settings, far beyond use. Networks compute in `f32`, whose numbers end at 1e38 and at 1e-38, and losses
/// square. A setting beyond the limits would be found out later, as a loss that is not finite.
const LEAST: f64 = 1e-30;
const MOST: f64 = 1e12;

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

    /// Adds a problem unless `value` is above 0 and of a size that products of `f32` survive.
    pub fn require_positive(&mut self, key: &str, value: f64) {
        let (least, most) = (LEAST, MOST);
        let holds = (least..=most).contains(&value);
        self.require(
            holds,
            key,
            format!("{value:?}"),
            &format!("between {least:e} and {most:e}"),
        );
    }

    /// Adds a problem unless `value` is at least 0 and of a size that products of `f32` survive.
    pub fn require_not_negative(&mut self, key: &str, value: f64) {
        let holds = (0.0..=MOST).contains(&value);
        self.require(holds, key, format!("{value:?}"), &format!("between 0 and {MOST:e}"));
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
