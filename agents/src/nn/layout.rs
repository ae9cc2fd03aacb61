//! Names, shapes and initial values of a network's parameters: [`ParamLayout`], [`Init`].

use serde::{Deserialize, Serialize};

/// Index of a parameter in a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamIndex(pub(super) usize);

impl ParamIndex {
    /// The position in the layout.
    pub fn position(self) -> usize {
        self.0
    }
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<i64>,
    pub(super) init: Init,
    /// Whether it is a running statistic, which no gradient changes.
    pub(super) is_statistic: bool,
}

impl Entry {
    /// Whether it is the weights of a layer: drawn at random, and no bias.
    pub(super) fn is_weight(&self) -> bool {
        self.shape.len() > 1 && self.name.ends_with("weight") && !matches!(self.init, Init::Constant(_))
    }
}

/// A constraint on parameters, restored after every step of the optimiser.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constraint {
    /// The weights of every output, over its inputs, have norm 1. The parameter is `[in, out]` or `[E, in, out]`.
    UnitInputs(ParamIndex),
    /// The values over the last dimension of these parameters together have norm √n, where n is their extent. The
    /// parameters are `[n]` or `[E, 1, n]`.
    RootWidth(Vec<ParamIndex>),
}

impl Constraint {
    /// The constrained parameters, at least one.
    pub(super) fn params(&self) -> &[ParamIndex] {
        match self {
            Constraint::UnitInputs(weight) => std::slice::from_ref(weight),
            Constraint::RootWidth(params) => params,
        }
    }
}

/// Initial values of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in ±1/√fan_in, PyTorch's default for weights and biases of `Linear`.
    Linear {
        /// Number of inputs of the layer.
        fan_in: i64,
    },
    /// A matrix with orthonormal rows or columns, whichever are fewer, times `gain`. The parameter is a matrix
    /// `[in, out]`, n matrices `[n, in, out]`, or a convolution `[out, in, k, k]` seen as the matrix `[out, in·k·k]`.
    Orthogonal {
        /// Factor of the matrix. √2 preserves the scale of activations through a ReLU.
        gain: f32,
    },
    /// Uniform in ±√(6 / (fan_in + fan_out)). The parameter is a matrix `[in, out]` or n matrices `[n, in, out]`.
    Glorot,
    /// Normal with standard deviation √(2 / fan_in), which preserves the scale of activations through a ReLU.
    He {
        /// Number of inputs of the layer.
        fan_in: i64,
    },
    /// The same number everywhere. Draws nothing.
    Constant(f32),
}

/// Initialisation of the layers that use [`Init::Linear`] by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitialWeights {
    /// [`Init::Linear`]: uniform weights and biases, PyTorch's default.
    #[default]
    Uniform,
    /// Orthogonal weights, with a gain of √2 for convolutions and 1 for other layers, and biases of 0. Used by the
    /// reference code of SAC-AE (Yarats et al. 2019, arXiv 1910.01741), DrQ (arXiv 2004.13649) and DrQ-v2.
    Orthogonal,
    /// Glorot uniform weights of all layers but convolutions, and biases of 0 (Glorot and Bengio 2010). Used by the
    /// codes of SAC 2018a and 2018b.
    Glorot,
}

impl InitialWeights {
    /// Whether this is the default, which files omit.
    pub fn is_uniform(&self) -> bool {
        *self == InitialWeights::Uniform
    }

    /// The initial values of the parameter `name`, whose layer asks for `asked`.
    fn of(self, name: &str, shape: &[i64], asked: Init) -> Init {
        match (self, asked) {
            (InitialWeights::Orthogonal | InitialWeights::Glorot, Init::Linear { .. }) if name.ends_with("bias") => {
                Init::Constant(0.0)
            }
            (InitialWeights::Glorot, Init::Linear { .. }) if (2..4).contains(&shape.len()) => Init::Glorot,
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

/// Names, shapes and initial values of a network's parameters, in the order of the block.
#[derive(Clone, Debug, Default)]
pub struct ParamLayout {
    pub(super) entries: Vec<Entry>,
    pub(super) constraints: Vec<Constraint>,
    initial_weights: InitialWeights,
}

impl ParamLayout {
    /// Runs `add` with `initial_weights` in effect for the layers that it adds.
    pub fn with_initial_weights<T>(
        &mut self,
        initial_weights: InitialWeights,
        add: impl FnOnce(&mut ParamLayout) -> T,
    ) -> T {
        let before = std::mem::replace(&mut self.initial_weights, initial_weights);
        let added = add(self);
        self.initial_weights = before;
        added
    }

    /// Adds a parameter. Its name must be unique.
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
            is_statistic: false,
        });
        ParamIndex(self.entries.len() - 1)
    }

    /// Adds a running statistic, which starts at `value`. It is part of the block, so that it is saved with it, but no
    /// gradient changes it.
    pub fn add_statistic(&mut self, name: impl Into<String>, shape: &[i64], value: f32) -> ParamIndex {
        let index = self.add(name, shape, Init::Constant(value));
        self.entries[index.0].is_statistic = true;
        index
    }

    /// Keeps the weights of every output of `weight` at norm 1 over its inputs.
    pub fn keep_unit_inputs(&mut self, weight: ParamIndex) {
        self.constraints.push(Constraint::UnitInputs(weight));
    }

    /// Keeps the values of `params` over their last dimension, of extent n, together at norm √n.
    pub fn keep_root_width(&mut self, params: Vec<ParamIndex>) {
        self.constraints.push(Constraint::RootWidth(params));
    }

    /// Number of parameters, each of which may have many elements.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn sizes(&self) -> Vec<i64> {
        self.entries.iter().map(|entry| entry.shape.iter().product()).collect()
    }

    /// Names and shapes in the order of the block.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.shape.as_slice()))
    }

    /// Bytes of all parameters.
    pub fn bytes(&self) -> u64 {
        self.count() as u64 * size_of::<f32>() as u64
    }

    /// P, the number of elements of all parameters and running statistics.
    pub fn count(&self) -> i64 {
        self.sizes().iter().sum()
    }

    /// Number of elements that are learned, without running statistics.
    pub fn learned(&self) -> i64 {
        let entries = self.entries.iter().zip(self.sizes());
        let learned = entries.filter(|(entry, _)| !entry.is_statistic);
        learned.map(|(_, size)| size).sum()
    }
}
