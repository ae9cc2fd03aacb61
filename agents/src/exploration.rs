//! Noise of exploratory actions over time: [`ExplorationSpec`], [`Exploration`].

use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::{
    error::{Error, Result},
    nn::AdamSpec,
    noise::Stream,
    spec_problems::SpecProblems,
};

/// How the noise of exploratory actions is drawn over time. Default: anew at every step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExplorationSpec {
    /// New noise at every step.
    #[default]
    Independent,
    /// Noise that is held for a random number of steps.
    Repeated(RepeatedSpec),
    /// Noise that is a function of the state, which is held for a fixed number of steps
    /// ([`crate::policy::StateDependentNoise`]).
    Gsde(GsdeSpec),
    /// New noise at every step around a second policy, which is optimistic ([`crate::policy::Optimist`]).
    Optimistic(OptimisticSpec),
}

/// Settings of repeated noise: it is held for n steps, where n has the probability n^(−exponent) up to a factor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepeatedSpec {
    /// The exponent, at least 0. FlashSAC: 2.
    pub exponent: f64,
    /// The largest n, env steps, at least 1. FlashSAC: 16.
    pub longest: u32,
}

/// Settings of generalised state-dependent exploration (gSDE), an option of the squashed Gaussian.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GsdeSpec {
    /// Steps of an environment for which its noise is held, at least 1.
    pub hold_env_steps: u32,
    /// log σ of the weights of the noise at the start. Stable-Baselines3's SAC: −3.
    pub initial_log_std: f64,
    /// Bound of the magnitude of means before squashing, above 0. Stable-Baselines3's SAC: 2.
    pub largest_mean: f64,
}

impl Default for GsdeSpec {
    fn default() -> Self {
        GsdeSpec {
            hold_env_steps: 64,
            initial_log_std: -3.0,
            largest_mean: 2.0,
        }
    }
}

/// Settings of a second policy that explores (BRO), for squashed Gaussians. Defaults: BRO's code.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimisticSpec {
    /// Its σ in units of that of the policy, above 0.
    pub std_factor: f64,
    /// Target of its divergence from the policy, nats per coordinate, above 0.
    pub kl_target: f64,
    /// β before the first update: weight of the members' disagreement.
    pub initial_optimism: f64,
    /// λ before the first update: weight of the divergence, value per nat.
    pub initial_kl_weight: f64,
    /// Learning rate of its network, above 0.
    pub learning_rate: f64,
    /// Decay of the weights of its network, as in the optimisers.
    pub weight_decay: f64,
    /// Learning rate of β and λ, above 0.
    pub adjustment_learning_rate: f64,
}

impl Default for OptimisticSpec {
    fn default() -> Self {
        OptimisticSpec {
            std_factor: 0.75,
            kl_target: 0.05,
            initial_optimism: 1.0,
            initial_kl_weight: 0.25,
            learning_rate: 3e-4,
            weight_decay: 1e-4,
            adjustment_learning_rate: 3e-5,
        }
    }
}

impl OptimisticSpec {
    /// The optimiser of the network.
    pub(crate) fn optimizer(&self) -> AdamSpec {
        AdamSpec {
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            ..AdamSpec::default()
        }
    }

    fn check(&self, p: &mut SpecProblems) {
        let key = |name: &str| format!("agent.exploration.{name}");
        p.require_positive(&key("std_factor"), self.std_factor);
        p.require_positive(&key("kl_target"), self.kl_target);
        for (name, value) in [
            ("initial_optimism", self.initial_optimism),
            ("initial_kl_weight", self.initial_kl_weight),
        ] {
            let holds = (1e-4..=1000.0).contains(&value);
            p.require(holds, &key(name), value, "between 0.0001 and 1000");
        }
        self.optimizer().check(p, "agent.exploration");
        let rate = self.adjustment_learning_rate;
        p.require(
            rate > 0.0 && rate <= 1.0,
            &key("adjustment_learning_rate"),
            rate,
            "above 0 and at most 1",
        );
    }
}

