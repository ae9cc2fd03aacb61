//! Random shifts of the images in training batches: [`AugmentationSpec`], [`RandomShift`].
//!
//! Source: Kostrikov, Yarats and Fergus 2020, "Image Augmentation Is All You Need" (DrQ, arXiv 2004.13649), section 3
//! and appendix C, and its reference code `drq`.
//!
//! | Paper | Code | Shape |
//! |---|---|---|
//! | f(s, ν) | `RandomShift::draw` | `[D·B, C, H, W]`, D shifted copies of the batch one after the other |
//! | K | `target_draws` | – |
//! | M | `value_draws` | – |
//!
//! An image is padded with `pad` copies of its border pixels on every side, and a crop of the original size is taken at
//! a uniformly random offset. Each copy of each image has its own offset; all channels of an image, and so all its
//! stacked frames, share one.

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{batch::Batch, noise::Stream, spec_problems::SpecProblems};

/// Upper limit of copies, far above what is useful. It turns a typing error into a message instead of exhausted memory.
const MAX_DRAWS: i64 = 64;

/// Augmentation of the images in training batches. Acting and evaluation use the original images. Default: none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AugmentationSpec {
    /// No augmentation.
    None {},
    /// Random shifts.
    RandomShift(RandomShiftSpec),
}

impl Default for AugmentationSpec {
    fn default() -> Self {
        AugmentationSpec::None {}
    }
}

/// Settings of random shifts. Defaults: DrQ's padding for images of 84 × 84, and one copy each as in DrQ-v2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomShiftSpec {
    /// Largest shift in each direction, pixels; less than the image's height and width. DrQ: 4.
    pub pad: i64,
    /// K, the number of shifted copies of a next observation over which the target is averaged, at least 1. DrQ: 2.
    pub target_draws: i64,
    /// M, the number of shifted copies of an observation over which the critic's loss is averaged, at least 1. DrQ: 2.
    pub value_draws: i64,
}

impl Default for RandomShiftSpec {
    fn default() -> Self {
        RandomShiftSpec {
            pad: 4,
            target_draws: 1,
            value_draws: 1,
        }
    }
}

impl AugmentationSpec {
    /// Reports values that are out of range for any observation space.
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        let AugmentationSpec::RandomShift(spec) = self else {
            return;
        };
        let key = "agent.augmentation.pad";
        p.require(spec.pad >= 0, key, spec.pad, "at least 0");
        for (name, draws) in [("target_draws", spec.target_draws), ("value_draws", spec.value_draws)] {
            let key = format!("agent.augmentation.{name}");
            p.require((1..=MAX_DRAWS).contains(&draws), &key, draws, "between 1 and 64");
        }
    }

    /// Reports settings that do not fit the observation space.
    pub(crate) fn check_observation(&self, p: &mut SpecProblems, observation: &Space) {
        let AugmentationSpec::RandomShift(spec) = self else {
            return;
        };
        let shape = observation.shape();
        let [_, height, width] = shape[..] else {
            let problem = format!(
                "this moves images, and observations are {observation}; leave it out (kind = \"none\"), or show pixels: \
                 env.wrappers = [{{ kind = \"pixels\" }}, {{ kind = \"frame_stack\" }}]"
            );
            p.require(false, "agent.augmentation.kind", "\"random_shift\"", &problem);
            return;
        };
        let shortest_side = height.min(width) as i64;
        let problem = format!(
            "this moves images by up to their own size, and they are {height} x {width}; use at most {}, such as {}, \
             one pixel in 21 as in DrQ",
            shortest_side - 1,
            shortest_side / 21
        );
        p.require(spec.pad < shortest_side, "agent.augmentation.pad", spec.pad, &problem);
    }

    /// The augmentation of batches, if there is one.
    pub(crate) fn build(&self) -> Option<RandomShift> {
        match self {
            AugmentationSpec::None {} => None,
            AugmentationSpec::RandomShift(spec) => Some(RandomShift(*spec)),
        }
    }
}

/// Offsets of the crops within the padded images, pixels from 0 to 2·`pad`: `[D·B, 2]`, down and to the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets(pub Vec<[usize; 2]>);

/// Random shifts of images; the module's documentation defines them.
pub struct RandomShift(RandomShiftSpec);

