//! Tables of results within Markdown pages, made from data files.
//!
//! A table stands between two comments. The first says what is in it:
//!
//! ```text
//! <!-- results: pendulum_critics/DSAC-T; pendulum_critics/SAC; against=SAC -->
//! <!-- end of results -->
//! ```
//!
//! An item is `FILE/LABEL`, or `FILE/*` for all labels of a data file. Options: `against=LABEL` compares every row with that
//! label on the same task; `condition=SETTING` takes the scores of the saved policies under that setting of the environment
//! instead of the evaluations during training; `condition=all` has a row for every condition; `reached=RETURN` adds when each
//! run's evaluations first reached that return.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    data::{Data, Record, read_sealed},
    error::{Error, Result},
    markdown::line,
    picture,
    print::{number, probability, statistic, thousands},
    statistics::{RESAMPLES, final_score},
    summary::{Options, Statistic, Task, summarise},
};

const BEGIN: &str = "<!-- results: ";
const END: &str = "<!-- end of results -->";

/// A page or a picture that is not what the data files give.
#[derive(Debug)]
pub struct Stale {
    /// The file.
    pub path: PathBuf,
    /// What it should contain.
    pub text: String,
}

/// The pages and pictures below `root` that are not what the data files of `root/docs/curves` give.
///
/// # Errors
/// When a file cannot be read, a table asks for runs that are not there, or a data file was edited.
pub fn stale(root: &Path) -> Result<Vec<Stale>> {
    let curves = root.join("docs/curves");
    let mut found = Vec::new();
    for path in files(&root.join("docs"), "md")?
        .into_iter()
        .chain([root.join("README.md")])
    {
        let markdown = fs::read_to_string(&path).map_err(Error::io(&path))?;
        let text = with_tables(&path, &markdown, &curves)?;
        if text != markdown {
            found.push(Stale { path, text });
        }
    }
    for file in files(&curves, "json")? {
        for (path, text) in pictures(&file)? {
            if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
                found.push(Stale { path, text });
            }
        }
    }
    Ok(found)
}

/// The pictures of a data file: one for each task, and beside the file.
///
/// # Errors
/// As [`stale`].
pub fn pictures(file: &Path) -> Result<Vec<(PathBuf, String)>> {
    let data = read_sealed(file)?;
    let summary = summarise(&data, &Options::default())?;
    let is_one = summary.tasks.len() == 1;
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let draw = |task: &Task| {
        let env = &task.env;
        let (name, title) = match is_one {
            true => (format!("{stem}.svg"), &data.title),
            false => (format!("{stem}_{}.svg", file_name(env)), env),
        };
        Ok((
            file.with_file_name(name),
            picture::draw(title, data.threshold.as_ref(), task)?,
        ))
    };
    summary.tasks.iter().map(draw).collect()
}

/// An environment's id as part of a file's name.
pub fn file_name(env: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' || c == '.' => c,
        _ => '_',
    };
    env.chars().map(plain).collect()
}

/// Files below a folder with this ending, sorted.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let path = entry.map_err(Error::io(folder))?.path();
        if path.is_dir() {
            found.extend(files(&path, ending)?);
        } else if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A page with every table of results made anew.
fn with_tables(page: &Path, markdown: &str, curves: &Path) -> Result<String> {
    let mut text = String::new();
    let mut rest = markdown;
    // Only at the beginning of a line: within one it is prose.
    while let Some(at) = rest.find(&format!("\n{BEGIN}")).map(|at| at + 1) {
        let from = &rest[at..];
        let Some((head, _)) = from.split_once('\n') else { break };
        let directive = head.trim_start_matches(BEGIN).trim_end_matches("-->").trim();
        let refused = |problem: String| Error::malformed(page, format!("the table `{directive}`: {problem}"));
        let end = from.find(END).ok_or_else(|| refused(format!("no `{END}` after it")))?;
        let links = page.parent().map(|folder| relative(folder, curves)).unwrap_or_default();
        text += &rest[..at];
        text += &format!(
            "{head}\n{}{END}",
            Table::parse(directive)
                .map_err(&refused)?
                .text(curves, &links, &refused)?
        );
        rest = &from[end + END.len()..];
    }
    Ok(text + rest)
}

