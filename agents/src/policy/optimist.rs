//! A second policy, which explores: [`Optimist`].
//!
//! | Symbol | Code | Shape · unit |
//! |---|---|---|
//! | μ, σ, of the policy π before squashing | [`Gaussian`] | `[B, A]` |
//! | f(φ(s), μ), learned | `shift` | `[B, A]` |
//! | β, the optimism, and λ, the weight of the divergence, learned | `Adjustment` | `[]`; λ: value per nat |
//! | Q̄, Δ: middle and half-width of the members' interval of Q | | `[B]`, value |
//!
//! ```text
//! exploring  u = μ + f + std_factor · σ ⊙ ε,  a = tanh(u)
//! KL         = Σ_j f_j² / 2 σ_j², nats: of N(μ + f, σ²) from N(μ, σ²)
//! L(f)       = mean_B( λ KL − Q̄(s, a) − β Δ(s, a) )
//! L(β)       = β · (mean_B KL / A − kl_target),   L(λ) = −λ · (mean_B KL / A − kl_target)
//! ```
//!
//! For two members Q̄ is their mean and Δ half their distance. Source: BRO (Nauman et al. 2024, arXiv 2405.16158); its code
//! naumix/BiggerRegularizedOptimistic 5870a13, `bro/actor.py` and `temperature.py`.

use tch::{Kind, Tensor};

use crate::{
    checkpoint::Section,
    compute::Compute,
    error::Result,
    exploration::OptimisticSpec,
    nn::{AdamSpec, Body, BodySpec, Init, ParamLayout, Params, Trainable},
    noise::Stream,
};

/// A diagonal Gaussian before squashing, `[B, A]`, and the features `[B, F]` from which it was computed.
pub struct Gaussian {
    /// φ.
    pub features: Tensor,
    /// μ.
    pub mean: Tensor,
    /// log σ, `[B, A]` or `[A]`.
    pub log_std: Tensor,
}

/// Bounds of log β and log λ. BRO's code: −10 and 7.5.
const LOG_RANGE: (f64, f64) = (-10.0, 7.5);

/// β1 of the optimisers of β and λ. BRO's code: 0.5.
const ADJUSTMENT_BETA1: f64 = 0.5;

/// Initial weights of the layer that gives f, in units of those of other layers. BRO's code: 0.01.
const SHIFT_SCALE: f64 = 0.01;

/// A learned positive number, exp(lo + ½ (hi − lo) (1 + tanh x)), where x is learned.
struct Adjustment {
    x: Trainable,
}

/// For a layout with constant initial values, for which nothing is drawn.
fn nothing_drawn() -> Stream {
    Stream::derive(0, "adjustment", 0)
}

impl Adjustment {
    fn new(start: f64, learning_rate: f64, compute: &Compute) -> Self {
        let (low, high) = LOG_RANGE;
        let x = ((start.ln() - low) / (0.5 * (high - low)) - 1.0).atanh();
        let mut layout = ParamLayout::default();
        layout.add("x", &[1], Init::Constant(x as f32));
        let adam = AdamSpec {
            learning_rate,
            beta1: ADJUSTMENT_BETA1,
            ..AdamSpec::default()
        };
        Adjustment {
            x: Trainable::new(layout, adam, &mut nothing_drawn(), compute),
        }
    }

    /// The number `[]` for x `[1]`.
    fn of(x: &Tensor) -> Tensor {
        let (low, high) = LOG_RANGE;
        ((x.tanh() + 1.0) * (0.5 * (high - low)) + low).exp().squeeze()
    }

    fn value(&self) -> Tensor {
        Adjustment::of(&self.x.params.data())
    }

    /// Makes a step on the number times `gradient` `[]`.
    fn descend(&mut self, gradient: &Tensor) {
        let loss = Adjustment::of(self.x.params.flat()) * gradient;
        self.x.descend(&loss);
    }
}

/// The shift of the policy's mean, and what is learned around it.
pub struct Optimist {
    spec: OptimisticSpec,
    body: Box<dyn Body>,
    network: Trainable,
    optimism: Adjustment,
    kl_weight: Adjustment,
}

/// What a step of an optimist reports.
pub(crate) struct OptimistStep {
    /// β before the step, `[]`.
    pub(crate) optimism: Tensor,
    /// λ before the step, `[]`.
    pub(crate) kl_weight: Tensor,
    /// KL / A over the batch, `[]`.
    pub(crate) kl: Tensor,
}

