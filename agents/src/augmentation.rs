//! Images moved a little at random before they are learned from: [`AugmentationSpec`], [`RandomShift`].
//!
//! Source: Kostrikov, Yarats and Fergus 2020, "Image Augmentation Is All You Need" (DrQ, arXiv 2004.13649), section 3 and
//! appendix C, and its reference code `drq`.
//!
//! | Paper | Code | Shape |
//! |---|---|---|
//! | f(s, ν) | `RandomShift::draw` | `[D·B, C, H, W]`, D draws one after the other |
//! | K | `target_draws` | – |
//! | M | `value_draws` | – |
//!
//! Every draw of every row has one offset of its own for the whole image, all channels and so all stacked frames alike.
//! The image is continued beyond its border by the pixels of the border, `pad` of them, and a piece of its own size is
//! cut out, every place equally likely.

use sac_envs::Space;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::{batch::Batch, noise::Stream, spec_problems::SpecProblems};

/// Far beyond use; a slip of the finger is told here and not by the allocator.
const MOST_DRAWS: i64 = 64;

/// What happens to images before they are learned from. Acting and evaluation see them as they are. Default: nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AugmentationSpec {
    /// Nothing.
    None {},
    /// They are moved.
    RandomShift(RandomShiftSpec),
}

impl Default for AugmentationSpec {
    fn default() -> Self {
        AugmentationSpec::None {}
    }
}

/// Settings of random shifts. Defaults: DrQ's border for 84 × 84; one draw each, as in DrQ-v2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomShiftSpec {
    /// Pixels that an image may move in each direction, below its height and width. DrQ: 4.
    pub pad: i64,
    /// K: shifted copies of a next observation whose targets are averaged, at least 1. DrQ: 2.
    pub target_draws: i64,
    /// M: shifted copies of an observation over which the critic's loss is averaged, at least 1. DrQ: 2.
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
    /// Values that are out of their range, whatever is observed.
    pub(crate) fn check(&self, p: &mut SpecProblems) {
        let AugmentationSpec::RandomShift(spec) = self else {
            return;
        };
        let key = "agent.augmentation.pad";
        p.require(spec.pad >= 0, key, spec.pad, "at least 0");
        for (name, draws) in [("target_draws", spec.target_draws), ("value_draws", spec.value_draws)] {
            let key = format!("agent.augmentation.{name}");
            p.require((1..=MOST_DRAWS).contains(&draws), &key, draws, "between 1 and 64");
        }
    }

    /// Why it does not fit what is observed, if it does not.
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
        let least = height.min(width) as i64;
        let problem = format!(
            "this moves images by up to their own size, and they are {height} x {width}; use at most {}, such as {}, \
             one pixel in 21 as in DrQ",
            least - 1,
            least / 21
        );
        p.require(spec.pad < least, "agent.augmentation.pad", spec.pad, &problem);
    }

    /// What it does to batches.
    pub(crate) fn build(&self) -> Option<RandomShift> {
        match self {
            AugmentationSpec::None {} => None,
            AugmentationSpec::RandomShift(spec) => Some(RandomShift(*spec)),
        }
    }
}

/// Offsets, in pixels from 0 to twice the border, of every image of a draw: `[D·B, 2]`, down and to the right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets(pub Vec<[usize; 2]>);

/// See the module.
pub struct RandomShift(RandomShiftSpec);

impl RandomShift {
    /// A batch with K copies of its next observations and M of its observations, each shifted by itself; what else is
    /// known of the rows is repeated where critics ask for it. Draws for the next observations come first.
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
            weight: batch.weight.as_ref().map(Tensor::shallow_clone),
        }
    }

    /// So many shifted copies `[D·B, C, H, W]` of `images [B, C, H, W]`, one copy of all after the other.
    pub fn draw(&self, images: &Tensor, draws: i64, stream: &mut Stream) -> Tensor {
        let choices = 2 * self.0.pad as usize + 1;
        let count = (draws * images.size()[0]) as usize;
        let offsets = (0..count).map(|_| [stream.index(choices), stream.index(choices)]);
        shift(images, &Offsets(offsets.collect()), self.0.pad)
    }
}

