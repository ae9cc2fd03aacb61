//! Draws learning curves from the `eval.csv` of run folders: per group of runs the median, and a band from the lowest
//! to the highest. Beside the picture it writes the numbers.
//!
//! ```text
//! cargo run --release --example learning_curves -- --out docs/curves/pendulum.svg --title "Pendulum-v1" \
//!     "SAC=runs/a,runs/b,runs/c"
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

/// Draws the evaluations of runs as an SVG, and writes the numbers beside it as a CSV.
#[derive(Parser)]
struct Arguments {
    /// Picture to write; the numbers go to the same name with `.csv`
    #[arg(long, value_name = "FILE.svg")]
    out: PathBuf,
    /// Above the picture
    #[arg(long, default_value = "")]
    title: String,
    /// Dashed line at this return, such as the one a task counts as solved
    #[arg(long, value_name = "RETURN", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Divides the returns of one group, such as those of rewards that were scaled
    #[arg(long, value_name = "LABEL=FACTOR", value_parser = divide_argument)]
    divide: Vec<(String, f64)>,
    /// Runs that differ in their seed only, under one label
    #[arg(required = true, value_name = "LABEL=RUN,RUN,…", value_parser = group_argument)]
    groups: Vec<GroupArgument>,
}

#[derive(Clone)]
struct GroupArgument {
    label: String,
    runs: Vec<PathBuf>,
}

fn divide_argument(text: &str) -> Result<(String, f64), String> {
    let factor = |text: &str| {
        text.parse()
            .ok()
            .filter(|factor: &f64| factor.is_finite() && *factor != 0.0)
    };
    match text.rsplit_once('=').map(|(label, text)| (label, factor(text))) {
        Some((label, Some(factor))) => Ok((label.to_string(), factor)),
        _ => Err("expected LABEL=FACTOR, the factor a number other than 0".to_string()),
    }
}

fn group_argument(text: &str) -> Result<GroupArgument, String> {
    match text.split_once('=') {
        Some((label, runs)) if !label.is_empty() && !runs.is_empty() => Ok(GroupArgument {
            label: label.to_string(),
            runs: runs.split(',').map(PathBuf::from).collect(),
        }),
        _ => Err("expected LABEL=RUN,RUN,…".to_string()),
    }
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

struct Group {
    label: String,
    runs: usize,
    points: Vec<Point>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let divisor = |label: &str| {
        let of_label = arguments.divide.iter().find(|(other, _)| other == label);
        of_label.map_or(1.0, |(_, factor)| *factor)
    };
    let read = |group: &GroupArgument| read_group(group, divisor(&group.label));
    let groups = arguments.groups.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if let Some(folder) = arguments.out.parent() {
        fs::create_dir_all(folder)?;
    }
    draw(&groups, &arguments.title, arguments.threshold, &arguments.out)?;
    let numbers = arguments.out.with_extension("csv");
    fs::write(&numbers, csv(&groups))?;
    for Group { label, runs, points } in &groups {
        if let Some(Point {
            env_steps,
            min,
            median,
            max,
        }) = points.last()
        {
            println!("{label}: {runs} runs, at {env_steps} env steps median {median:.1}, min {min:.1}, max {max:.1}");
        }
    }
    println!("{}\n{}", arguments.out.display(), numbers.display());
    Ok(())
}

fn read_group(argument: &GroupArgument, divisor: f64) -> Result<Group, Box<dyn Error>> {
    let mut curves = argument
        .runs
        .iter()
        .map(|run| read_curve(run))
        .collect::<Result<Vec<_>, _>>()?;
    let returns = curves.iter_mut().flat_map(BTreeMap::values_mut);
    returns.for_each(|value| *value /= divisor);
    let points = summarise(&curves);
    let longest = curves.iter().map(BTreeMap::len).max().unwrap_or(0);
    if points.len() < longest {
        eprintln!(
            "{}: {} of {longest} evaluations are common to all runs; only those are drawn",
            argument.label,
            points.len()
        );
    }
    if points.is_empty() {
        return Err(format!("{}: the runs have no evaluation in common", argument.label).into());
    }
    Ok(Group {
        label: argument.label.clone(),
        runs: curves.len(),
        points,
    })
}

fn read_curve(run: &Path) -> Result<Curve, Box<dyn Error>> {
    let path = run.join("eval.csv");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(parse_curve(&text).map_err(|problem| format!("{}: {problem}", path.display()))?)
}

/// Columns are found by their names in the first line.
fn parse_curve(text: &str) -> Result<Curve, String> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let found = header.iter().position(|other| *other == name);
        found.ok_or_else(|| format!("no column `{name}`"))
    };
    let (env_steps, mean_return) = (column("env_steps")?, column("mean_return")?);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let step = cells.get(env_steps).and_then(|cell| cell.parse().ok());
            let value = cells.get(mean_return).and_then(|cell| cell.parse().ok());
            step.zip(value).ok_or_else(|| format!("`{line}` is not an evaluation"))
        })
        .collect()
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