impl Default for RepeatedSpec {
    fn default() -> Self {
        RepeatedSpec {
            exponent: 2.0,
            longest: 16,
        }
    }
}

impl ExplorationSpec {
    /// Whether this is the default, which files omit.
    pub fn is_independent(&self) -> bool {
        *self == ExplorationSpec::Independent
    }

    pub(crate) fn check(&self, p: &mut SpecProblems) {
        let mut within = |key: &str, steps: u32| {
            let holds = (1..=MOST_STEPS).contains(&steps);
            let expected = format!("between 1 and {MOST_STEPS}");
            p.require(holds, &format!("agent.exploration.{key}"), steps, &expected);
        };
        match self {
            ExplorationSpec::Independent => {}
            ExplorationSpec::Repeated(RepeatedSpec { exponent, longest }) => {
                within("longest", *longest);
                let holds = (0.0..=100.0).contains(exponent);
                p.require(holds, "agent.exploration.exponent", exponent, "between 0 and 100");
            }
            ExplorationSpec::Gsde(spec) => {
                within("hold_env_steps", spec.hold_env_steps);
                p.require_positive("agent.exploration.largest_mean", spec.largest_mean);
            }
            ExplorationSpec::Optimistic(spec) => spec.check(p),
        }
    }

    /// The state of the noise; `None` if it has none.
    pub(crate) fn build(&self) -> Option<Exploration> {
        let hold = match self {
            ExplorationSpec::Independent | ExplorationSpec::Optimistic(_) => return None,
            ExplorationSpec::Repeated(spec) => Hold::Random(spec.cumulative()),
            ExplorationSpec::Gsde(spec) => Hold::Fixed(spec.hold_env_steps),
        };
        Some(Exploration { hold, held: Vec::new() })
    }
}

impl RepeatedSpec {
    /// The probability of at most n steps, for n from 1.
    fn cumulative(&self) -> Vec<f64> {
        let weight = |n: u32| f64::from(n).powf(-self.exponent);
        let total: f64 = (1..=self.longest).map(weight).sum();
        let mut sum = 0.0;
        let mut shares: Vec<f64> = (1..=self.longest)
            .map(|n| {
                sum += weight(n) / total;
                sum
            })
            .collect();
        if let Some(last) = shares.last_mut() {
            *last = 1.0; // whatever the rounding
        }
        shares
    }
}

/// Upper limit of the steps for which noise is held, far beyond use.
const MOST_STEPS: u32 = 10_000;

/// Number of steps for which noise is held.
enum Hold {
    /// A random number: the probability of at most n steps, for n from 1.
    Random(Vec<f64>),
    Fixed(u32),
}

impl Hold {
    fn draw(&self, stream: &mut Stream) -> u32 {
        match self {
            Hold::Random(shares) => {
                let fraction = stream.fraction();
                shares.iter().take_while(|share| **share <= fraction).count() as u32 + 1
            }
            Hold::Fixed(steps) => *steps,
        }
    }
}

/// Noise that is held for several steps.
///
/// Source: FlashSAC (Holiday-Robot/FlashSAC 87edc90, `agent.py`), where all environments change their noise at once.
pub struct Exploration {
    hold: Hold,
    /// By environment.
    held: Vec<Held>,
}

/// The noise of an environment, which a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    noise: Vec<f32>,
    /// Env steps for which it will still be used.
    steps: u32,
}

impl Exploration {
    /// The noise `[N, W]` of a step of `envs`, N environments. `draw` gives new noise `[1, W]`.
    pub(crate) fn noise(
        &mut self,
        envs: std::ops::Range<usize>,
        stream: &mut Stream,
        draw: impl Fn(&mut Stream) -> Tensor,
    ) -> Tensor {
        if self.held.len() < envs.end {
            self.held.resize(envs.end, Held::default());
        }
        let rows = envs.len() as i64;
        let mut values = Vec::new();
        for held in &mut self.held[envs] {
            if held.steps == 0 {
                let noise = draw(stream).view([-1]);
                held.noise = Vec::try_from(&noise).unwrap_or_default();
                held.steps = self.hold.draw(stream);
            }
            held.steps -= 1;
            values.extend_from_slice(&held.noise);
        }
        Tensor::from_slice(&values).reshape([rows, -1])
    }