/// `images [B, C, H, W]` continued by `pad` pixels of their borders, and of image `i mod B` the piece at offset i.
pub fn shift(images: &Tensor, offsets: &Offsets, pad: i64) -> Tensor {
    let is_plain = images.device() == Device::Cpu && images.kind() == Kind::Float;
    if is_plain {
        shift_rows(images, offsets, pad as usize)
    } else {
        shift_indexed(images, offsets, pad)
    }
}

/// With indices, on any device: what the other way is tested against.
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

/// Row by row of memory, on the CPU.
fn shift_rows(images: &Tensor, offsets: &Offsets, pad: usize) -> Tensor {
    let (b, c, h, w) = images
        .size4()
        .expect("images are [B, C, H, W]: checked against the observation");
    let images = images.contiguous();
    let count = offsets.0.len() as i64;
    let moved = Tensor::empty([count, c, h, w], (Kind::Float, Device::Cpu));
    let (h, w) = (h as usize, w as usize);
    let image = c as usize * h * w;
    // SAFETY: both tensors are contiguous f32 on the CPU (the first was asked to be, the second was just made), live to
    // the end of this function and are seen by nobody else meanwhile.
    let (from, to) = unsafe {
        (
            std::slice::from_raw_parts(images.data_ptr().cast::<f32>().cast_const(), images.numel()),
            std::slice::from_raw_parts_mut(moved.data_ptr().cast::<f32>(), moved.numel()),
        )
    };
    for ((index, to), [down, right]) in to.chunks_exact_mut(image).enumerate().zip(&offsets.0) {
        let from = &from[index % b as usize * image..][..image];
        // Columns `left..right_end` of the piece lie within the image; beyond them its border goes on.
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
    fn a_shift_is_a_padded_image_cropped() {
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
    fn without_a_border_nothing_moves() {
        let images = images([3, 2, 6, 6]);
        let still = RandomShift(RandomShiftSpec {
            pad: 0,
            ..RandomShiftSpec::default()
        });
        assert_eq!(still.draw(&images, 1, &mut Stream::derive(1, "update", 0)), images);
    }

    #[test]
    fn offsets_are_uniform_and_each_copy_of_each_image_has_its_own() {
        // The one bright pixel in the middle tells where an image was cut.
        let images = Tensor::zeros([50, 1, 9, 9], (Kind::Float, Device::Cpu));
        let _ = images.narrow(2, 4, 1).narrow(3, 4, 1).fill_(1.0);
        let shift = RandomShift(RandomShiftSpec {
            pad: 2,
            ..RandomShiftSpec::default()
        });
        let moved = shift.draw(&images, 100, &mut Stream::derive(3, "update", 0));
        assert_eq!(moved.size(), [5000, 1, 9, 9]);
        let place: Vec<i64> = moved.flatten(1, 3).argmax(1, false).try_into().unwrap();
        let mut counts = [[0; 5]; 5];
        for place in &place {
            counts[(place / 9 - 2) as usize][(place % 9 - 2) as usize] += 1;
        }
        // 5000 draws from 25 offsets: 200 each, standard deviation 14.
        assert!(
            counts.iter().flatten().all(|count| (130..=270).contains(count)),
            "{counts:?}"
        );
        let equal = (0..4950).filter(|index| place[*index] == place[index + 50]).count();
        assert!(
            (130..=270).contains(&equal),
            "copies share offsets by chance only: {equal}"
        );
    }

    #[test]
    fn all_channels_move_alike() {
        let one = images([6, 1, 8, 8]);
        let shift = RandomShift(RandomShiftSpec::default());
        let moved = shift.draw(&one.repeat([1, 3, 1, 1]), 2, &mut Stream::derive(4, "update", 0));
        for channel in 1..3 {
            assert_eq!(moved.narrow(1, channel, 1), moved.narrow(1, 0, 1));
        }
    }
}
