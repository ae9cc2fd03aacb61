//! Draws learning curves. What is drawn is one JSON file that holds every evaluation of every run; the picture is made
//! from it alone.
//!
//! From the folders of your own runs, which writes `mine.json` beside `mine.svg`:
//!
//! ```text
//! cargo run --release --example learning_curves -- --out mine.svg --title "Pendulum-v1" \
//!     "SAC=runs/a,runs/b,runs/c" "TQC=runs/d,runs/e,runs/f"
//! ```
//!
//! From a data file, such as those in `docs/curves`:
//!
//! ```text
//! cargo run --release --example learning_curves -- docs/curves/pendulum.json
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser;
use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// Draws the evaluations of runs as an SVG.
#[derive(Parser)]
struct Arguments {
    /// Picture to write, and with the ending `.json` the data behind it; by default beside the data file
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
    /// Above the picture
    #[arg(long, default_value = "")]
    title: String,
    /// Dashed line at this return, with its name for the legend
    #[arg(long, value_name = "LABEL=RETURN", value_parser = number_argument)]
    threshold: Option<(String, f64)>,
    /// Divides the returns of one group, such as those of rewards that were scaled
    #[arg(long, value_name = "LABEL=FACTOR", value_parser = number_argument)]
    divide: Vec<(String, f64)>,
    /// Runs that differ in their seed only, under one label; or one data file
    #[arg(required = true, value_name = "LABEL=RUN,RUN,… | FILE.json")]
    what: Vec<String>,
}

fn number_argument(text: &str) -> Result<(String, f64), String> {
    let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
    match text.rsplit_once('=').map(|(label, text)| (label, number(text))) {
        Some((label, Some(number))) => Ok((label.to_string(), number)),
        _ => Err("expected LABEL=NUMBER".to_string()),
    }
}

/// One data file. `cargo xtask curves` writes the same form (`xtask/src/curves.rs`), with more about each run.
#[derive(Serialize, Deserialize)]
struct Data {
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<Threshold>,
    runs: Vec<Run>,
}

#[derive(Serialize, Deserialize)]
struct Threshold {
    #[serde(rename = "return")]
    at: f64,
    label: String,
}

#[derive(Serialize, Deserialize)]
struct Run {
    /// Runs with the same label are one curve.
    label: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    returns_divided_by: Option<f64>,
    /// What else is known of the run: seed, settings, commit, processor, scores.
    #[serde(flatten)]
    about: serde_json::Map<String, serde_json::Value>,
    evaluations: Evaluations,
}

/// Columns of a run's `eval.csv`.
#[derive(Serialize, Deserialize)]
struct Evaluations {
    env_steps: Vec<u64>,
    mean_return: Vec<f64>,
    #[serde(flatten)]
    others: BTreeMap<String, Vec<Number>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (data, out) = match arguments.what.as_slice() {
        [file] if !file.contains('=') => {
            let out = arguments.out.unwrap_or_else(|| Path::new(file).with_extension("svg"));
            (read_data(Path::new(file))?, out)
        }
        _ => {
            let out = arguments
                .out
                .clone()
                .ok_or("`--out FILE.svg` says where the picture goes")?;
            let data = collect(&arguments)?;
            if let Some(folder) = out.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = out.with_extension("json");
            fs::write(&file, to_text(&data)?)?;
            println!("{}", file.display());
            (data, out)
        }
    };
    let groups = summarise_groups(&data)?;
    fs::write(&out, draw(&data, &groups)?)?;
    for group in &groups {
        let Some(last) = group.points.last() else { continue };
        println!(
            "{}: {} runs, at {} env steps median {:.1}, lowest {:.1}, highest {:.1}",
            group.label, group.runs, last.env_steps, last.median, last.min, last.max
        );
    }
    println!("{}", out.display());
    Ok(())
}

fn read_data(file: &Path) -> Result<Data, Box<dyn Error>> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?)
}

