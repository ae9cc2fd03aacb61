//! `cargo xtask bench`: the benchmark suite. Its results are appended to `docs/benchmarks.md`.
//!
//! Every rate is divided by the rate of bare matrix products in the same process, so that a slower or busier machine
//! does not look like a regression. The quotient is compared with that of the previous entry for the same processor,
//! because the speed of libraries depends on the processor.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, ExitCode, Stdio};
use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::launch;
use crate::setup;
use crate::workspace::Workspace;

/// Options of `cargo xtask bench`.
pub struct Options {
    /// Number of measurements, of which the median is reported.
    pub rounds: usize,
    /// Whether the results are only printed and not appended.
    pub print: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            rounds: 5,
            print: false,
        }
    }
}

/// A call of `sac bench`.
struct Case {
    name: &'static str,
    arguments: &'static str,
    /// Its results in the JSON output: suffix of the name, JSON pointer, unit.
    figures: &'static [(&'static str, &'static str, &'static str)],
}

const UPDATES: &[(&str, &str, &str)] = &[("", "/updates_per_second", "updates/s")];
const LOOP: &[(&str, &str, &str)] = &[("", "/updates_per_second", "updates/s")];
const STEPS: &[(&str, &str, &str)] = &[("", "/env_steps_per_second", "env steps/s")];

const SUITE: &[Case] = &[
    Case {
        name: "update, sac, 1 thread",
        arguments: "update --threads 1 --seconds 1.5",
        figures: UPDATES,
    },
    Case {
        name: "update, sac, 2 threads",
        arguments: "update --threads 2 --seconds 1.5",
        figures: UPDATES,
    },
    Case {
        name: "update, sac, batch 1024, 1 thread",
        arguments: "update --batch 1024 --threads 1 --seconds 1.5",
        figures: UPDATES,
    },
    Case {
        name: "update, sac, batch 1024, 2 threads",
        arguments: "update --batch 1024 --threads 2 --seconds 1.5",
        figures: UPDATES,
    },
    Case {
        name: "update, dsac-t-2025, 1 thread",
        arguments: "update --algo dsac-t-2025 --threads 1 --seconds 1.5",
        figures: UPDATES,
    },
    Case {
        name: "update, dsac-t-2025, 2 threads",
        arguments: "update --algo dsac-t-2025 --threads 2 --seconds 1.5",
        figures: UPDATES,
    },
    Case {
        name: "train, Pendulum-v1, 1 thread",
        arguments: "train --env Pendulum-v1 --threads 1 --steps 3000 --set eval.every={env_steps=2000}",
        figures: LOOP,
    },
    Case {
        name: "train, HalfCheetah-v5, 1 thread",
        arguments: "train --env HalfCheetah-v5 --threads 1 --steps 3000 --set eval.every={env_steps=2000}",
        figures: LOOP,
    },
    Case {
        name: "env, Pendulum-v1",
        arguments: "env --env Pendulum-v1 --seconds 0.5",
        figures: STEPS,
    },
    Case {
        name: "env, HalfCheetah-v5",
        arguments: "env --env HalfCheetah-v5 --seconds 0.5",
        figures: STEPS,
    },
    Case {
        name: "replay",
        arguments: "replay --capacity 10000,100000,1000000 --seconds 0.5",
        figures: &[
            (", 10,000 rows", "/replays/0/batches_per_second", "batches/s"),
            (", 100,000 rows", "/replays/1/batches_per_second", "batches/s"),
            (", 1,000,000 rows", "/replays/2/batches_per_second", "batches/s"),
            (", inserting", "/replays/2/inserts_per_second", "rows/s"),
        ],
    },
];

/// A result, one line of an entry.
#[derive(Debug, PartialEq)]
struct Figure {
    name: String,
    rate: f64,
    unit: &'static str,
    /// Rate divided by that of bare products in the same process.
    per_product: f64,
}

