//! What a network computes on the way, recorded for diagnostics: [`Activations`].

use tch::{Kind, Tensor};

/// Activations of a network at a batch of `B` observations, recorded for diagnostics.
#[derive(Default)]
pub struct Activations {
    /// Per hidden layer the mean absolute activation of every unit, `[G, U]`: U units in each of G networks side by side.
    layers: Vec<Tensor>,
    /// What the last linear layer reads, `[B, F]` or `[E, B, F]`; of an encoder, what it gives. None where nothing is
    /// learned.
    pub features: Option<Tensor>,
    /// Dispatch and combine `[B, m, S]` of a soft mixture, and how many slots each expert has.
    pub routing: Option<(Tensor, Tensor, i64)>,
    /// Weights `[B, m]` that the pooling gives to the tokens; the mean over heads.
    pub attention: Option<Tensor>,
    /// Rows and columns of the feature map, where every token is a place of it.
    pub grid: Option<[i64; 2]>,
    /// Whether a CLS token is before the others.
    pub has_cls: bool,
}

impl Activations {
    /// Records activations `[…, U]`.
    pub fn units(&mut self, x: &Tensor) {
        let units = x.size().last().copied().unwrap_or(1);
        self.record(&x.reshape([1, -1, units]));
    }

    /// Records activations `[E, B, U]` of networks side by side.
    pub fn members(&mut self, x: &Tensor) {
        self.record(x);
    }

    /// Records a feature map `[B, C, H, W]`: a unit is a channel.
    pub fn channels(&mut self, x: &Tensor) {
        self.units(&x.movedim_int(1, -1));
    }

    /// Records activations `[n, R, U]` of experts: all of them are one layer, so that an idle expert shows.
    pub fn experts(&mut self, x: &Tensor) {
        let means = x.abs().mean_dim([1i64].as_slice(), false, Kind::Float); // [n, U]
        self.layers.push(means.reshape([1, -1]));
    }

    fn record(&mut self, x: &Tensor) {
        self.layers
            .push(x.abs().mean_dim([1i64].as_slice(), false, Kind::Float)); // [G, U]
    }

    /// Mean absolute activations `[G, U]`, layer by layer.
    pub fn layers(&self) -> &[Tensor] {
        &self.layers
    }
}
