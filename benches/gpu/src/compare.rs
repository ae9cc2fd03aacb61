//! How far apart what two agents learned is: [`Apart`].

use std::{collections::BTreeMap, fmt};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use crate::learner::is_of_optimizer;

/// Tensors of a learner by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The largest differences over all parameters of an agent, targets and statistics included. What is not a number is
/// infinitely far from everything.
#[derive(Debug)]
pub struct Apart {
    /// max |found − expected| / max |expected|, each maximum over one tensor.
    pub relative: f64,
    /// Where.
    relative_in: String,
    /// ‖found − expected‖ / ‖expected − start‖ over one tensor: the part of the way since the start that is wrong.
    pub of_way: f64,
    /// Where.
    of_way_in: String,
    /// Whether every bit is the same, those of the optimiser included.
    pub is_equal: bool,
}

impl Default for Apart {
    /// No difference.
    fn default() -> Self {
        Apart {
            relative: 0.0,
            relative_in: String::new(),
            of_way: 0.0,
            of_way_in: String::new(),
            is_equal: true,
        }
    }
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1e} of the largest parameter of {}, {:.1e} of the way of {}",
            self.relative, self.relative_in, self.of_way, self.of_way_in
        )
    }
}

impl Apart {
    /// Compares what was found with what was expected, both after learning from `start`.
    ///
    /// # Errors
    /// When the names or shapes differ, or nothing has moved, so that a comparison says nothing.
    pub fn of(found: &Tensors, expected: &Tensors, start: &Tensors) -> Result<Apart> {
        let mut apart = Apart::default();
        ensure!(found.keys().eq(expected.keys()), "the agents have different tensors");
        let mut has_moved = false;
        for (name, expected) in expected {
            let found = &found[name];
            ensure!(found.size() == expected.size(), "{name} has different shapes");
            apart.is_equal &= found == expected;
            if is_of_optimizer(name) {
                continue;
            }
            let difference = found - expected;
            let relative = ratio(largest(&difference), largest(expected));
            if relative > apart.relative {
                (apart.relative, apart.relative_in) = (relative, name.clone());
            }
            // A statistic that begins with the first batch has no start.
            let Some(start) = start.get(name) else { continue };
            let way = norm(&(expected - start));
            has_moved |= way > 0.0;
            let of_way = ratio(norm(&difference), way);
            if of_way > apart.of_way {
                (apart.of_way, apart.of_way_in) = (of_way, name.clone());
            }
        }
        ensure!(has_moved, "nothing was learned, so that a comparison says nothing");
        Ok(apart)
    }

    /// Keeps the larger differences of both.
    pub fn take_worse(&mut self, other: Apart) {
        if other.relative > self.relative {
            (self.relative, self.relative_in) = (other.relative, other.relative_in);
        }
        if other.of_way > self.of_way {
            (self.of_way, self.of_way_in) = (other.of_way, other.of_way_in);
        }
        self.is_equal &= other.is_equal;
    }

    /// For the report.
    pub fn to_json(&self) -> Value {
        // JSON has no infinity.
        let number = |value: f64| match value.is_finite() {
            true => json!(value),
            false => json!("not a number"),
        };
        json!({
            "relative": number(self.relative),
            "relative_in": self.relative_in,
            "part_of_the_way": number(self.of_way),
            "part_of_the_way_in": self.of_way_in,
            "equal_to_the_bit": self.is_equal,
        })
    }
}

fn largest(tensor: &Tensor) -> f64 {
    tensor.abs().max().double_value(&[])
}

fn norm(tensor: &Tensor) -> f64 {
    tensor.square().sum(Kind::Double).sqrt().double_value(&[])
}

/// Nothing of nothing is nothing.
fn ratio(part: f64, whole: f64) -> f64 {
    match part / whole {
        _ if part == 0.0 => 0.0,
        ratio if ratio.is_nan() => f64::INFINITY,
        ratio => ratio,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensors(values: &[(&str, [f64; 2])]) -> Tensors {
        let named = |(name, values): &(&str, [f64; 2])| (name.to_string(), Tensor::from_slice(values));
        values.iter().map(named).collect()
    }

    #[test]
    fn the_worst_tensor_counts() {
        let start = tensors(&[("p/a", [0.0, 0.0]), ("p/b", [9.0, 0.0])]);
        let expected = tensors(&[("p/a", [1.0, 0.0]), ("p/b", [10.0, 0.0])]);
        let found = tensors(&[("p/a", [1.1, 0.0]), ("p/b", [10.5, 0.0])]);
        let apart = Apart::of(&found, &expected, &start).expect("comparable");
        assert!((apart.relative - 0.1).abs() < 1e-12 && apart.relative_in == "p/a");
        assert!((apart.of_way - 0.5).abs() < 1e-12 && apart.of_way_in == "p/b");
        assert!(!apart.is_equal);
    }

    #[test]
    fn of_two_comparisons_the_larger_differences_stay() {
        let start = tensors(&[("p/a", [0.0, 0.0]), ("p/b", [9.0, 0.0])]);
        let expected = tensors(&[("p/a", [1.0, 0.0]), ("p/b", [10.0, 0.0])]);
        let apart = |a: f64, b: f64| {
            let found = tensors(&[("p/a", [1.0 + a, 0.0]), ("p/b", [10.0 + b, 0.0])]);
            Apart::of(&found, &expected, &start).expect("comparable")
        };
        for (first, second) in [((0.1, 0.0), (0.0, 0.5)), ((0.0, 0.5), (0.1, 0.0))] {
            let mut worst = apart(first.0, first.1);
            worst.take_worse(apart(second.0, second.1));
            assert!((worst.relative - 0.1).abs() < 1e-12 && worst.relative_in == "p/a");
            assert!((worst.of_way - 0.5).abs() < 1e-12 && worst.of_way_in == "p/b");
        }
    }

    #[test]
    fn moments_count_for_equality_alone() {
        let start = tensors(&[("p/a", [0.0, 0.0]), ("p/x/adam.first", [0.0, 0.0])]);
        let expected = tensors(&[("p/a", [1.0, 0.0]), ("p/x/adam.first", [1.0, 0.0])]);
        let found = tensors(&[("p/a", [1.0, 0.0]), ("p/x/adam.first", [2.0, 0.0])]);
        let apart = Apart::of(&found, &expected, &start).expect("comparable");
        assert_eq!((apart.relative, apart.of_way, apart.is_equal), (0.0, 0.0, false));
    }

    #[test]
    fn what_is_not_a_number_is_infinitely_far() {
        let (start, expected) = (tensors(&[("p/a", [0.0, 0.0])]), tensors(&[("p/a", [1.0, 1.0])]));
        let apart = Apart::of(&tensors(&[("p/a", [f64::NAN, 1.0])]), &expected, &start).expect("comparable");
        assert_eq!((apart.relative, apart.of_way), (f64::INFINITY, f64::INFINITY));
        assert_eq!(apart.to_json()["relative"], "not a number");
    }

    #[test]
    fn agents_that_stand_still_cannot_be_compared() {
        let same = tensors(&[("p/a", [1.0, 0.0])]);
        assert!(Apart::of(&same, &same, &same).is_err());
    }
}