/// Runs the suite, prints the results, and appends them to `docs/benchmarks.md`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    setup::ensure(workspace, setup::Options::QUICK)?;
    setup::compiler()?;
    launch::build(workspace)?;
    let binary = workspace.target()?.join("release").join(launch::COMPLETE);
    let path = workspace.root().join("docs/benchmarks.md");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let cores = available_parallelism().map_or(1, |count| count.get());

    let mut rounds: Vec<Vec<Figure>> = Vec::new();
    let mut machine = None;
    for round in 1..=options.rounds {
        let mut figures = Vec::new();
        for case in SUITE {
            say!("round {round} of {}: {}", options.rounds, case.name);
            let mut sac = Command::new(&binary);
            sac.arg("bench").args(case.arguments.split(' ')).arg("--json");
            let output = sac
                .stderr(Stdio::inherit())
                .output()
                .with_context(|| format!("cannot run {}", binary.display()))?;
            ensure!(output.status.success(), "`sac bench {}` failed", case.arguments);
            let json: Value = serde_json::from_slice(&output.stdout).context("`sac bench --json` printed no JSON")?;
            figures.extend(read(case, &json)?);
            let text = |key: &str| json[key].as_str().unwrap_or("unknown").to_string();
            machine.get_or_insert_with(|| (text("commit"), text("processor")));
        }
        rounds.push(figures);
    }
    let (commit, processor) = machine.context("nothing was measured")?;
    let machine = format!("{processor}, {cores} core(s)");
    let heading = format!("{}, commit {commit}, {machine}", today()?);
    let entry = entry(&heading, options.rounds, &medians(&rounds), &last(&page, &machine));
    print!("{entry}");
    if !options.print {
        fs::write(&path, format!("{}\n\n{entry}", page.trim_end()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        say!("appended to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn read(case: &Case, json: &Value) -> Result<Vec<Figure>> {
    let floor = json["gemm_floor_updates_per_second"]
        .as_f64()
        .context("the output of `sac bench` has no rate of bare products")?;
    let figure = |(name, pointer, unit): &(&str, &str, &'static str)| {
        let rate = json.pointer(pointer).and_then(Value::as_f64);
        let Some(rate) = rate else {
            bail!("the output of `sac bench {}` has no {pointer}", case.arguments)
        };
        Ok(Figure {
            name: format!("{}{name}", case.name),
            rate,
            unit,
            per_product: rate / floor,
        })
    };
    case.figures.iter().map(figure).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        0 => (values[middle - 1] + values[middle]) / 2.0,
        _ => values[middle],
    }
}

/// The median of every figure over the rounds, of which there is at least one. Rates and quotients have separate
/// medians.
fn medians(rounds: &[Vec<Figure>]) -> Vec<Figure> {
    let of =
        |index: usize, value: fn(&Figure) -> f64| median(rounds.iter().map(|round| value(&round[index])).collect());
    let figure = |(index, figure): (usize, &Figure)| Figure {
        name: figure.name.clone(),
        unit: figure.unit,
        rate: of(index, |figure| figure.rate),
        per_product: of(index, |figure| figure.per_product),
    };
    rounds[0].iter().enumerate().map(figure).collect()
}

/// A number with three significant digits.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// Names and quotients of the newest entry for this machine; empty if there is none.
fn last(page: &str, machine: &str) -> Vec<(String, f64)> {
    let entries = page.split("\n### ").skip(1);
    let is_of_machine = |entry: &&str| entry.lines().next().is_some_and(|heading| heading.ends_with(machine));
    let Some(newest) = entries.filter(is_of_machine).last() else {
        return Vec::new();
    };
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let per_product = cells.get(3)?.parse().ok()?;
        Some((cells[0].to_string(), per_product))
    };
    newest.lines().filter_map(row).collect()
}

fn entry(heading: &str, rounds: usize, figures: &[Figure], last: &[(String, f64)]) -> String {
    let mut out = format!(
        "### {heading}\n\n{rounds} round(s).\n\n| What | Rate | | Per product | Relative to the previous entry |\n|---|---|---|---|---|\n"
    );
    for figure in figures {
        let before = last.iter().find(|(name, _)| *name == figure.name);
        let against = before.map_or("–".to_string(), |(_, before)| short(figure.per_product / before));
        let (rate, per_product) = (short(figure.rate), short(figure.per_product));
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {} | {rate} | {} | {per_product} | {against} |",
            figure.name, figure.unit
        );
    }
    out
}

/// The current date in UTC, as `YYYY-MM-DD`.
fn today() -> Result<String> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock is before 1970")?;
    let (mut year, mut day) = (1970, since.as_secs() / 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let months = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 0;
    while day >= months[month] {
        day -= months[month];
        month += 1;
    }
    Ok(format!("{year}-{:02}-{:02}", month + 1, day + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, rate: f64, per_product: f64) -> Figure {
        Figure {
            name: name.to_string(),
            rate,
            unit: "updates/s",
            per_product,
        }
    }

    #[test]
    fn an_entry_can_be_read_back_and_the_next_is_compared_with_it() {
        let first = entry(
            "today, this one",
            1,
            &[figure("update", 340.0, 1.81), figure("gone", 1.0, 1.0)],
            &[],
        );
        assert!(first.contains("| update | 340 | updates/s | 1.81 | – |"), "{first}");
        let page = format!("# Benchmarks\n\n### earlier, this one\n\n| update | 1 | x | 9.00 | – |\n\n{first}");
        let page = format!("{page}\n\n### now, another\n\n| update | 1 | x | 5.00 | – |\n");
        let before = last(&page, "this one");
        assert_eq!(before, [("update".to_string(), 1.81), ("gone".to_string(), 1.0)]);
        assert_eq!(last(&page, "a third"), []);
        let second = entry("tomorrow, this one", 1, &[figure("update", 170.0, 3.62)], &before);
        assert!(
            second.contains("| update | 170 | updates/s | 3.62 | 2.00 |"),
            "{second}"
        );
    }

    #[test]
    fn medians_are_taken_figure_by_figure() {
        let rounds = [1.0, 9.0, 2.0].map(|rate| vec![figure("a", rate, 10.0 - rate), figure("b", 4.0, 4.0)]);
        assert_eq!(medians(&rounds), [figure("a", 2.0, 8.0), figure("b", 4.0, 4.0)]);
        assert_eq!(median(vec![1.0, 4.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_missing_rate_is_an_error() {
        let case = &SUITE[0];
        let json = serde_json::json!({ "updates_per_second": 3.0 });
        assert!(read(case, &json).is_err());
        let json = serde_json::json!({ "updates_per_second": 3.0, "gemm_floor_updates_per_second": 2.0 });
        assert_eq!(
            read(case, &json).expect("both are there"),
            [figure(case.name, 3.0, 1.5)]
        );
    }
}
