//! The runs that `sac report` is about: [`collect`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use sac_report::{
    data::{self, Data, Record},
    folder,
    settings::{self, Settings},
};

use crate::{
    args::ReportArgs,
    error::{Error, Result},
    messages::say,
};

/// The label of the runs of `--baseline`, if none is given.
const BASELINE: &str = "baseline";

/// The runs that the arguments name, and what is to be said about them.
#[derive(Default)]
pub struct Collected {
    pub data: Data,
    pub notes: Vec<String>,
    /// The label to compare with.
    pub against: Option<String>,
    /// Settings of the runs whose labels are still to be found, by their place among the runs.
    unlabelled: Vec<(usize, Settings)>,
    /// Folders and files that were read.
    seen: BTreeSet<PathBuf>,
    unfinished: Vec<String>,
}

/// Reads the runs that the arguments name, each once.
///
/// # Errors
/// When a path cannot be read or holds no run, when a run is unfinished or has an evaluation that is not a number.
pub fn collect(args: &ReportArgs) -> Result<Collected> {
    let mut found = Collected {
        against: args.against.clone(),
        ..Collected::default()
    };
    // The baseline comes first, so that a run which the other paths hold too is one of it.
    if let Some(argument) = &args.baseline {
        let (label, path) = labelled(argument);
        let label = label.unwrap_or(BASELINE);
        found.add(Some(label), &path)?;
        found.against = Some(label.to_string());
    }
    for argument in &args.paths {
        let (label, path) = labelled(argument);
        found.add(label, &path)?;
    }
    found.label_by_differences();
    found.leave_out_unfinished(args.skip_unfinished)?;
    found.leave_out_diverged(args.skip_diverged)?;
    Ok(found)
}

impl Collected {
    fn add(&mut self, label: Option<&str>, path: &Path) -> Result<()> {
        if path.extension().is_some_and(|ending| ending == "json") && !path.is_dir() {
            return self.add_file(label, path);
        }
        for path in folder::runs_in(path)? {
            // A run that two arguments name is one run.
            if !self.seen.insert(fs::canonicalize(&path).map_err(Error::io(&path))?) {
                continue;
            }
            let folder::Run {
                mut record,
                is_finished,
            } = folder::read(&path)?;
            if !is_finished {
                self.unfinished.push(format!(
                    "{} ({} of {} env steps were evaluated)",
                    path.display(),
                    record.env_steps_evaluated().unwrap_or(0),
                    record.env_steps
                ));
                continue;
            }
            match label {
                Some(label) => record.label = label.to_string(),
                None => {
                    let settings = record.config.as_ref().map(settings::leaves).unwrap_or_default();
                    self.unlabelled.push((self.data.runs.len(), settings));
                }
            }
            self.data.runs.push(record);
        }
        Ok(())
    }

    fn add_file(&mut self, label: Option<&str>, path: &Path) -> Result<()> {
        let file = data::read(path)?;
        if !self.seen.insert(fs::canonicalize(path).map_err(Error::io(path))?) {
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
            self.notes.push(format!(
                "{} has no digest: it was not written by these tools.",
                path.display()
            ));
        }
        self.data.threshold = self.data.threshold.take().or(file.threshold);
        for mut run in file.runs {
            if let Some(label) = label {
                run.label = label.to_string();
            }
            self.data.runs.push(run);
        }
        Ok(())
    }

    /// Names runs after their algorithm and the settings in which they differ from others of the same task and algorithm.
    fn label_by_differences(&mut self) {
        let runs = &self.data.runs;
        let group = |run: &Record| (run.algo.clone(), run.env.clone());
        let grouped: Vec<_> = self
            .unlabelled
            .iter()
            .map(|(place, settings)| (group(&runs[*place]), settings))
            .collect();
        let distinctions = settings::distinctions(&grouped);
        for ((place, _), pairs) in self.unlabelled.iter().zip(distinctions) {
            for pair in pairs {
                self.data.runs[*place].label += &format!(", {pair}");
            }
        }
    }

    fn leave_out_unfinished(&mut self, is_allowed: bool) -> Result<()> {
        if self.unfinished.is_empty() {
            return Ok(());
        }
        let unfinished = std::mem::take(&mut self.unfinished);
        if !is_allowed || self.data.runs.is_empty() {
            return Err(sac_report::Error::Unfinished(unfinished).into());
        }
        self.notes.push(left_out("unfinished", &unfinished));
        Ok(())
    }

    fn leave_out_diverged(&mut self, is_allowed: bool) -> Result<()> {
        let mut diverged = Vec::new();
        for run in &self.data.runs {
            let steps: Vec<String> = run.not_finite().iter().map(u64::to_string).collect();
            if !steps.is_empty() {
                let seed = run.seed.map_or(String::new(), |seed| format!(", seed {seed}"));
                let (run, at) = (run.source.display(), steps.join(", "));
                diverged.push(format!("{run}{seed} (at env step {at})"));
            }
        }
        if diverged.is_empty() {
            return Ok(());
        }
        let is_left = |run: &Record| run.not_finite().is_empty();
        if !is_allowed || !self.data.runs.iter().any(is_left) {
            return Err(sac_report::Error::NotFinite(diverged).into());
        }
        self.data.runs.retain(is_left);
        self.notes.push(left_out("diverged", &diverged));
        Ok(())
    }
}

fn left_out(what: &str, runs: &[String]) -> String {
    let are = if runs.len() == 1 { "run is" } else { "runs are" };
    format!("{} {what} {are} left out: {}.", runs.len(), runs.join("; "))
}

/// `LABEL=PATH`, or a path alone. A path with `=` in it that exists is a path.
fn labelled(argument: &str) -> (Option<&str>, PathBuf) {
    match argument.split_once('=') {
        Some((label, path)) if !label.is_empty() && !Path::new(argument).exists() => (Some(label), path.into()),
        _ => (None, argument.into()),
    }
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
