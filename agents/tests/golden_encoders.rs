//! Features and gradients of encoders against golden data (see `golden/README.md`), and properties that hold for all
//! inputs: weights sum to one, mixers and poolings respect the order of tokens, and rows of a batch are independent.

#[allow(dead_code, reason = "only some of the shared functions are needed here")]
use std::collections::BTreeMap;

use crate::support::{Stored, read, relative_difference, tensor};
use sac_agents::{
    encoder::{
        Adapool, AdapoolSpec, Encoder, EncoderSpec, Pooling, PoolingSpec, Query, Simpool, Slots, SoftMoe, SoftMoeSpec,
        TokenMlp, TokenMlpSpec, Transformer, TransformerSpec,
    },
    nn::{ParamBlock, ParamLayout},
    noise::Stream,
};
use sac_envs::{Dtype, Space};
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

#[derive(Deserialize)]
struct Case {
    name: String,
    spec: EncoderSpec,
    shape: Vec<usize>,
    obs: Vec<f64>,
    params: BTreeMap<String, Stored>,
    noise: Vec<f64>,
    weights: Vec<f64>,
    features: Vec<f64>,
    d_params: BTreeMap<String, Vec<f64>>,
    d_obs: Vec<f64>,
}

/// Tolerance for single precision, relative to the largest expected value.
const TOLERANCE: f64 = 1e-5;

fn space(shape: &[usize]) -> Space {
    let mut space = Space::boxed(shape.iter().product(), 0.0, 255.0).reshaped(shape.to_vec());
    if let (Space::Box { dtype, .. }, 3) = (&mut space, shape.len()) {
        *dtype = Dtype::U8;
    }
    space
}

fn build(spec: &EncoderSpec, shape: &[usize]) -> (Box<dyn Encoder>, ParamBlock) {
    tch::set_num_threads(1);
    let mut layout = ParamLayout::default();
    let encoder = spec.build(&space(shape), &mut layout);
    (
        encoder,
        ParamBlock::new(layout, &mut Stream::derive(3, "test", 0), &Default::default()),
    )
}

fn batch_shape(shape: &[usize]) -> Vec<i64> {
    let extents = shape.iter().map(|extent| *extent as i64);
    [-1].into_iter().chain(extents).collect()
}

fn assert_close(what: &str, actual: &Tensor, expected: &[f64]) {
    let largest = expected.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    assert!(largest > 0.0, "{what}: expected values of zero prove nothing");
    let difference = relative_difference(actual, expected, largest);
    assert!(difference < TOLERANCE, "{what}: {difference}");
}

