//! What networks show of themselves at a set of observations: [`Look`] collects it, [`Inspection`] is what is logged.
//!
//! Nothing here takes part in learning. The trainer asks for it at evaluations, with observations that those visited:
//! networks encode them once more, without noise and without a history, and note on the way what they see. Numbers are
//! extracted here and in [`measures`], never in an update.

pub mod measures;
mod pictures;

use sac_envs::render::Frame;
use tch::{Kind, Tensor};

use crate::metrics;

/// Experts and slots with numbers of their own in the log; a thousand curves help nobody.
const MOST_LISTED: i64 = 32;

/// What a network noted while it went through a batch of `B` observations.
#[derive(Default)]
pub struct Look {
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

impl Look {
    /// Notes activations `[…, U]`.
    pub fn units(&mut self, x: &Tensor) {
        let units = x.size().last().copied().unwrap_or(1);
        self.note(&x.reshape([1, -1, units]));
    }

    /// Notes activations `[E, B, U]` of networks side by side.
    pub fn members(&mut self, x: &Tensor) {
        self.note(x);
    }

    /// Notes a feature map `[B, C, H, W]`: a unit is a channel.
    pub fn channels(&mut self, x: &Tensor) {
        self.units(&x.movedim_int(1, -1));
    }

    /// Notes activations `[n, R, U]` of experts: all of them are one layer, so that an idle expert shows.
    pub fn experts(&mut self, x: &Tensor) {
        let means = x.abs().mean_dim([1i64].as_slice(), false, Kind::Float); // [n, U]
        self.layers.push(means.reshape([1, -1]));
    }

    fn note(&mut self, x: &Tensor) {
        self.layers
            .push(x.abs().mean_dim([1i64].as_slice(), false, Kind::Float)); // [G, U]
    }

    /// Mean absolute activations `[G, U]`, layer by layer.
    pub fn layers(&self) -> &[Tensor] {
        &self.layers
    }
}

/// Named numbers and images. Names are those of [`crate::metrics`], filled in.
#[derive(Default)]
pub struct Inspection {
    /// Numbers; what could not be computed because features are not finite is NaN.
    pub values: Vec<(String, f64)>,
    /// At most a few, and small.
    pub images: Vec<(String, Frame)>,
}

impl Inspection {
    fn put(&mut self, metric: &str, places: &[(&str, &str)], value: f64) {
        self.values.push((metrics::filled(metric, places), value));
    }

    /// Dormant units and rank of the part `part`: a body, or an encoder.
    pub fn add(&mut self, part: &str, look: &Look) {
        let place = &[("part", part)];
        if let Some(share) = measures::dormant_share(&look.layers) {
            self.put(metrics::DORMANT_SHARE, place, share);
        }
        if let Some(features) = &look.features {
            let (srank, effective_rank) = measures::ranks(features);
            self.put(metrics::SRANK, place, srank);
            self.put(metrics::EFFECTIVE_RANK, place, effective_rank);
        }
    }

    /// All that an encoder shows. `obs [B, …]`, as the environment gives them, are what images show beside the weights.
    pub fn add_encoder(&mut self, part: &str, look: &Look, obs: &Tensor) {
        self.add(part, look);
        if let Some((dispatch, combine, slots_per_expert)) = &look.routing {
            self.add_routing(part, dispatch, combine, *slots_per_expert);
            let maps = dispatch.transpose(1, 2); // [B, S, m]
            self.add_image(metrics::DISPATCH_IMAGE, part, look, &maps, obs);
        }
        if let Some(attention) = &look.attention {
            let entropy = measures::mean_number(&measures::entropy(attention));
            self.put(metrics::ATTENTION_ENTROPY, &[("encoder", part)], entropy);
            self.add_image(metrics::ATTENTION_IMAGE, part, look, &attention.unsqueeze(1), obs);
        }
    }

    fn add_image(&mut self, metric: &str, part: &str, look: &Look, maps: &Tensor, obs: &Tensor) {
        if let Some(image) = pictures::weights(maps, look.grid, look.has_cls, obs) {
            self.images.push((metrics::filled(metric, &[("encoder", part)]), image));
        }
    }

    /// How a soft mixture of experts is used, from its weights `[B, m, S]`.
    fn add_routing(&mut self, part: &str, dispatch: &Tensor, combine: &Tensor, slots_per_expert: i64) {
        let usage = measures::Usage::of(dispatch, combine);
        let place = &[("encoder", part)];
        self.put(metrics::DISPATCH_ENTROPY, place, mean(&usage.dispatch_entropy));
        self.put(metrics::COMBINE_ENTROPY, place, usage.combine_entropy);
        let per_expert = slots_per_expert.max(1) as usize;
        let listed = MOST_LISTED as usize;
        let numbered = |index: usize| index.to_string();
        let experts = usage.combine_share.chunks(per_expert);
        let experts = experts.zip(usage.dispatch_entropy.chunks(per_expert));
        for (index, (shares, entropies)) in experts.enumerate().take(listed) {
            let places = &[("encoder", part), ("i", &numbered(index))];
            self.put(metrics::EXPERT_COMBINE_SHARE, places, shares.iter().sum());
            self.put(metrics::EXPERT_DISPATCH_ENTROPY, places, mean(entropies));
        }
        if per_expert == 1 {
            return; // slots are experts
        }
        let slots = usage.combine_share.iter().zip(&usage.dispatch_entropy);
        for (index, (share, entropy)) in slots.enumerate().take(listed) {
            let places = &[("encoder", part), ("i", &numbered(index))];
            self.put(metrics::SLOT_COMBINE_SHARE, places, *share);
            self.put(metrics::SLOT_DISPATCH_ENTROPY, places, *entropy);
        }
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}