impl RandomShift {
    /// Makes a batch with K shifted copies of the next observations and M of the observations; see [`Batch`]. The
    /// offsets of the next observations are drawn first.
    pub fn augment(&self, batch: &Batch, stream: &mut Stream) -> Batch {
        let RandomShiftSpec {
            target_draws,
            value_draws,
            ..
        } = self.0;
        let next_obs = self.draw(&batch.next_obs, target_draws, stream);
        let obs = self.draw(&batch.obs, value_draws, stream);
        Batch {
            obs,
            next_obs,
            action: match value_draws {
                1 => batch.action.shallow_clone(),
                draws => batch.action.repeat([draws, 1]),
            },
            reward: batch.reward.shallow_clone(),
            discount: batch.discount.shallow_clone(),
            entropy: None,
            weight: batch.weight.as_ref().map(Tensor::shallow_clone),
        }
    }

    /// Makes `draws` (D) shifted copies of `images [B, C, H, W]`: `[D·B, C, H, W]`, copy after copy.
    pub fn draw(&self, images: &Tensor, draws: i64, stream: &mut Stream) -> Tensor {
        let choices = 2 * self.0.pad as usize + 1;
        let count = (draws * images.size()[0]) as usize;
        let offsets = (0..count).map(|_| [stream.index(choices), stream.index(choices)]);
        shift(images, &Offsets(offsets.collect()), self.0.pad)
    }
}

/// Pads `images [B, C, H, W]` by `pad` border pixels; crop i is cut out of image `i mod B` at offset i.
pub fn shift(images: &Tensor, offsets: &Offsets, pad: i64) -> Tensor {
    let is_plain = images.device() == Device::Cpu && images.kind() == Kind::Float;
    if is_plain {
        shift_rows(images, offsets, pad as usize)
    } else {
        shift_indexed(images, offsets, pad)
    }
}

/// [`shift`] by gathering indices, on any device. [`shift_rows`] is tested against it.
fn shift_indexed(images: &Tensor, offsets: &Offsets, pad: i64) -> Tensor {
    let (b, c, h, w) = images
        .size4()
        .expect("images are [B, C, H, W]: checked against the observation");
    let (device, count) = (images.device(), offsets.0.len() as i64);
    let places = |axis: usize, extent: i64| {
        let offsets: Vec<i64> = offsets.0.iter().map(|offset| offset[axis] as i64 - pad).collect();
        let from = Tensor::from_slice(&offsets).to_device(device).unsqueeze(1); // [D·B, 1]
        (Tensor::arange(extent, (Kind::Int64, device)) + from).clamp(0, extent - 1) // [D·B, extent]
    };
    let rows = places(0, h).view([count, 1, h, 1]).expand([count, c, h, w], false);
    let columns = places(1, w).view([count, 1, 1, w]).expand([count, c, h, w], false);
    images
        .repeat([count / b, 1, 1, 1])
        .gather(2, &rows, false)
        .gather(3, &columns, false)
}

