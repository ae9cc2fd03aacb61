//! How members become one number: [`Combination`].

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::nn::{
    explicit,
    numbers::{numbers, numbers_mut},
};

/// How members become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combination {
    /// The smallest (SAC 2018b, section 4.2).
    Min,
    /// The mean (REDQ, algorithm 1).
    Mean,
}

impl Combination {
    /// `[E, …]` to `[…]`.
    pub fn apply(self, members: &Tensor) -> Tensor {
        match self {
            Combination::Min => members.min_dim(0, false).0,
            Combination::Mean => members.mean_dim([0i64].as_slice(), false, Kind::Float),
        }
    }

    /// Of the first numbers of `out` `[E, B, K]`: `[B]`.
    pub(super) fn of_first(self, out: &Tensor) -> Tensor {
        match explicit::is_plain(out) {
            true => self.with_gradient(out, 1).0,
            false => self.apply(&out.select(-1, 0)),
        }
    }

    /// Of the means of each member's first `count` numbers of `out` `[E, B, K]`, without autograd: `[B]`, and its
    /// gradient `[E, B, K]`.
    pub(super) fn with_gradient(self, out: &Tensor, count: usize) -> (Tensor, Tensor) {
        let &[members, rows, each] = out.size().as_slice() else {
            unreachable!("numbers are [E, B, K]")
        };
        let mut value = Tensor::empty([rows], (Kind::Float, Device::Cpu));
        let mut gradient = Tensor::empty([members, rows, each], (Kind::Float, Device::Cpu));
        let (rows, each) = (rows as usize, each as usize);
        let (out, of_out) = (numbers(out), numbers_mut(&mut gradient));
        of_out.fill(0.0);
        let scale = 1.0 / count as f32;
        let of_member = |start: usize| out[start..start + count].iter().sum::<f32>() * scale;
        for (row, value) in numbers_mut(&mut value).iter_mut().enumerate() {
            let starts = (0..members as usize).map(|member| (member * rows + row) * each);
            match self {
                Combination::Min => {
                    let mut lowest = (f32::INFINITY, row * each);
                    for start in starts {
                        let q = of_member(start);
                        if q < lowest.0 || (q.is_nan() && !lowest.0.is_nan()) {
                            lowest = (q, start);
                        }
                    }
                    *value = lowest.0;
                    of_out[lowest.1..lowest.1 + count].fill(scale);
                }
                Combination::Mean => {
                    let share = 1.0 / members as f32;
                    *value = starts.clone().map(of_member).sum::<f32>() * share;
                    starts.for_each(|start| of_out[start..start + count].fill(scale * share));
                }
            }
        }
        (value, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Stream;

    #[test]
    fn values_and_gradients_are_those_of_autograd() {
        let mut stream = Stream::derive(1, "test", 0);
        for (combination, members, each, count) in [
            (Combination::Min, 2, 1, 1),
            (Combination::Min, 3, 2, 1),
            (Combination::Mean, 10, 1, 1),
            (Combination::Mean, 5, 7, 7),
        ] {
            let out = stream.normal(&[members, 9, each], Device::Cpu).set_requires_grad(true);
            let first = out.narrow(-1, 0, count as i64);
            let oracle = combination.apply(&first.mean_dim([-1i64].as_slice(), false, Kind::Float));
            let expected = Tensor::run_backward(&[oracle.sum(Kind::Float)], &[&out], false, false).remove(0);
            let (value, gradient) = combination.with_gradient(&out.detach(), count);
            assert!((&value - &oracle).abs().max().double_value(&[]) < 1e-6);
            assert!((gradient - expected).abs().max().double_value(&[]) < 1e-6);
        }
    }

    #[test]
    fn what_is_not_a_number_is_the_smallest() {
        for column in [[1.0f32, f32::NAN], [f32::NAN, 1.0]] {
            let out = Tensor::from_slice(&column).view([2, 1, 1]);
            assert!(Combination::Min.of_first(&out).double_value(&[0]).is_nan());
        }
    }
}
