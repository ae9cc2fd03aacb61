//! Whole numbers in float notation, such as 1e6: [`whole_number`].

use toml::Value;

/// The integer that a float is, up to where floats are exact.
pub fn whole_number(float: f64) -> Option<i64> {
    const MOST: f64 = (1u64 << f64::MANTISSA_DIGITS) as f64;
    (float.fract() == 0.0 && float.abs() <= MOST).then_some(float as i64)
}

/// The value of an option, as an integer if it is whole and the default is an integer.
pub(super) fn like(default: &Value, value: &Value) -> Value {
    match (default, value) {
        (Value::Integer(_), Value::Float(float)) => whole_number(*float).map_or(value.clone(), Value::Integer),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_floats_are_integers_and_others_are_not() {
        let cases = [
            (1e6, Some(1_000_000)),
            (-3.0, Some(-3)),
            (0.5, None),
            (1e30, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ];
        for (float, whole) in cases {
            assert_eq!(whole_number(float), whole, "{float}");
        }
    }
}
