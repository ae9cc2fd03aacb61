//! Benchmark of encoders with the same convolutions: forward and backward pass for a batch of images of 84 x 84.
//!
//! `cargo bench --package sac-agents --bench encoders`

use sac_agents::{
    encoder::{Encoder, EncoderSpec},
    nn::{ParamBlock, ParamLayout},
    noise::Stream,
};
use sac_envs::{Dtype, Space};
use tch::{Device, Kind, Tensor};

const IMAGE: [usize; 3] = [3, 84, 84];
const BATCH: i64 = 32;

/// Names and settings of the encoders.
const ENCODERS: [(&str, &str); 4] = [
    ("dense layer of 512", "kind = 'conv'\nprojection = 512"),
    ("convolutions only", "kind = 'conv'"),
    (
        "4 experts of 128, 1 slot each",
        "kind = 'conv'\nmixer = { kind = 'soft_moe' }",
    ),
    (
        "4 experts of 128, 12 slots each",
        "kind = 'conv'\nmixer = { kind = 'soft_moe', slots_per_expert = 12 }",
    ),
];

fn main() {
    tch::set_num_threads(1);
    divan::main();
}

fn build(text: &str) -> (Box<dyn Encoder>, ParamBlock) {
    let mut space = Space::boxed(IMAGE.iter().product(), 0.0, 255.0).reshaped(IMAGE.to_vec());
    if let Space::Box { dtype, .. } = &mut space {
        *dtype = Dtype::U8;
    }
    let spec: EncoderSpec = toml::from_str(text).expect("an encoder");
    let mut layout = ParamLayout::default();
    let encoder = spec.build(&space, &mut layout);
    let block = ParamBlock::new(layout, &mut Stream::derive(1, "bench", 0), &Default::default());
    (encoder, block)
}

#[divan::bench(args = ENCODERS.map(|(name, _)| name))]
fn forward_backward(bencher: divan::Bencher, name: &str) {
    let (_, text) = ENCODERS.iter().find(|(other, _)| *other == name).expect("listed");
    let (encoder, block) = build(text);
    let images = Stream::derive(0, "bench", 0).uniform(&[BATCH, 3, 84, 84], Device::Cpu) * 255.0;
    bencher.bench_local(|| {
        let features = encoder.encode(&block.views(), &images, None);
        Tensor::run_backward(&[features.square().sum(Kind::Float)], &[block.flat()], false, false)
    });
}
