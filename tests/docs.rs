//! Prose and shipped files, held to the code.

use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{folder, pages, sac};
use sac::{
    Registry,
    agents::{AgentSpec, ReplaySpec, metrics, presets},
    config::{Config, Layers, Origin, SHIPPED, Settings, preset_layers},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backticks, outside of fenced blocks.
fn quoted(markdown: &str) -> Vec<String> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    found
}

/// Lines of fenced blocks.
fn fenced(markdown: &str) -> Vec<String> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            found.push(line.trim().to_string());
        }
    }
    found
}

/// Top folders and files that a path of this repository begins with.
const TOPS: &[&str] = &[
    "src", "agents", "kernels", "envs", "xtask", "configs", "docs", "tests", "examples", "benches", "policy", "python",
    "report", "cli", ".ci", ".cargo",
];

/// A path of the repository, if the word is one: no placeholders, no spaces.
fn as_path(word: &str) -> Option<&str> {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let (top, rest) = word.split_once('/').unwrap_or((word, ""));
    let is_file = ["rs", "toml", "md", "py", "txt"]
        .iter()
        .any(|extension| word.ends_with(&format!(".{extension}")));
    let names_something = word.contains('/') && (word.ends_with('/') || is_file || !rest.is_empty());
    (is_plain && TOPS.contains(&top) && names_something).then_some(word)
}

