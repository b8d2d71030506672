//! Plots as SVG: points or lines over a line of time, with values on a logarithmic scale.
//!
//! Latencies span from parts of a millisecond to minutes: only a logarithmic scale shows both. It
//! draws what the report needs and nothing else.

use std::fmt;
use std::fmt::Write as _;

use super::page::escaped;
use crate::oracle::outages::{AWAY, BACK};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 24.0;
/// The least latency that is told apart, in milliseconds.
const LEAST: f64 = 0.1;
/// Rows of labels above the plot, and the height of one.
const ROWS: u32 = 4;
const ROW: f64 = 12.0;
/// About how wide a character is.
const CHARACTER: f64 = 6.2;
/// Characters of a label; the whole text is told when it is pointed at.
const LABEL_MAX: usize = 32;
const TICK: f64 = 8.0;

/// A plot.
pub(super) struct Plot {
    pub(super) title: &'static str,
    pub(super) series: Vec<Series>,
    /// Moments with a label.
    pub(super) marks: Vec<(f64, String)>,
    /// Spans that are shaded.
    pub(super) spans: Vec<(f64, f64)>,
    /// How far the axis goes.
    pub(super) width: f64,
}

/// What is drawn in one colour.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// The name of the page's colour.
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) is_line: bool,
}

/// Where a value stands.
struct Scale {
    width: f64,
    decades: f64,
}

impl Scale {
    fn of(plot: &Plot) -> Self {
        let values = plot.series.iter().flat_map(|it| &it.points);
        let most = values.map(|(_, value)| *value).fold(1.0, f64::max);
        let decades = (most / LEAST).log10().ceil().max(1.0);
        Self { width: plot.width.max(f64::MIN_POSITIVE), decades }
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + (at / self.width).clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let decade = (value.max(LEAST) / LEAST).log10() / self.decades;
        HEIGHT - BOTTOM - decade.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
    }
}

impl fmt::Display for Plot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = Scale::of(self);
        write!(f, "<h2>{}</h2>", escaped(self.title))?;
        write!(f, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">")?;
        for (from, until) in &self.spans {
            let (x, width) = (scale.x(*from), (scale.x(*until) - scale.x(*from)).max(1.0));
            let height = HEIGHT - TOP - BOTTOM;
            write!(
                f,
                "<rect x=\"{x:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\" \
                 fill=\"var(--mark)\" opacity=\".18\"/>"
            )?;
        }
        axes(f, &scale)?;
        self.series.iter().try_for_each(|series| draw(f, &scale, series))?;
        self.write_marks(f, &scale)?;
        legend(f, &self.series)?;
        write!(f, "</svg>")
    }
}

impl Plot {
    /// Marks with room for their text have a line, the others a tick; all tell their text when
    /// they are pointed at.
    fn write_marks(&self, f: &mut fmt::Formatter<'_>, scale: &Scale) -> fmt::Result {
        let labels = self.labels(scale);
        for (place, (at, text)) in self.marks.iter().enumerate() {
            let (x, bottom) = (scale.x(*at), HEIGHT - BOTTOM);
            let label = labels.iter().find(|label| label.mark == place);
            let top = if label.is_some() { TOP } else { bottom - TICK };
            write!(
                f,
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" \
                 stroke=\"var(--mark)\" stroke-dasharray=\"3 3\"><title>{}</title></line>",
                escaped(text)
            )?;
            if let Some(Label { row, from, .. }) = label {
                let y = TOP - 10.0 - ROW * f64::from(*row);
                write!(f, "<text x=\"{from:.1}\" y=\"{y}\">{}</text>", escaped(&shortened(text)))?;
            }
        }
        Ok(())
    }

    /// Which marks have room for their text, outages first.
    fn labels(&self, scale: &Scale) -> Vec<Label> {
        let is_outage = |text: &str| text.starts_with(AWAY) || text.starts_with(BACK);
        let mut order: Vec<usize> = (0..self.marks.len()).collect();
        order.sort_by_key(|place| !is_outage(&self.marks[*place].1));
        let mut labels: Vec<Label> = Vec::new();
        for mark in order {
            let (at, text) = &self.marks[mark];
            let width =
                CHARACTER * f64::from(u32::try_from(shortened(text).chars().count()).unwrap_or(0));
            let from = scale.x(*at).min(WIDTH - RIGHT - width);
            let until = from + width;
            let is_free = |row: &u32| {
                labels.iter().all(|it| it.row != *row || it.until < from || until < it.from)
            };
            if let Some(row) = (0..ROWS).find(is_free) {
                labels.push(Label { mark, row, from, until });
            }
        }
        labels
    }
}

