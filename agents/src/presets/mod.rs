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
        name: "bl-sac",
        summary: "sac with band-limited target critics (after the abstract of Campo et al. 2020)",
        toml: include_str!("bl_sac.toml"),
    },
];

/// The preset called `name`.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
