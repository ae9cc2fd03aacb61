//! Learning curves as SVG.

use std::error::Error as StdError;

use plotters::{
    coord::Shift,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    data::Threshold,
    error::{Error, Result},
    summary::{Point, Row, Task},
};

type Drawn = std::result::Result<(), Box<dyn StdError>>;

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

/// The learning curves of a task as SVG text. Equal data give equal text on every machine.
///
/// # Errors
/// [`Error::Drawing`].
pub fn draw(title: &str, threshold: Option<&Threshold>, task: &Task) -> Result<String> {
    let mut text = String::new();
    draw_into(&mut text, title, threshold, &task.algorithms).map_err(|error| Error::Drawing(error.to_string()))?;
    Ok(text)
}

fn draw_into(text: &mut String, title: &str, threshold: Option<&Threshold>, groups: &[Row]) -> Drawn {
    let all = || groups.iter().flat_map(|group| &group.curve);
    let last_step = all().map(|point| point.env_steps).max().unwrap_or(1) as f64;
    let marked = || threshold.map(|threshold| threshold.at);
    let low = all()
        .map(|point| band(point)[0])
        .chain(marked())
        .fold(f64::INFINITY, f64::min);
    let high = all()
        .map(|point| band(point)[1])
        .chain(marked())
        .fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.05).max(1e-6);

    let legend_lines = (groups.len() + usize::from(threshold.is_some())) as u32;
    {
        let size = (SIZE_PX.0, SIZE_PX.1 + legend_lines * LEGEND_LINE_PX + 8);
        let root = SVGBackend::with_string(text, size).into_drawing_area();
        root.fill(&WHITE)?;
        head(&root, title, groups)?;
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
            let upper = group.curve.iter().map(|point| (step(point), band(point)[1]));
            let lower = group.curve.iter().rev().map(|point| (step(point), band(point)[0]));
            let area: Vec<_> = upper.chain(lower).collect();
            chart.draw_series([Polygon::new(area, colour.mix(band_opacity(groups)))])?;
        }
        for (group, colour) in groups.iter().zip(COLOURS.iter().cycle()) {
            let line = group.curve.iter().map(|point| (step(point), point.iqm.value));
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
        }
        legend(&root, groups, threshold)?;
        root.present()?;
    }
    Ok(())
}

/// Ends of the interval; for a single run the line itself.
fn band(point: &Point) -> [f64; 2] {
    point.iqm.interval.unwrap_or([point.iqm.value; 2])
}

/// Many bands lie over each other; fainter ones can still be told apart.
fn band_opacity(groups: &[Row]) -> f64 {
    if groups.len() > 3 { 0.12 } else { 0.18 }
}

/// Title, and below it what lines and bands are, once for all.
fn head<B: DrawingBackend>(root: &DrawingArea<B, Shift>, title: &str, groups: &[Row]) -> Drawn
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
fn statistic(groups: &[Row]) -> String {
    let counts: Vec<usize> = groups.iter().map(|group| group.n).collect();
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    match (least, most) {
        (Some(1), Some(1)) => "one run each".to_string(),
        (Some(least), Some(most)) if least == most => {
            format!("line: interquartile mean of {most} runs; band: 95 % bootstrap interval")
        }
        _ => "line: interquartile mean of the runs; band: 95 % bootstrap interval".to_string(),
    }
}

/// Below the curves, so that it covers none.
fn legend<B: DrawingBackend>(root: &DrawingArea<B, Shift>, groups: &[Row], threshold: Option<&Threshold>) -> Drawn
where
    B::ErrorType: 'static,
{
    const KEY_PX: i32 = 28;
    let y_of = |index: usize| (SIZE_PX.1 + LEGEND_LINE_PX * index as u32 + LEGEND_LINE_PX / 2) as i32;
    let style = (FONT, 17)
        .into_font()
        .color(&INK)
        .pos(Pos::new(HPos::Left, VPos::Center));
    let runs_differ = groups.iter().any(|group| group.n != groups[0].n);
    for (index, (group, colour)) in groups.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = y_of(index);
        let text = match group.n {
            1 if runs_differ => format!("{} (1 run)", group.label),
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
    use crate::summary::Statistic;

    fn row(label: &str, n: usize, interval: Option<[f64; 2]>) -> Row {
        let point = |env_steps| Point {
            env_steps,
            iqm: Statistic { value: 5.0, interval },
        };
        Row {
            label: label.to_string(),
            n,
            env_steps: 20,
            runs: Vec::new(),
            iqm: Statistic { value: 5.0, interval },
            median: Statistic { value: 5.0, interval },
            mean: Statistic { value: 5.0, interval },
            profile: Vec::new(),
            peak_memory_mib: None,
            curve: [10, 20].map(point).to_vec(),
            seconds: None,
            commits: Vec::new(),
            processors: Vec::new(),
        }
    }

    #[test]
    fn a_picture_says_what_its_lines_and_bands_are() {
        let draw = |rows: Vec<Row>| {
            let task = Task {
                env: "E".to_string(),
                algorithms: rows,
                comparisons: Vec::new(),
                notes: Vec::new(),
            };
            let threshold = Threshold {
                at: 9.0,
                label: "solved".to_string(),
            };
            draw("Title", Some(&threshold), &task).expect("drawn")
        };
        let two = draw(vec![row("A", 5, Some([4.0, 6.0])), row("B", 5, Some([3.0, 5.5]))]);
        for text in [
            "Title",
            "interquartile mean of 5 runs; band: 95 % bootstrap interval",
            "solved (9)",
            "A",
            "B",
        ] {
            assert!(two.contains(text), "`{text}` is missing");
        }
        let unequal = draw(vec![row("A", 5, None), row("B", 3, None)]);
        assert!(unequal.contains("A (5 runs)") && unequal.contains("B (3 runs)"));
        assert!(draw(vec![row("A", 1, None)]).contains("one run each"));
    }

    #[test]
    fn steps_are_written_short() {
        assert_eq!([250.0, 20_000.0, 2_500_000.0].map(thousands), ["250", "20 k", "2.5 M"]);
    }
}
