//! `sac report`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sac_report::{
    data::{self, Data},
    folder, markdown, pages, picture,
    summary::{Summary, Task, summarise},
};

use super::{
    args::ReportArgs,
    messages::say,
    output::{print, print_json},
};
use crate::error::{Error, Result};

pub fn run(args: &ReportArgs) -> Result<()> {
    let Collected { data, notes } = collect(args)?;
    let mut summary = summarise(&data, args.against.as_deref())?;
    summary.notes.splice(0..0, notes);
    let title = args.title.as_deref().unwrap_or("Report");
    let Some(out) = &args.out else {
        return match args.json {
            true => print_json(&summary),
            false => print(&markdown::page(title, &summary, |_| None)),
        };
    };
    let written = write(out, title, &data, &summary)?;
    match args.json {
        true => print_json(&summary),
        false => {
            let lines: Vec<String> = written.iter().map(|path| format!("{}\n", path.display())).collect();
            print(&lines.concat())
        }
    }
}

/// The runs that the arguments name, and what is to be said about them.
struct Collected {
    data: Data,
    notes: Vec<String>,
}

fn collect(args: &ReportArgs) -> Result<Collected> {
    let mut found = Collected {
        data: Data::default(),
        notes: Vec::new(),
    };
    let (mut seen, mut unfinished) = (BTreeSet::new(), Vec::new());
    for argument in &args.paths {
        let (label, path) = labelled(argument);
        if path.extension().is_some_and(|ending| ending == "json") && !path.is_dir() {
            add_file(&mut found, &mut seen, label, &path)?;
            continue;
        }
        for path in folder::runs_in(&path)? {
            // A run that two arguments name is one run.
            if !seen.insert(fs::canonicalize(&path).map_err(Error::io(&path))?) {
                continue;
            }
            let folder::Run {
                mut record,
                is_finished,
            } = folder::read(&path)?;
            if let Some(label) = label {
                record.label = label.to_string();
            }
            match is_finished {
                true => found.data.runs.push(record),
                false => unfinished.push(format!(
                    "{} ({} of {} env steps were evaluated)",
                    path.display(),
                    record.env_steps_evaluated().unwrap_or(0),
                    record.env_steps
                )),
            }
        }
    }
    if !unfinished.is_empty() {
        if !args.skip_unfinished || found.data.runs.is_empty() {
            return Err(sac_report::Error::Unfinished(unfinished).into());
        }
        let are = if unfinished.len() == 1 { "run is" } else { "runs are" };
        found.notes.push(format!(
            "{} unfinished {are} left out: {}.",
            unfinished.len(),
            unfinished.join("; ")
        ));
    }
    Ok(found)
}

fn add_file(found: &mut Collected, seen: &mut BTreeSet<PathBuf>, label: Option<&str>, path: &Path) -> Result<()> {
    let file = data::read(path)?;
    if !seen.insert(fs::canonicalize(path).map_err(Error::io(path))?) {
        return Ok(());
    }
    if file.runs.is_empty() {
        return Err(sac_report::Error::NoRuns(path.to_path_buf()).into());
    }
    if !file.is_sealed {
        say(&format!(
            "warning: {} has no digest, so nothing shows whether its numbers are those of runs",
            path.display()
        ));
        found.notes.push(format!(
            "{} has no digest: it was not written by these tools.",
            path.display()
        ));
    }
    found.data.threshold = found.data.threshold.take().or(file.threshold);
    for mut run in file.runs {
        if let Some(label) = label {
            run.label = label.to_string();
        }
        found.data.runs.push(run);
    }
    Ok(())
}

/// `LABEL=PATH`, or a path alone. A path with `=` in it that exists is a path.
fn labelled(argument: &str) -> (Option<&str>, PathBuf) {
    match argument.split_once('=') {
        Some((label, path)) if !label.is_empty() && !Path::new(argument).exists() => (Some(label), path.into()),
        _ => (None, argument.into()),
    }
}

/// Writes the report into a folder, and the runs behind it as one data file.
fn write(out: &Path, title: &str, data: &Data, summary: &Summary) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let mut written = Vec::new();
    let mut put = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).map_err(Error::io(&path))?;
        written.push(path);
        Ok::<_, Error>(())
    };
    let picture_of = |task: &Task| format!("{}.svg", pages::file_name(&task.env));
    put(
        "report.md",
        &markdown::page(title, summary, |task| Some(picture_of(task))),
    )?;
    let json = serde_json::to_string_pretty(summary).map_err(|error| Error::Usage(error.to_string()))?;
    put("report.json", &(json + "\n"))?;
    for task in &summary.tasks {
        let drawn = picture::draw(&task.env, data.threshold.as_ref(), task)?;
        put(&picture_of(task), &drawn)?;
    }
    let path = out.join("data.json");
    let data = Data {
        title: title.to_string(),
        ..data.clone()
    };
    data::write(&path, &data)?;
    written.push(path);
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_stands_before_a_path() {
        assert_eq!(labelled("SAC=runs/a"), (Some("SAC"), "runs/a".into()));
        assert_eq!(labelled("runs/a"), (None, "runs/a".into()));
        assert_eq!(labelled("=runs/a"), (None, "=runs/a".into()));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lr=0.001");
        fs::create_dir(&path).expect("made");
        let text = path.to_string_lossy();
        assert_eq!(labelled(&text), (None, path.clone()));
    }
}
