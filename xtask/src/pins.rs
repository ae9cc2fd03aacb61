//! [`Pins`]: `xtask/pins.toml`, the files that set-up fetches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::bytes::hex;

/// The content of `xtask/pins.toml`. Every wheel that a part names exists, and every path is inside its folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    pub target: Target,
    #[serde(rename = "part")]
    parts: Vec<Part>,
    #[serde(rename = "wheel")]
    wheels: BTreeMap<String, Wheel>,
}

/// The interpreter and platform of the wheels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub os: String,
    pub arch: String,
    pub python_version: String,
    pub implementation: String,
    pub abi: String,
    pub platforms: Vec<String>,
    pub min_glibc: String,
}

/// A file of the package index.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    pub version: String,
    pub file: String,
    pub sha256: String,
    pub bytes: u64,
}

/// One of the two builds of libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    Cpu,
    Cuda,
}

impl Flavour {
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// A folder of the cache to which `.native/<name>` links. It is either complete or absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub name: String,
    pub flavour: Option<Flavour>,
    pub replaced_by: Option<String>,
    pub replaced_inside: Option<PathBuf>,
    pub unpacked_bytes: u64,
    /// Hash of the list of the part's files with their hashes, which set-up writes; it ties a cache to the pins.
    pub manifest_sha256: Option<String>,
    pub take: Vec<Take>,
    #[serde(default)]
    pub links: Vec<Symlink>,
}

/// Members of a wheel with their destination in the part's folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Take {
    pub wheel: String,
    pub from: String,
    pub to: String,
    pub only: Option<String>,
}

/// A symbolic link that set-up adds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symlink {
    pub path: PathBuf,
    pub target: PathBuf,
}

impl Take {
    /// The destination of a member of the wheel; `None` if this rule does not take it.
    pub fn destination(&self, member: &str) -> Option<PathBuf> {
        if self.only.as_deref().is_some_and(|part| !member.contains(part)) {
            return None;
        }
        if !self.from.ends_with('/') {
            return (member == self.from).then(|| PathBuf::from(&self.to));
        }
        let below = member.strip_prefix(&self.from)?;
        (!below.is_empty()).then(|| Path::new(&self.to).join(below))
    }
}

impl Pins {
    /// Reads and checks `pins.toml`.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let pins: Self = toml::from_str(text)?;
        for part in &pins.parts {
            for take in &part.take {
                ensure!(
                    pins.wheels.contains_key(&take.wheel),
                    "part `{}` takes from the wheel `{}`, which has no [wheel.{}] section",
                    part.name,
                    take.wheel,
                    take.wheel
                );
                ensure!(
                    Path::new(&take.to).starts_with(&part.name) || part.flavour.is_some(),
                    "part `{}` writes to `{}`, outside of its folder",
                    part.name,
                    take.to
                );
                ensure!(
                    is_plain(Path::new(&take.to)),
                    "`{}` is not a plain relative path",
                    take.to
                );
            }
            for link in &part.links {
                ensure!(
                    is_plain(&link.path),
                    "`{}` is not a plain relative path",
                    link.path.display()
                );
            }
        }
        for (name, wheel) in &pins.wheels {
            if wheel.sha256.len() != 64
                || !wheel
                    .sha256
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            {
                bail!("sha256 of the wheel `{name}` is not 64 lower-case hexadecimal digits");
            }
        }
        Ok(pins)
    }

    /// The parts of an installation with this flavour of libtorch, in the order in which they are fetched.
    pub fn parts(&self, flavour: Flavour) -> impl Iterator<Item = &Part> {
        self.parts
            .iter()
            .filter(move |part| part.flavour.is_none_or(|own| own == flavour))
    }

    /// The wheel with this name. `Pins::parse` has checked the names in all parts.
    pub fn wheel(&self, name: &str) -> &Wheel {
        &self.wheels[name]
    }

    /// The distinct names of the wheels of `part`, in the order of its rules.
    pub fn wheels_of<'a>(&self, part: &'a Part) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for take in &part.take {
            if !names.contains(&take.wheel.as_str()) {
                names.push(&take.wheel);
            }
        }
        names
    }

    /// Name of the part's folder in the cache. It changes with the content of the part.
    pub fn key(&self, part: &Part) -> String {
        let mut hasher = Sha256::new();
        for name in self.wheels_of(part) {
            hasher.update(format!("wheel {name} {}\n", self.wheel(name).sha256));
        }
        for take in &part.take {
            hasher.update(format!(
                "take {} {} {} {:?}\n",
                take.wheel, take.from, take.to, take.only
            ));
        }
        for link in &part.links {
            hasher.update(format!("link {} {}\n", link.path.display(), link.target.display()));
        }
        let digest = hex(&hasher.finalize());
        // The last wheel gives the part its version; those before it are its dependencies.
        let version = part
            .take
            .last()
            .map_or("0", |take| self.wheel(&take.wheel).version.as_str());
        let flavour = part
            .flavour
            .map_or(String::new(), |flavour| format!("-{}", flavour.name()));
        format!("{}-{version}{flavour}-{}", part.name, &digest[..12])
    }
}

fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Pins {
        Pins::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("pins.toml")).expect("the shipped pins are valid")
    }

    #[test]
    fn every_flavour_has_the_same_links() {
        for flavour in [Flavour::Cpu, Flavour::Cuda] {
            let pins = shipped();
            let names: Vec<_> = pins.parts(flavour).map(|part| part.name.as_str()).collect();
            assert_eq!(
                names,
                ["gymnasium", "gymnasium-robotics", "mujoco", "cuda-headers", "libtorch"]
            );
        }
    }

    #[test]
    fn the_key_names_the_version_and_follows_the_hash() {
        let mut pins = shipped();
        let part = pins.parts(Flavour::Cpu).last().expect("libtorch is there").clone();
        let before = pins.key(&part);
        assert!(before.starts_with("libtorch-2.11.0-cpu-"), "{before}");
        pins.wheels.get_mut("torch").expect("pinned").sha256 = "0".repeat(64);
        assert_ne!(pins.key(&part), before);
    }

    #[test]
    fn a_folder_rule_keeps_what_is_below_and_a_file_rule_one_member() {
        let take = |from: &str, only: Option<&str>| Take {
            wheel: "w".into(),
            from: from.into(),
            to: "out/".into(),
            only: only.map(Into::into),
        };
        let folder = take("nvidia/", Some(".so"));
        assert_eq!(
            folder.destination("nvidia/cu13/lib/liba.so.1"),
            Some("out/cu13/lib/liba.so.1".into())
        );
        assert_eq!(folder.destination("nvidia/cu13/lib/liba.a"), None);
        assert_eq!(folder.destination("nvidia/"), None);
        assert_eq!(take("a/b.so", None).destination("a/b.so.1"), None);
    }

    #[test]
    fn a_part_that_names_an_unknown_wheel_is_refused() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("pins.toml")).expect("readable");
        let error = Pins::parse(&text.replace("[wheel.mujoco]", "[wheel.mojoco]")).expect_err("no such wheel");
        assert!(format!("{error:#}").contains("no [wheel.mujoco] section"), "{error:#}");
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("pins.toml")).expect("readable");
        let evil = text.replace("to = \"mujoco/lib/libmujoco", "to = \"mujoco/../../libmujoco");
        assert!(Pins::parse(&evil).is_err());
    }
}
