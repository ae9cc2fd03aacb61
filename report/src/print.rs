//! How numbers of a report are written.

use crate::estimates::Statistic;

/// −162.6 [−166.8, −161.0]
pub(crate) fn statistic(found: &Statistic) -> String {
    match found.interval {
        Some([low, high]) => format!("{} [{}, {}]", number(found.value), number(low), number(high)),
        None => number(found.value),
    }
}

/// 0.72 [0.48, 0.92]
pub(crate) fn probability(found: &Statistic) -> String {
    match found.interval {
        Some([low, high]) => format!("{:.2} [{low:.2}, {high:.2}]", found.value),
        None => format!("{:.2}", found.value),
    }
}

/// One decimal below 1000, with a minus sign as in print.
pub(crate) fn number(value: f64) -> String {
    let text = if value.abs() < 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    match text.strip_prefix('-') {
        Some("0.0") => "0.0".to_string(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// 250000 → `250,000`.
pub(crate) fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

/// With a capital at its beginning.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_print() {
        let interval = Statistic {
            value: -2.0,
            interval: Some([-1234.56, -0.04]),
        };
        assert_eq!(statistic(&interval), "−2.0 [−1235, 0.0]");
        assert_eq!(
            probability(&Statistic {
                value: 0.5,
                interval: None
            }),
            "0.50"
        );
        assert_eq!(thousands(1_250_000), "1,250,000");
        assert_eq!(sentence("final return"), "Final return");
    }
}
