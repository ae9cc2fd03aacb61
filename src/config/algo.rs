//! The presets by name: [`Algo`].

use std::{fmt, str::FromStr};

use sac_agents::presets::{self, Preset};
use sac_report::suggest::nearest;
use serde::{Deserialize, Serialize};

use super::error::ConfigError;

macro_rules! algos {
    ($($(#[$attribute:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// A preset: a published recipe, each value with its source. `sac algos` lists them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Algo {
            $($(#[$attribute])* #[serde(rename = $name)] $variant,)+
        }

        impl Algo {
            /// Every preset.
            pub const ALL: &[Algo] = &[$(Algo::$variant),+];

            /// The name in files and on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Algo::$variant => $name,)+
                }
            }
        }
    };
}

algos! {
    /// Soft Actor-Critic with a learned temperature.
    #[default]
    Sac = "sac",
    /// Ten critics, 20 updates per step.
    Redq = "redq",
    /// Critics with dropout, 20 updates per step.
    Droq = "droq",
    /// Soft Actor-Critic as first published.
    SacV1 = "sac-v1",
    /// Truncated quantile critics.
    Tqc = "tqc",
    /// Batch-normalised residual blocks with unit weights and a categorical critic.
    FlashSac = "flashsac",
    /// The same with smaller networks.
    FlashSacSmall = "flashsac-small",
    /// Batch-normalised perceptrons with unit weights and a categorical critic.
    Xqc = "xqc",
    /// The same with smaller networks.
    XqcSmall = "xqc-small",
    /// Batch renormalisation instead of target parameters.
    CrossQ = "crossq",
    /// The same with smaller networks.
    CrossQSmall = "crossq-small",
    /// Residual blocks with layer normalisation, normalised observations and decaying weights.
    Simba = "simba",
    /// The same with smaller networks.
    SimbaSmall = "simba-small",
    /// Residual networks with features and weights of unit norm, and a categorical critic.
    SimbaV2 = "simbav2",
    /// The same with smaller networks.
    SimbaV2Small = "simbav2-small",
    /// Regularised residual networks, quantile critics, many updates and resets.
    Bro = "bro",
    /// The same with smaller networks.
    BroSmall = "bro-small",
    /// Distributional Soft Actor-Critic.
    Dsac = "dsac",
    /// DSAC with three refinements, one update per env step.
    DsacT = "dsac-t",
    /// DSAC-T as published.
    DsacTPaper = "dsac-t-paper",
    /// DSAC-T with the loss of its authors' code since July 2025.
    DsacT2025 = "dsac-t-2025",
    /// SAC with the critic of DSAC-T.
    DsacTHybrid = "dsac-t-hybrid",
    /// SAC with band-limited target critics.
    BlSac = "bl-sac",
    /// SAC from pixels, for a CPU.
    SacPixels = "sac-pixels",
    /// SAC from randomly shifted pixels, for a GPU.
    Drq = "drq",
    /// SAC for discrete actions that can be enumerated.
    SacDiscrete = "sac-discrete",
    /// SAC for discrete actions as published.
    SacDiscretePaper = "sac-discrete-paper",
    /// SAC for discrete actions, drawn by Gumbel-Softmax.
    SacGumbel = "sac-gumbel",
}

impl Algo {
    /// Its settings and their sources.
    pub fn preset(self) -> &'static Preset {
        presets::by_name(self.name()).expect("every algorithm names a preset: a test compares the lists")
    }
}

impl fmt::Display for Algo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algo {
    type Err = ConfigError;

    /// # Errors
    /// [`ConfigError::UnknownAlgo`], with the nearest known name.
    fn from_str(name: &str) -> Result<Self, ConfigError> {
        let algo = Algo::ALL.iter().copied().find(|algo| algo.name() == name);
        algo.ok_or_else(|| ConfigError::UnknownAlgo {
            name: name.to_string(),
            suggestion: nearest(name, Algo::ALL.iter().map(|algo| algo.name())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithms_are_the_presets() {
        let algos: Vec<&str> = Algo::ALL.iter().map(|algo| algo.name()).collect();
        let presets: Vec<&str> = presets::ALL.iter().map(|preset| preset.name).collect();
        assert_eq!(algos, presets);
    }
}
