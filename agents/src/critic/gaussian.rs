//! Normal distributions of the soft return, one per member, for DSAC and DSAC-T: [`Gaussians`].

use tch::{Kind, Tensor};

use super::{target_filter::FilterOrder, value_function::TargetFunction};
use crate::noise::Stream;

/// Outputs per state and action: the mean, and the standard deviation before softplus.
pub(super) const OUTPUTS: i64 = 2;

/// A normal distribution per member and row: means and standard deviations, `[E, B]` each, in value units.
pub struct Gaussians {
    /// Expected soft return.
    pub mean: Tensor,
    /// Standard deviation of the soft return, above 0.
    pub std: Tensor,
}

impl Gaussians {
    /// The distributions given by the members' outputs `[E, B, 2]`.
    pub fn of(out: &Tensor) -> Gaussians {
        Gaussians {
            mean: out.select(-1, 0),
            std: out.select(-1, 1).softplus(),
        }
    }

    /// The distributions of the target `function` for `action` `[B, A]` at `obs` `[B, …]`, filtered if its
    /// target filter is active.
    ///
    /// A filtered distribution is the normal distribution with the first two moments of the mixture over the filter's
    /// points. With [`FilterOrder::MinThenFilter`] the member with the smallest mean is chosen at every point first,
    /// and the result is `[1, B]`.
    pub(super) fn of_target(
        function: &TargetFunction,
        obs: &Tensor,
        action: &Tensor,
        stream: &mut Stream,
    ) -> Gaussians {
        let Some(filter) = function.filter() else {
            return Gaussians::of(&function.at(obs, action, stream));
        };
        let (mean, std) = filter.moments(obs, action, stream, |obs, action, stream| {
            let members = Gaussians::of(&function.at(obs, action, stream)); // [E, K·B]
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

    /// One sample `[E, n·B]` of each distribution, at most `clamp` standard deviations from the mean.
    ///
    /// The n = `copies` copies of a batch share their noise. Averaging the samples over copies then averages the
    /// quantiles of the distributions, and does not reduce the standard deviation.
    pub fn sample(&self, clamp: f64, copies: i64, stream: &mut Stream) -> Tensor {
        let (members, rows) = self.mean.size2().expect("means are [E, n·B]");
        let mut z = stream.normal(&[members, rows / copies], self.mean.device());
        if copies > 1 {
            z = z.repeat([1, copies]);
        }
        &self.mean + &self.std * z.clamp(-clamp, clamp)
    }

    /// The smallest mean `[B]`, and the entries `[B]` of `values` `[E, B]` of the *same* members.
    pub fn lowest(&self, values: &Tensor) -> (Tensor, Tensor) {
        let (low, member) = self.mean.min_dim(0, true); // [1, B], [1, B]
        (low.squeeze_dim(0), values.gather(0, &member, false).squeeze_dim(0))
    }
}

/// The absolute difference between values `[E, B]` and a target `[B]`, averaged over members: `[B]`. The TD error for
/// prioritised replays.
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
        // In row 0 the noise gives the member with the larger mean the smaller sample.
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