/// The data file as text, one line per run.
fn to_text(data: &Data) -> Result<String, Box<dyn Error>> {
    let mut text = format!("{{\n\"title\": {},\n", serde_json::to_string(&data.title)?);
    if let Some(threshold) = &data.threshold {
        text += &format!("\"threshold\": {},\n", serde_json::to_string(threshold)?);
    }
    let runs = data.runs.iter().map(serde_json::to_string);
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    Ok(text + "\"runs\": [\n" + &runs.join(",\n") + "\n]\n}\n")
}

/// The data of the run folders that are named on the command line.
fn collect(arguments: &Arguments) -> Result<Data, Box<dyn Error>> {
    let mut runs = Vec::new();
    for group in &arguments.what {
        let (label, folders) = group
            .split_once('=')
            .ok_or_else(|| format!("`{group}`: expected LABEL=RUN,RUN,…"))?;
        let divisor = arguments.divide.iter().find(|(other, _)| other == label);
        for folder in folders.split(',') {
            runs.push(read_run(label, Path::new(folder), divisor.map(|(_, factor)| *factor))?);
        }
    }
    let threshold = arguments.threshold.clone();
    Ok(Data {
        title: arguments.title.clone(),
        threshold: threshold.map(|(label, at)| Threshold { at, label }),
        runs,
    })
}

/// A run folder: its `eval.csv`, and from `config.toml` and `provenance.json` what the run was.
fn read_run(label: &str, folder: &Path, returns_divided_by: Option<f64>) -> Result<Run, Box<dyn Error>> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let evaluations = parse_evaluations(&read("eval.csv")?);
    let evaluations = evaluations.map_err(|problem| format!("{}/eval.csv: {problem}", folder.display()))?;
    let config: toml::Table = read("config.toml")?.parse()?;
    let provenance: serde_json::Value = serde_json::from_str(&read("provenance.json")?)?;
    let setting = |table: &str, key: &str| {
        let value = config.get(table).and_then(|table| table.get(key));
        value.map_or(Ok(serde_json::Value::Null), serde_json::to_value)
    };
    let mut about = serde_json::Map::new();
    about.insert("seed".to_string(), setting("train", "seed")?);
    about.insert("env".to_string(), setting("env", "id")?);
    let algo = config.get("algo").and_then(|algo| algo.as_str());
    about.insert("algo".to_string(), algo.into());
    about.insert("env_steps".to_string(), setting("train", "total_env_steps")?);
    for key in ["commit", "processor", "threads"] {
        about.insert(key.to_string(), provenance[key].clone());
    }
    Ok(Run {
        label: label.to_string(),
        returns_divided_by,
        about,
        evaluations,
    })
}

/// The columns of an `eval.csv`, which are found by their names in its first line.
fn parse_evaluations(text: &str) -> Result<Evaluations, String> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut columns: BTreeMap<String, Vec<Number>> = header.iter().map(|name| (name.to_string(), Vec::new())).collect();
    for line in lines {
        let cells: Option<Vec<Number>> = line.split(',').map(|cell| cell.parse().ok()).collect();
        let cells = cells.filter(|cells| cells.len() == header.len());
        let cells = cells.ok_or_else(|| format!("`{line}` is not an evaluation"))?;
        for (name, cell) in header.iter().zip(cells) {
            columns.entry(name.to_string()).or_default().push(cell);
        }
    }
    let mut take = |name: &str| columns.remove(name).ok_or_else(|| format!("no column `{name}`"));
    let (env_steps, mean_return) = (take("env_steps")?, take("mean_return")?);
    let env_steps = env_steps.iter().map(Number::as_u64).collect::<Option<_>>();
    Ok(Evaluations {
        env_steps: env_steps.ok_or("`env_steps` are not whole numbers")?,
        mean_return: mean_return.iter().filter_map(Number::as_f64).collect(),
        others: columns,
    })
}

/// Mean return of an evaluation by env step.
type Curve = BTreeMap<u64, f64>;

/// What several runs have in common at one evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    env_steps: u64,
    min: f64,
    median: f64,
    max: f64,
}

/// The runs of one label.
struct Group {
    label: String,
    runs: usize,
    points: Vec<Point>,
}