#[test]
fn every_encoder_equals_its_derivation_with_its_gradients() {
    let mut cases: Vec<Case> = read(include_str!("golden/encoders/data.json"));
    cases.extend(read::<Vec<Case>>(include_str!("golden/encoders/dopamine.json")));
    assert!(cases.len() >= 31);
    for case in &cases {
        let name = &case.name;
        let (encoder, mut block) = build(&case.spec, &case.shape);
        for (param, stored) in &case.params {
            let shape: Vec<i64> = stored.shape.iter().map(|extent| *extent as i64).collect();
            let values = tensor(&stored.data).reshape(&shape[..]);
            block.set(param, &values).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let named = block.named();
        assert_eq!(named.len(), case.params.len(), "{name}: every parameter is given");
        let obs = tensor(&case.obs).reshape(&batch_shape(&case.shape)[..]);
        let obs = obs.set_requires_grad(!case.d_obs.is_empty());
        let mut stream = Stream::scripted(case.noise.iter().map(|value| *value as f32));
        let features = encoder.encode(&block.views(), &obs, Some(&mut stream));
        assert_eq!(features.size()[1], encoder.width(), "{name}");
        assert_close(&format!("{name}: features"), &features, &case.features);

        let weights = tensor(&case.weights).view_as(&features);
        let objective = (&features * weights).sum(Kind::Float);
        let mut at = vec![block.flat()];
        at.extend((!case.d_obs.is_empty()).then_some(&obs));
        let gradients = Tensor::run_backward(&[objective], &at, false, false);
        let sizes: Vec<i64> = named.iter().map(|(_, values)| values.numel() as i64).collect();
        let parts = gradients[0].split_with_sizes(&sizes[..], 0);
        for ((param, _), part) in named.iter().zip(&parts) {
            assert_close(&format!("{name}: gradient of {param}"), part, &case.d_params[param]);
        }
        if let Some(gradient) = gradients.get(1) {
            assert_close(&format!("{name}: gradient of obs"), gradient, &case.d_obs);
        }
    }
}

#[test]
fn rows_of_a_batch_are_independent() {
    let cases: Vec<Case> = read(include_str!("golden/encoders/data.json"));
    for case in &cases {
        let (encoder, block) = build(&case.spec, &case.shape);
        let obs = tensor(&case.obs).reshape(&batch_shape(&case.shape)[..]);
        let together = encoder.encode(block.frozen(), &obs, None);
        for row in 0..obs.size()[0] {
            let alone = encoder.encode(block.frozen(), &obs.narrow(0, row, 1), None);
            let difference = (alone - together.narrow(0, row, 1)).abs().max().double_value(&[]);
            assert!(difference < 2e-6, "{}: {difference}", case.name);
        }
    }
}

#[test]
fn noise_is_drawn_only_with_a_stream_and_a_setting_above_zero() {
    let spec = |noise: f64| -> EncoderSpec {
        let text = format!("kind = 'tokens'\nmixer = {{ kind = 'soft_moe', logit_noise = {noise:?} }}");
        toml::from_str(&text).expect("an encoder")
    };
    let obs = Stream::derive(1, "test", 0).normal(&[2, 5, 3], Device::Cpu);
    let mut position = Stream::derive(2, "test", 0);
    let untouched = position.position();
    let (silent, block) = build(&spec(0.0), &[5, 3]);
    let plain = silent.encode(block.frozen(), &obs, Some(&mut position));
    assert_eq!(position.position(), untouched, "no noise is drawn if logit_noise is 0");
    let (noisy, block) = build(&spec(0.5), &[5, 3]);
    assert_eq!(noisy.encode(block.frozen(), &obs, None), plain);
    assert_ne!(noisy.encode(block.frozen(), &obs, Some(&mut position)), plain);
    assert_ne!(position.position(), untouched);
}

const TOKENS: i64 = 6;
const WIDTH: i64 = 4;

fn tokens(seed: u64, count: i64) -> Tensor {
    Stream::derive(seed, "test", 0).normal(&[3, count, WIDTH], Device::Cpu)
}

fn of<T>(seed: u64, build: impl FnOnce(&mut ParamLayout) -> T) -> (T, ParamBlock) {
    let mut layout = ParamLayout::default();
    let part = build(&mut layout);
    let block = ParamBlock::new(layout, &mut Stream::derive(seed, "init", 0), &Default::default());
    (part, block)
}

fn moe() -> SoftMoeSpec {
    SoftMoeSpec {
        experts: 3,
        slots_per_expert: Slots::Count(2),
        expert_width: 7,
        ..SoftMoeSpec::default()
    }
}

fn assert_equal(what: &str, actual: &Tensor, expected: &Tensor) {
    let difference = (actual - expected).abs().max().double_value(&[]);
    assert!(difference < 3e-6, "{what}: {difference}");
}

fn permutation(seed: u64) -> Tensor {
    let permutation = Stream::derive(seed, "order", 0).subset(TOKENS, TOKENS, Device::Cpu);
    let in_place = Tensor::arange(TOKENS, (Kind::Int64, Device::Cpu));
    assert_ne!(permutation, in_place, "this seed gives the identity permutation");
    permutation
}

#[test]
fn weights_of_mixers_and_poolings_sum_to_one() {
    for seed in 0..8 {
        let x = tokens(seed, TOKENS) * 10f64.powi(seed as i32 - 4);
        let (mixer, block) = of(seed, |layout| SoftMoe::new(&moe(), TOKENS, WIDTH, layout));
        let (dispatch, combine) = mixer.weights(block.frozen(), &x, None);
        assert_eq!(
            (dispatch.size(), combine.size()),
            (vec![3, TOKENS, 6], vec![3, TOKENS, 6])
        );
        let total = |weights: &Tensor, dim: i64| weights.sum_dim_intlist([dim].as_slice(), false, Kind::Float);
        assert_equal(
            "columns",
            &total(&dispatch, 1),
            &Tensor::ones([3, 6], (Kind::Float, Device::Cpu)),
        );
        assert_equal(
            "rows",
            &total(&combine, 2),
            &Tensor::ones([3, TOKENS], (Kind::Float, Device::Cpu)),
        );
        let pool = AdapoolSpec {
            heads: 2,
            ..AdapoolSpec::default()
        };
        let (pool, block) = of(seed, |layout| Adapool::new(&pool, WIDTH, layout));
        let weights = pool.weights(block.frozen(), &x);
        assert_equal(
            "adapool",
            &total(&weights, 2),
            &Tensor::ones([3, 2], (Kind::Float, Device::Cpu)),
        );
        let (pool, block) = of(seed, |layout| Simpool::new(WIDTH, layout));
        let weights = pool.weights(block.frozen(), &x);
        assert_equal(
            "simpool",
            &total(&weights, 1),
            &Tensor::ones([3], (Kind::Float, Device::Cpu)),
        );
    }
}

#[test]
fn mixers_are_equivariant_to_permutations() {
    for seed in 0..8 {
        let (x, permutation) = (tokens(seed, TOKENS), permutation(seed));
        let moved = x.index_select(1, &permutation);
        let (mixer, block) = of(seed, |layout| SoftMoe::new(&moe(), TOKENS, WIDTH, layout));
        let forward = |x: &Tensor| mixer.forward(block.frozen(), x, None);
        assert_equal("soft moe", &forward(&moved), &forward(&x).index_select(1, &permutation));
        let (mixer, block) = of(seed, |layout| TokenMlp::new(&TokenMlpSpec::default(), WIDTH, layout));
        let forward = |x: &Tensor| mixer.forward(block.frozen(), x);
        assert_equal("mlp", &forward(&moved), &forward(&x).index_select(1, &permutation));
        let spec = TransformerSpec {
            heads: 2,
            ..TransformerSpec::default()
        };
        let (mixer, block) = of(seed, |layout| Transformer::new(&spec, WIDTH, layout));
        let forward = |x: &Tensor| mixer.forward(block.frozen(), x);
        assert_equal(
            "transformer",
            &forward(&moved),
            &forward(&x).index_select(1, &permutation),
        );
    }
}

#[test]
fn poolings_of_sets_are_invariant_to_permutations() {
    let adapool = |query| PoolingSpec::Adapool(AdapoolSpec { query, heads: 2 });
    let invariant = [
        PoolingSpec::Mean {},
        PoolingSpec::Max {},
        PoolingSpec::Simpool {},
        adapool(Query::Mean),
        adapool(Query::Learned),
    ];
    let sensitive = [PoolingSpec::Flatten {}, PoolingSpec::Cls {}, adapool(Query::Index(0))];
    for seed in 0..8 {
        let (x, permutation) = (tokens(seed, TOKENS), permutation(seed));
        // The first token, which some poolings use, moves too.
        let moved = x.index_select(1, &permutation).roll([1], [1]);
        let pooled = |spec: &PoolingSpec| {
            let (pool, block) = of(seed, |layout| Pooling::new(spec, WIDTH, layout));
            (pool.forward(block.frozen(), &x), pool.forward(block.frozen(), &moved))
        };
        for spec in &invariant {
            let (before, after) = pooled(spec);
            assert_equal(&format!("{spec:?}"), &after, &before);
        }
        for spec in &sensitive {
            let (before, after) = pooled(spec);
            let is_first_moved = moved.select(1, 0) != x.select(1, 0);
            assert!(
                before != after || !is_first_moved,
                "{spec:?} does not depend on the order"
            );
        }
    }
}

/// With one token, every slot equals that token and the layer is a dense mixture of experts, `Σ_s softmax(Λ)_s
/// f_{s/p}(x)`.
#[test]
fn a_soft_mixture_over_one_token_is_the_dense_mixture() {
    for seed in 0..4 {
        let x = tokens(seed, 1);
        let (mixer, block) = of(seed, |layout| SoftMoe::new(&moe(), TOKENS, WIDTH, layout));
        let params: BTreeMap<String, Tensor> = block.named().into_iter().collect();
        let get = |name: &str| &params[&format!("encoder.mixer.{name}")];
        let (phi, row) = (get("phi"), x.squeeze_dim(1)); // [d, S], [B, d]
        let unit =
            |x: &Tensor, dim: i64| x / (x.square().sum_dim_intlist([dim].as_slice(), true, Kind::Float) + 1e-6).sqrt();
        let gate = (unit(&row, 1).mm(&unit(phi, 0)) * get("scale")).softmax(1, Kind::Float); // [B, S]
        let mut expected = Tensor::zeros_like(&row);
        for slot in 0..6 {
            let expert = slot / 2;
            let of_expert = |name: &str| get(name).get(expert);
            let hidden = (row.mm(&of_expert("0.weight")) + of_expert("0.bias")).relu();
            let answer = hidden.mm(&of_expert("1.weight")) + of_expert("1.bias"); // [B, d]
            expected += gate.narrow(1, slot, 1) * answer;
        }
        assert_equal(
            "mixture",
            &mixer.forward(block.frozen(), &x, None).squeeze_dim(1),
            &expected,
        );
    }
}