/// A link from a page in one folder to another folder, as a relative URL.
pub fn link(from: &Path, to: &Path) -> String {
    let absolute = |path: &Path| {
        let here = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        std::path::absolute(here).unwrap_or_else(|_| here.to_path_buf())
    };
    let mut url = String::new();
    for byte in relative(&absolute(from), &absolute(to)).bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => url.push(char::from(byte)),
            other => url += &format!("%{other:02X}"),
        }
    }
    url
}

/// The path from one folder to another below a folder that both share.
fn relative(from: &Path, to: &Path) -> String {
    let mut path = String::new();
    let mut shared = from;
    while !to.starts_with(shared) {
        path += "../";
        let Some(parent) = shared.parent() else { break };
        shared = parent;
    }
    path += &to.strip_prefix(shared).unwrap_or(to).to_string_lossy();
    match path.is_empty() {
        true => ".".to_string(),
        false => path,
    }
}

/// What a comment asks for.
struct Table<'a> {
    /// Data file and label.
    items: Vec<(&'a str, &'a str)>,
    against: Option<&'a str>,
    condition: Option<&'a str>,
    reached: Option<f64>,
}

/// One label on one task under one condition.
struct Row {
    file: String,
    label: String,
    env: String,
    task: String,
    env_steps: u64,
    condition: String,
    /// By run.
    values: Vec<f64>,
    curves: Vec<Vec<(u64, f64)>>,
}

impl<'a> Table<'a> {
    fn parse(directive: &'a str) -> std::result::Result<Self, String> {
        let mut table = Table {
            items: Vec::new(),
            against: None,
            condition: None,
            reached: None,
        };
        for item in directive.split(';').map(str::trim) {
            match item.split_once('=') {
                Some(("against", label)) => table.against = Some(label),
                Some(("condition", setting)) => table.condition = Some(setting),
                Some(("reached", value)) => {
                    table.reached = Some(value.parse().map_err(|_| format!("`{value}` is no return"))?);
                }
                _ => table.items.push(
                    item.split_once('/')
                        .ok_or_else(|| format!("`{item}` is no FILE/LABEL"))?,
                ),
            }
        }
        Ok(table)
    }

    fn text(&self, curves: &Path, links: &str, refused: &impl Fn(String) -> Error) -> Result<String> {
        let mut rows = Vec::new();
        let mut sources = Sources::default();
        for (file, label) in &self.items {
            let data = read_sealed(&curves.join(format!("{file}.json")))?;
            let found = self.rows(file, label, &data, &mut sources)?;
            if found.is_empty() {
                return Err(refused(format!("{file} has no {label}")));
            }
            rows.extend(found);
        }
        if let Some(label) = self.against.filter(|label| !rows.iter().any(|row| row.label == *label)) {
            return Err(refused(format!("no row {label} to compare with")));
        }
        let mut header = vec!["Run", "Task", "Env steps"]
            .into_iter()
            .map(str::to_string)
            .collect::<Vec<_>>();
        if self.condition == Some("all") {
            header.push("Condition".to_string());
        }
        header.push("n".to_string());
        header.push(match self.condition {
            None => "Final return: IQM [95 % interval]".to_string(),
            Some(_) => "Score: IQM [95 % interval]".to_string(),
        });
        header.extend(
            self.against
                .map(|label| format!("Probability of being above {label} [95 % interval]")),
        );
        header.extend(
            self.reached
                .map(|value| format!("Env steps until {}, by run", number(value).trim_end_matches(".0"))),
        );
        let mut text = line(&header) + "|" + &"---|".repeat(header.len()) + "\n";
        for row in &rows {
            let mut cells = vec![row.label.clone(), row.task.clone(), thousands(row.env_steps)];
            if self.condition == Some("all") {
                cells.push(condition_name(&row.condition));
            }
            let iqm = Statistic::iqm(&row.values, RESAMPLES);
            let iqm = iqm.ok_or_else(|| refused(format!("{} has a score that is not finite", row.label)))?;
            cells.extend([row.values.len().to_string(), statistic(&iqm)]);
            if let Some(label) = self.against {
                let key = |row: &Row| (row.file.clone(), row.env.clone(), row.condition.clone());
                let other = rows.iter().find(|other| other.label == label && key(other) == key(row));
                // An experiment in progress may not have it yet on every task.
                let other = other.filter(|_| row.label != label);
                let found = other.and_then(|other| Statistic::improvement(&row.values, &other.values));
                cells.push(found.map_or("–".to_string(), |found| probability(&found)));
            }
            cells.extend(self.reached.map(|value| reached(&row.curves, value)));
            text += &line(&cells);
        }
        Ok(text + &sources.caption(links))
    }

