//! `cargo xtask deny`: the rules of the architecture. Most are words that must not occur in some files; the others are
//! about imports.

mod imports;
mod source;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use source::View;

/// A claim about the code that holds if some patterns do not occur.
struct Rule {
    /// The claim in words.
    claim: &'static str,
    /// Files, or folders with a final `/`, whose `.rs` files are searched.
    paths: &'static [&'static str],
    /// Patterns that must not occur.
    patterns: &'static [Pattern],
    /// Files, or folders with a final `/`, in which they may occur.
    except: &'static [&'static str],
}

/// A search pattern. Comments, and tests at the end of a file, are not searched.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    /// This text anywhere in code outside of strings.
    Text(&'static str),
    /// This text outside of strings, not as a part of a longer identifier.
    Word(&'static str),
    /// A string with the id of an environment, such as Gymnasium's for CartPole.
    EnvironmentId,
    /// This text anywhere in a file that is not Rust.
    Raw(&'static str),
}

use Pattern::{EnvironmentId, Raw, Text, Word};

const RULES: &[Rule] = &[
    Rule {
        claim: "envs does not depend on tch, agents or runs (A1)",
        paths: &["envs/Cargo.toml"],
        patterns: &[Raw("tch"), Raw("torch-sys"), Raw("sac-agents")],
        except: &[],
    },
    Rule {
        claim: "kernels knows nothing of tch, agents or environments (A10)",
        paths: &["kernels/Cargo.toml"],
        patterns: &[Raw("tch"), Raw("torch-sys"), Raw("sac-agents"), Raw("sac-envs")],
        except: &[],
    },
    Rule {
        claim: "report and xtask know nothing of tch, agents or environments (A10)",
        paths: &["report/Cargo.toml", "xtask/Cargo.toml"],
        patterns: &[
            Raw("tch"),
            Raw("torch-sys"),
            Raw("sac-agents"),
            Raw("sac-envs"),
            Raw("sac-rl"),
        ],
        except: &[],
    },
    Rule {
        claim: "policy knows nothing of tch, agents or environments (A10)",
        paths: &["policy/Cargo.toml"],
        patterns: &[Raw("tch"), Raw("torch-sys"), Raw("sac-agents"), Raw("sac-envs")],
        except: &[],
    },
    Rule {
        claim: "cli knows nothing of tch, agents or environments (A10)",
        paths: &["cli/Cargo.toml"],
        patterns: &[Raw("tch"), Raw("torch-sys"), Raw("sac-agents"), Raw("sac-envs")],
        except: &[],
    },
    Rule {
        claim: "agents names no concrete environment outside tests (A2)",
        paths: &["agents/src/"],
        patterns: &[
            Text("sac_envs::classic"),
            Text("sac_envs::mujoco"),
            Text("sac_envs::entity"),
            Text("sac_envs::probe"),
            EnvironmentId,
        ],
        except: &[],
    },
    Rule {
        // Commands may use tch for devices and a few tensors (threads, versions, timings), but no networks.
        claim: "only src/assemble.rs uses concrete types of both envs and agents (A3)",
        paths: &["src/"],
        patterns: &[
            Text("sac_envs::classic"),
            Text("sac_envs::mujoco"),
            Text("sac_envs::entity"),
            Text("sac_envs::probe"),
            Text("tch::nn"),
            Text("sac_agents::nn"),
        ],
        except: &["src/assemble.rs", "src/assemble/"],
    },
    Rule {
        claim: "no function draws random numbers except from a generator that it was given (A4)",
        paths: &["agents/src/"],
        patterns: &[
            Text("randn"),
            Text("rand_like"),
            Text("manual_seed"),
            Text("dropout("),
            Text("kaiming"),
            Text("Tensor::rand"),
            Text(".uniform_("),
            Text(".normal_("),
            Text("bernoulli"),
            Text("multinomial"),
        ],
        except: &["agents/src/noise.rs"],
    },
    Rule {
        claim: "an update does no I/O, reads no clock, extracts no scalar (A7)",
        paths: &[
            "agents/src/soft_actor_critic.rs",
            "agents/src/critic/",
            "agents/src/policy/",
        ],
        patterns: &[
            Text("double_value"),
            Text("int64_value"),
            Text("f64::try_from"),
            Text("println"),
            Text("std::fs"),
            Word("Instant"),
            Word("SystemTime"),
        ],
        except: &[],
    },
    Rule {
        // A network is told once, when it is built, how its passes are computed.
        claim: "the mathematics has no fast paths (A12)",
        paths: &[
            "agents/src/soft_actor_critic.rs",
            "agents/src/losses.rs",
            "agents/src/temperature.rs",
            "agents/src/critic/",
            "agents/src/policy/",
        ],
        patterns: &[Text("slices::"), Text("sac_kernels::"), Word("fused"), Text("is_fused")],
        except: &["agents/src/critic/network.rs"],
    },
    Rule {
        claim: "an episode is terminated or truncated, and `done` means neither",
        paths: &["agents/src/"],
        patterns: &[Word("done"), Word("dones"), Word("is_done")],
        except: &[],
    },
    Rule {
        claim: "there is no unfinished code",
        paths: &[
            "src/",
            "agents/src/",
            "cli/src/",
            "envs/src/",
            "kernels/src/",
            "policy/src/",
            "report/src/",
            "xtask/src/",
        ],
        patterns: &[Word("todo!"), Word("unimplemented!"), Word("dbg!")],
        except: &[],
    },
];

/// Folders of packages whose files must not import each other in a circle.
const WITHOUT_CIRCLES: &[&str] = &[
    "agents/src",
    "cli/src",
    "envs/src",
    "kernels/src",
    "policy/src",
    "report/src",
    "src",
    "xtask/src",
];

/// Checks the rules on the workspace at `root` and prints which of them hold. The error lists each offence with its
/// place.
pub fn check(root: &Path) -> Result<()> {
    let mut offences = Vec::new();
    let mut report = |claim: &str, found: Vec<String>| {
        say!("    {}  {claim}", if found.is_empty() { "holds " } else { "BROKEN" });
        offences.extend(found);
    };
    for (rule, found) in all_offences(root)? {
        report(rule.claim, found);
    }
    for folder in WITHOUT_CIRCLES {
        report(
            &format!("no files of {folder} import each other in a circle"),
            imports::circles(root, folder)?,
        );
    }
    if offences.is_empty() {
        return Ok(());
    }
    bail!(
        "{} offences against the rules of xtask/src/deny.rs:\n  {}",
        offences.len(),
        offences.join("\n  ")
    )
}

fn all_offences(root: &Path) -> Result<Vec<(&'static Rule, Vec<String>)>> {
    RULES
        .iter()
        .map(|rule| Ok((rule, offences_against(root, rule)?)))
        .collect()
}

fn offences_against(root: &Path, rule: &Rule) -> Result<Vec<String>> {
    let mut offences = Vec::new();
    for path in rule.paths {
        let start = root.join(path);
        if !start.exists() {
            // A rule about no files would always hold.
            offences.push(format!("{path} does not exist, but the rule `{}` names it", rule.claim));
            continue;
        }
        let mut files = Vec::new();
        collect(&start, &mut files)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().into_owned();
            let is_unit_tests = name.contains("/src/") && name.ends_with("/tests.rs");
            if is_unit_tests
                || rule
                    .except
                    .iter()
                    .any(|except| name == *except || except.ends_with('/') && name.starts_with(except))
            {
                continue;
            }
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {name}"))?;
            let is_rust = name.ends_with(".rs");
            for pattern in rule.patterns {
                for line in pattern.lines(&text, is_rust) {
                    offences.push(format!("{name}:{line}: {} - {}", pattern.describe(), rule.claim));
                }
            }
        }
    }
    Ok(offences)
}

fn collect(path: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "rs") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

impl Pattern {
    /// Numbers, from 1, of the lines in which it occurs.
    fn lines(self, text: &str, is_rust: bool) -> Vec<usize> {
        let text = match (self, is_rust) {
            (Raw(_), false) => text.to_owned(),
            (Raw(_), true) | (_, false) => return Vec::new(),
            (EnvironmentId, true) => source::view(text, View::CodeAndStrings),
            (Text(_) | Word(_), true) => source::view(text, View::Code),
        };
        let numbered = text.lines().enumerate().filter(|(_, line)| self.is_in(line));
        numbered.map(|(index, _)| index + 1).collect()
    }

    fn is_in(self, line: &str) -> bool {
        match self {
            Text(text) | Raw(text) => line.contains(text),
            Word(word) => line.match_indices(word).any(|(at, _)| {
                let is_part = |c: char| c.is_alphanumeric() || c == '_';
                !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
            }),
            EnvironmentId => line.split('"').skip(1).step_by(2).any(is_environment_id),
        }
    }

    fn describe(self) -> String {
        match self {
            Text(text) | Word(text) | Raw(text) => format!("`{text}`"),
            EnvironmentId => "an environment's id".into(),
        }
    }
}

/// Whether a text is an id such as `Name-v0`.
fn is_environment_id(text: &str) -> bool {
    let Some((name, version)) = text.rsplit_once("-v") else {
        return false;
    };
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !version.is_empty()
        && version.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates a workspace in which every rule holds and every path exists.
    fn workspace() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("temporary folder");
        for (path, text) in [
            ("envs/Cargo.toml", "[dependencies]\nrand = \"0.10\"\n"),
            ("envs/src/lib.rs", ""),
            ("kernels/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            ("kernels/src/lib.rs", ""),
            ("cli/Cargo.toml", "[dependencies]\nsac-report.workspace = true\n"),
            ("cli/src/lib.rs", ""),
            ("policy/Cargo.toml", "[dependencies]\nsac-kernels.workspace = true\n"),
            ("policy/src/lib.rs", ""),
            ("report/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            ("report/src/lib.rs", ""),
            ("src/main.rs", "fn main() {}\n"),
            ("xtask/Cargo.toml", "[dependencies]\nsac-report.workspace = true\n"),
            ("xtask/src/main.rs", ""),
            ("agents/src/noise.rs", "fn draw() { Tensor::randn([1], kind) }\n"),
            (
                "agents/src/soft_actor_critic.rs",
                "//! When all is done, println the report.\n",
            ),
            (
                "agents/src/critic/mod.rs",
                "#[cfg(test)]\nmod tests { fn t() { x.double_value(&[]); make(\"CartPole-v1\") } }\n",
            ),
            ("agents/src/critic/scalar/tests.rs", "fn t() { x.double_value(&[]) }\n"),
            ("agents/src/policy/mod.rs", "const S: &str = \"done! randn\";\n"),
            ("agents/src/lib.rs", ""),
            ("agents/src/losses.rs", ""),
            ("agents/src/temperature.rs", "//! The fused form is elsewhere.\n"),
            ("agents/src/critic/network.rs", "use crate::fused;\n"),
        ] {
            put(root.path(), path, text);
        }
        root
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("has a folder")).expect("writable");
        fs::write(path, text).expect("writable");
    }

    /// All offences, one per line.
    fn offences(root: &Path) -> String {
        let all = all_offences(root).expect("readable");
        all.into_iter()
            .flat_map(|(_, found)| found)
            .collect::<Vec<_>>()
            .join("\n")
    }

    #[test]
    fn a_clean_workspace_keeps_every_rule() {
        assert_eq!(offences(workspace().path()), "");
    }

    #[test]
    fn each_rule_finds_its_offence_with_file_and_line() {
        let cases = [
            (
                "envs/Cargo.toml",
                "[dependencies]\ntch.workspace = true\n",
                "envs/Cargo.toml:2",
                "(A1)",
            ),
            (
                "kernels/Cargo.toml",
                "[dependencies]\nsac-envs.workspace = true\n",
                "kernels/Cargo.toml:2",
                "(A10)",
            ),
            (
                "cli/Cargo.toml",
                "[dependencies]\nsac-envs.workspace = true\n",
                "cli/Cargo.toml:2",
                "(A10)",
            ),
            (
                "policy/Cargo.toml",
                "[dependencies]\ntch.workspace = true\n",
                "policy/Cargo.toml:2",
                "(A10)",
            ),
            (
                "report/Cargo.toml",
                "[dependencies]\nsac-agents.workspace = true\n",
                "report/Cargo.toml:2",
                "(A10)",
            ),
            (
                "xtask/Cargo.toml",
                "[dependencies]\nsac-rl.workspace = true\n",
                "xtask/Cargo.toml:2",
                "(A10)",
            ),
            (
                "agents/src/losses.rs",
                "use crate::slices::as_slice;\n",
                "agents/src/losses.rs:1",
                "(A12)",
            ),
            (
                "kernels/src/product.rs",
                "\nfn f() { todo!() }\n",
                "kernels/src/product.rs:2",
                "unfinished",
            ),
            (
                "agents/src/agent.rs",
                "use sac_envs::classic::Pendulum;\n",
                "agents/src/agent.rs:1",
                "(A2)",
            ),
            (
                "agents/src/agent.rs",
                "\nlet e = make(\"CartPole-v1\");\n",
                "agents/src/agent.rs:2",
                "(A2)",
            ),
            (
                "src/commands/train.rs",
                "use sac_envs::mujoco::Ant;\n",
                "src/commands/train.rs:1",
                "(A3)",
            ),
            (
                "agents/src/nn/linear.rs",
                "let w = Tensor::randn(&[2], kind);\n",
                "agents/src/nn/linear.rs:1",
                "(A4)",
            ),
            (
                "agents/src/critic/scalar.rs",
                "\n\nlet t = Instant::now();\n",
                "agents/src/critic/scalar.rs:3",
                "(A7)",
            ),
            (
                "agents/src/batch.rs",
                "let done = status == Terminated;\n",
                "agents/src/batch.rs:1",
                "`done`",
            ),
            (
                "envs/src/env.rs",
                "fn f() { todo!() }\n",
                "envs/src/env.rs:1",
                "unfinished",
            ),
        ];
        for (path, text, place, claim) in cases {
            let root = workspace();
            put(root.path(), path, text);
            let found = offences(root.path());
            assert!(
                found.contains(place) && found.contains(claim),
                "{place}, {claim}: {found}"
            );
        }
    }

    #[test]
    fn files_that_import_each_other_in_a_circle_are_an_offence() {
        let root = workspace();
        check(root.path()).expect("no offences yet");
        put(root.path(), "envs/src/lib.rs", "mod a;\nmod b;\n");
        put(root.path(), "envs/src/a.rs", "use crate::b::B;\n");
        put(
            root.path(),
            "envs/src/b.rs",
            "pub struct B;\nfn f() { crate::a::g() }\n",
        );
        let found = check(root.path()).expect_err("a circle").to_string();
        assert!(found.contains("envs/src/b.rs:2 imports crate::a::g"), "{found}");
    }

    #[test]
    fn a_rule_whose_path_is_gone_is_an_offence() {
        let root = workspace();
        fs::remove_file(root.path().join("agents/src/soft_actor_critic.rs")).expect("there");
        let found = offences(root.path());
        assert!(found.contains("does not exist"), "{found}");
    }

    #[test]
    fn a_longer_identifier_is_another_word() {
        assert!(!Word("done").is_in("let abandoned = undone_work;"));
        assert!(Word("done").is_in("if x.done {"));
        assert!(is_environment_id("HalfCheetah-v5"));
        assert!(!is_environment_id("sac-v1"));
        assert!(!is_environment_id("Mean-value"));
    }
}
