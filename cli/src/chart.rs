//! Charts as SVG: points and lines over two axes, and horizontal bars; feature `png` rasterizes the same picture.

mod axis;
mod file;
#[cfg(feature = "png")]
mod png;

use std::fmt::Write;

pub use axis::{Axis, Scale};
pub use file::{check, save};

/// Colours that are told apart by everyone, the strongest first.
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555"];
const INK: &str = "#222222";
const PALE: &str = "#dddddd";

/// One of the charts in a picture.
pub enum Chart {
    /// Points over two axes.
    Plot(Plot),
    /// A row per value.
    Bars(Bars),
}

/// Points over two axes, joined where a series is a line.
pub struct Plot {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

pub struct Series {
    pub name: String,
    /// Each with the words beside it, if any.
    pub points: Vec<(f64, f64, String)>,
}

/// Horizontal bars from zero.
pub struct Bars {
    pub title: String,
    /// Lines beneath the title: what the bars are measured in, and what marks mean.
    pub notes: Vec<String>,
    /// The names of the colours, in the order of [`Bar::series`]; no legend when there is one.
    pub series: Vec<String>,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub label: String,
    pub value: f64,
    /// Where a mark stands on it.
    pub mark: Option<f64>,
    pub series: usize,
}

/// Width and height of a plot; bars are at least as wide, and as high as they are many.
const SIZE: (f64, f64) = (600.0, 420.0);
const ROW: f64 = 17.0;

impl Bars {
    /// Where the first bar is: below title, notes and legend.
    fn top(&self) -> f64 {
        46.0 + 16.0 * self.notes.len() as f64 + ROW * legend_rows(&self.series) as f64
    }

    /// Where the bars begin: behind the longest label, of letters of about this width.
    fn left(&self) -> f64 {
        let letters = self.bars.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        28.0 + 7.1 * letters as f64
    }
}

impl Chart {
    fn width(&self) -> f64 {
        match self {
            Chart::Plot(_) => SIZE.0,
            Chart::Bars(bars) => SIZE.0.max(bars.left() + 360.0),
        }
    }

    fn height(&self) -> f64 {
        match self {
            Chart::Plot(_) => SIZE.1,
            Chart::Bars(bars) => bars.top() + ROW * bars.bars.len() as f64 + 16.0,
        }
    }
}

fn legend_rows(series: &[String]) -> usize {
    if series.len() > 1 { series.len() } else { 0 }
}

/// The charts beside each other as an SVG document.
pub fn svg(charts: &[Chart]) -> String {
    let width: f64 = charts.iter().map(Chart::width).sum();
    let height = charts.iter().map(Chart::height).fold(0.0, f64::max);
    let mut to = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" \
         font-size=\"12\" fill=\"{INK}\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut at = 0.0;
    for chart in charts {
        let _ = writeln!(to, "<g transform=\"translate({at:.1} 0)\">");
        at += chart.width();
        match chart {
            Chart::Plot(plot) => draw_plot(&mut to, plot),
            Chart::Bars(bars) => draw_bars(&mut to, bars),
        }
        to += "</g>\n";
    }
    to + "</svg>\n"
}

fn draw_plot(to: &mut String, plot: &Plot) {
    title(to, &plot.title);
    legend(to, &plot.series.iter().map(|series| series.name.clone()).collect::<Vec<_>>());
    let top = 66.0 + 16.0 * plot.series.len() as f64;
    let (left, right, bottom) = (64.0, SIZE.0 - 40.0, SIZE.1 - 56.0);
    let x = |value: f64| left + plot.x.place(value) * (right - left);
    let y = |value: f64| bottom - plot.y.place(value) * (bottom - top);
    for tick in plot.x.ticks() {
        line(to, (x(tick), top), (x(tick), bottom), PALE, 1.0);
        text(to, (x(tick), bottom + 18.0), "middle", &axis::number(tick));
    }
    for tick in plot.y.ticks() {
        line(to, (left, y(tick)), (right, y(tick)), PALE, 1.0);
        text(to, (left - 8.0, y(tick) + 4.0), "end", &axis::number(tick));
    }
    text(to, ((left + right) / 2.0, bottom + 40.0), "middle", &plot.x.label);
    text(to, (12.0, top - 12.0), "start", &plot.y.label);
    for (at, series) in plot.series.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        for pair in series.points.windows(2) {
            let ((x0, y0, _), (x1, y1, _)) = (&pair[0], &pair[1]);
            line(to, (x(*x0), y(*y0)), (x(*x1), y(*y1)), colour, 1.5);
        }
        for (px, py, words) in &series.points {
            let (cx, cy) = (x(*px), y(*py));
            let _ = writeln!(to, "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"4\" fill=\"{colour}\"/>");
            if !words.is_empty() {
                // White around the letters keeps them apart from lines.
                let _ = writeln!(
                    to,
                    "<text x=\"{cx:.1}\" y=\"{:.1}\" text-anchor=\"middle\" stroke=\"white\" stroke-width=\"4\" \
                     paint-order=\"stroke\">{}</text>",
                    cy - 9.0,
                    escape(words)
                );
            }
        }
    }
}

fn draw_bars(to: &mut String, bars: &Bars) {
    title(to, &bars.title);
    for (at, note) in bars.notes.iter().enumerate() {
        text(to, (12.0, 46.0 + 16.0 * at as f64), "start", note);
    }
    let top = bars.top();
    if bars.series.len() > 1 {
        legend_from(to, top - 4.0 - ROW * bars.series.len() as f64, &bars.series);
    }
    let left = bars.left();
    let right = SIZE.0.max(left + 360.0) - 64.0;
    let most = bars.bars.iter().map(|bar| bar.value.max(bar.mark.unwrap_or(0.0))).fold(0.0, f64::max);
    let length = |value: f64| if most > 0.0 { value / most * (right - left) } else { 0.0 };
    for (at, bar) in bars.bars.iter().enumerate() {
        let y = top + ROW * at as f64;
        let colour = COLOURS[bar.series % COLOURS.len()];
        text(to, (left - 8.0, y + 12.0), "end", &bar.label);
        let (width, height) = (length(bar.value), ROW - 4.0);
        let _ = writeln!(
            to,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>",
            y + 2.0
        );
        if let Some(mark) = bar.mark {
            let x = left + length(mark);
            line(to, (x, y + 1.0), (x, y + ROW - 1.0), INK, 2.0);
        }
        let end = left + length(bar.value.max(bar.mark.unwrap_or(0.0)));
        text(to, (end + 6.0, y + 12.0), "start", &axis::number(bar.value));
    }
}

fn title(to: &mut String, words: &str) {
    let _ = writeln!(
        to,
        "<text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>",
        escape(words)
    );
}

fn legend(to: &mut String, names: &[String]) {
    legend_from(to, 36.0, names);
}

fn legend_from(to: &mut String, top: f64, names: &[String]) {
    for (at, name) in names.iter().enumerate() {
        let y = top + 16.0 * at as f64;
        let colour = COLOURS[at % COLOURS.len()];
        let _ = writeln!(to, "<rect x=\"12\" y=\"{y:.1}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
        text(to, (28.0, y + 9.5), "start", name);
    }
}

fn line(to: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str, width: f64) {
    let _ = writeln!(
        to,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
         stroke-width=\"{width}\"/>"
    );
}

fn text(to: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let words = escape(words);
    let _ = writeln!(to, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn escape(words: &str) -> String {
    let plain = crate::out::plain(words);
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