impl Optimist {
    /// An optimist with a body of `body`'s kind, for `features` numbers and `action_dim` coordinates.
    pub fn new(
        spec: &OptimisticSpec,
        body: &BodySpec,
        (features, action_dim): (i64, i64),
        init: &mut Stream,
        compute: &Compute,
    ) -> Self {
        let mut layout = ParamLayout::default();
        let body = body.build(features + action_dim, &[action_dim], None, &mut layout);
        let mut optimist = Optimist {
            body,
            network: Trainable::new(layout, spec.optimizer(), init, compute),
            optimism: Adjustment::new(spec.initial_optimism, spec.adjustment_learning_rate, compute),
            kl_weight: Adjustment::new(spec.initial_kl_weight, spec.adjustment_learning_rate, compute),
            spec: *spec,
        };
        optimist.shrink_output();
        optimist
    }

    /// Makes the weights of the last layer small, so that the shift begins near 0.
    fn shrink_output(&mut self) {
        let params = self.network.params.named();
        let of_output = params.iter().rev().take(2); // its weight and its bias
        for (name, values) in of_output {
            let small = values * SHIFT_SCALE;
            self.network.params.set(name, &small).expect("of the same shape");
        }
    }

    fn shift(&self, params: &Params, at: &Gaussian) -> Tensor {
        self.body
            .forward(params, &Tensor::cat(&[&at.features, &at.mean], 1), None)
    }

    fn action(&self, at: &Gaussian, shift: &Tensor, noise: &Tensor) -> Tensor {
        (&at.mean + shift + at.log_std.exp() * noise * self.spec.std_factor).tanh()
    }

    /// Exploratory actions `[B, A]` for noise `[B, A]`.
    pub(crate) fn explore(&self, at: &Gaussian, noise: &Tensor) -> Tensor {
        let _guard = tch::no_grad_guard();
        self.action(at, &self.shift(self.network.params.frozen(), at), noise)
    }

    /// Makes a step of everything that is learned, for the policy `at` a batch of states and noise `[B, A]`. `value` gives
    /// Q̄ + β Δ `[B]` for actions `[B, A]` and β.
    pub(crate) fn learn(
        &mut self,
        at: &Gaussian,
        noise: &Tensor,
        value: impl FnOnce(&Tensor, &Tensor) -> Tensor,
    ) -> OptimistStep {
        let (optimism, kl_weight) = (self.optimism.value(), self.kl_weight.value());
        let shift = self.shift(&self.network.views(), at); // [B, A]
        let squares = (&shift / at.log_std.exp()).square() * 0.5;
        let kl = squares.sum_dim_intlist([-1i64].as_slice(), false, Kind::Float); // [B]
        let value = value(&self.action(at, &shift, noise), &optimism); // [B]
        let loss = (&kl * &kl_weight - value).mean(Kind::Float);
        self.network.descend(&loss);
        let kl = kl.detach().mean(Kind::Float) / shift.size()[1] as f64; // []
        let excess = &kl - self.spec.kl_target;
        self.optimism.descend(&excess);
        self.kl_weight.descend(&-excess);
        OptimistStep {
            optimism,
            kl_weight,
            kl,
        }
    }

    /// Mixes freshly drawn initial values into the network, with weight `share`, and forgets the optimisers' moments. β and
    /// λ begin anew.
    pub(crate) fn reset(&mut self, share: f64, stream: &mut Stream, compute: &Compute) {
        self.network.reset(share, stream, compute);
        if share == 1.0 {
            self.shrink_output();
        }
        for adjustment in [&mut self.optimism, &mut self.kl_weight] {
            adjustment.x.reset(1.0, &mut nothing_drawn(), compute);
        }
    }

    /// Multiply-adds of the network for one observation.
    pub(crate) fn multiply_adds(&self) -> i64 {
        self.body.multiply_adds()
    }

    /// Bytes that the network of [`Optimist::new`] takes.
    pub(crate) fn bytes(body: &BodySpec, (features, action_dim): (i64, i64)) -> u64 {
        let mut layout = ParamLayout::default();
        body.build(features + action_dim, &[action_dim], None, &mut layout);
        Trainable::bytes(&layout)
    }

    fn parts(&self) -> [(&'static str, &Trainable); 3] {
        [
            ("optimist", &self.network),
            ("optimism", &self.optimism.x),
            ("kl_weight", &self.kl_weight.x),
        ]
    }

    pub(crate) fn is_finite(&self) -> bool {
        self.parts().iter().all(|(_, part)| part.params.is_finite())
    }

    /// Number of learned parameters.
    pub(crate) fn parameter_count(&self) -> i64 {
        self.parts().iter().map(|(_, part)| part.params.learned_count()).sum()
    }

    pub(crate) fn save(&self, section: &mut Section) {
        self.parts().iter().for_each(|(name, part)| part.save(name, section));
    }

    pub(crate) fn load(&mut self, section: &Section) -> Result<()> {
        self.network.load("optimist", section)?;
        self.optimism.x.load("optimism", section)?;
        self.kl_weight.x.load("kl_weight", section)
    }
}
