//! Tables of results in the pages, made from the data files of `docs/curves`.
//!
//! A table stands between two comments. The first says what is in it:
//!
//! ```text
//! <!-- results: pendulum_critics/DSAC-T; pendulum_critics/SAC; against=SAC -->
//! <!-- end of results -->
//! ```
//!
//! An item is `EXPERIMENT/LABEL`, or `EXPERIMENT/*` for all of its labels. Options: `against=LABEL` compares every row
//! with that label of the same experiment; `condition=SETTING` takes the scores under that setting of the environment
//! instead of the plain task; `condition=all` has a row for every condition; `reached=RETURN` adds when each seed's
//! evaluations first reached that return.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

const BEGIN: &str = "<!-- results: ";
const END: &str = "<!-- end of results -->";

/// The page with every table of results made anew.
pub fn with_tables(page: &str, markdown: &str, curves: &Path) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    // Only at the beginning of a line: within one it is prose.
    while let Some(at) = rest.find(&format!("\n{BEGIN}")).map(|at| at + 1) {
        let line_end = at + rest[at..].find('\n').expect("a table follows in lines of its own");
        let directive = rest[at..line_end]
            .trim_start_matches(BEGIN)
            .trim_end_matches("-->")
            .trim();
        let end = rest
            .find(END)
            .unwrap_or_else(|| panic!("{page}: no `{END}` after `{directive}`"));
        text += &rest[..=line_end];
        text += &table(page, directive, curves);
        text += END;
        rest = &rest[end + END.len()..];
    }
    text + rest
}

/// One label of one experiment under one condition.
struct Row {
    experiment: String,
    label: String,
    task: String,
    env_steps: u64,
    condition: String,
    /// Mean return of the scored episodes, by seed.
    scores: Vec<f64>,
    /// By seed, env steps and mean return of every evaluation.
    evaluations: Vec<Vec<(u64, f64)>>,
}

struct Options<'a> {
    against: Option<&'a str>,
    condition: &'a str,
    reached: Option<f64>,
}

