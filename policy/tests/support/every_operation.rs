//! A policy in which every operation occurs, with random weights.

use std::sync::Arc;

use sac_policy::{
    Activation, Arithmetic, Bounds, Distribution, Draft, Dtype, Export, Facts, Fourier, Function, Interpreter, Op,
    Reduction, Result, SelfTest, Space, Tensor, Value,
};

/// Numbers in [-1, 1), the same for the same seed.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn bits(&mut self) -> u64 {
        // The generator of Knuth's MMIX.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn number(&mut self) -> f32 {
        (self.bits() as f64 / f64::from(1u32 << 30) - 1.0) as f32
    }

    pub fn list(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.number()).collect()
    }
}

struct Builder {
    draft: Draft,
    numbers: Numbers,
}

impl Builder {
    fn add(&mut self, op: Op, of: &[Value]) -> Result<Value> {
        self.draft.add(op, of)
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let data = self.numbers.list(shape.iter().product());
        let shape = shape.to_vec();
        self.draft.tensor(name, Tensor { shape, data })?;
        Ok(name.to_string())
    }

    fn constant(&mut self, name: &str, shape: &[usize]) -> Result<Value> {
        let tensor = self.tensor(name, shape)?;
        self.add(Op::Constant { tensor }, &[])
    }

    fn linear(&mut self, name: &str, of: Value, inputs: usize, outputs: usize) -> Result<Value> {
        let weight = self.tensor(&format!("{name}.weight"), &[inputs, outputs])?;
        let bias = Some(self.tensor(&format!("{name}.bias"), &[outputs])?);
        self.add(Op::Linear { weight, bias }, &[of])
    }
}

pub const OBSERVATION: usize = 12;
pub const NOISE: usize = 2;

/// Features `[8]` by operations on images.
fn by_images(b: &mut Builder, obs: Value) -> Result<Value> {
    let image = b.add(Op::Reshape { shape: vec![3, 2, 2] }, &[obs])?;
    let convolution = Op::Convolution {
        weight: b.tensor("conv.weight", &[4, 3, 2, 2])?,
        bias: b.tensor("conv.bias", &[4])?,
        stride: 1,
        padding: 1,
    };
    let map = b.add(convolution, &[image])?; // [4, 3, 3]
    let norm = Op::ImageNorm {
        gain: b.tensor("conv.gain", &[4])?,
        shift: b.tensor("conv.shift", &[4])?,
        eps: 1e-5,
    };
    let map = b.add(norm, &[map])?;
    let pool = Op::MaxPool {
        extent: 3,
        stride: 2,
        padding: 1,
    };
    let pooled = b.add(pool, &[map])?; // [4, 2, 2]
    let patches = b.add(Op::PatchMean { size: 2 }, &[map])?; // [4, 2, 2]
    let both = b.add(Op::Concatenate { axis: 1 }, &[pooled, patches])?; // [4, 4, 2]
    let rows = b.add(
        Op::Reduce {
            axis: 2,
            by: Reduction::Max,
        },
        &[both],
    )?; // [4, 4]
    let turned = b.add(Op::Transpose { first: 0, second: 1 }, &[rows])?;
    let half = b.add(
        Op::Slice {
            axis: 0,
            start: 1,
            len: 2,
        },
        &[turned],
    )?; // [2, 4]
    b.add(Op::Reshape { shape: vec![8] }, &[half])
}

/// Features `[4]` by operations on tokens.
fn by_tokens(b: &mut Builder, obs: Value) -> Result<Value> {
    let tokens = b.add(Op::Reshape { shape: vec![3, 4] }, &[obs])?;
    let weight = b.tensor("embedding.weight", &[4, 4])?;
    let tokens = b.add(Op::Linear { weight, bias: None }, &[tokens])?;
    let norm = Op::LayerNorm {
        gain: b.tensor("norm.gain", &[4])?,
        shift: b.tensor("norm.shift", &[4])?,
        eps: 1e-6,
    };
    let normed = b.add(norm, &[tokens])?;
    let unit = b.add(Op::UnitNorm { eps: 1e-6 }, &[tokens])?;
    let turned = b.add(Op::Transpose { first: 0, second: 1 }, &[unit])?; // [4, 3]
    let products = b.add(Op::MatMul, &[normed, turned])?; // [3, 3]
    let weights = b.add(Op::Softmax { axis: 1 }, &[products])?;
    let columns = b.add(Op::Softmax { axis: 0 }, &[products])?;
    let weights = b.add(Op::Combine(Arithmetic::Multiply), &[weights, columns])?;
    let mixed = b.add(Op::MatMul, &[weights, tokens])?; // [3, 4]
    let slots = b.add(Op::Reshape { shape: vec![3, 1, 4] }, &[mixed])?;
    let experts = Op::Experts {
        weight: b.tensor("experts.weight", &[3, 4, 4])?,
        bias: b.tensor("experts.bias", &[3, 1, 4])?,
    };
    let mut x = b.add(experts, &[slots])?; // [3, 1, 4]
    for activation in [
        Activation::Relu,
        Activation::Gelu,
        Activation::Silu,
        Activation::Tanh,
        Activation::Elu,
    ] {
        let shifted = b.add(
            Op::Scale {
                factor: 1.5,
                offset: -0.1,
            },
            &[x],
        )?;
        let activated = b.add(Op::Activate(activation), &[shifted])?;
        x = b.add(Op::Combine(Arithmetic::Add), &[x, activated])?;
    }
    let position = b.constant("position", &[1, 4])?;
    let x = b.add(Op::Combine(Arithmetic::Subtract), &[x, position])?;
    let x = b.add(Op::Clamp { low: -2.0, high: 1.5 }, &[x])?;
    let mean = Op::Reduce {
        axis: 0,
        by: Reduction::Mean,
    };
    let x = b.add(mean, &[x])?; // [1, 4]
    let x = b.add(Op::Reshape { shape: vec![4] }, &[x])?;
    let x = b.add(Op::Map(Function::Softplus), &[x])?;
    let x = b.add(Op::Map(Function::Ln), &[x])?;
    b.add(Op::Map(Function::Exp), &[x])
}