    /// The noise of all environments.
    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }

    /// Restores what [`Exploration::held`] gave.
    ///
    /// # Errors
    /// When environments have noise of different sizes.
    pub(crate) fn restore(&mut self, held: Vec<Held>) -> Result<()> {
        let used = || held.iter().filter(|held| held.steps > 0);
        if used().any(|one| used().any(|other| one.noise.len() != other.noise.len())) {
            return Err(Error::section("exploration", "has noise of different sizes"));
        }
        self.held = held;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn noise_is_held_for_numbers_of_steps_with_the_given_probabilities() {
        let spec = ExplorationSpec::Repeated(RepeatedSpec {
            exponent: 2.0,
            longest: 3,
        });
        let mut exploration = spec.build().unwrap();
        let mut stream = Stream::derive(1, "explore", 0);
        let mut counts = [0usize; 3];
        let (mut last, mut length) = (f64::NAN, 0);
        for _ in 0..20_000 {
            let noise = exploration.noise(0..1, &mut stream, |stream| stream.normal(&[1, 2], Device::Cpu));
            assert_eq!(noise.size(), [1, 2]);
            let first = noise.double_value(&[0, 0]);
            if first == last {
                length += 1;
            } else {
                if length > 0 {
                    counts[length - 1] += 1;
                }
                (last, length) = (first, 1);
            }
        }
        let total: usize = counts.iter().sum();
        // 1, ¼ and 1/9 of their sum.
        for (count, expected) in counts.iter().zip([36.0 / 49.0, 9.0 / 49.0, 4.0 / 49.0]) {
            let share = *count as f64 / total as f64;
            assert!((share - expected).abs() < 0.01, "{counts:?}");
        }
    }

    #[test]
    fn noise_is_held_for_a_fixed_number_of_steps_by_every_environment_from_its_own_first_step() {
        let spec = GsdeSpec {
            hold_env_steps: 3,
            ..GsdeSpec::default()
        };
        let mut exploration = ExplorationSpec::Gsde(spec).build().unwrap();
        let mut stream = Stream::derive(3, "explore", 0);
        let mut step = |envs: std::ops::Range<usize>| {
            let noise = exploration.noise(envs, &mut stream, |stream| stream.normal(&[1, 1], Device::Cpu));
            Vec::<f32>::try_from(noise.view([-1])).unwrap()
        };
        let [first, second] = [step(0..1), step(0..2)];
        let [third, fourth, fifth] = [step(0..2), step(0..2), step(0..2)];
        assert_eq!([first[0], second[0]], [third[0]; 2]);
        assert_ne!(third[0], fourth[0], "the first environment has new noise after 3 steps");
        assert_eq!([second[1], third[1]], [fourth[1]; 2]);
        assert_ne!(fourth[1], fifth[1], "the second one began a step later");
        assert_eq!(fourth[0], fifth[0]);
        assert_ne!(first[0], second[1], "every environment has noise of its own");
    }

    #[test]
    fn environments_hold_their_own_noise_whatever_group_they_step_in() {
        let spec = RepeatedSpec {
            exponent: 0.0,
            longest: 1000,
        };
        let mut exploration = ExplorationSpec::Repeated(spec).build().unwrap();
        let mut stream = Stream::derive(3, "explore", 0);
        let draw = |stream: &mut Stream| stream.normal(&[1, 1], Device::Cpu);
        let all = exploration.noise(0..4, &mut stream, draw);
        let of = |tensor: Tensor| Vec::<f32>::try_from(tensor.view([-1])).unwrap();
        let part = exploration.noise(1..3, &mut stream, draw);
        assert_eq!(of(all)[1..3], of(part));
    }
}
