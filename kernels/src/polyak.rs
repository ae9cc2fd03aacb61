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
