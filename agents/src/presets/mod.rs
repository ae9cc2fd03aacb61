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
    Preset {
        name: "sac-v1",
        summary: "Soft Actor-Critic as first published, with a state value (Haarnoja et al. 2018a)",
        toml: include_str!("sac_v1.toml"),
    },
    Preset {
        name: "tqc",
        summary: "Truncated quantile critics (Kuznetsov et al. 2020)",
        toml: include_str!("tqc.toml"),
    },
    Preset {
        name: "dsac",
        summary: "Distributional Soft Actor-Critic (Duan et al. 2021)",
        toml: include_str!("dsac.toml"),
    },
    Preset {
        name: "dsac-t",
        summary: "DSAC with three refinements, updates as often as SAC's (Duan et al. 2025)",
        toml: include_str!("dsac_t.toml"),
    },
    Preset {
        name: "dsac-t-paper",
        summary: "The same under its authors' protocol, one update per 20 env steps",
        toml: include_str!("dsac_t_paper.toml"),
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