/// A policy in which every operation occurs.
pub fn every_operation() -> Result<Export> {
    let mut b = Builder {
        draft: Draft::new(&[OBSERVATION])?,
        numbers: Numbers(7),
    };
    let obs = b.draft.observation();
    let noise = b.add(
        Op::Noise {
            len: NOISE,
            distribution: Distribution::Uniform,
        },
        &[],
    )?;
    let (images, tokens) = (by_images(&mut b, obs)?, by_tokens(&mut b, obs)?);
    let features = b.add(Op::Concatenate { axis: 0 }, &[images, tokens])?; // [12]

    let logits = b.linear("logits", features, 12, 6)?;
    let first_noise = b.add(
        Op::Slice {
            axis: 0,
            start: 0,
            len: 1,
        },
        &[noise],
    )?;
    let drawn = b.add(Op::DrawIndex, &[logits, first_noise])?;
    let tuple = b.add(Op::Unravel { sizes: vec![2, 3] }, &[drawn])?;
    let greatest = b.add(Op::Greatest { sizes: vec![4, 2] }, &[logits])?;
    let one_hot = b.add(Op::OneHot { sizes: vec![4, 2] }, &[greatest])?; // [6]

    let series = Fourier {
        frequencies: 3,
        uniform_share: 0.05,
        base_amplitude: 1.0,
    };
    let inputs = b.linear("series", features, 12, 2 * series.inputs())?;
    let peak = b.add(Op::FourierPeak(series), &[inputs])?; // [2]
    let quantile = b.add(Op::FourierQuantile(series), &[inputs, noise])?; // [2]
    let mut action = b.linear("body", features, 12, 3)?;
    for part in [tuple, one_hot, peak, quantile] {
        action = b.add(Op::Concatenate { axis: 0 }, &[action, part])?;
    }
    let count = b.draft.shape(action)[0];
    let low: Vec<f32> = (0..count).map(|i| -1.0 - i as f32).collect();
    let high: Vec<f32> = (0..count).map(|i| 2.0 + i as f32 * 0.5).collect();
    for (name, data) in [("low", &low), ("high", &high)] {
        let shape = vec![count];
        b.draft.tensor(
            name,
            Tensor {
                shape,
                data: data.clone(),
            },
        )?;
    }
    let squashed = b.add(
        Op::Scale {
            factor: 0.25,
            offset: 0.0,
        },
        &[action],
    )?;
    let rescale = Op::Rescale {
        low: "low".to_string(),
        high: "high".to_string(),
    };
    let action = b.add(rescale, &[squashed])?;
    let graph = b.draft.finish(action)?;

    let rows = 32;
    let mut self_test = SelfTest {
        observations: b.numbers.list(rows * OBSERVATION).iter().map(|x| 3.0 * x).collect(),
        noise: b.numbers.list(rows * NOISE).iter().map(|x| 0.5 + 0.499 * x).collect(),
        actions: Vec::new(),
    };
    let mut interpreter = Interpreter::new(Arc::new(graph.clone()));
    let actions = interpreter.run(rows, &self_test.observations, &self_test.noise);
    self_test.actions = actions.to_vec();
    let facts = Facts {
        env: "EveryOperation-v0".to_string(),
        observation_space: Space::Box {
            shape: vec![OBSERVATION],
            low: Bounds::Same(None),
            high: Bounds::Same(None),
            dtype: Dtype::F32,
        },
        action_space: Space::Box {
            shape: vec![count],
            low: Bounds::of(&low),
            high: Bounds::of(&high),
            dtype: Dtype::F32,
        },
        algorithm: "sac".to_string(),
        seed: 7,
        env_steps: 1000,
        checkpoint_sha256: "00".repeat(32),
        version: "0.1.0".to_string(),
    };
    Export::new(facts, graph, self_test)
}