#[test]
fn every_path_in_prose_exists() {
    let mut checked = 0;
    let mut missing = Vec::new();
    for page in pages() {
        for word in quoted(&text(&page)) {
            if let Some(path) = as_path(&word) {
                checked += 1;
                if !root().join(path).exists() {
                    missing.push(format!("{page}: `{path}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "these are gone:\n{}", missing.join("\n"));
    assert!(checked > 50, "only {checked} paths were found");
}

#[test]
fn every_link_in_prose_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let folder = root().join(&page);
        let folder = folder.parent().expect("a folder");
        for link in text(&page)
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next().map(str::to_string))
        {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_code_map_names_every_module() {
    let map = text("ARCHITECTURE.md");
    let words = quoted(&map);
    let mut missing = Vec::new();
    for source in ["src", "agents/src", "cli/src", "envs/src"] {
        for entry in fs::read_dir(root().join(source)).expect("there").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // What every crate has, and what the code map may leave to the reader.
            let is_plumbing = [
                "lib.rs",
                "error.rs",
                "panics.rs",
                "snapshot.rs",
                "agent_check.rs",
                "slices.rs",
                "spec_problems.rs",
                "report.rs",
                "process.rs",
            ];
            if is_plumbing.contains(&name.as_str()) {
                continue;
            }
            let path = format!("{source}/{name}");
            if !words
                .iter()
                .any(|word| *word == path || word.starts_with(&format!("{path}/")))
            {
                missing.push(path);
            }
        }
    }
    assert!(
        missing.is_empty(),
        "not in the code map of ARCHITECTURE.md: {missing:?}"
    );
}

#[test]
fn every_metric_is_explained_and_nothing_else_is() {
    let page = text("docs/metrics.md");
    let explained: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|tag| {
            [
                "rollout/",
                "env/",
                "time/",
                "train/",
                "replay/",
                "eval/",
                "{part}/",
                "{encoder}/",
            ]
            .iter()
            .any(|group| tag.starts_with(group))
        })
        .collect();
    let known: BTreeSet<&str> = metrics::ALL.iter().chain(metrics::IMAGES).copied().collect();
    assert_eq!(explained, known, "docs/metrics.md against sac_agents::metrics");
}

#[test]
fn every_shipped_experiment_resolves_and_is_what_its_path_says() {
    let registry = Registry::builtin();
    assert!(!SHIPPED.is_empty());
    for shipped in SHIPPED {
        let mut alone = Layers::default();
        alone
            .add_toml(Origin::Shipped(shipped.path.to_string()), shipped.toml)
            .expect("TOML");
        let env = alone.get("env.id").and_then(|id| id.as_str());
        let env = env.unwrap_or_else(|| panic!("{} works with --config too: it names its environment", shipped.path));
        let algo = shipped
            .path
            .trim_end_matches(".toml")
            .rsplit('/')
            .next()
            .expect("a name");
        assert_eq!(
            sac::config::shipped(env, algo),
            Some(shipped),
            "{env} and {algo} lead to it"
        );
        if env.starts_with("py:") {
            // Resolving it needs a Python with the environment.
            let layers = sac::config::layers(env, algo).unwrap_or_else(|error| panic!("{}: {error}", shipped.path));
            let (settings, issues) = layers.read(&registry.catalog);
            assert!(issues.is_empty(), "{}: {issues:?}", shipped.path);
            assert_eq!(settings.env.id, env, "{}", shipped.path);
        } else {
            let config =
                sac::configure(&registry, env, algo, &[]).unwrap_or_else(|error| panic!("{}: {error}", shipped.path));
            let found = (config.env.id.as_str(), config.algo.name());
            assert_eq!(found, (env, algo), "{}", shipped.path);
        }
        assert_eq!(
            text(shipped.path),
            shipped.toml,
            "the binary carries the file of this checkout"
        );
    }
    let on_disk = fs::read_dir(root().join("configs")).expect("there").flatten();
    let on_disk: usize = on_disk
        .filter(|folder| folder.file_name() != "experiments") // runs for docs/curves
        .map(|folder| fs::read_dir(folder.path()).map_or(0, Iterator::count))
        .sum();
    assert_eq!(on_disk, SHIPPED.len(), "every file in configs/ ships");
}

#[test]
fn what_a_shipped_experiment_changes_it_explains() {
    for shipped in SHIPPED {
        for line in shipped
            .toml
            .lines()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        {
            let is_explained = line.contains("  #") || line.starts_with("id = ");
            assert!(is_explained, "{}: no reason behind `{line}`", shipped.path);
        }
    }
}

#[test]
fn every_value_of_a_preset_has_its_source() {
    for preset in presets::ALL {
        for line in preset
            .toml
            .lines()
            .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        {
            // A choice that the lines below it spell out needs none of its own.
            let is_choice = line.starts_with("encoder = ") || line.starts_with("kind = ");
            assert!(
                is_choice || line.contains(" # "),
                "{}: no source behind `{line}`",
                preset.name
            );
        }
    }
}

#[test]
fn the_defaults_of_the_library_are_the_sac_preset() {
    let (settings, issues) = preset_layers("sac").expect("there").read(&sac::Catalog::default());
    assert_eq!(issues, []);
    assert_eq!(settings.agent, AgentSpec::default());
    assert_eq!(settings.replay, ReplaySpec::default());
    assert_eq!(settings, Settings::default(), "an empty file is the preset as well");
    let registry = Registry::builtin();
    let mut layers = preset_layers("sac").expect("there");
    layers.set(Origin::Set, "env.id", "Pendulum-v1");
    Config::resolve(&layers, &registry).expect("the preset alone resolves");
}

#[test]
fn defaults_in_tables_are_those_of_the_program() {
    let tables: Vec<_> = pages()
        .iter()
        .flat_map(|page| crate::defaults::tables(page, &text(page)))
        .collect();
    assert!(tables.len() > 10, "only {} tables of defaults were found", tables.len());
    for table in tables {
        table.check();
    }
}

#[test]
fn every_setting_has_a_line_in_the_page_on_configuration() {
    let page = "docs/configuration.md";
    let documented: BTreeSet<String> = crate::defaults::tables(page, &text(page))
        .iter()
        .flat_map(crate::defaults::Table::keys)
        .collect();
    let known = crate::defaults::keys_of_a_configuration();
    assert!(known.len() > 50, "only {} keys", known.len());
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "{page} has no line for {missing:?}");
}

#[test]
fn defaults_of_wrappers_are_those_of_the_program() {
    let page = text("docs/wrappers.md");
    let (_, table) = page
        .split_once("<!-- wrappers -->")
        .expect("docs/wrappers.md marks its table");
    let here = folder();
    let mut checked = 0;
    for line in table.trim_start().lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(kind) = quoted(cells[1]).into_iter().next() else {
            continue;
        };
        let parameters = quoted(cells[2]).join(", ");
        let steps = |wrapper: String| {
            let wrappers = format!("wrappers=[{wrapper}]");
            let arguments = ["rollout", "--env", "Pendulum-v1", "--steps", "4", "--set", &wrappers];
            sac(here.path(), &arguments).ok().stdout
        };
        let written_out = steps(format!("{{kind=\"{kind}\", {parameters}}}"));
        assert!(
            steps(format!("{{kind=\"{kind}\"}}")) == written_out,
            "docs/wrappers.md has other defaults of `{kind}` than the program: {parameters}"
        );
        checked += 1;
    }
    assert!(checked >= 7, "only {checked} wrappers were found");
}

/// The program of the README is a part of an example, which runs.
#[test]
fn the_readme_shows_the_library_example() {
    let example = text("examples/library.rs");
    let (from, to) = ("// README: from here\n", "    // README: to here\n");
    let shown = example.split(from).nth(1).and_then(|rest| rest.split(to).next());
    let shown = shown.expect("the example marks what the README shows").trim_end();
    let readme = text("README.md");
    let programs: Vec<&str> = readme
        .split("```rust\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let expected = format!("{shown}\n    Ok(())\n}}\n");
    assert!(
        programs.contains(&expected.as_str()),
        "README.md has to show, in a block of Rust:\n{expected}"
    );
}

/// A command line of `sac` in prose: its words behind `sac`.
fn as_command(line: &str) -> Option<Vec<String>> {
    let line = line.strip_prefix("$ ").unwrap_or(line);
    let rest = line.strip_prefix("cargo sac ").or_else(|| line.strip_prefix("sac "))?;
    let words = rest
        .split('#')
        .next()?
        .split_whitespace()
        .map(str::to_string)
        .collect::<Vec<_>>();
    words
        .first()
        .is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        .then_some(words)
}

#[test]
fn every_command_in_prose_exists_with_its_flags() {
    let here = folder();
    let mut helps = std::collections::BTreeMap::new();
    let mut checked = 0;
    for page in pages() {
        let markdown = text(&page);
        for line in fenced(&markdown).into_iter().chain(quoted(&markdown)) {
            let Some(words) = as_command(&line) else { continue };
            let depth = if words[0] == "bench" { 2 } else { 1 };
            let command: Vec<String> = words
                .iter()
                .take(depth)
                .filter(|word| !word.starts_with('-'))
                .cloned()
                .collect();
            let help = helps.entry(command.clone()).or_insert_with(|| {
                let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
                arguments.push("--help");
                let said = sac(here.path(), &arguments);
                assert_eq!(said.code, Some(0), "{page}: `{line}`: {said}");
                said.stdout
            });
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                let flag = flag.split(['=', ']', '|']).next().expect("split gives one");
                assert!(help.contains(flag), "{page}: `{line}`: there is no {flag}");
            }
            checked += 1;
        }
    }
    assert!(checked > 5, "only {checked} commands were found");
}