fn table(page: &str, directive: &str, curves: &Path) -> String {
    let mut options = Options {
        against: None,
        condition: "",
        reached: None,
    };
    let mut items = Vec::new();
    for item in directive.split(';').map(str::trim) {
        match item.split_once('=') {
            Some(("against", label)) => options.against = Some(label),
            Some(("condition", setting)) => options.condition = setting,
            Some(("reached", value)) => options.reached = Some(value.parse().expect("a number")),
            _ => items.push(item.split_once('/').unwrap_or_else(|| panic!("{page}: `{item}`"))),
        }
    }
    let mut rows = Vec::new();
    let mut sources = Sources::default();
    for (experiment, label) in items {
        let path = curves.join(format!("{experiment}.json"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page}: {}: {error}", path.display()));
        let data: Value = serde_json::from_str(&text).expect("it is JSON");
        let before = rows.len();
        rows.extend(rows_of(experiment, label, &data, &options, &mut sources));
        assert!(rows.len() > before, "{page}: {experiment} has no {label}");
    }

    let has_conditions = options.condition == "all";
    let mut header = vec!["Run".to_string(), "Task".to_string(), "Env steps".to_string()];
    if has_conditions {
        header.push("Condition".to_string());
    }
    header.push("Score: median (lowest to highest), seeds".to_string());
    if let Some(label) = options.against {
        header.push(format!("Mean minus that of {label} [95 % interval]"));
    }
    if let Some(value) = options.reached {
        header.push(format!(
            "Env steps until {}, by seed",
            format!("{value}").replace('-', "−")
        ));
    }
    let mut text = line(&header) + "|" + &"---|".repeat(header.len()) + "\n";
    for row in &rows {
        let mut cells = vec![row.label.clone(), row.task.clone(), thousands(row.env_steps)];
        if has_conditions {
            cells.push(condition_name(&row.condition));
        }
        cells.push(spread(&row.scores));
        if let Some(label) = options.against {
            let same = |other: &&Row| {
                (&other.experiment, &other.condition, other.label.as_str()) == (&row.experiment, &row.condition, label)
            };
            let other = rows
                .iter()
                .find(same)
                .unwrap_or_else(|| panic!("{page}: no row {label} to compare with"));
            cells.push(difference(&row.scores, &other.scores));
        }
        if let Some(value) = options.reached {
            cells.push(reached(&row.evaluations, value));
        }
        text += &line(&cells);
    }
    text + &sources.caption(page)
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn rows_of(experiment: &str, label: &str, data: &Value, options: &Options, sources: &mut Sources) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for run in data["runs"].as_array().expect("runs are a list") {
        let run_label = run["label"].as_str().expect("a label");
        if label != "*" && label != run_label {
            continue;
        }
        sources.add(experiment, run);
        for score in run["scores"].as_array().expect("scores are a list") {
            let set: Vec<&str> = score["set"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let condition = set.join(" ");
            if options.condition != "all" && options.condition != condition {
                continue;
            }
            let value = score["mean_return"].as_f64().expect("a return");
            let column = |name: &str| run["evaluations"][name].as_array().expect("a column").iter();
            let steps = column("env_steps").filter_map(Value::as_u64);
            let evaluations: Vec<_> = steps.zip(column("mean_return").filter_map(Value::as_f64)).collect();
            match rows
                .iter_mut()
                .find(|row| row.label == run_label && row.condition == condition)
            {
                Some(row) => {
                    row.scores.push(value);
                    row.evaluations.push(evaluations);
                }
                None => rows.push(Row {
                    experiment: experiment.to_string(),
                    label: run_label.to_string(),
                    task: data["title"].as_str().expect("a title").to_string(),
                    env_steps: run["env_steps"].as_u64().expect("a number of steps"),
                    condition,
                    scores: vec![value],
                    evaluations: vec![evaluations],
                }),
            }
        }
    }
    rows
}

/// Where the numbers of a table come from.
#[derive(Default)]
struct Sources {
    experiments: Vec<String>,
    processors: BTreeSet<String>,
    commits: BTreeSet<String>,
}

impl Sources {
    fn add(&mut self, experiment: &str, run: &Value) {
        if !self.experiments.iter().any(|other| other == experiment) {
            self.experiments.push(experiment.to_string());
        }
        let text = |key: &str| run[key].as_str().unwrap_or_default().to_string();
        self.processors.insert(text("processor"));
        // Seven digits name a commit; a working tree that was not clean says so.
        let commit = text("commit");
        let modified = if commit.ends_with("-modified") { "-modified" } else { "" };
        self.commits
            .insert(format!("{}{modified}", commit.get(..7).unwrap_or(&commit)));
    }

    fn caption(&self, page: &str) -> String {
        let commands: Vec<String> = self
            .experiments
            .iter()
            .map(|name| format!("`cargo xtask curves {name}`"))
            .collect();
        let folder = match page.matches('/').count() {
            0 => "docs/curves",
            1 => "curves",
            _ => "../curves",
        };
        let plural = if self.commits.len() == 1 { "commit" } else { "commits" };
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
        format!(
            "\n{}; {}, {plural} {} ([how to read it]({folder}/README.md#tables)).\n",
            commands.join(", "),
            join(&self.processors),
            join(&self.commits)
        )
    }
}

/// `env.wrappers=[{kind='observation_noise',std=0.05}]` → `observation_noise, std 0.05`.
fn condition_name(condition: &str) -> String {
    if condition.is_empty() {
        return "as trained".to_string();
    }
    let inner = condition
        .split_once("[{kind='")
        .and_then(|(_, rest)| rest.strip_suffix("}]"));
    let inner = inner.unwrap_or_else(|| panic!("`{condition}` is no single wrapper"));
    format!("`{}", inner.replacen("',", "`, ", 1).replace('=', " "))
}

/// −162.6 (−166.8 to −161.0), 5
fn spread(scores: &[f64]) -> String {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (sorted[0], sorted[sorted.len() - 1]);
    format!(
        "{} ({} to {}), {}",
        number(median(&sorted)),
        number(low),
        number(high),
        sorted.len()
    )
}

/// Of sorted numbers.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Difference of the means with Welch's interval, which does not assume equal variances.
fn difference(these: &[f64], those: &[f64]) -> String {
    if these == those {
        return "–".to_string();
    }
    let ((mean, variance, n), (other_mean, other_variance, m)) = (moments(these), moments(those));
    let (a, b) = (variance / n, other_variance / m);
    let degrees = (a + b).powi(2) / (a.powi(2) / (n - 1.0) + b.powi(2) / (m - 1.0));
    let half = student_t_975(degrees) * (a + b).sqrt();
    let by = mean - other_mean;
    format!("{} [{}, {}]", number(by), number(by - half), number(by + half))
}

/// Mean, variance with the divisor n − 1, and n.
fn moments(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (n - 1.0), n)
}

/// The 97.5 % quantile of Student's t with any number of degrees of freedom from 1 on.
///
/// With t = √ν tan θ the density is proportional to cos^(ν−1) θ, which Simpson's rule integrates.
fn student_t_975(degrees: f64) -> f64 {
    let integral = |to: f64| {
        let cells = 2000;
        let width = to / f64::from(cells);
        let value = |cell: i32| (f64::from(cell) * width).cos().max(0.0).powf(degrees - 1.0);
        let weight = |cell: i32| match cell {
            cell if cell == 0 || cell == cells => 1.0,
            cell if cell % 2 == 1 => 4.0,
            _ => 2.0,
        };
        (0..=cells).map(|cell| weight(cell) * value(cell)).sum::<f64>() * width / 3.0
    };
    let whole = integral(std::f64::consts::FRAC_PI_2);
    let (mut low, mut high) = (0.0, std::f64::consts::FRAC_PI_2);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if integral(middle) < 0.95 * whole {
            low = middle;
        } else {
            high = middle;
        }
    }
    degrees.sqrt() * f64::midpoint(low, high).tan()
}

