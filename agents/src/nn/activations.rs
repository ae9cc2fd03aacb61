//! Activations of a network, recorded for diagnostics: [`Activations`].

use tch::{Kind, Tensor};

/// Activations of a network at a batch of `B` observations, recorded for diagnostics.
#[derive(Default)]
pub struct Activations {
    /// Mean absolute activation of every unit, `[G, U]` per hidden layer: U units in each of G networks of an ensemble.
    layers: Vec<Tensor>,
    /// The inputs of a network's last linear layer, `[B, F]` or `[E, B, F]`, or the outputs of an encoder. `None` for
    /// an encoder without parameters.
    pub features: Option<Tensor>,
    /// Dispatch and combine weights `[B, m, S]` of a soft mixture of experts, and the number of slots per expert.
    pub routing: Option<(Tensor, Tensor, i64)>,
    /// Weights `[B, m]` of the tokens in the pooling, averaged over attention heads.
    pub attention: Option<Tensor>,
    /// Height and width of the feature map, if every token is one of its positions.
    pub grid: Option<[i64; 2]>,
    /// Whether the first token is a CLS token.
    pub has_cls: bool,
}

impl Activations {
    /// Records activations `[…, U]`.
    pub fn units(&mut self, x: &Tensor) {
        let units = x.size().last().copied().unwrap_or(1);
        self.record(&x.reshape([1, -1, units]));
    }

    /// Records activations `[E, B, U]` of the members of an ensemble.
    pub fn members(&mut self, x: &Tensor) {
        self.record(x);
    }

    /// Records a feature map `[B, C, H, W]`: a unit is a channel.
    pub fn channels(&mut self, x: &Tensor) {
        self.units(&x.movedim_int(1, -1));
    }

    /// Records activations `[n, R, U]` of n experts as those of one layer, so that unused experts count as dormant
    /// units.
    pub fn experts(&mut self, x: &Tensor) {
        let means = x.abs().mean_dim([1i64].as_slice(), false, Kind::Float); // [n, U]
        self.layers.push(means.reshape([1, -1]));
    }

    fn record(&mut self, x: &Tensor) {
        self.layers
            .push(x.abs().mean_dim([1i64].as_slice(), false, Kind::Float)); // [G, U]
    }

    /// Mean absolute activations `[G, U]` of each layer.
    pub fn layers(&self) -> &[Tensor] {
        &self.layers
    }
}
