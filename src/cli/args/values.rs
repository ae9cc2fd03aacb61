//! Values of arguments that are no text: counts, seeds, durations.

use std::ops::RangeInclusive;

use sac_envs::whole_number;

use crate::replicates::MOST_SEEDS;

/// A count that TOML's integers can hold, and so `config.toml`.
pub(super) fn toml_count() -> impl Fn(&str) -> Result<u64, String> + Clone {
    count(0..=i64::MAX as u64)
}

/// A whole number in this range, as TOML writes it or in float notation: `1000000`, `1_000_000` or `1e6`.
pub(super) fn count(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let digits = text.replace('_', "");
        let number = digits.parse::<u64>().ok().or_else(|| {
            let whole = whole_number(digits.parse().ok()?)?;
            u64::try_from(whole).ok()
        });
        let (least, most) = (range.start(), range.end());
        match number {
            Some(number) if range.contains(&number) => Ok(number),
            _ if *most >= i64::MAX as u64 => Err(format!("expected a whole number, at least {least}")),
            _ => Err(format!("expected a whole number from {least} to {most}")),
        }
    }
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
