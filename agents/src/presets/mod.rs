//! Presets: the settings of published algorithms as TOML files, with the source of each value.

use sac_envs::Space;

use crate::policy::PolicySpec;

/// The settings of a published algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name for `--algo`.
    pub name: &'static str,
    /// A description in one line.
    pub summary: &'static str,
    /// The settings in TOML, with sources as comments. For a name that ends in `-small`, what differs from the preset whose
    /// name is the rest.
    pub toml: &'static str,
}

/// All presets.
pub const ALL: &[Preset] = &[
    Preset {
        name: "sac",
        summary: "Soft Actor-Critic with a learned temperature (Haarnoja et al. 2018b)",
        toml: include_str!("sac.toml"),
    },
    Preset {
        name: "redq",
        summary: "Ten critics, targets from a random pair, 20 updates per step (Chen et al. 2021)",
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
        name: "flashsac",
        summary: "Batch-normalised residual blocks with unit weights and a categorical critic (FlashSAC 2026)",
        toml: include_str!("flashsac.toml"),
    },
    Preset {
        name: "flashsac-small",
        summary: "flashsac with networks of half the width and half the batch, for machines without a GPU",
        toml: include_str!("flashsac_small.toml"),
    },
    Preset {
        name: "xqc",
        summary: "Batch-normalised perceptrons with unit weights and a categorical critic (Palenicek et al. 2025)",
        toml: include_str!("xqc.toml"),
    },
    Preset {
        name: "xqc-small",
        summary: "xqc with networks of half the width, for machines without a GPU",
        toml: include_str!("xqc_small.toml"),
    },
    Preset {
        name: "crossq",
        summary: "Batch renormalisation instead of target parameters (Bhatt et al. 2024)",
        toml: include_str!("crossq.toml"),
    },
    Preset {
        name: "crossq-small",
        summary: "crossq with critics of a quarter of the width, for machines without a GPU",
        toml: include_str!("crossq_small.toml"),
    },
    Preset {
        name: "simba",
        summary: "Residual blocks with layer normalisation, normalised observations, decaying weights (Lee et al. 2024)",
        toml: include_str!("simba.toml"),
    },
    Preset {
        name: "simba-small",
        summary: "simba with a critic of a quarter and a policy of half the width, for machines without a GPU",
        toml: include_str!("simba_small.toml"),
    },
    Preset {
        name: "simbav2",
        summary: "Residual blocks with features and weights of unit norm, and a categorical critic (Lee et al. 2025)",
        toml: include_str!("simbav2.toml"),
    },
    Preset {
        name: "simbav2-small",
        summary: "simbav2 with a critic of a quarter and a policy of half the width, for machines without a GPU",
        toml: include_str!("simbav2_small.toml"),
    },
    Preset {
        name: "bro",
        summary: "Regularised residual networks, quantile critics, ten updates per step, resets (Nauman et al. 2024)",
        toml: include_str!("bro.toml"),
    },
    Preset {
        name: "bro-small",
        summary: "bro with networks of half the width and a fifth of the updates, for machines without a GPU",
        toml: include_str!("bro_small.toml"),
    },
    Preset {
        name: "dsac",
        summary: "Distributional Soft Actor-Critic (Duan et al. 2021)",
        toml: include_str!("dsac.toml"),
    },
    Preset {
        name: "dsac-t",
        summary: "DSAC with three refinements, one update per env step as in its authors' port (Duan et al. 2025)",
        toml: include_str!("dsac_t.toml"),
    },
    Preset {
        name: "dsac-t-paper",
        summary: "DSAC-T as published, one update per 20 env steps (Duan et al. 2025)",
        toml: include_str!("dsac_t_paper.toml"),
    },
    Preset {
        name: "dsac-t-2025",
        summary: "dsac-t-paper with the loss that its authors' code has since July 2025",
        toml: include_str!("dsac_t_2025.toml"),
    },
    Preset {
        name: "dsac-t-hybrid",
        summary: "sac with the critic of DSAC-T",
        toml: include_str!("dsac_t_hybrid.toml"),
    },
    Preset {
        name: "bl-sac",
        summary: "sac with band-limited target critics (from the abstract of Campo et al. 2020)",
        toml: include_str!("bl_sac.toml"),
    },
    Preset {
        name: "sac-pixels",
        summary: "sac from pixels, small enough for a CPU (after Kostrikov et al. 2020)",
        toml: include_str!("sac_pixels.toml"),
    },
    Preset {
        name: "drq",
        summary: "sac from pixels with random shifts, for a GPU (Kostrikov et al. 2020)",
        toml: include_str!("drq.toml"),
    },
    Preset {
        name: "sac-discrete",
        summary: "sac for discrete actions that can be enumerated (after Christodoulou 2019)",
        toml: include_str!("sac_discrete.toml"),
    },
    Preset {
        name: "sac-discrete-paper",
        summary: "sac for discrete actions with the paper's settings for Atari (Christodoulou 2019)",
        toml: include_str!("sac_discrete_paper.toml"),
    },
    Preset {
        name: "sac-gumbel",
        summary: "sac for discrete actions, with Gumbel-Softmax samples (after Jang et al. 2016)",
        toml: include_str!("sac_gumbel.toml"),
    },
];

