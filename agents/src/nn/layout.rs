//! Names and shapes of a network's parameters, and what they begin with: [`ParamLayout`], [`Init`].

use serde::{Deserialize, Serialize};

/// Where a parameter lies within the views of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamIndex(pub(super) usize);

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
    pub(super) init: Init,
}

/// Values that a parameter starts with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform within ±1/√fan_in: what PyTorch's `Linear` draws for weights and biases.
    Linear {
        /// Inputs of the layer that it belongs to.
        fan_in: i64,
    },
    /// Orthonormal rows or columns, whichever there are fewer of, times `gain`: of a matrix `[in, out]`, of each of
    /// several `[n, in, out]`, of a convolution `[out, in, k, k]` seen as `[out, in·k·k]`.
    Orthogonal {
        /// √2 keeps the size of what goes through a ReLU.
        gain: f32,
    },
    /// One number. Draws nothing.
    Constant(f32),
}

/// How layers begin that ask for [`Init::Linear`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialWeights {
    /// As they ask: weights and biases uniform, PyTorch's default.
    #[default]
    Uniform,
    /// Weights orthogonal with a gain of √2 for convolutions and 1 for all else, biases 0: the codes of SAC-AE (Yarats et
    /// al. 2019, arXiv 1910.01741), DrQ (arXiv 2004.13649) and DrQ-v2.
    Orthogonal,
}

impl InitialWeights {
    /// Whether they are what a layer asks for; then files need not say so.
    pub fn is_uniform(&self) -> bool {
        *self == InitialWeights::Uniform
    }

    fn of(self, name: &str, shape: &[i64], asked: Init) -> Init {
        match (self, asked) {
            (InitialWeights::Orthogonal, Init::Linear { .. }) if name.ends_with("bias") => Init::Constant(0.0),
            (InitialWeights::Orthogonal, Init::Linear { .. }) if shape.len() > 1 => Init::Orthogonal {
                gain: if shape.len() == 4 {
                    std::f32::consts::SQRT_2
                } else {
                    1.0
                },
            },
            _ => asked,
        }
    }
}

/// Names and shapes of a network's parameters, in the order of the block.
#[derive(Clone, Debug, Default)]
pub struct ParamLayout {
    pub(super) entries: Vec<Entry>,
    initial_weights: InitialWeights,
}

impl ParamLayout {
    /// What layers that `add` puts in begin with.
    pub fn starting<T>(&mut self, initial_weights: InitialWeights, add: impl FnOnce(&mut ParamLayout) -> T) -> T {
        let before = std::mem::replace(&mut self.initial_weights, initial_weights);
        let added = add(self);
        self.initial_weights = before;
        added
    }

    /// Adds a parameter.
    pub fn add(&mut self, name: impl Into<String>, shape: &[i64], init: Init) -> ParamIndex {
        let name = name.into();
        assert!(
            self.entries.iter().all(|entry| entry.name != name),
            "parameter names are unique: {name}"
        );
        self.entries.push(Entry {
            init: self.initial_weights.of(&name, shape, init),
            name,
            shape: shape.to_vec(),
        });
        ParamIndex(self.entries.len() - 1)
    }

    pub(super) fn sizes(&self) -> Vec<i64> {
        self.entries.iter().map(|entry| entry.shape.iter().product()).collect()
    }

    /// Names and shapes, in the order of the block.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.shape.as_slice()))
    }

    /// How many numbers.
    pub fn count(&self) -> i64 {
        self.sizes().iter().sum()
    }
}
