//! `sac card`: a page about a trained policy, to publish beside its exported files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

use sac_cli::args::CardArgs;
use sac_report::{
    data::Data,
    folder, picture,
    summary::{Options, summarise},
};

use super::{eval, output::print};
use crate::{
    config::{Config, Origin, preset_layers},
    error::{Error, Result},
    policy::{EvaluateOptions, Policy},
    registry::Registry,
    run::write,
    shell,
};

/// Quantile of the standard normal distribution for an interval of 95 %.
const NORMAL_QUANTILE: f64 = 1.96;

pub fn run(args: &CardArgs, registry: &Registry) -> Result<()> {
    let which = eval::which(args.checkpoint.as_deref())?;
    let page = args.out.clone().unwrap_or_else(|| args.run.join("card.md"));
    let picture = page.with_extension("svg");
    if let Some(taken) = [&page, &picture]
        .into_iter()
        .find(|path| path.symlink_metadata().is_ok())
    {
        return Err(Error::OutputExists(taken.clone()));
    }
    let mut policy = eval::load(&args.run, which, "cpu", &toml::Table::new(), registry)?;
    let curve = curve(&args.run, &policy)?;
    let mut text = head(&policy);
    text += &scores(&mut policy, args)?;
    match &curve {
        Some(_) => {
            let name = picture.file_name().unwrap_or_default().to_string_lossy();
            let _ = writeln!(
                text,
                "## Learning curve\n\n![Mean return of evaluations during training]({name})\n"
            );
        }
        None => text += "## Learning curve\n\nNothing was evaluated during training.\n\n",
    }
    text += &settings(policy.config(), registry)?;
    text += &usage(&policy, &args.run);
    write(&page, text.as_bytes())?;
    let mut written = vec![page];
    if let Some(drawn) = curve {
        write(&picture, drawn.as_bytes())?;
        written.push(picture);
    }
    let lines: Vec<String> = written
        .iter()
        .map(|path: &PathBuf| format!("{}\n", path.display()))
        .collect();
    print(&lines.concat())
}

fn head(policy: &Policy) -> String {
    let config = policy.config();
    let preset = config.algo.preset();
    let (spaces, env) = (policy.spaces(), &config.env.id);
    format!(
        "# {env}, {algo}\n\n\
         A policy for {env}, trained with [`sac`](https://crates.io/crates/sac-rl) {version}.\n\n\
         | | |\n|---|---|\n\
         | Environment | `{env}` |\n\
         | Observations | {observation} |\n\
         | Actions | {action} |\n\
         | Algorithm | `{algo}`: {summary} |\n\
         | Seed | {seed} |\n\
         | Checkpoint | `{saved}`, after {steps} env steps |\n\n",
        algo = config.algo.name(),
        version = env!("CARGO_PKG_VERSION"),
        observation = spaces.observation,
        action = spaces.action,
        summary = preset.summary,
        seed = config.train.seed,
        saved = policy.saved_as(),
        steps = policy.env_steps().0,
    )
}

fn scores(policy: &mut Policy, args: &CardArgs) -> Result<String> {
    let evaluation = policy.evaluate_with(&EvaluateOptions {
        episodes: args.episodes,
        seed: args.seed,
        ..EvaluateOptions::default()
    })?;
    let count = args.episodes as f64;
    let interval = match args.episodes {
        1 => String::new(),
        _ => {
            let std = evaluation.std_return() * (count / (count - 1.0)).sqrt();
            format!(" ± {:.2}", NORMAL_QUANTILE * std / count.sqrt())
        }
    };
    Ok(format!(
        "## Evaluation\n\n\
         Mean return **{:.2}{interval}** over {} episodes with the mode of the policy; the interval is that of 95 % for the \
         mean, by the normal approximation. Returns lie between {:.2} and {:.2}, mean length {:.1} env steps. Repeat it \
         with\n\n```\nsac eval {} --checkpoint {} --episodes {} --seed {}\n```\n\n",
        evaluation.mean_return(),
        args.episodes,
        evaluation.min_return(),
        evaluation.max_return(),
        evaluation.mean_length(),
        shell::word(&args.run),
        policy.saved_as(),
        args.episodes,
        args.seed,
    ))
}

