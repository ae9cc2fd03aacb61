//! A report as one page of HTML: [`page`]. It needs no other file: pictures, style and the script that sorts tables are in
//! it.

mod page;
mod plot;

use page::{Cell, escaped, table};
use plot::{Line, Plot, Point};

use crate::{
    data::Threshold,
    estimates::{Comparison, ProfilePoint, Statistic},
    overall::Overall,
    print::{number, probability, sentence, statistic, thousands},
    summary::{Row, Summary, Task},
};

/// The report. `link` leads from the page to the folder of a run.
pub fn page(title: &str, summary: &Summary, threshold: Option<&Threshold>, link: impl Fn(&str) -> String) -> String {
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"about\">{}, {} resamples. A click on a heading sorts a table.</p>\n",
        escaped(title),
        escaped(&sentence(summary.statistic)),
        thousands(summary.resamples as u64)
    );
    body += &notes(&summary.notes);
    if let Some(found) = &summary.overall {
        body += &overall(found);
    }
    for one in &summary.tasks {
        body += &task(one, threshold, &link);
    }
    page::document(title, &body)
}

fn notes(notes: &[String]) -> String {
    let notes = notes
        .iter()
        .map(|note| format!("<p class=\"note\">{}</p>\n", escaped(note)));
    notes.collect()
}

fn overall(found: &Overall) -> String {
    let names = ["Algorithm", "Runs", "IQM", "Median", "Mean", "Optimality gap"];
    let score = |found: &Statistic| Cell::number(probability(found), found.value);
    let rows = found.algorithms.iter().map(|row| {
        vec![
            Cell::text(&row.label),
            Cell::number(row.n.to_string(), row.n as f64),
            score(&row.iqm),
            score(&row.median),
            score(&row.mean),
            score(&row.optimality_gap),
        ]
    });
    let lines = found
        .algorithms
        .iter()
        .map(|row| (row.label.as_str(), row.profile.as_slice()));
    format!(
        "<h2>All tasks</h2>\n<p class=\"about\">{}. Tasks: {}.</p>\n{}{}{}{}",
        escaped(&sentence(found.scale)),
        escaped(&found.tasks.join(", ")),
        table(&names, rows),
        comparisons(&found.comparisons),
        notes(&found.notes),
        profile("all tasks", "score", lines)
    )
}

fn task(task: &Task, threshold: Option<&Threshold>, link: &impl Fn(&str) -> String) -> String {
    let names = [
        "Algorithm",
        "Runs",
        "Env steps",
        "IQM",
        "Median",
        "Mean",
        "Time, s",
        "Memory, MiB",
        "Commits",
    ];
    let value = |found: &Statistic| Cell::number(statistic(found), found.value);
    let rows = task.algorithms.iter().map(|row| {
        vec![
            Cell::text(&row.label),
            Cell::number(row.n.to_string(), row.n as f64),
            Cell::number(thousands(row.env_steps), row.env_steps as f64),
            value(&row.iqm),
            value(&row.median),
            value(&row.mean),
            Cell::optional(row.seconds),
            Cell::optional(row.peak_memory_mib),
            Cell::text(&row.commits.join(", ")),
        ]
    });
    let lines = task
        .algorithms
        .iter()
        .map(|row| (row.label.as_str(), row.profile.as_slice()));
    format!(
        "<h2>{0}</h2>\n{1}{2}{3}{4}{5}{6}",
        escaped(&task.env),
        table(&names, rows),
        comparisons(&task.comparisons),
        notes(&task.notes),
        curves(task, threshold),
        profile(&task.env, "final return", lines),
        runs(&task.algorithms, link)
    )
}

fn comparisons(all: &[Comparison]) -> String {
    let names = ["Comparison", "Probability of improvement", "Order"];
    let rows = all.iter().map(|one| {
        let found = &one.probability_of_improvement;
        vec![
            Cell::text(&format!("{} against {}", one.x, one.y)),
            Cell::number(probability(found), found.value),
            Cell::text(&one.order()),
        ]
    });
    if all.is_empty() {
        String::new()
    } else {
        table(&names, rows)
    }
}