    fn rows(&self, file: &str, label: &str, data: &Data, sources: &mut Sources) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = Vec::new();
        let envs: BTreeSet<&str> = data.runs.iter().map(|run| run.env.as_str()).collect();
        for run in data.runs.iter().filter(|run| label == "*" || label == run.label) {
            sources.add(file, run);
            let curve = run.curve()?;
            let returns: Vec<f64> = curve.iter().map(|(_, value)| *value).collect();
            let mut found = match self.condition {
                None => final_score(&returns)
                    .map(|value| vec![(String::new(), value)])
                    .unwrap_or_default(),
                Some(condition) => scores(run, condition),
            };
            for (condition, value) in found.drain(..) {
                let is_same =
                    |row: &&mut Row| (&row.label, &row.env, &row.condition) == (&run.label, &run.env, &condition);
                match rows.iter_mut().find(is_same) {
                    Some(row) => {
                        row.values.push(value);
                        row.curves.push(curve.clone());
                    }
                    None => rows.push(Row {
                        file: file.to_string(),
                        label: run.label.clone(),
                        env: run.env.clone(),
                        task: if envs.len() == 1 {
                            data.title.clone()
                        } else {
                            run.env.clone()
                        },
                        env_steps: run.env_steps,
                        condition,
                        values: vec![value],
                        curves: vec![curve.clone()],
                    }),
                }
            }
        }
        Ok(rows)
    }
}

/// Mean returns of the scored episodes of a run's saved policy, by condition.
fn scores(run: &Record, wanted: &str) -> Vec<(String, f64)> {
    let score = |score: &Value| {
        let set: Vec<&str> = score["set"].as_array()?.iter().filter_map(Value::as_str).collect();
        Some((set.join(" "), score["mean_return"].as_f64()?))
    };
    let all = run.scores.iter().filter_map(score);
    all.filter(|(condition, _)| wanted == "all" || condition == wanted)
        .collect()
}

/// Where the numbers of a table come from.
#[derive(Default)]
struct Sources {
    files: Vec<String>,
    processors: BTreeSet<String>,
    commits: BTreeSet<String>,
}

impl Sources {
    fn add(&mut self, file: &str, run: &Record) {
        if !self.files.iter().any(|other| other == file) {
            self.files.push(file.to_string());
        }
        self.processors.insert(run.processor.clone());
        for commit in run.commit.iter().flat_map(|commits| commits.split(", ")) {
            // Seven digits name a commit; a working tree that was not clean says so.
            let modified = if commit.ends_with("-modified") { "-modified" } else { "" };
            self.commits
                .insert(format!("{}{modified}", commit.get(..7).unwrap_or(commit)));
        }
    }

    fn caption(&self, links: &str) -> String {
        let commands: Vec<String> = self
            .files
            .iter()
            .map(|name| format!("[`cargo xtask curves {name}`]({links}/{name}.json)"))
            .collect();
        let join = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
        let code = match self.commits.len() {
            0 => String::new(),
            1 => format!(", commit {}", join(&self.commits)),
            _ => format!(", runs of different code: commits {}", join(&self.commits)),
        };
        format!(
            "\n{}; {}{code} ([how to read it]({links}/README.md#tables)).\n",
            commands.join(", "),
            join(&self.processors)
        )
    }
}

/// `env.wrappers=[{kind='observation_noise',std=0.05}]` → `observation_noise, std 0.05`.
fn condition_name(condition: &str) -> String {
    let inner = condition
        .split_once("[{kind='")
        .and_then(|(_, rest)| rest.strip_suffix("}]"));
    match inner {
        _ if condition.is_empty() => "as trained".to_string(),
        Some(inner) => format!("`{}", inner.replacen("',", "`, ", 1).replace('=', " ")),
        None => format!("`{condition}`"),
    }
}