/// The learning curve as SVG; `None` where nothing was evaluated.
fn curve(run: &Path, policy: &Policy) -> Result<Option<String>> {
    if !run.join("eval.csv").is_file() {
        return Ok(None);
    }
    let record = folder::read(run)?.record;
    if record.env_steps_evaluated().is_none() {
        return Ok(None);
    }
    let data = Data {
        runs: vec![record],
        ..Data::default()
    };
    let summary = summarise(&data, &Options::default())?;
    let task = summary.tasks.first();
    Ok(task
        .map(|task| picture::draw(&policy.config().env.id, None, task))
        .transpose()?)
}

/// The settings of the run that its preset does not have.
fn settings(config: &Config, registry: &Registry) -> Result<String> {
    let mut layers = preset_layers(config.algo.name())?;
    layers.set(Origin::Flag("--env"), "env.id", config.env.id.as_str());
    let preset = Config::resolve(&layers, registry);
    let mut text = "## Settings that differ from the preset\n\n".to_string();
    let Ok(preset) = preset else {
        // Such as pixels, which need a wrapper of the environment.
        let _ = writeln!(
            text,
            "The preset alone does not fit this environment. All settings of the run:\n"
        );
        let _ = writeln!(text, "```toml\n{}```\n", config.to_toml());
        return Ok(text);
    };
    let (ours, theirs) = (flattened(config), flattened(&preset));
    let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let cell =
        |value: Option<&String>| value.map_or("–".to_string(), |value| format!("`{}`", value.replace('|', "\\|")));
    let rows: Vec<String> = keys
        .into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| format!("| `{key}` | {} | {} |\n", cell(ours.get(key)), cell(theirs.get(key))))
        .collect();
    match rows.is_empty() {
        true => text += "None.\n\n",
        false => {
            let _ = writeln!(
                text,
                "| Key | This run | `{}` |\n|---|---|---|\n{}",
                config.algo.name(),
                rows.concat()
            );
        }
    }
    Ok(text)
}

/// Every setting by its dotted key.
fn flattened(config: &Config) -> BTreeMap<String, String> {
    fn collect(prefix: &str, table: &toml::Table, found: &mut BTreeMap<String, String>) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match value {
                toml::Value::Table(table) => collect(&format!("{key}."), table, found),
                value => drop(found.insert(key, value.to_string())),
            }
        }
    }
    let mut found = BTreeMap::new();
    collect("", &config.to_table(), &mut found);
    found
}

fn usage(policy: &Policy, run: &Path) -> String {
    let (observation, action) = (policy.spaces().observation.len(), policy.spaces().action.len());
    let export = |format: &str, file: &str| {
        let checkpoint = policy.saved_as();
        format!(
            "sac export {} --checkpoint {checkpoint} --format {format} --out {file}",
            shell::word(run)
        )
    };
    let shape: Vec<String> = policy
        .spaces()
        .observation
        .shape()
        .iter()
        .map(ToString::to_string)
        .collect();
    format!(
        "## Use\n\n\
         Observations are raw, and actions are in the environment's own units. Every file holds {observation} numbers in, \
         {action} out, and a self-test.\n\n\
         Rust, with the package `sac-policy`, after `{safetensors}`:\n\n\
         ```rust\nlet mut policy = sac_policy::Policy::load(\"policy.safetensors\")?;\npolicy.self_test()?;\nlet action = \
         policy.act(&observation)?;\n```\n\n\
         Python, with the package `sac-rl` and the run's folder:\n\n\
         ```python\nimport sac\n\npolicy = sac.load({run:?})\naction, _ = policy.predict(observation)\n```\n\n\
         C, after `{c}`:\n\n\
         ```c\n#include \"policy.h\"\n\nfloat action[SAC_POLICY_ACTION];\nint problem = sac_policy_act(observation, \
         action);\n```\n\n\
         ONNX, here with ONNX Runtime in Python, after `{onnx}`:\n\n\
         ```python\nimport onnxruntime\n\nsession = onnxruntime.InferenceSession(\"policy.onnx\")\naction = \
         session.run([\"action\"], {{\"observation\": observation.reshape(-1, {shape})}})[0]\n```\n",
        safetensors = export("safetensors", "policy.safetensors"),
        c = export("c", "policy.c"),
        onnx = export("onnx", "policy.onnx"),
        run = run.display().to_string(),
        shape = shape.join(", "),
    )
}
