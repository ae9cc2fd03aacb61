//! `sac report`: [`run`].

mod collect;

use std::{
    fs,
    path::{Path, PathBuf},
};

use sac_report::{
    data::{self, Data},
    html, markdown, pages, picture,
    scale::Scale,
    summary::{Options, Summary, Task, summarise},
};

use crate::{
    args::ReportArgs,
    error::{Error, Result},
    output::{print, print_json},
};
use collect::{Collected, collect};

/// Writes the report on the runs that the arguments name.
///
/// # Errors
/// When they cannot be read or compared, or a file cannot be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    let scale = match &args.reference {
        Some(path) => Some(Scale::read(path)?),
        None => args.min_max.then_some(Scale::MinMax),
    };
    let Collected {
        data, notes, against, ..
    } = collect(args)?;
    let options = Options {
        against: against.as_deref(),
        scale: scale.as_ref(),
    };
    let mut summary = summarise(&data, &options)?;
    summary.notes.splice(0..0, notes);
    let report = Report {
        title: args.title.as_deref().unwrap_or("Report"),
        data: &data,
        summary: &summary,
    };
    let written = args.out.as_deref().map(|out| report.write(out)).transpose()?;
    match (args.json, written) {
        (true, _) => print_json(&summary),
        (false, None) => print(&report.markdown(|_| None)),
        (false, Some(written)) => {
            let lines: Vec<String> = written.iter().map(|path| format!("{}\n", path.display())).collect();
            print(&lines.concat())
        }
    }
}

struct Report<'a> {
    title: &'a str,
    data: &'a Data,
    summary: &'a Summary,
}

impl Report<'_> {
    fn markdown(&self, picture: impl Fn(&Task) -> Option<String>) -> String {
        markdown::page(self.title, self.summary, picture)
    }

    fn json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self.summary).map_err(|error| Error::Usage(error.to_string()))?;
        Ok(json + "\n")
    }

    /// A page that will lie in this folder.
    fn html(&self, folder: &Path) -> String {
        html::page(self.title, self.summary, self.data.threshold.as_ref(), |run| {
            pages::link(folder, Path::new(run))
        })
    }

    /// Writes the report as one file, or into a folder, and says what was written.
    fn write(&self, out: &Path) -> Result<Vec<PathBuf>> {
        let parent = out.parent().unwrap_or(Path::new(""));
        let text = match out.extension().and_then(|ending| ending.to_str()) {
            Some("html") => self.html(parent),
            Some("md") => self.markdown(|_| None),
            Some("json") => self.json()?,
            _ => return self.write_all(out),
        };
        if !parent.as_os_str().is_empty() {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        fs::write(out, text).map_err(Error::io(out))?;
        Ok(vec![out.to_path_buf()])
    }

    /// Writes the report in every form into a folder, and the runs behind it as one data file.
    fn write_all(&self, out: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(out).map_err(Error::io(out))?;
        let mut written = Vec::new();
        let mut put = |name: &str, text: &str| {
            let path = out.join(name);
            fs::write(&path, text).map_err(Error::io(&path))?;
            written.push(path);
            Ok::<_, Error>(())
        };
        let picture_of = |task: &Task| format!("{}.svg", pages::file_name(&task.env));
        put("report.md", &self.markdown(|task| Some(picture_of(task))))?;
        put("report.html", &self.html(out))?;
        put("report.json", &self.json()?)?;
        for task in &self.summary.tasks {
            let drawn = picture::draw(&task.env, self.data.threshold.as_ref(), task)?;
            put(&picture_of(task), &drawn)?;
        }
        let path = out.join("data.json");
        let data = Data {
            title: self.title.to_string(),
            ..self.data.clone()
        };
        data::write(&path, &data)?;
        written.push(path);
        Ok(written)
    }
}
