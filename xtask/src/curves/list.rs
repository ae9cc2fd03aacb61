//! The table that `cargo xtask curves` prints.

use std::path::Path;

use anyhow::Result;

use sac_report::data::{Data, Record};
use sac_report::experiment::{Experiment, Group};

use super::data::{data_file, read_data};
use super::experiment::runs_of;

/// The table that `cargo xtask curves` prints: what each experiment trains, and how long that takes.
pub(super) fn list(experiments: &[Experiment], curves: &Path, cores: usize) -> Result<String> {
    let mut rows = vec![
        [
            "Name",
            "Environment",
            "Algorithms",
            "Runs",
            "Env steps",
            "Recorded",
            "Time",
        ]
        .map(str::to_string),
    ];
    for experiment in experiments {
        let data = read_data(&data_file(curves, &experiment.name))?;
        let distinct = |field: fn(&Group) -> &str| {
            let mut values: Vec<&str> = Vec::new();
            for value in experiment.groups.iter().map(field) {
                if !values.contains(&value) {
                    values.push(value);
                }
            }
            match values.len() {
                0..=3 => values.join(", "),
                count => format!("{} and {} more", values[0], count - 1),
            }
        };
        let steps = experiment.groups.iter().map(|group| group.env_steps);
        let (least, most) = (steps.clone().min().unwrap_or(0), steps.max().unwrap_or(0));
        let recorded = runs_of(experiment)
            .filter(|run| data.runs.iter().any(|record| run.is_told_by(record)))
            .count();
        let asked = runs_of(experiment).count();
        rows.push([
            experiment.name.clone(),
            distinct(|group| &group.env),
            distinct(|group| &group.algo),
            format!("{} × {} seeds", experiment.groups.len(), experiment.seeds.len()),
            if least == most {
                format!("{most}")
            } else {
                format!("{least} to {most}")
            },
            format!("{recorded} of {asked}"),
            estimate(experiment, &data).map_or("unknown".to_string(), |seconds| time(seconds / cores as f64)),
        ]);
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    let what = if cores == 1 {
        "1 core".to_string()
    } else {
        format!("{cores} cores")
    };
    text += &format!(
        "\nTime: all runs of the experiment on {what}, at the speed of the fastest recorded run of each group.\n\
         cargo xtask curves NAME        trains the runs that are not recorded, and draws\n\
         cargo xtask curves --recorded  draws what is recorded\n\
         cargo xtask curves --all       all experiments\n"
    );
    Ok(text)
}

/// Seconds of one core that all runs of an experiment take, where every group has a recorded run to go by.
fn estimate(experiment: &Experiment, data: &Data) -> Option<f64> {
    let of_group = |group: &Group| {
        let is_of_group = |record: &&Record| (&record.label, &record.env) == (&group.label, &group.env);
        let records = data.runs.iter().filter(is_of_group);
        records.filter_map(Record::seconds).min_by(f64::total_cmp)
    };
    let seconds = experiment.groups.iter().map(of_group).sum::<Option<f64>>()?;
    Some(seconds * experiment.seeds.len() as f64)
}

/// 5400 → `1.5 h`.
pub(super) fn hours(seconds: f64) -> String {
    format!("{:.1} h", seconds / 3600.0)
}

/// 45 → `45 s`, 600 → `10 min`, 8000 → `2 h 13 min`.
fn time(seconds: f64) -> String {
    match seconds.round() as u64 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use sac_report::data::write;

    use super::*;
    use crate::curves::data::tests::small_record;
    use crate::curves::experiment::tests::small;

    #[test]
    fn the_list_estimates_the_time_from_the_fastest_recorded_run() {
        let experiment = small();
        let mut data = Data::default();
        assert_eq!(estimate(&experiment, &data), None, "nothing to go by");
        data.runs = vec![small_record(1, 80.0), small_record(2, 60.0)];
        assert_eq!(estimate(&experiment, &data), Some(120.0), "two seeds of 60 s");
        assert_eq!([45.0, 600.0, 8000.0].map(time), ["45 s", "10 min", "2 h 13 min"]);

        let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
        let before = list(&[small()], folder.path(), 2).unwrap_or_else(|e| panic!("{e:#}"));
        assert!(before.contains("0 of 2") && before.contains("unknown"), "{before}");
        write(&data_file(folder.path(), "x"), &data).unwrap_or_else(|e| panic!("{e:#}"));
        let after = list(&[small()], folder.path(), 2).unwrap_or_else(|e| panic!("{e:#}"));
        assert!(after.contains("2 of 2") && after.contains("60 s"), "{after}");
        for column in ["Name", "x ", "E ", "sac", "1 × 2 seeds", "10"] {
            assert!(after.contains(column), "`{column}` is missing:\n{after}");
        }
    }
}
