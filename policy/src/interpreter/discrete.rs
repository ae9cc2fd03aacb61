//! Operations on whole numbers and indices.

use super::input::Input;

/// The index of the greatest number, the first of equal ones.
fn argmax(x: &[f32]) -> usize {
    let mut best = 0;
    for (index, number) in x.iter().enumerate() {
        if *number > x[best] {
            best = index;
        }
    }
    best
}

/// An index that is out of range sets nothing.
pub fn one_hot(x: Input, sizes: &[usize], out: &mut [f32]) {
    let width: usize = sizes.iter().sum();
    for (indices, out) in x.data.chunks_exact(sizes.len()).zip(out.chunks_exact_mut(width)) {
        let mut rest = out;
        for (index, size) in indices.iter().zip(sizes) {
            let (part, after) = rest.split_at_mut(*size);
            part.fill(0.0);
            if *index >= 0.0
                && let Some(chosen) = part.get_mut(*index as usize)
            {
                *chosen = 1.0;
            }
            rest = after;
        }
    }
}

pub fn greatest(x: Input, sizes: &[usize], out: &mut [f32]) {
    for (scores, out) in x.data.chunks_exact(x.len()).zip(out.chunks_exact_mut(sizes.len())) {
        let mut rest = scores;
        for (out, size) in out.iter_mut().zip(sizes) {
            let (part, after) = rest.split_at(*size);
            *out = argmax(part) as f32;
            rest = after;
        }
    }
}

/// The first index whose cumulative probability exceeds the uniform number.
pub fn draw_index(x: Input, uniform: Input, out: &mut [f32]) {
    let rows = x.data.chunks_exact(x.len()).zip(uniform.data);
    for ((logits, uniform), out) in rows.zip(out) {
        let most = logits.iter().fold(f32::NEG_INFINITY, |most, x| most.max(*x));
        let total: f32 = logits.iter().map(|x| (x - most).exp()).sum();
        let mut cumulative = 0.0;
        let below = logits.iter().take_while(|x| {
            cumulative += (**x - most).exp() / total;
            cumulative <= *uniform
        });
        // Rounding may make the last cumulative probability slightly less than 1.
        *out = below.count().min(logits.len() - 1) as f32;
    }
}

pub fn unravel(x: Input, sizes: &[usize], out: &mut [f32]) {
    for (joint, out) in x.data.iter().zip(out.chunks_exact_mut(sizes.len())) {
        let mut rest = *joint as usize;
        for (out, size) in out.iter_mut().zip(sizes).rev() {
            *out = (rest % size) as f32;
            rest /= size;
        }
    }
}
