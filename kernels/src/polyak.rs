//! Polyak averaging over slices: [`polyak`].

use crate::{ThreadPool, widest};

/// target ← target + rate · (source − target). A rate of 1 copies `source` exactly.
///
/// # Panics
/// When the slices differ in length.
pub fn polyak(pool: &ThreadPool, target: &mut [f32], source: &[f32], rate: f64) {
    assert_eq!(target.len(), source.len(), "each target has a source");
    let chunk = pool.chunk_len(target.len());
    let chunks = target.chunks_mut(chunk).zip(source.chunks(chunk));
    pool.for_each(chunks.collect(), |(target, source)| {
        widest(
            #[inline(always)]
            || interpolate(target, source, rate),
        );
    });
}

#[inline(always)]
fn interpolate(target: &mut [f32], source: &[f32], rate: f64) {
    // Written from the nearer end, so that a rate of 1 gives the source exactly.
    let (rate, rest) = (rate as f32, (1.0 - rate) as f32);
    let pairs = target.iter_mut().zip(source);
    match rate < 0.5 {
        true => pairs.for_each(|(target, source)| *target += rate * (source - *target)),
        false => pairs.for_each(|(target, source)| *target = source - rest * (source - *target)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_rate_interpolates(
            pairs in proptest::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 0..70),
            rate in 0.0f64..=1.0,
        ) {
            let (mut target, source): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            polyak(&ThreadPool::single(), &mut target, &source, rate);
            for (found, (target, source)) in target.iter().zip(&pairs) {
                let (target, source) = (f64::from(*target), f64::from(*source));
                let exact = target + rate * (source - target);
                prop_assert!((f64::from(*found) - exact).abs() < 5e-4, "{found}, not {exact}");
            }
        }
    }

    #[test]
    fn a_rate_of_one_copies_and_a_rate_of_zero_changes_nothing() {
        let source: Vec<f32> = (0..1_003).map(|i| (i as f32 * 0.73).sin() * 1e5).collect();
        let start: Vec<f32> = (0..1_003).map(|i| (i as f32 * 0.37).cos() * 1e-5).collect();
        for (rate, expected) in [(1.0, &source), (0.0, &start)] {
            let mut target = start.clone();
            polyak(&ThreadPool::new(2), &mut target, &source, rate);
            assert_eq!(target, *expected, "rate {rate}");
        }
    }

    #[test]
    fn threads_and_alignment_change_no_bit() {
        const LEN: usize = 40_003;
        let source: Vec<f32> = (0..LEN).map(|i| (i as f32 * 0.73).sin()).collect();
        let with = |threads: usize, first: usize| {
            let mut target: Vec<f32> = (0..LEN).map(|i| (i as f32 * 0.37).cos()).collect();
            polyak(&ThreadPool::new(threads), &mut target[first..], &source[first..], 0.005);
            target[5..].to_vec()
        };
        for (threads, first) in [(2, 0), (3, 0), (1, 1), (3, 5)] {
            assert_eq!(with(threads, first), with(1, 0), "{threads} threads from {first}");
        }
    }

    #[test]
    fn nan_stays_nan() {
        for rate in [0.005, 0.9] {
            let mut target = [f32::NAN, 0.0, 1.0];
            polyak(&ThreadPool::single(), &mut target, &[1.0, f32::NAN, 1.0], rate);
            assert_eq!(target.map(f32::is_nan), [true, true, false]);
        }
    }

    #[test]
    #[should_panic(expected = "each target has a source")]
    fn slices_of_other_lengths_are_refused() {
        polyak(&ThreadPool::single(), &mut [0.0; 2], &[0.0; 3], 0.5);
    }
}
