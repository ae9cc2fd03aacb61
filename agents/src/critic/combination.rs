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
        if !explicit::is_plain(out) {
            return self.apply(&out.select(-1, 0));
        }
        let shape = out.size3().expect("numbers are [E, B, K]");
        let mut value = Tensor::empty([shape.1], (Kind::Float, Device::Cpu));
        self.of_rows(numbers(out), shape, 1, numbers_mut(&mut value), |_, _| {});
        value
    }

    /// Of the means of each member's first `count` numbers of `out` `[E, B, K]`, without autograd: `[B]`, and its
    /// gradient `[E, B, K]`.
    pub(super) fn with_gradient(self, out: &Tensor, count: usize) -> (Vec<f32>, Vec<f32>) {
        let shape = out.size3().expect("numbers are [E, B, K]");
        let out = numbers(out);
        let (mut value, mut gradient) = (vec![0.0; shape.1 as usize], vec![0.0; out.len()]);
        self.of_rows(out, shape, count, &mut value, |start, share| {
            gradient[start..start + count].fill(share);
        });
        (value, gradient)
    }

    /// The same, written to `value`. `chosen` hears where numbers begin that have a part in a row's, and by how much it
    /// changes with each of them.
    fn of_rows(
        self,
        out: &[f32],
        (members, rows, each): (i64, i64, i64),
        count: usize,
        value: &mut [f32],
        mut chosen: impl FnMut(usize, f32),
    ) {
        let scale = 1.0 / count as f32;
        let of_member = |start: usize| out[start..start + count].iter().sum::<f32>() * scale;
        for (row, value) in value.iter_mut().enumerate() {
            let starts = (0..members as usize).map(|member| (member * rows as usize + row) * each as usize);
            match self {
                Combination::Min => {
                    let mut lowest = (f32::INFINITY, row * each as usize);
                    for start in starts {
                        let q = of_member(start);
                        if q < lowest.0 || (q.is_nan() && !lowest.0.is_nan()) {
                            lowest = (q, start);
                        }
                    }
                    *value = lowest.0;
                    chosen(lowest.1, scale);
                }
                Combination::Mean => {
                    let share = 1.0 / members as f32;
                    *value = starts.clone().map(of_member).sum::<f32>() * share;
                    starts.for_each(|start| chosen(start, scale * share));
                }
            }
        }
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
            let apart = |found: &[f32], oracle: &Tensor| {
                let apart = Tensor::from_slice(found).view_as(oracle) - oracle;
                apart.abs().max().double_value(&[])
            };
            assert!(apart(&value, &oracle) < 1e-6);
            assert!(apart(&gradient, &expected) < 1e-6);
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
