//! Discrete action spaces: [`Positions`], joint indices and one-hot vectors.

use sac_envs::Space;
use tch::{Device, Kind, Tensor};

/// Maximum number of combinations that are enumerated. Our choice: critics have one output per combination, which for a
/// batch of 256 and two members is a tensor of 8 MiB.
pub const MAX_ENUMERATED: i64 = 4096;

/// The number of choices nᵢ of each position of a discrete action. A `Discrete` space has one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions(Vec<i64>);

impl Positions {
    /// The positions of a discrete space; `None` for a box.
    pub fn of(action: &Space) -> Option<Self> {
        match action {
            Space::Box { .. } => None,
            Space::Discrete { n } => Some(Positions(vec![*n as i64])),
            Space::MultiDiscrete { n } => Some(Positions(n.iter().map(|n| *n as i64).collect())),
        }
    }

    /// nᵢ of each position.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.0.iter().map(|n| *n as usize).collect()
    }

    /// Number of choices of all positions, Σ nᵢ.
    pub fn choices(&self) -> i64 {
        self.0.iter().sum()
    }

    /// Number of combinations, Π nᵢ; `None` if it exceeds [`MAX_ENUMERATED`].
    pub fn combinations(&self) -> Option<i64> {
        let within_limit = |count: &i64| *count <= MAX_ENUMERATED;
        self.0
            .iter()
            .try_fold(1i64, |product, n| product.checked_mul(*n).filter(within_limit))
    }

    /// Joint indices `[B, 1]` of actions `[B, A]`, in row-major order: the last position varies fastest.
    pub fn joint(&self, actions: &Tensor) -> Tensor {
        let mut joint = actions.narrow(1, 0, 1); // [B, 1]
        for (position, n) in self.0.iter().enumerate().skip(1) {
            joint = joint * *n + actions.narrow(1, position as i64, 1);
        }
        joint
    }

    /// Actions `[B, A]` with the joint indices `[B]`.
    pub fn tuples(&self, joint: &Tensor) -> Tensor {
        let mut rest = joint.to_kind(Kind::Int64); // [B]
        let mut columns = Vec::with_capacity(self.0.len());
        for n in self.0.iter().rev() {
            columns.push(rest.remainder(*n));
            rest = rest.divide_scalar_mode(*n, "floor");
        }
        columns.reverse();
        Tensor::stack(&columns, 1).to_kind(Kind::Float)
    }

    /// Concatenated one-hot vectors `[B, Σ nᵢ]` of actions `[B, A]`.
    pub fn one_hot(&self, actions: &Tensor) -> Tensor {
        let index = actions.to_kind(Kind::Int64) + self.offsets(actions.device()); // [B, A]
        let zeros = Tensor::zeros([actions.size()[0], self.choices()], (Kind::Float, actions.device()));
        zeros.scatter_value(1, &index, 1.0)
    }

    /// The choice with the highest score at each position: `[B, A]`, from scores `[B, Σ nᵢ]`.
    pub fn greatest(&self, scores: &Tensor) -> Tensor {
        let choices: Vec<Tensor> = self.split(scores).map(|part| part.argmax(-1, false)).collect();
        Tensor::stack(&choices, 1).to_kind(Kind::Float)
    }

    /// Splits `[B, Σ nᵢ]` by position into `[B, nᵢ]` each.
    pub fn split<'a>(&'a self, side_by_side: &'a Tensor) -> impl Iterator<Item = Tensor> + 'a {
        let mut start = 0;
        self.0.iter().map(move |n| {
            let part = side_by_side.narrow(1, start, *n);
            start += n;
            part
        })
    }

    /// Index of the first choice of each position, `[A]`.
    fn offsets(&self, device: Device) -> Tensor {
        let mut start = 0;
        let offsets: Vec<i64> = self
            .0
            .iter()
            .map(|n| {
                start += n;
                start - n
            })
            .collect();
        Tensor::from_slice(&offsets).to_device(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(n: &[usize]) -> Positions {
        Positions::of(&Space::MultiDiscrete { n: n.to_vec() }).expect("discrete")
    }

    #[test]
    fn joint_indices_number_the_combinations_and_can_be_inverted() {
        let positions = positions(&[2, 1, 3]);
        let all = Tensor::arange(6, (Kind::Int64, Device::Cpu));
        let tuples = positions.tuples(&all);
        let rows: Vec<Vec<f32>> = (0..6).map(|row| tuples.get(row).try_into().expect("numbers")).collect();
        assert_eq!(
            rows,
            [
                [0.0, 0.0, 0.0],
                [0.0, 0.0, 1.0],
                [0.0, 0.0, 2.0],
                [1.0, 0.0, 0.0],
                [1.0, 0.0, 1.0],
                [1.0, 0.0, 2.0]
            ]
        );
        assert_eq!(positions.joint(&tuples), all.to_kind(Kind::Float).view([6, 1]));
    }

    #[test]
    fn combinations_beyond_the_limit_give_none() {
        assert_eq!(positions(&[64, 64]).combinations(), Some(MAX_ENUMERATED));
        assert_eq!(positions(&[64, 65]).combinations(), None);
        assert_eq!(
            positions(&[1 << 40; 3]).combinations(),
            None,
            "the product does not overflow"
        );
        assert_eq!(Positions::of(&Space::boxed(2, -1.0, 1.0)), None);
    }

    #[test]
    fn one_hot_vectors_are_concatenated_and_can_be_inverted() {
        let positions = positions(&[2, 3]);
        let actions = Tensor::from_slice(&[1.0f32, 0.0, 0.0, 2.0]).view([2, 2]);
        let vectors = positions.one_hot(&actions);
        let expected = [0.0f32, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(vectors, Tensor::from_slice(&expected).view([2, 5]));
        assert_eq!(positions.greatest(&vectors), actions);
    }
}