/// Where the text of a mark stands.
struct Label {
    mark: usize,
    row: u32,
    from: f64,
    until: f64,
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= LABEL_MAX {
        return text.to_owned();
    }
    let head: String = text.chars().take(LABEL_MAX - 1).collect();
    format!("{head}…")
}

fn axes(f: &mut fmt::Formatter<'_>, scale: &Scale) -> fmt::Result {
    let mut value = LEAST;
    while (value / LEAST).log10() <= scale.decades + 0.01 {
        let (y, right) = (scale.y(value), WIDTH - RIGHT);
        write!(
            f,
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
            LEFT - 6.0,
            y + 4.0
        )?;
        value *= 10.0;
    }
    for step in 0..=8_u32 {
        let at = scale.width * f64::from(step) / 8.0;
        let digits = usize::from(scale.width < 20.0);
        write!(
            f,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{at:.digits$}</text>",
            scale.x(at),
            HEIGHT - 6.0
        )?;
    }
    Ok(())
}

fn draw(f: &mut fmt::Formatter<'_>, scale: &Scale, series: &Series) -> fmt::Result {
    let colour = series.colour;
    if series.is_line {
        let mut points = String::new();
        for (at, value) in &series.points {
            write!(points, "{:.1},{:.1} ", scale.x(*at), scale.y(*value))?;
        }
        return write!(
            f,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"var({colour})\" stroke-width=\"1.5\"/>",
            points.trim_end()
        );
    }
    for (at, value) in &series.points {
        let (x, y) = (scale.x(*at), scale.y(*value));
        write!(
            f,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\" fill=\"var({colour})\" opacity=\".7\"/>"
        )?;
    }
    Ok(())
}

fn legend(f: &mut fmt::Formatter<'_>, series: &[Series]) -> fmt::Result {
    let mut x = LEFT + 8.0;
    for Series { name, colour, .. } in series {
        let y = TOP + 12.0;
        write!(
            f,
            "<rect x=\"{x}\" y=\"{}\" width=\"9\" height=\"9\" fill=\"var({colour})\"/>\
             <text x=\"{}\" y=\"{y}\">{name}</text>",
            y - 9.0,
            x + 13.0
        )?;
        x += 80.0;
    }
    Ok(())
}

/// Bars with their names, one below the other.
pub(super) fn bars<'a>(bars: impl Iterator<Item = (&'a str, u64)>) -> String {
    let bars: Vec<_> = bars.collect();
    let most = bars.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", bars.len() * 20 + 4);
    for (place, (name, count)) in bars.iter().enumerate() {
        let y = place * 20;
        let share = f64::from(u32::try_from(*count).unwrap_or(u32::MAX))
            / f64::from(u32::try_from(most).unwrap_or(u32::MAX));
        let width = share * (WIDTH - 320.0);
        let _infallible = write!(
            svg,
            "<text x=\"240\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"250\" y=\"{}\" width=\"{width:.1}\" height=\"13\" fill=\"var(--a)\"/>\
             <text x=\"{:.1}\" y=\"{}\">{count}</text>",
            y + 14,
            escaped(name),
            y + 4,
            256.0 + width,
            y + 14
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_its_points_marks_and_nothing_from_elsewhere() {
        let points = vec![(0.0, 1.0), (5.0, 1000.0)];
        let plot = Plot {
            title: "a < b",
            series: vec![Series { name: "high", colour: "--bad", points, is_line: false }],
            marks: vec![(2.5, "killed <again>".to_owned())],
            spans: vec![(2.0, 3.0)],
            width: 5.0,
        };
        let svg = plot.to_string();
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("killed &lt;again&gt;") && svg.contains("a &lt; b"));
        assert!(!svg.contains("http"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn labels_never_stand_on_each_other_and_outages_come_first() {
        let mut marks: Vec<_> = (0..200).map(|at| (f64::from(at), format!("fault {at}"))).collect();
        marks.push((100.0, "away: the service".to_owned()));
        let plot = Plot { title: "t", series: Vec::new(), marks, spans: Vec::new(), width: 200.0 };
        let labels = plot.labels(&Scale::of(&plot));
        assert!(labels.iter().any(|label| label.mark == 200));
        for (place, one) in labels.iter().enumerate() {
            for other in labels[..place].iter().filter(|it| it.row == one.row) {
                assert!(one.until < other.from || other.until < one.from);
            }
        }
    }
}
