//! `sac bench train`.

use std::{fs, path::PathBuf};

use sac_cli::args::{BenchTrainArgs, Overrides};
use serde_json::{Value, json};

use super::products::yardstick;
use crate::{
    cli::{
        output::{print, print_json},
        overrides,
    },
    error::{Error, Result},
    registry::Registry,
    run::{self, RunFolder, Session},
};

/// What the loop spends time on besides updates, and the metric of each.
const OTHERS: [(&str, &str); 4] = [
    ("acting", "time/acting_share"),
    ("environment", "time/env_share"),
    ("evaluations", "time/eval_share"),
    ("checkpoints", "time/checkpoint_share"),
];

/// A folder that is removed on drop.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // A folder left in the system's temporary folder is no reason to fail.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The time between two rows of the log, and its shares.
struct Stretch {
    env_steps: f64,
    updates: f64,
    seconds: f64,
    row: Value,
}

impl Stretch {
    fn seconds_of(&self, metric: &str) -> f64 {
        self.row[metric].as_f64().unwrap_or(0.0) * self.seconds
    }
}

/// Measures a whole run, in a folder that is removed: how its time is spent after the warm-up.
pub fn train(args: &BenchTrainArgs, registry: &Registry) -> Result<()> {
    let mut asked = Overrides {
        env: Some(args.env.clone()),
        algo: Some(args.algo.clone()),
        sets: args.sets.clone(),
        threads: args.threads,
        ..Overrides::default()
    };
    let warmup = overrides::choose(&asked, registry)?.config.train.warmup_env_steps;
    asked.steps = Some(warmup + args.steps);
    let config = overrides::choose(&asked, registry)?.config;

    let folder = Temporary(std::env::temp_dir().join(format!("sac-bench-{}", std::process::id())));
    let run = RunFolder::create(&folder.0)?;
    run::train_into(&config, registry, &run, Session::default())?;
    let rows = folder.0.join("metrics.jsonl");
    let text = fs::read_to_string(&rows).map_err(Error::io(&rows))?;
    let stretches = stretches(&text, warmup);
    let sum = |of: &dyn Fn(&Stretch) -> f64| stretches.iter().map(of).sum::<f64>();
    let seconds = sum(&|stretch| stretch.seconds);
    if seconds <= 0.0 {
        return Err(Error::Usage(format!(
            "--steps {}: too few for two rows of the log (log.every) after the warm-up",
            args.steps
        )));
    }
    let learning = sum(&|stretch| stretch.seconds_of("time/learning_share"));
    let others = OTHERS.map(|(name, metric)| (name, sum(&|stretch| stretch.seconds_of(metric)) / learning));
    let overhead = seconds / learning - 1.0;
    let (env_steps, updates) = (sum(&|stretch| stretch.env_steps), sum(&|stretch| stretch.updates));
    if args.json {
        return print_json(&json!({
            "env": args.env,
            "algo": args.algo,
            "env_steps_per_second": env_steps / seconds,
            "updates_per_second": updates / seconds,
            "overhead": overhead,
            "overhead_parts": others.iter().map(|(name, part)| (*name, *part)).collect::<std::collections::BTreeMap<_, _>>(),
            "threads": config.threads(),
            "gemm_floor_updates_per_second": yardstick()?,
            "processor": run::processor(),
            "commit": env!("SAC_COMMIT"),
        }));
    }
    let parts: Vec<String> = others
        .iter()
        .map(|(name, part)| format!("{name} {:.1} %", 100.0 * part))
        .collect();
    print(&format!(
        "{:.1} env steps/s, {:.1} updates/s; the loop adds {:.1} % to the updates' time: {} ({} thread(s))\n",
        env_steps / seconds,
        updates / seconds,
        100.0 * overhead,
        parts.join(", "),
        config.threads()
    ))
}

/// The stretches between rows of `metrics.jsonl` that lie after the warm-up.
fn stretches(text: &str, warmup: u64) -> Vec<Stretch> {
    let rows: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|row: &Value| row["time/learning_share"].is_number())
        .collect();
    let number = |row: &Value, key: &str| row[key].as_f64().unwrap_or(0.0);
    let after_warmup = rows
        .windows(2)
        .filter(|pair| number(&pair[0], "env_steps") >= warmup as f64);
    after_warmup
        .map(|pair| {
            let grown = |key: &str| number(&pair[1], key) - number(&pair[0], key);
            Stretch {
                env_steps: grown("env_steps"),
                updates: grown("grad_steps"),
                seconds: grown("seconds"),
                row: pair[1].clone(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_behind_the_warmup_counts() {
        let row = |env_steps: u64, seconds: f64, share: f64| json!({ "env_steps": env_steps, "grad_steps": env_steps / 2, "seconds": seconds, "time/learning_share": share });
        let rows = [
            row(50, 1.0, 0.0),
            row(100, 2.0, 0.0),
            row(150, 6.0, 0.5),
            row(200, 8.0, 1.0),
        ];
        let mut text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        text += "{\"env_steps\":200,\"eval/mean_reward\":1.0}\n";
        let found = stretches(&text, 100);
        let told: Vec<_> = found
            .iter()
            .map(|stretch| {
                (
                    stretch.env_steps,
                    stretch.updates,
                    stretch.seconds_of("time/learning_share"),
                )
            })
            .collect();
        assert_eq!(told, [(50.0, 25.0, 2.0), (50.0, 25.0, 2.0)]);
    }
}