fn curves(task: &Task, threshold: Option<&Threshold>) -> String {
    let line = |row: &'_ Row| -> Vec<Point> {
        let points = row.curve.iter().map(|point| Point {
            x: point.env_steps as f64,
            y: point.iqm.value,
            interval: point.iqm.interval,
        });
        points.collect()
    };
    let plot = Plot {
        title: format!("Learning curves on {}", task.env),
        x_name: "environment steps",
        y_name: "mean return of an evaluation",
        lines: task
            .algorithms
            .iter()
            .map(|row| Line {
                name: &row.label,
                points: line(row),
            })
            .collect(),
        mark: threshold.map(|threshold| (threshold.at, threshold.label.as_str())),
    };
    figure(
        &plot,
        "Sample efficiency. Line: interquartile mean of the runs; band: 95 % bootstrap interval.",
    )
}

fn profile<'a>(of: &str, unit: &str, lines: impl Iterator<Item = (&'a str, &'a [ProfilePoint])>) -> String {
    let lines = lines.map(|(name, points)| {
        let points = points.iter().map(|point| Point {
            x: point.above,
            y: point.share.value,
            interval: point.share.interval,
        });
        Line {
            name,
            points: points.collect(),
        }
    });
    let plot = Plot {
        title: format!("Performance profile, {of}"),
        x_name: unit,
        y_name: "share of runs above",
        lines: lines.collect(),
        mark: None,
    };
    let what = format!("Performance profile. Line: share of runs with a {unit} above; band: 95 % bootstrap interval.");
    figure(&plot, &what)
}

fn figure(plot: &Plot, caption: &str) -> String {
    format!(
        "<figure>\n{}<figcaption>{}</figcaption></figure>\n",
        plot.svg(),
        escaped(caption)
    )
}

/// Every run with its time, memory and folder.
fn runs(rows: &[Row], link: &impl Fn(&str) -> String) -> String {
    let names = ["Algorithm", "Seed", "Final return", "Time, s", "Memory, MiB", "Run"];
    let cells = rows.iter().flat_map(|row| {
        row.runs.iter().map(|run| {
            vec![
                Cell::text(&row.label),
                Cell::optional(run.seed.map(|seed| seed as f64)),
                Cell::number(number(run.final_return), run.final_return),
                Cell::optional(run.seconds),
                Cell::optional(run.peak_memory_mib),
                run.folder
                    .as_ref()
                    .map_or(Cell::text("–"), |folder| Cell::link(folder, &link(folder))),
            ]
        })
    });
    let count: usize = rows.iter().map(|row| row.runs.len()).sum();
    format!(
        "<details><summary>{count} runs</summary>\n{}</details>\n",
        table(&names, cells)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{Data, Record},
        summary::{Options, summarise},
    };

    #[test]
    fn a_page_is_whole_without_another_file_and_takes_names_as_text() {
        let run = |label: &str, seed| Record {
            label: label.to_string(),
            seed: Some(seed),
            env: "E".to_string(),
            env_steps: 10,
            folder: Some(format!("runs/{seed}")),
            evaluations: serde_json::json!({ "env_steps": [5, 10], "seconds": [1, 2.5], "mean_return": [1, seed] })
                .as_object()
                .cloned()
                .unwrap_or_default(),
            ..Record::default()
        };
        let data = Data {
            runs: vec![run("a<b", 1), run("a<b", 2), run("c", 3)],
            ..Data::default()
        };
        let summary = summarise(&data, &Options::default()).expect("whole");
        let found = page("T & U", &summary, None, |folder| format!("../{folder}"));
        for text in [
            "<title>T &amp; U</title>",
            "a&lt;b",
            "href=\"../runs/3\"",
            "prefers-color-scheme: dark",
            "<polyline",
            "3 runs</summary>",
            "a&lt;b against c",
        ] {
            assert!(found.contains(text), "`{text}` is missing");
        }
        for text in ["a<b", "src=", "@import", "http"] {
            assert!(!found.contains(text), "`{text}` is there");
        }
    }
}
