//! Values of arguments that are no text: counts, seeds, durations.

use std::ops::RangeInclusive;

/// The most seeds of one command: far beyond use. It tells a slip of the finger before anything is made.
pub const MOST_SEEDS: usize = 1024;

/// A count that TOML's integers can hold, and so `config.toml`.
pub(super) fn toml_count() -> impl Fn(&str) -> Result<u64, String> + Clone {
    count(0..=i64::MAX as u64)
}

/// A whole number in this range, as TOML writes it or in float notation: `1000000`, `1_000_000` or `1e6`.
pub(super) fn count(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let digits = text.replace('_', "");
        let number = digits.parse::<u64>().ok().or_else(|| in_float_notation(&digits));
        let (least, most) = (range.start(), range.end());
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            _ if *most >= i64::MAX as u64 => Err(format!("expected a whole number, at least {least}")),
            _ => Err(format!("expected a whole number from {least} to {most}")),
        }
    }
}

/// The whole number that a text in float notation stands for, digit for digit: `1e6`, `2.5e3`, `64.0`.
fn in_float_notation(text: &str) -> Option<u64> {
    const MOST_DIGITS: usize = 20;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let decimals = i64::try_from(fraction.len()).ok()?;
    let trimmed = i64::try_from(digits.len() - significant.len()).ok()?;
    let zeros = exponent
        .parse::<i64>()
        .ok()?
        .checked_add(trimmed)?
        .checked_sub(decimals)?;
    let zeros = usize::try_from(zeros).ok()?;
    let is_number = !digits.is_empty() && zeros <= MOST_DIGITS;
    is_number.then(|| format!("{significant}{}", "0".repeat(zeros)).parse().ok())?
}

/// A seed, or a range of seeds such as `1-5`, its ends included.
pub(super) fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let expected = || {
        format!(
            "expected a seed such as 3, or a range such as 1-5, of whole numbers from 0 to {}",
            i64::MAX
        )
    };
    let seed = |text: &str| {
        let seed = text.trim().parse::<u64>().ok().filter(|seed| *seed <= i64::MAX as u64);
        seed.ok_or_else(expected)
    };
    let Some((first, last)) = text.split_once('-') else {
        return seed(text).map(|seed| seed..=seed);
    };
    let (first, last) = (seed(first)?, seed(last)?);
    if first > last {
        return Err(format!("the range ends before it begins; expected {last}-{first}"));
    }
    if last - first >= MOST_SEEDS as u64 {
        return Err(format!(
            "the range holds {} seeds, expected at most {MOST_SEEDS}",
            last - first + 1
        ));
    }
    Ok(first..=last)
}

/// A duration of a measurement.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0 and at most 86400".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_may_be_written_as_floats() {
        let read = count(0..=i64::MAX as u64);
        let cases = [
            ("1000000", 1_000_000),
            ("1_000_000", 1_000_000),
            ("1e6", 1_000_000),
            ("2.5E3", 2_500),
            ("64.0", 64),
            ("5000e-3", 5),
            ("0.0", 0),
            ("0e9", 0),
            ("9007199254740993.0", 9_007_199_254_740_993),
        ];
        for (text, number) in cases {
            assert_eq!(read(text), Ok(number), "{text}");
        }
        for text in [
            "",
            "e",
            "e6",
            ".",
            ".e3",
            "0.5",
            "1e-1",
            "-3e0",
            "1e30",
            "1e",
            "1e99999999999999999999",
            "1.5e-9223372036854775808",
            "NaN",
            "inf",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
