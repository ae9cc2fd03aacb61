//! A report as Markdown, and how its numbers are written.

use crate::summary::{Statistic, Summary, Task};

/// The report as a page. `picture` names the picture of a task, if there is one.
pub fn page(title: &str, summary: &Summary, picture: impl Fn(&Task) -> Option<String>) -> String {
    let mut text = format!(
        "# {title}\n\n{}, {} resamples.\n",
        sentence(summary.statistic),
        thousands(summary.resamples as u64)
    );
    for note in &summary.notes {
        text += &format!("\n{note}\n");
    }
    for task in &summary.tasks {
        text += &format!("\n## {}\n\n{}", task.env, rows(task));
        if !task.comparisons.is_empty() {
            text += &format!("\n{}", comparisons(task));
        }
        for note in &task.notes {
            text += &format!("\n{note}\n");
        }
        if let Some(file) = picture(task) {
            text += &format!("\n![Learning curves on {}]({file})\n", task.env);
        }
    }
    text
}

fn rows(task: &Task) -> String {
    let mut text =
        "| Algorithm | n | Env steps | Final return: IQM [95 % interval] | Lowest to highest run | Commits |\n\
                    |---|---|---|---|---|---|\n"
            .to_string();
    for row in &task.algorithms {
        let values = || row.runs.iter().map(|run| run.final_return);
        let (low, high) = (
            values().fold(f64::INFINITY, f64::min),
            values().fold(f64::NEG_INFINITY, f64::max),
        );
        text += &line(&[
            row.label.clone(),
            row.n.to_string(),
            thousands(row.env_steps),
            statistic(&row.iqm),
            format!("{} to {}", number(low), number(high)),
            row.commits.join(", "),
        ]);
    }
    text
}

fn comparisons(task: &Task) -> String {
    let mut text =
        "| Comparison | Probability that a run of the first ends higher [95 % interval] | Order |\n|---|---|---|\n"
            .to_string();
    for comparison in &task.comparisons {
        let (x, y, found) = (&comparison.x, &comparison.y, &comparison.probability_of_improvement);
        let order = match comparison.is_separated {
            false => "none shown".to_string(),
            true if found.value > 0.5 => format!("{x} ends higher"),
            true => format!("{y} ends higher"),
        };
        text += &line(&[format!("{x} against {y}"), probability(found), order]);
    }
    text
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A row of a table.
pub(crate) fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// −162.6 [−166.8, −161.0]
pub(crate) fn statistic(found: &Statistic) -> String {
    match found.interval {
        Some([low, high]) => format!("{} [{}, {}]", number(found.value), number(low), number(high)),
        None => number(found.value),
    }
}

/// 0.72 [0.48, 0.92]
pub(crate) fn probability(found: &Statistic) -> String {
    match found.interval {
        Some([low, high]) => format!("{:.2} [{low:.2}, {high:.2}]", found.value),
        None => format!("{:.2}", found.value),
    }
}

/// One decimal below 1000, with a minus sign as in print.
pub(crate) fn number(value: f64) -> String {
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
pub(crate) fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", thousands(number / 1000), number % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_print() {
        let interval = Statistic {
            value: -2.0,
            interval: Some([-1234.56, -0.04]),
        };
        assert_eq!(statistic(&interval), "−2.0 [−1235, 0.0]");
        assert_eq!(
            probability(&Statistic {
                value: 0.5,
                interval: None
            }),
            "0.50"
        );
        assert_eq!(thousands(1_250_000), "1,250,000");
        assert_eq!(sentence("final return"), "Final return");
    }
}
