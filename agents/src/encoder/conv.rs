//! Convolutional networks over images `[C, H, W]`: [`ConvArchitecture`], [`ConvTrunk`].
//!
//! | ConvArchitecture | Layers | Source |
//! |---|---|---|
//! | `nature` | 32 channels 8×8 stride 4, 64 channels 4×4 stride 2, 64 channels 3×3 stride 1 | Mnih et al. 2015, "Human-level control through deep reinforcement learning" |
//! | `drq` | 32 channels 3×3 stride 2, then three times 32 channels 3×3 stride 1 | Yarats et al. 2019 (SAC-AE, arXiv 1910.01741) and 2021 (DrQ-v2, arXiv 2107.09645) |
//! | `impala` | sections of 16, 32, 32 channels: a convolution, max-pooling by 2, two residual blocks | Espeholt et al. 2018 (IMPALA, arXiv 1802.01561), figure 3 |
//!
//! In `nature` and `drq` a ReLU follows every convolution. In `impala` a ReLU precedes every convolution of a residual
//! block, and another one is at the end. `layer_norm` normalises the outputs of all convolutions in `nature` and `drq`,
//! and of the first convolution of each section in `impala`: over all channels and positions, with a gain and a shift
//! per channel, before the next operation.

use sac_kernels::Activation;
use sac_policy::{Arithmetic, Op, Value};
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    error::Result,
    nn::{Activations, Init, ParamIndex, ParamLayout, Params, Tracer},
};

/// Added to the variance of a normalised layer; PyTorch's default.
const LAYER_NORM_EPS: f64 = 1e-5;
/// The largest value of a pixel.
const LARGEST_BYTE: f64 = 255.0;

/// The layers of a convolutional network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConvArchitecture {
    /// Three plain convolutions, strides 4, 2, 1.
    Nature,
    /// Four plain convolutions, strides 2, 1, 1, 1.
    Drq,
    /// Three residual sections, each halving the extents.
    Impala,
}

/// Channels, kernel size and stride of a convolution.
type Plain = (i64, i64, i64);
const NATURE: &[Plain] = &[(32, 8, 4), (64, 4, 2), (64, 3, 1)];
const DRQ: &[Plain] = &[(32, 3, 2), (32, 3, 1), (32, 3, 1), (32, 3, 1)];
/// Channels of each section.
const IMPALA: &[i64] = &[16, 32, 32];
const BLOCKS_PER_SECTION: i64 = 2;

/// The shape of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// C, channels.
    pub channels: i64,
    /// H, height.
    pub height: i64,
    /// W, width.
    pub width: i64,
}

impl Map {
    /// The shape after a convolution or pooling with a window of `extent`; `None` if the map is too small.
    fn windowed(self, channels: i64, extent: i64, stride: i64, padding: i64) -> Option<Map> {
        let places = |length: i64| {
            let room = length + 2 * padding - extent;
            (room >= 0).then_some(room / stride + 1)
        };
        Some(Map {
            channels,
            height: places(self.height)?,
            width: places(self.width)?,
        })
    }

    /// Number of positions, H·W.
    pub fn area(self) -> i64 {
        self.height * self.width
    }
}

impl ConvArchitecture {
    /// Number of channels times `multiplier`, rounded, at least 1.
    fn widened(channels: i64, multiplier: f64) -> i64 {
        ((channels as f64 * multiplier).round() as i64).max(1)
    }

    /// The shape of the feature map for an image; `None` if the image is too small.
    pub fn output(self, multiplier: f64, image: Map) -> Option<Map> {
        let plain = |layers: &[Plain]| {
            layers.iter().try_fold(image, |map, (channels, extent, stride)| {
                map.windowed(ConvArchitecture::widened(*channels, multiplier), *extent, *stride, 0)
            })
        };
        match self {
            ConvArchitecture::Nature => plain(NATURE),
            ConvArchitecture::Drq => plain(DRQ),
            ConvArchitecture::Impala => IMPALA.iter().try_fold(image, |map, channels| {
                map.windowed(ConvArchitecture::widened(*channels, multiplier), 3, 2, 1)
            }),
        }
    }