/// When each seed's evaluations first reached a return.
fn reached(evaluations: &[Vec<(u64, f64)>], value: f64) -> String {
    let first = |seed: &Vec<(u64, f64)>| {
        let found = seed.iter().find(|(_, mean_return)| *mean_return >= value);
        found.map_or("never".to_string(), |(env_steps, _)| thousands(*env_steps))
    };
    evaluations.iter().map(first).collect::<Vec<_>>().join("; ")
}

/// One decimal below 1000, with a minus sign as in print.
fn number(value: f64) -> String {
    let text = if value.abs() < 1000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    match text.strip_prefix('-') {
        Some("0.0") => "0.0".to_string(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// 250000 → `250,000`.
fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

#[test]
fn intervals_are_those_of_a_table_of_students_t() {
    for (degrees, quantile) in [(1.0, 12.706), (2.0, 4.303), (4.0, 2.776), (10.0, 2.228), (100.0, 1.984)] {
        let found = student_t_975(degrees);
        assert!((found - quantile).abs() < 1e-3, "{degrees}: {found} is not {quantile}");
    }
    // Welch by hand: means 2 and 5, variances 1 and 4 over three each, so ν = 2.94 and t = 3.22.
    assert_eq!(difference(&[1.0, 2.0, 3.0], &[3.0, 5.0, 7.0]), "−3.0 [−7.2, 1.2]");
    assert_eq!(spread(&[-2.0, -1.0, -4.0]), "−2.0 (−4.0 to −1.0), 3");
    assert_eq!(number(-0.04), "0.0");
    assert_eq!(thousands(1_250_000), "1,250,000");
}