/// Groups in the order in which their first runs stand in the data.
fn summarise_groups(data: &Data) -> Result<Vec<Group>, Box<dyn Error>> {
    let mut labels: Vec<&str> = Vec::new();
    for run in &data.runs {
        if !labels.contains(&run.label.as_str()) {
            labels.push(&run.label);
        }
    }
    let group = |label: &str| {
        let runs = data.runs.iter().filter(|run| run.label == label);
        let curves: Vec<Curve> = runs.map(curve).collect();
        let points = summarise(&curves);
        let longest = curves.iter().map(BTreeMap::len).max().unwrap_or(0);
        if points.is_empty() {
            return Err(format!("{label}: the runs have no evaluation in common"));
        }
        if points.len() < longest {
            eprintln!(
                "{label}: drawing the {} of {longest} evaluations that all runs have",
                points.len()
            );
        }
        Ok(Group {
            label: label.to_string(),
            runs: curves.len(),
            points,
        })
    };
    Ok(labels.into_iter().map(group).collect::<Result<_, _>>()?)
}

fn curve(run: &Run) -> Curve {
    let Evaluations {
        env_steps, mean_return, ..
    } = &run.evaluations;
    let divisor = run.returns_divided_by.unwrap_or(1.0);
    let scaled = mean_return.iter().map(|value| value / divisor);
    env_steps.iter().copied().zip(scaled).collect()
}

/// Lowest, middle and highest value at every step that all curves have.
fn summarise(curves: &[Curve]) -> Vec<Point> {
    let Some(first) = curves.first() else {
        return Vec::new();
    };
    let at_step = |env_steps: u64| {
        let values: Option<Vec<f64>> = curves.iter().map(|curve| curve.get(&env_steps).copied()).collect();
        let mut values = values?;
        values.sort_by(f64::total_cmp);
        Some(Point {
            env_steps,
            min: values[0],
            median: median(&values),
            max: values[values.len() - 1],
        })
    };
    first.keys().filter_map(|env_steps| at_step(*env_steps)).collect()
}

/// Of sorted numbers, at least one.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        1 => sorted[middle],
        _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
    }
}

/// Colours that people with colour blindness tell apart (Okabe and Ito 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const FONT: &str = "sans-serif";

/// Of the whole picture but for the legend, whose height depends on what is in it.
const SIZE_PX: (u32, u32) = (720, 470);
/// For the title and the line below it.
const HEAD_PX: u32 = 64;
const LEGEND_LINE_PX: u32 = 24;
/// Left edge of the plot, where title and legend begin too.
const LEFT_PX: i32 = 86;
/// Left of the name of the vertical axis.
const MARGIN_PX: i32 = 12;

/// The picture as SVG text. Equal data give equal text on every machine.
fn draw(data: &Data, groups: &[Group]) -> Result<String, Box<dyn Error>> {
    let all = || groups.iter().flat_map(|group| &group.points);
    let last_step = all().map(|point| point.env_steps).max().unwrap_or(1) as f64;
    let threshold = data.threshold.as_ref();
    let marked = || threshold.map(|threshold| threshold.at);
    let low = all()
        .map(|point| point.min)
        .chain(marked())
        .fold(f64::INFINITY, f64::min);
    let high = all()
        .map(|point| point.max)
        .chain(marked())
        .fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.05).max(1e-6);

    let legend_lines = (groups.len() + usize::from(threshold.is_some())) as u32;
    let mut text = String::new();
    {
        let size = (SIZE_PX.0, SIZE_PX.1 + legend_lines * LEGEND_LINE_PX + 8);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        head(&root, &data.title, groups)?;
        let (above, _) = root.split_vertically(SIZE_PX.1);
        let mut chart = ChartBuilder::on(&above)
            .margin_top(HEAD_PX)
            .margin_bottom(14)
            .margin_left(MARGIN_PX)
            .margin_right(30)
            .x_label_area_size(48)
            .y_label_area_size(LEFT_PX - MARGIN_PX)
            .build_cartesian_2d(0.0..last_step, low - margin..high + margin)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style((FONT, 17).into_font().color(&INK))
            .x_desc("environment steps")
            .y_desc("mean return of an evaluation")
            .x_labels(6)
            .y_labels(8)
            .x_label_formatter(&|step| thousands(*step))
            .y_label_formatter(&|value| format!("{value}"))
            .draw()?;
        if let Some(at) = marked() {
            chart.draw_series(DashedLineSeries::new(
                [(0.0, at), (last_step, at)],
                6,
                4,
                INK.stroke_width(1),
            ))?;
        }
        // Bands first: none covers a line.
        let step = |point: &Point| point.env_steps as f64;
        for (group, colour) in groups.iter().zip(COLOURS.iter().cycle()) {
            let upper = group.points.iter().map(|point| (step(point), point.max));
            let lower = group.points.iter().rev().map(|point| (step(point), point.min));
            let band: Vec<_> = upper.chain(lower).collect();
            chart.draw_series([Polygon::new(band, colour.mix(band_opacity(groups)))])?;
        }
        for (group, colour) in groups.iter().zip(COLOURS.iter().cycle()) {
            let line = group.points.iter().map(|point| (step(point), point.median));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        legend(&root, groups, threshold)?;
        root.present()?;
    }
    Ok(text)
}

