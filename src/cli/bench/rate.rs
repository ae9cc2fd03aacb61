//! Calls per second: [`rate`].

use std::time::Instant;

/// Calls `work` for about `seconds`, after a tenth of that to warm up, and returns calls per second.
pub fn rate(seconds: f64, mut work: impl FnMut()) -> f64 {
    let mut calls_within = |limit_s: f64| {
        let started = Instant::now();
        let mut calls = 0u64;
        while started.elapsed().as_secs_f64() < limit_s {
            work();
            calls += 1;
        }
        calls as f64 / started.elapsed().as_secs_f64()
    };
    calls_within(seconds / 10.0);
    calls_within(seconds)
}