    /// Side of the smallest square image that the layers accept.
    pub fn smallest_side(self) -> i64 {
        let fits = |side: &i64| {
            let image = Map {
                channels: 1,
                height: *side,
                width: *side,
            };
            self.output(1.0, image).is_some()
        };
        (1..).find(fits).unwrap_or(1)
    }
}

/// A convolution, with optional layer normalisation.
struct Conv {
    weight: ParamIndex,
    bias: ParamIndex,
    norm: Option<(ParamIndex, ParamIndex)>,
    stride: i64,
    padding: i64,
}

impl Conv {
    fn forward(&self, params: &Params, x: &Tensor) -> Tensor {
        let (stride, padding) = ([self.stride; 2], [self.padding; 2]);
        let out = x.conv2d(
            &params[self.weight],
            Some(&params[self.bias]),
            stride,
            padding,
            [1, 1],
            1,
        );
        match self.norm {
            None => out,
            Some((gain, shift)) => out.group_norm(1, Some(&params[gain]), Some(&params[shift]), LAYER_NORM_EPS, false),
        }
    }

    fn trace(&self, tracer: &mut Tracer, x: Value) -> Result<Value> {
        let op = Op::Convolution {
            weight: tracer.param(self.weight)?,
            bias: tracer.param(self.bias)?,
            stride: self.stride as usize,
            padding: self.padding as usize,
        };
        let out = tracer.add(op, &[x])?;
        let Some((gain, shift)) = self.norm else {
            return Ok(out);
        };
        let norm = Op::ImageNorm {
            gain: tracer.param(gain)?,
            shift: tracer.param(shift)?,
            eps: LAYER_NORM_EPS as f32,
        };
        tracer.add(norm, &[out])
    }
}

/// The convolutions in the order of their parameters.
enum Layers {
    Plain(Vec<Conv>),
    Residual(Vec<Section>),
}

struct Section {
    opening: Conv,
    blocks: Vec<(Conv, Conv)>,
}

/// A convolutional network with its parameters.
pub struct ConvTrunk {
    layers: Layers,
    has_bytes: bool,
    output: Map,
    multiply_adds: i64,
}

/// Adds convolutions to a layout, and tracks the shape of the feature map.
struct Builder<'a> {
    layout: &'a mut ParamLayout,
    has_norm: bool,
    map: Map,
    multiply_adds: i64,
}

impl Builder<'_> {
    fn conv(&mut self, name: &str, channels: i64, (extent, stride, padding): (i64, i64, i64), has_norm: bool) -> Conv {
        let name = |part: &str| format!("encoder.conv.{name}.{part}");
        let inputs = self.map.channels;
        let init = Init::Linear {
            fan_in: inputs * extent * extent,
        };
        let output = self.map.windowed(channels, extent, stride, padding);
        self.map = output.expect("the image is large enough: checked against the observation");
        self.multiply_adds += self.map.area() * channels * inputs * extent * extent;
        Conv {
            weight: self
                .layout
                .add(name("weight"), &[channels, inputs, extent, extent], init),
            bias: self.layout.add(name("bias"), &[channels], init),
            norm: (has_norm && self.has_norm).then(|| {
                let gain = self.layout.add(name("gain"), &[channels], Init::Constant(1.0));
                (gain, self.layout.add(name("shift"), &[channels], Init::Constant(0.0)))
            }),
            stride,
            padding,
        }
    }

    fn section(&mut self, index: usize, channels: i64) -> Section {
        let same = (3, 1, 1); // preserves height and width
        let opening = self.conv(&format!("{index}"), channels, same, true);
        let halved = self.map.windowed(channels, 3, 2, 1);
        self.map = halved.expect("a window of 3 with padding 1 fits any map");
        let block = |place: i64| {
            let first = self.conv(&format!("{index}.{place}.first"), channels, same, false);
            let second = self.conv(&format!("{index}.{place}.second"), channels, same, false);
            (first, second)
        };
        Section {
            opening,
            blocks: (0..BLOCKS_PER_SECTION).map(block).collect(),
        }
    }
}