/// Many bands lie over each other; fainter ones can still be told apart.
fn band_opacity(groups: &[Group]) -> f64 {
    if groups.len() > 3 { 0.12 } else { 0.18 }
}

/// Title, and below it what lines and bands are, once for all.
fn head<B: DrawingBackend>(root: &DrawingArea<B, Shift>, title: &str, groups: &[Group]) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    let left = Pos::new(HPos::Left, VPos::Center);
    root.draw_text(title, &(FONT, 24).into_font().color(&INK).pos(left), (LEFT_PX, 22))?;
    let style = (FONT, 16).into_font().color(&INK.mix(0.8)).pos(left);
    root.draw_text(&statistic(groups), &style, (LEFT_PX, 48))?;
    Ok(())
}

/// What a line and a band stand for.
fn statistic(groups: &[Group]) -> String {
    let counts: Vec<usize> = groups.iter().map(|group| group.runs).collect();
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    match (least, most) {
        (Some(1), Some(1)) => "one run each".to_string(),
        (Some(least), Some(most)) if least == most => {
            format!("line: median of {most} runs; band: lowest to highest")
        }
        _ => "line: median of the runs; band: lowest to highest".to_string(),
    }
}

/// Below the curves, so that it covers none.
fn legend<B: DrawingBackend>(
    root: &DrawingArea<B, Shift>,
    groups: &[Group],
    threshold: Option<&Threshold>,
) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    const KEY_PX: i32 = 28;
    let y_of = |index: usize| (SIZE_PX.1 + LEGEND_LINE_PX * index as u32 + LEGEND_LINE_PX / 2) as i32;
    let style = (FONT, 17)
        .into_font()
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    let runs_differ = groups.iter().any(|group| group.runs != groups[0].runs);
    for (index, (group, colour)) in groups.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = y_of(index);
        let text = match group.runs {
            runs if runs_differ => format!("{} ({runs} runs)", group.label),
            _ => group.label.clone(),
        };
        root.draw_text(&text, &style, (LEFT_PX + KEY_PX + 8, y))?;
        let key = [(LEFT_PX, y - 6), (LEFT_PX + KEY_PX, y + 6)];
        root.draw(&Rectangle::new(key, colour.mix(band_opacity(groups)).filled()))?;
        let line = [(LEFT_PX, y), (LEFT_PX + KEY_PX, y)];
        root.draw(&PathElement::new(line, colour.stroke_width(2)))?;
    }
    if let Some(Threshold { at, label }) = threshold {
        let y = y_of(groups.len());
        for from in [0, 10, 20] {
            let dash = [(LEFT_PX + from, y), (LEFT_PX + from + 6, y)];
            root.draw(&PathElement::new(dash, INK.stroke_width(1)))?;
        }
        root.draw_text(&format!("{label} ({at})"), &style, (LEFT_PX + KEY_PX + 8, y))?;
    }
    Ok(())
}