fn csv(groups: &[Group]) -> String {
    let mut text = "label,runs,env_steps,min_return,median_return,max_return\n".to_string();
    for Group { label, runs, points } in groups {
        for Point {
            env_steps,
            min,
            median,
            max,
        } in points
        {
            text += &format!(
                "\"{}\",{runs},{env_steps},{min},{median},{max}\n",
                label.replace('"', "\"\"")
            );
        }
    }
    text
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
/// Of the chart; the legend comes below.
const SIZE_PX: (u32, u32) = (720, 440);

const LEGEND_LINE_PX: u32 = 22;

fn draw(groups: &[Group], title: &str, threshold: Option<f64>, out: &Path) -> Result<(), Box<dyn Error>> {
    let all = || groups.iter().flat_map(|group| &group.points);
    let last_step = all().map(|point| point.env_steps).max().unwrap_or(1);
    let low = all()
        .map(|point| point.min)
        .chain(threshold)
        .fold(f64::INFINITY, f64::min);
    let high = all()
        .map(|point| point.max)
        .chain(threshold)
        .fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.05).max(1e-6);

    let size = (SIZE_PX.0, SIZE_PX.1 + groups.len() as u32 * LEGEND_LINE_PX + 8);
    let root = SVGBackend::new(out, size).into_drawing_area();
    root.fill(&WHITE)?;
    let (above, _) = root.split_vertically(SIZE_PX.1);
    let mut chart = ChartBuilder::on(&above)
        .caption(title, ("sans-serif", 24).into_font().color(&INK))
        .margin(14)
        .margin_right(30)
        .x_label_area_size(46)
        .y_label_area_size(72)
        .build_cartesian_2d(0.0..last_step as f64, low - margin..high + margin)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(("sans-serif", 17).into_font().color(&INK))
        .x_desc("environment steps")
        .y_desc("mean return of an evaluation")
        .x_labels(6)
        .y_labels(8)
        .x_label_formatter(&|step| thousands(*step))
        .y_label_formatter(&|value| format!("{value}"))
        .draw()?;
    if let Some(at) = threshold {
        let ends = [(0.0, at), (last_step as f64, at)];
        chart.draw_series(DashedLineSeries::new(ends, 6, 4, INK.stroke_width(1)))?;
    }
    for (group, colour) in groups.iter().zip(COLOURS.iter().cycle()) {
        let step = |point: &Point| point.env_steps as f64;
        let there = group.points.iter().map(|point| (step(point), point.max));
        let back = group.points.iter().rev().map(|point| (step(point), point.min));
        let band: Vec<_> = there.chain(back).collect();
        chart.draw_series([Polygon::new(band, colour.mix(0.18))])?;
        let line = group.points.iter().map(|point| (step(point), point.median));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    }
    legend(&root, groups)?;
    root.present()?;
    Ok(())
}

/// Below the curves, so that it covers none.
fn legend<B: DrawingBackend>(root: &DrawingArea<B, Shift>, groups: &[Group]) -> Result<(), Box<dyn Error>>
where
    B::ErrorType: 'static,
{
    const KEY_PX: i32 = 28;
    const LEFT_PX: i32 = 86;
    let style = ("sans-serif", 17)
        .into_font()
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    for (index, (group, colour)) in groups.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = (SIZE_PX.1 + LEGEND_LINE_PX * index as u32 + LEGEND_LINE_PX / 2) as i32;
        let text = match group.runs {
            1 => format!("{} (1 run)", group.label),
            runs => format!("{} (median and range of {runs} runs)", group.label),
        };
        root.draw_text(&text, &style, (LEFT_PX + KEY_PX + 8, y))?;
        let key = [(LEFT_PX, y - 6), (LEFT_PX + KEY_PX, y + 6)];
        root.draw(&Rectangle::new(key, colour.mix(0.18).filled()))?;
        let line = [(LEFT_PX, y), (LEFT_PX + KEY_PX, y)];
        root.draw(&PathElement::new(line, colour.stroke_width(2)))?;
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
        let parsed = parse_curve("env_steps,x,mean_return\n500,9,-1.5\n1000,9,2\n");
        assert_eq!(parsed, Ok(curve(&[(500, -1.5), (1000, 2.0)])));
        assert!(parse_curve("steps,score\n").is_err());
        assert!(parse_curve("env_steps,mean_return\n1,what\n").is_err());
    }
}