impl ConvTrunk {
    /// A trunk for images of shape `image`. If `has_bytes`, pixels are integers from 0 to 255, otherwise they are
    /// scaled already. Adds `encoder.conv.…` to `layout`: weights `[out, in, k, k]`; biases, gains and shifts `[out]`.
    ///
    /// # Panics
    /// When the image is too small, that is, when [`ConvArchitecture::output`] is `None`.
    pub fn new(
        (architecture, multiplier, has_norm): (ConvArchitecture, f64, bool),
        image: Map,
        has_bytes: bool,
        layout: &mut ParamLayout,
    ) -> Self {
        let mut builder = Builder {
            layout,
            has_norm,
            map: image,
            multiply_adds: 0,
        };
        let widened = |channels: i64| ConvArchitecture::widened(channels, multiplier);
        let plain = |builder: &mut Builder, layers: &[Plain]| {
            let conv = |(index, (channels, extent, stride)): (usize, &Plain)| {
                builder.conv(&format!("{index}"), widened(*channels), (*extent, *stride, 0), true)
            };
            Layers::Plain(layers.iter().enumerate().map(conv).collect())
        };
        let layers = match architecture {
            ConvArchitecture::Nature => plain(&mut builder, NATURE),
            ConvArchitecture::Drq => plain(&mut builder, DRQ),
            ConvArchitecture::Impala => {
                let sections = IMPALA.iter().enumerate();
                Layers::Residual(
                    sections
                        .map(|(index, channels)| builder.section(index, widened(*channels)))
                        .collect(),
                )
            }
        };
        ConvTrunk {
            layers,
            has_bytes,
            output: builder.map,
            multiply_adds: builder.multiply_adds,
        }
    }

    /// The shape of the output.
    pub fn output(&self) -> Map {
        self.output
    }

    /// Multiply-adds for one image.
    pub fn multiply_adds(&self) -> i64 {
        self.multiply_adds
    }

    /// The feature maps `[B, C', H', W']` of `images [B, C, H, W]`.
    pub fn forward(&self, params: &Params, images: &Tensor) -> Tensor {
        self.pass(params, images, None)
    }

    /// Adds the layers to a graph: a feature map `[C', H', W']` of an image.
    pub(super) fn trace(&self, tracer: &mut Tracer, image: Value) -> Result<Value> {
        fn relu(tracer: &mut Tracer, x: Value) -> Result<Value> {
            tracer.add(Op::Activate(Activation::Relu), &[x])
        }
        let mut x = image;
        if self.has_bytes {
            let scale = Op::Scale {
                factor: (1.0 / LARGEST_BYTE) as f32,
                offset: 0.0,
            };
            x = tracer.add(scale, &[x])?;
        }
        match &self.layers {
            Layers::Plain(layers) => {
                for conv in layers {
                    let out = conv.trace(tracer, x)?;
                    x = relu(tracer, out)?;
                }
                Ok(x)
            }
            Layers::Residual(sections) => {
                let pool = Op::MaxPool {
                    extent: 3,
                    stride: 2,
                    padding: 1,
                };
                for section in sections {
                    let opened = section.opening.trace(tracer, x)?;
                    x = tracer.add(pool.clone(), &[opened])?;
                    for (first, second) in &section.blocks {
                        let open = relu(tracer, x)?;
                        let inner = first.trace(tracer, open)?;
                        let inner = relu(tracer, inner)?;
                        let inner = second.trace(tracer, inner)?;
                        x = tracer.add(Op::Combine(Arithmetic::Add), &[x, inner])?;
                    }
                }
                relu(tracer, x)
            }
        }
    }

    /// [`ConvTrunk::forward`], which records the outputs of every ReLU.
    pub(super) fn pass(&self, params: &Params, images: &Tensor, mut activations: Option<&mut Activations>) -> Tensor {
        let mut relu = |x: &Tensor| {
            let x = x.relu();
            if let Some(activations) = &mut activations {
                activations.channels(&x);
            }
            x
        };
        let mut x = match self.has_bytes {
            true => images / LARGEST_BYTE,
            false => images.shallow_clone(),
        };
        match &self.layers {
            Layers::Plain(layers) => {
                for conv in layers {
                    x = relu(&conv.forward(params, &x));
                }
                x
            }
            Layers::Residual(sections) => {
                for section in sections {
                    x = section.opening.forward(params, &x);
                    x = x.max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false);
                    for (first, second) in &section.blocks {
                        let open = relu(&x);
                        let inner = relu(&first.forward(params, &open));
                        x = &x + second.forward(params, &inner);
                    }
                }
                relu(&x)
            }
        }
    }
}