/// 20000 → `20 k`, 2500000 → `2.5 M`.
fn thousands(number: f64) -> String {
    match number {
        n if n >= 1e6 => format!("{} M", n / 1e6),
        n if n >= 1e3 => format!("{} k", n / 1e3),
        n => format!("{n}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(u64, f64)]) -> Curve {
        points.iter().copied().collect()
    }

    #[test]
    fn a_group_is_summarised_where_all_its_runs_were_evaluated() {
        let curves = [
            curve(&[(10, 1.0), (20, 5.0)]),
            curve(&[(10, 3.0), (20, 4.0), (30, 9.0)]),
            curve(&[(10, 2.0), (20, -6.0)]),
        ];
        let point = |env_steps, min, median, max| Point {
            env_steps,
            min,
            median,
            max,
        };
        assert_eq!(
            summarise(&curves),
            [point(10, 1.0, 2.0, 3.0), point(20, -6.0, 4.0, 5.0)]
        );
        assert_eq!(
            summarise(&curves[..2])[0].median,
            2.0,
            "an even number has a median too"
        );
    }

    #[test]
    fn columns_are_found_by_name() {
        let parsed = parse_evaluations("env_steps,x,mean_return\n500,9,-1.5\n1000,8,2\n").expect("two evaluations");
        assert_eq!(parsed.env_steps, [500, 1000]);
        assert_eq!(parsed.mean_return, [-1.5, 2.0]);
        assert_eq!(parsed.others["x"], [Number::from(9), Number::from(8)]);
        assert!(parse_evaluations("steps,score\n").is_err());
        assert!(parse_evaluations("env_steps,mean_return\n1,what\n").is_err());
        assert!(parse_evaluations("env_steps,mean_return\n1\n").is_err());
    }

    #[test]
    fn every_committed_picture_is_what_its_data_file_gives() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/curves");
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in fs::read_dir(&folder).expect("the folder is there").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                continue;
            }
            let part = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
            names
                .entry(part(path.file_stem()))
                .or_default()
                .push(part(path.extension()));
        }
        assert!(names.len() > 10, "only {} pictures", names.len());
        for (name, mut endings) in names {
            endings.sort();
            assert_eq!(endings, ["json", "svg"], "{name}: a picture and its data");
            let file = folder.join(&name).with_extension("json");
            let data = read_data(&file).unwrap_or_else(|error| panic!("{error}"));
            let groups = summarise_groups(&data).unwrap_or_else(|error| panic!("{name}: {error}"));
            let drawn = draw(&data, &groups).unwrap_or_else(|error| panic!("{name}: {error}"));
            let committed = fs::read_to_string(file.with_extension("svg")).expect("the picture is there");
            assert!(
                drawn == committed,
                "docs/curves/{name}.svg is not what docs/curves/{name}.json gives; draw it again with\n\
                 cargo run --release --example learning_curves -- docs/curves/{name}.json"
            );
        }
    }

    #[test]
    fn a_data_file_is_read_as_it_was_written() {
        let text = "{\n\"title\": \"T\",\n\"threshold\": {\"return\":-1.5,\"label\":\"L\"},\n\"runs\": [\n\
                    {\"label\":\"A\",\"seed\":1,\"set\":[],\"evaluations\":{\"env_steps\":[5],\"mean_return\":[0.1],\
                    \"seconds\":[2.5]}},\n\
                    {\"label\":\"B\",\"returns_divided_by\":100.0,\"evaluations\":{\"env_steps\":[5],\"mean_return\":[3.0]}}\n\
                    ]\n}\n";
        let data: Data = serde_json::from_str(text).expect("it is the form");
        assert_eq!(to_text(&data).expect("it can be written"), text);
        let groups = summarise_groups(&data).expect("two groups");
        assert_eq!(
            groups[1].points[0].median, 0.03,
            "returns are divided for the picture only"
        );
    }
}