/// The preset `name`.
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}

/// Names of the presets whose policies support an action space.
pub fn serving(action: &Space) -> impl Iterator<Item = &'static str> {
    let can_act = |preset: &&'static Preset| preset.policy().is_some_and(|policy| policy.misfit(action).is_none());
    ALL.iter().filter(can_act).map(|preset| preset.name)
}

impl Preset {
    /// The presets whose settings it has, each over those before it: the one that it is a small size of, and itself.
    pub fn layers(&'static self) -> impl Iterator<Item = &'static Preset> {
        let published = self.name.strip_suffix("-small").and_then(by_name);
        published.into_iter().chain([self])
    }

    /// All its settings, as one table.
    ///
    /// # Panics
    /// Never for a preset of [`ALL`]: a test reads them all.
    pub fn table(&'static self) -> toml::Table {
        let mut merged = toml::Table::new();
        for preset in self.layers() {
            merge(&mut merged, preset.toml.parse().expect("a preset is a table"));
        }
        merged
    }

    /// The policy in the preset's file.
    fn policy(&'static self) -> Option<PolicySpec> {
        self.table().get("agent")?.get("policy")?.clone().try_into().ok()
    }
}

/// Puts settings over others; tables are merged key by key.
fn merge(below: &mut toml::Table, above: toml::Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_size_is_a_preset_with_other_sizes() {
        let small = by_name("flashsac-small").expect("a preset").table();
        let mut published = by_name("flashsac").expect("a preset").table();
        assert_eq!(small["agent"]["critic_body"]["width"].as_integer(), Some(128));
        assert_ne!(small, published);
        for (path, size) in [("body", 64), ("critic_body", 128)] {
            published["agent"][path]["width"] = toml::Value::Integer(size);
        }
        published["train"]["batch_size"] = toml::Value::Integer(256);
        assert_eq!(small, published);
    }

    #[test]
    fn every_preset_supports_boxes_or_discrete_spaces() {
        let names = |space: Space| serving(&space).collect::<Vec<_>>();
        let boxes = names(Space::boxed(2, -1.0, 1.0));
        let discrete = names(Space::Discrete { n: 2 });
        assert!(boxes.contains(&"sac") && !boxes.contains(&"sac-discrete"), "{boxes:?}");
        assert_eq!(discrete, ["sac-discrete", "sac-discrete-paper", "sac-gumbel"]);
        assert_eq!(names(Space::MultiDiscrete { n: vec![100, 100] }), ["sac-gumbel"]);
        assert_eq!(boxes.len() + discrete.len(), ALL.len());
        assert!(names(Space::unbounded(1)).is_empty());
    }
}
