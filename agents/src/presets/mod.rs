//! Named algorithms: published recipes as data, each value with its source.

/// A recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What `--algo` takes.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// TOML, with the sources as comments.
    pub toml: &'static str,
}

/// Every preset.
pub const ALL: &[Preset] = &[
    Preset {
        name: "sac",
        summary: "Soft Actor-Critic with a learned temperature (Haarnoja et al. 2018b)",
        toml: include_str!("sac.toml"),
    },
    Preset {
        name: "redq",
        summary: "Ten critics, targets from two of them drawn at random, 20 updates per step (Chen et al. 2021)",
        toml: include_str!("redq.toml"),
    },
    Preset {
        name: "droq",
        summary: "Two critics with dropout and layer normalisation, 20 updates per step (Hiraoka et al. 2022)",
        toml: include_str!("droq.toml"),
    },
];

/// The preset called `name`.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
