//! Normal distributions of the soft return, one per member: what DSAC and DSAC-T share.

use tch::{Kind, Tensor};

use super::{target_filter::FilterOrder, value_function::ValueFunction};
use crate::noise::Stream;

/// Numbers per state and action: mean, and the standard deviation before softplus.
pub(super) const OUTPUTS: i64 = 2;

/// Of every member: `[E, B]` each, value.
pub struct Gaussians {
    /// Expected soft return.
    pub mean: Tensor,
    /// Its standard deviation, > 0.
    pub std: Tensor,
}

impl Gaussians {
    /// From the members' outputs `[E, B, 2]`.
    pub fn of(out: &Tensor) -> Gaussians {
        Gaussians {
            mean: out.select(-1, 0),
            std: out.select(-1, 1).softplus(),
        }
    }

    /// Those of the target of `function` for `action` `[B, A]` at `obs` `[B, …]`, through its filter while that is active.
    ///
    /// A filtered member is the normal distribution with the first two moments of the mixture over points; where the
    /// smallest mean is chosen at every point first ([`FilterOrder::MinThenFilter`]), one member is left, `[1, B]`.
    pub(super) fn of_target(function: &ValueFunction, obs: &Tensor, action: &Tensor, stream: &mut Stream) -> Gaussians {
        let Some(filter) = function.filter() else {
            return Gaussians::of(&function.target_at(obs, action, stream));
        };
        let (mean, std) = filter.moments(obs, action, stream, |obs, action, stream| {
            let members = Gaussians::of(&function.target_at(obs, action, stream)); // [E, K·B]
            match filter.order() {
                FilterOrder::FilterThenMin => (members.mean, members.std),
                FilterOrder::MinThenFilter => {
                    let (mean, std) = members.lowest(&members.std); // [K·B]
                    (mean.unsqueeze(0), std.unsqueeze(0))
                }
            }
        });
        Gaussians { mean, std }
    }

    /// One draw `[E, n·B]` of each, no further from the mean than `clamp` standard deviations. The `n` copies of a batch
    /// that stand one after the other share their randomness, so that averaging over them averages distributions,
    /// quantile by quantile, and takes nothing away from their spread.
    pub fn sample(&self, clamp: f64, copies: i64, stream: &mut Stream) -> Tensor {
        let (members, rows) = self.mean.size2().expect("means are [E, n·B]");
        let mut z = stream.normal(&[members, rows / copies], self.mean.device());
        if copies > 1 {
            z = z.repeat([1, copies]);
        }
        &self.mean + &self.std * z.clamp(-clamp, clamp)
    }

    /// The smallest mean `[B]`, and of `values` `[E, B]` what the *same* member says `[B]`.
    pub fn lowest(&self, values: &Tensor) -> (Tensor, Tensor) {
        let (low, member) = self.mean.min_dim(0, true); // [1, B], [1, B]
        (low.squeeze_dim(0), values.gather(0, &member, false).squeeze_dim(0))
    }
}

/// The mean over members `[B]` of the distance from a target `[B]`, for replays that rank rows.
pub(super) fn mean_distance(values: &Tensor, target: &Tensor) -> Tensor {
    (values.detach() - target)
        .abs()
        .mean_dim([0i64].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two members, three rows.
    fn gaussians() -> Gaussians {
        let rows = |values: &[f32]| Tensor::from_slice(values).view([2, 3]);
        Gaussians {
            mean: rows(&[1.0, 5.0, 2.0, 3.0, 4.0, 2.5]),
            std: rows(&[0.5, 1.0, 0.5, 2.0, 0.25, 1.0]),
        }
    }

    #[test]
    fn the_sample_comes_from_the_member_with_the_smaller_mean() {
        // Noise makes the member with the larger mean give the smaller sample in row 0.
        let noise = [1.0, 0.0, -1.0, -2.0, 2.0, 0.0];
        let gaussians = gaussians();
        let sample = gaussians.sample(3.0, 1, &mut Stream::scripted(noise));
        let (low, sample) = gaussians.lowest(&sample);
        assert_eq!(Vec::<f32>::try_from(low).unwrap(), [1.0, 4.0, 2.0]);
        assert_eq!(Vec::<f32>::try_from(sample).unwrap(), [1.5, 4.5, 1.5]);
    }

    #[test]
    fn samples_stay_within_the_clamp() {
        let sample = gaussians().sample(3.0, 1, &mut Stream::scripted([9.0, -9.0, 0.0, 0.0, 3.5, -2.0]));
        let sample: Vec<f32> = sample.flatten(0, -1).try_into().unwrap();
        assert_eq!(sample, [2.5, 2.0, 2.0, 3.0, 4.75, 0.5]);
    }
}
