//! Diagnostics of networks at a set of observations: [`Inspection`], computed from [`Activations`].
//!
//! Diagnostics have no effect on learning. After an evaluation, the trainer runs the networks on a sample of the
//! visited observations, without noise and detached, and records their activations. They are reduced to numbers here
//! and in [`measures`], never in an update.

pub mod measures;
mod pictures;

use sac_envs::render::Frame;
use tch::Tensor;

use crate::{metrics, nn::Activations};

/// Maximum number of experts and slots with metrics of their own, because more curves are not readable.
const MAX_LISTED: i64 = 32;

/// Named metrics and images of networks. The names are those of [`crate::metrics`] with their placeholders replaced.
#[derive(Default)]
pub struct Inspection {
    /// Metrics. NaN if they cannot be computed because features are not finite.
    pub values: Vec<(String, f64)>,
    /// A few small images.
    pub images: Vec<(String, Frame)>,
}

impl Inspection {
    fn put(&mut self, metric: &str, places: &[(&str, &str)], value: f64) {
        self.values.push((metrics::filled(metric, places), value));
    }

    /// Adds dormant units and ranks of the network `part`, a body or an encoder.
    pub fn add(&mut self, part: &str, activations: &Activations) {
        let place = &[("part", part)];
        if let Some(share) = measures::dormant_share(activations.layers()) {
            self.put(metrics::DORMANT_SHARE, place, share);
        }
        if let Some(features) = &activations.features {
            let (srank, effective_rank) = measures::ranks(features);
            self.put(metrics::SRANK, place, srank);
            self.put(metrics::EFFECTIVE_RANK, place, effective_rank);
        }
    }

    /// Adds all diagnostics of an encoder. `obs [B, …]` are the raw observations, which images show beside the weights.
    pub fn add_encoder(&mut self, part: &str, activations: &Activations, obs: &Tensor) {
        self.add(part, activations);
        if let Some((dispatch, combine, slots_per_expert)) = &activations.routing {
            self.add_routing(part, dispatch, combine, *slots_per_expert);
            let maps = dispatch.transpose(1, 2); // [B, S, m]
            self.add_image(metrics::DISPATCH_IMAGE, part, activations, &maps, obs);
        }
        if let Some(attention) = &activations.attention {
            let entropy = measures::mean_number(&measures::entropy(attention));
            self.put(metrics::ATTENTION_ENTROPY, &[("encoder", part)], entropy);
            self.add_image(
                metrics::ATTENTION_IMAGE,
                part,
                activations,
                &attention.unsqueeze(1),
                obs,
            );
        }
    }

    fn add_image(&mut self, metric: &str, part: &str, activations: &Activations, maps: &Tensor, obs: &Tensor) {
        if let Some(image) = pictures::weights(maps, activations.grid, activations.has_cls, obs) {
            self.images.push((metrics::filled(metric, &[("encoder", part)]), image));
        }
    }

    /// Adds the usage of a soft mixture of experts, from its weights `[B, m, S]`.
    fn add_routing(&mut self, part: &str, dispatch: &Tensor, combine: &Tensor, slots_per_expert: i64) {
        let usage = measures::Usage::of(dispatch, combine);
        let place = &[("encoder", part)];
        self.put(metrics::DISPATCH_ENTROPY, place, mean(&usage.dispatch_entropy));
        self.put(metrics::COMBINE_ENTROPY, place, usage.combine_entropy);
        let per_expert = slots_per_expert.max(1) as usize;
        let listed = MAX_LISTED as usize;
        let numbered = |index: usize| index.to_string();
        let experts = usage.combine_share.chunks(per_expert);
        let experts = experts.zip(usage.dispatch_entropy.chunks(per_expert));
        for (index, (shares, entropies)) in experts.enumerate().take(listed) {
            let places = &[("encoder", part), ("i", &numbered(index))];
            self.put(metrics::EXPERT_COMBINE_SHARE, places, shares.iter().sum());
            self.put(metrics::EXPERT_DISPATCH_ENTROPY, places, mean(entropies));
        }
        if per_expert == 1 {
            return; // with one slot per expert, its metrics are those of the expert
        }
        let slots = usage.combine_share.iter().zip(&usage.dispatch_entropy);
        for (index, (share, entropy)) in slots.enumerate().take(listed) {
            let places = &[("encoder", part), ("i", &numbered(index))];
            self.put(metrics::SLOT_COMBINE_SHARE, places, *share);
            self.put(metrics::SLOT_DISPATCH_ENTROPY, places, *entropy);
        }
    }
}

fn mean(elements: &[f64]) -> f64 {
    elements.iter().sum::<f64>() / elements.len() as f64
}