/// [`shift`] on the CPU, copying the pixels row by row.
fn shift_rows(images: &Tensor, offsets: &Offsets, pad: usize) -> Tensor {
    let (b, c, h, w) = images
        .size4()
        .expect("images are [B, C, H, W]: checked against the observation");
    let images = images.contiguous();
    let count = offsets.0.len() as i64;
    let moved = Tensor::empty([count, c, h, w], (Kind::Float, Device::Cpu));
    let (h, w) = (h as usize, w as usize);
    let image = c as usize * h * w;
    // SAFETY: both tensors are contiguous (the first by `contiguous`, the second because it is new), f32 and on the
    // CPU. They live to the end of this function, and nothing else accesses the second.
    let (from, to) = unsafe {
        (
            std::slice::from_raw_parts(images.data_ptr().cast::<f32>().cast_const(), images.numel()),
            std::slice::from_raw_parts_mut(moved.data_ptr().cast::<f32>(), moved.numel()),
        )
    };
    for ((index, to), [down, right]) in to.chunks_exact_mut(image).enumerate().zip(&offsets.0) {
        let from = &from[index % b as usize * image..][..image];
        // Columns `left..left + within` of the crop are columns of the image; those outside repeat its border pixels.
        let left = pad.saturating_sub(*right).min(w);
        let first = (right + left).saturating_sub(pad).min(w - 1);
        let within = (w - first).min(w - left);
        for (to, from) in to.chunks_exact_mut(h * w).zip(from.chunks_exact(h * w)) {
            for (y, to) in to.chunks_exact_mut(w).enumerate() {
                let source = (y + down).saturating_sub(pad).min(h - 1);
                let from = &from[source * w..][..w];
                to[..left].fill(from[0]);
                to[left..left + within].copy_from_slice(&from[first..first + within]);
                to[left + within..].fill(from[w - 1]);
            }
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(shape: [i64; 4]) -> Tensor {
        Stream::derive(1, "images", 0).normal(&shape, Device::Cpu)
    }

    /// The definition: pad, then crop, image by image.
    fn padded_and_cropped(images: &Tensor, offsets: &Offsets, pad: i64) -> Tensor {
        let (b, _, h, w) = images.size4().unwrap();
        let padded = images.replication_pad2d([pad, pad, pad, pad]);
        let pieces: Vec<Tensor> = (0..)
            .zip(&offsets.0)
            .map(|(index, [down, right])| {
                let image = padded.narrow(0, index % b, 1);
                image.narrow(2, *down as i64, h).narrow(3, *right as i64, w)
            })
            .collect();
        Tensor::cat(&pieces, 0)
    }

    #[test]
    fn a_shift_equals_padding_and_cropping() {
        let mut stream = Stream::derive(2, "offsets", 0);
        for (shape, pad) in [
            ([3, 2, 9, 7], 2),
            ([2, 1, 5, 6], 4),
            ([4, 3, 12, 12], 1),
            ([1, 1, 3, 3], 2),
        ] {
            let images = images(shape);
            let corners = [0, 2 * pad as usize];
            let mut offsets: Vec<[usize; 2]> = (0..30 * shape[0])
                .map(|_| [(); 2].map(|()| stream.index(2 * pad as usize + 1)))
                .collect();
            for (offset, corner) in offsets
                .iter_mut()
                .zip(corners.iter().flat_map(|y| corners.map(|x| [*y, x])))
            {
                *offset = corner;
            }
            let offsets = Offsets(offsets);
            let expected = padded_and_cropped(&images, &offsets, pad);
            assert_eq!(shift(&images, &offsets, pad), expected, "{shape:?} {pad}");
            assert_eq!(shift_indexed(&images, &offsets, pad), expected, "{shape:?} {pad}");
            let strided = images.transpose(2, 3).contiguous().transpose(2, 3);
            assert_eq!(shift(&strided, &offsets, pad), expected, "whatever the strides");
        }
    }

    #[test]
    fn a_pad_of_zero_changes_nothing() {
        let images = images([3, 2, 6, 6]);
        let still = RandomShift(RandomShiftSpec {
            pad: 0,
            ..RandomShiftSpec::default()
        });
        assert_eq!(still.draw(&images, 1, &mut Stream::derive(1, "update", 0)), images);
    }

    #[test]
    fn offsets_are_uniform_and_independent_for_each_copy_of_each_image() {
        // One bright pixel in the middle shows the offset of each crop.
        let images = Tensor::zeros([50, 1, 9, 9], (Kind::Float, Device::Cpu));
        let _ = images.narrow(2, 4, 1).narrow(3, 4, 1).fill_(1.0);
        let shift = RandomShift(RandomShiftSpec {
            pad: 2,
            ..RandomShiftSpec::default()
        });
        let moved = shift.draw(&images, 100, &mut Stream::derive(3, "update", 0));
        assert_eq!(moved.size(), [5000, 1, 9, 9]);
        let position: Vec<i64> = moved.flatten(1, 3).argmax(1, false).try_into().unwrap();
        let mut counts = [[0; 5]; 5];
        for position in &position {
            counts[(position / 9 - 2) as usize][(position % 9 - 2) as usize] += 1;
        }
        // 5000 draws from 25 offsets: 200 each, standard deviation 14.
        assert!(
            counts.iter().flatten().all(|count| (130..=270).contains(count)),
            "{counts:?}"
        );
        let equal = (0..4950)
            .filter(|index| position[*index] == position[index + 50])
            .count();
        assert!(
            (130..=270).contains(&equal),
            "copies share offsets by chance only: {equal}"
        );
    }

    #[test]
    fn all_channels_of_an_image_share_one_offset() {
        let one = images([6, 1, 8, 8]);
        let shift = RandomShift(RandomShiftSpec::default());
        let moved = shift.draw(&one.repeat([1, 3, 1, 1]), 2, &mut Stream::derive(4, "update", 0));
        for channel in 1..3 {
            assert_eq!(moved.narrow(1, channel, 1), moved.narrow(1, 0, 1));
        }
    }
}