/// When each run's evaluations first reached a return.
fn reached(curves: &[Vec<(u64, f64)>], value: f64) -> String {
    let first = |curve: &Vec<(u64, f64)>| {
        let found = curve.iter().find(|(_, mean_return)| *mean_return >= value);
        found.map_or("never".to_string(), |(env_steps, _)| thousands(*env_steps))
    };
    curves.iter().map(first).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_relative_url() {
        assert_eq!(link(Path::new("out"), Path::new("runs/a b")), "../runs/a%20b");
        assert_eq!(link(Path::new(""), Path::new("runs/a")), "runs/a");
        assert_eq!(link(Path::new("/x/y"), Path::new("/x/z%")), "../z%25");
    }

    #[test]
    fn a_path_leads_from_a_page_to_the_data() {
        let to = Path::new("/r/docs/curves");
        let from = |folder: &str| relative(Path::new(folder), to);
        assert_eq!(from("/r"), "docs/curves");
        assert_eq!(from("/r/docs/curves"), ".");
        assert_eq!(from("/r/docs"), "curves");
        assert_eq!(from("/r/docs/algorithms"), "../curves");
    }

    #[test]
    fn a_table_holds_what_its_comment_asks_for() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = |label: &str, seed, value: f64| Record {
            label: label.to_string(),
            seed: Some(seed),
            env: "E".to_string(),
            env_steps: 2000,
            commit: Some("0123456789-modified".to_string()),
            processor: "P".to_string(),
            evaluations: serde_json::json!({ "env_steps": [1000, 2000], "mean_return": [9.0, value] })
                .as_object()
                .cloned()
                .unwrap_or_default(),
            scores: vec![serde_json::json!({ "set": ["env.wrappers=[{kind='noise',std=1}]"], "mean_return": -value })],
            ..Record::default()
        };
        let mut data = Data {
            title: "Task".to_string(),
            runs: vec![run("A", 1, 1.0), run("A", 2, 1.0), run("B", 1, 10.0), run("B", 2, 10.0)],
            ..Data::default()
        };
        let file = folder.path().join("x.json");
        crate::data::write(&file, &data).expect("written");
        let page = |directive: &str| {
            let markdown = format!("Before\n{BEGIN}{directive} -->\nold\n{END}\nafter\n");
            with_tables(&folder.path().join("page.md"), &markdown, folder.path())
        };
        let made = page("x/*; against=A; reached=10").expect("a table");
        for text in [
            "Before\n<!-- results: x/*",
            "| Run | Task | Env steps | n | Final return: IQM [95 % interval] |",
            "| A | Task | 2,000 | 2 | 1.0 [1.0, 1.0] | – | never; never |",
            "| B | Task | 2,000 | 2 | 10.0 [10.0, 10.0] | 1.00 [1.00, 1.00] | 2,000; 2,000 |",
            "P, commit 0123456-modified",
            "(./x.json)",
            "<!-- end of results -->\nafter\n",
        ] {
            assert!(made.contains(text), "`{text}` is missing:\n{made}");
        }
        let made = page("x/B; condition=all").expect("a table");
        assert!(made.contains("| `noise`, std 1 | 2 | −10.0 [−10.0, −10.0] |"), "{made}");

        data.runs[0].commit = Some("other".to_string());
        crate::data::write(&file, &data).expect("written");
        let made = page("x/A").expect("a table");
        assert!(
            made.contains("runs of different code: commits 0123456-modified, other"),
            "{made}"
        );
        for (directive, problem) in [
            ("x/C", "x has no C"),
            ("x", "no FILE/LABEL"),
            ("x/B; against=A", "no row A"),
        ] {
            let error = page(directive).expect_err("refused").to_string();
            assert!(error.contains(problem), "{error}");
        }
        let text = fs::read_to_string(&file).expect("there").replace("10.0", "11.0");
        fs::write(&file, text).expect("written");
        assert!(matches!(page("x/A"), Err(Error::Edited(_))));
    }
}
