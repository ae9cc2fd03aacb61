//! A report as Markdown.

use crate::{
    estimates::Comparison,
    overall::Overall,
    print::{number, probability, sentence, statistic, thousands},
    summary::{Summary, Task},
};

/// The report as a page. `picture` names the picture of a task, if there is one.
pub fn page(title: &str, summary: &Summary, picture: impl Fn(&Task) -> Option<String>) -> String {
    let mut text = format!(
        "# {title}\n\n{}, {} resamples.\n",
        sentence(summary.statistic),
        thousands(summary.resamples as u64)
    );
    text += &notes(&summary.notes);
    if let Some(found) = &summary.overall {
        text += &overall(found);
    }
    for task in &summary.tasks {
        text += &format!("\n## {}\n\n{}", task.env, rows(task));
        text += &comparisons(&task.comparisons);
        text += &notes(&task.notes);
        if let Some(file) = picture(task) {
            text += &format!("\n![Learning curves on {}]({file})\n", task.env);
        }
    }
    text
}

fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("\n{note}\n")).collect()
}

fn overall(found: &Overall) -> String {
    let mut text = format!(
        "\n## All tasks\n\n{}. Tasks: {}.\n\n\
         | Algorithm | n | IQM [95 % interval] | Median | Mean | Optimality gap |\n|---|---|---|---|---|---|\n",
        sentence(found.scale),
        found.tasks.join(", ")
    );
    for row in &found.algorithms {
        let scores = [&row.iqm, &row.median, &row.mean, &row.optimality_gap].map(probability);
        text += &line(&[&[row.label.clone(), row.n.to_string()], &scores[..]].concat());
    }
    text + &comparisons(&found.comparisons) + &notes(&found.notes)
}

fn rows(task: &Task) -> String {
    let mut text =
        "| Algorithm | n | Env steps | Final return: IQM [95 % interval] | Median | Mean | Lowest to highest run \
                    | Time, s | Memory, MiB | Commits |\n|---|---|---|---|---|---|---|---|---|---|\n"
            .to_string();
    for row in &task.algorithms {
        let values = || row.runs.iter().map(|run| run.final_return);
        let (low, high) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        let whole = |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.0}"));
        text += &line(&[
            row.label.clone(),
            row.n.to_string(),
            thousands(row.env_steps),
            statistic(&row.iqm),
            statistic(&row.median),
            statistic(&row.mean),
            format!("{} to {}", number(low), number(high)),
            whole(row.seconds),
            whole(row.peak_memory_mib),
            row.commits.join(", "),
        ]);
    }
    text
}

fn comparisons(all: &[Comparison]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut text =
        "\n| Comparison | Probability that a run of the first ends higher [95 % interval] | Order |\n|---|---|---|\n"
            .to_string();
    for one in all {
        let names = format!("{} against {}", one.x, one.y);
        text += &line(&[names, probability(&one.probability_of_improvement), one.order()]);
    }
    text
}

/// A row of a table.
pub(crate) fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}
