//! Lines with bands as SVG that takes its colours from the page: [`Plot`].

use super::page::escaped;

/// A point of a line, and the ends of its interval.
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) interval: Option<[f64; 2]>,
}

/// A line with its name.
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<Point>,
}

/// A picture of lines over two axes.
pub(super) struct Plot<'a> {
    /// Read out instead of the picture.
    pub(super) title: String,
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
    pub(super) lines: Vec<Line<'a>>,
    /// A dashed line at this height, and what it is.
    pub(super) mark: Option<(f64, &'a str)>,
}

/// Colours of the page's style, `--c0` to `--c5`.
const COLOURS: usize = 6;
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 48.0;
const LEGEND_LINE: f64 = 22.0;

impl Plot<'_> {
    /// The picture as an element of a page.
    pub(super) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let ends = |point: &Point| point.interval.unwrap_or([point.y; 2]);
        let marked = self.mark.map(|(at, _)| at);
        let x = Axis::over(points().map(|point| point.x), LEFT, WIDTH - RIGHT);
        let heights = points().flat_map(ends).chain(marked);
        let y = Axis::over(heights, HEIGHT - BOTTOM, TOP);
        let legend_lines = self.lines.len() + usize::from(self.mark.is_some());
        let height = HEIGHT + LEGEND_LINE * legend_lines as f64;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{}</title>\n",
            escaped(&self.title)
        );
        svg += &self.axes(&x, &y);
        if let Some(at) = marked {
            let at = y.place(at);
            svg += &format!(
                "<line class=\"mark\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n",
                WIDTH - RIGHT
            );
        }
        // Bands first: none covers a line.
        for (index, line) in self.lines.iter().enumerate() {
            let upper = line.points.iter().map(|point| (point.x, ends(point)[1]));
            let lower = line.points.iter().rev().map(|point| (point.x, ends(point)[0]));
            let area = path(upper.chain(lower), &x, &y);
            svg += &format!(
                "<polygon class=\"band\" fill=\"{}\" points=\"{area}\"/>\n",
                colour(index)
            );
        }
        for (index, line) in self.lines.iter().enumerate() {
            let path = path(line.points.iter().map(|point| (point.x, point.y)), &x, &y);
            let name = escaped(line.name);
            svg += &format!(
                "<polyline class=\"line\" stroke=\"{}\" points=\"{path}\"><title>{name}</title></polyline>\n",
                colour(index)
            );
        }
        svg + &self.legend() + "</svg>\n"
    }

    fn axes(&self, x: &Axis, y: &Axis) -> String {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let mut svg = String::new();
        for tick in y.ticks() {
            let at = y.place(tick);
            svg += &format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>");
            svg += &format!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                LEFT - 8.0,
                at + 4.0,
                short(tick)
            );
        }
        for tick in x.ticks() {
            let at = x.place(tick);
            svg += &format!(
                "<line class=\"axis\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{}\"/>",
                bottom + 5.0
            );
            svg += &format!(
                "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                bottom + 20.0,
                short(tick)
            );
        }
        svg += &format!("<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
        let middle = (LEFT + right) / 2.0;
        svg += &format!(
            "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            bottom + 40.0,
            self.x_name
        );
        let middle = (TOP + bottom) / 2.0;
        svg + &format!(
            "<text transform=\"translate(14 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            self.y_name
        )
    }

    /// Below the lines, so that it covers none.
    fn legend(&self) -> String {
        let y_of = |index: usize| HEIGHT + LEGEND_LINE * index as f64 + 8.0;
        let entry = |y: f64, stroke: String, name: &str| {
            format!(
                "<line {stroke} x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\"/><text x=\"{}\" y=\"{}\">{}</text>\n",
                LEFT + 28.0,
                LEFT + 36.0,
                y + 4.0,
                escaped(name)
            )
        };
        let mut svg = String::new();
        for (index, line) in self.lines.iter().enumerate() {
            svg += &entry(
                y_of(index),
                format!("class=\"line\" stroke=\"{}\"", colour(index)),
                line.name,
            );
        }
        if let Some((at, name)) = self.mark {
            let name = format!("{name} ({at})");
            svg += &entry(y_of(self.lines.len()), "class=\"mark\"".to_string(), &name);
        }
        svg
    }
}

fn colour(index: usize) -> String {
    format!("var(--c{})", index % COLOURS)
}

fn path(points: impl Iterator<Item = (f64, f64)>, x: &Axis, y: &Axis) -> String {
    let points = points.map(|(at, value)| format!("{:.1},{:.1}", x.place(at), y.place(value)));
    points.collect::<Vec<_>>().join(" ")
}

/// From numbers to places in the picture.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Axis {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low < high {
            (low, high)
        } else {
            (low - 0.5, low + 0.5)
        };
        Axis { low, high, from, to }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Round numbers, about five of them.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = step.into_iter().find(|step| *step >= rough).unwrap_or(10.0 * power);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

/// 20000 → `20 k`, 2500000 → `2.5 M`, without the noise of binary fractions.
fn short(number: f64) -> String {
    let plain = |number: f64| {
        let text = format!("{number:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" {
            "0".to_string()
        } else {
            text.replacen('-', "−", 1)
        }
    };
    match number.abs() {
        size if size >= 1e6 => format!("{} M", plain(number / 1e6)),
        size if size >= 1e4 => format!("{} k", plain(number / 1e3)),
        _ => plain(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_within_the_axis() {
        let ticks = |low: f64, high: f64| {
            Axis {
                low,
                high,
                from: 0.0,
                to: 1.0,
            }
            .ticks()
        };
        assert_eq!(ticks(0.0, 10_000.0), [0.0, 2000.0, 4000.0, 6000.0, 8000.0, 10_000.0]);
        assert_eq!(ticks(-160.0, 5.0), [-150.0, -100.0, -50.0, 0.0]);
        assert_eq!(
            [0.30000000000000004, -2_500_000.0, 20_000.0, -0.0].map(short),
            ["0.3", "−2.5 M", "20 k", "0"]
        );
    }

    #[test]
    fn one_value_has_a_place_in_the_middle() {
        let axis = Axis::over([3.0].into_iter(), 0.0, 10.0);
        assert_eq!(axis.place(3.0), 5.0);
    }
}
