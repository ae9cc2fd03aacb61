//! Initial weights, drawn from a stream that is handed in.

use crate::noise::Stream;

/// Fills weights and biases of a linear layer with `fan_in` inputs: `U(±1/√fan_in)`, PyTorch's default for
/// `nn.Linear`. The SAC papers do not state theirs; the tables that we compare with come from code that uses this.
pub fn linear(fan_in: i64, stream: &mut Stream, out: &mut [f32]) {
    let bound = 1.0 / (fan_in as f32).sqrt();
    stream.uniform_into(-bound, bound, out);
}
