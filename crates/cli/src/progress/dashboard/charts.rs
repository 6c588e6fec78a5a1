//! Line charts, and the bar chart of throughput.

use ratatui::{
    Frame,
    layout::{HorizontalAlignment, Rect},
    style::{Style, Stylize},
    symbols::Marker,
    text::{Line, Span},
    widgets::{Axis, Block, Borders, Chart, Dataset, GraphType, Sparkline},
};

use super::{palette::Palette, state::State};
use crate::print;

/// A curve. Its marks distinguish it from the others of its chart, and its colour if there is one.
struct Curve {
    name: &'static str,
    mark: Mark,
    style: Style,
    points: Vec<(f64, f64)>,
    /// Its last value, as text.
    last: Option<String>,
}

/// The mark of a curve: a line, or a symbol per point.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Line,
    Symbol(char),
}

pub(super) const TEST: Mark = Mark::Symbol('•');
pub(super) const VALIDATION: Mark = Mark::Symbol('x');

impl Mark {
    pub(super) fn symbol(self) -> char {
        match self {
            Mark::Line => '⠒',
            Mark::Symbol(symbol) => symbol,
        }
    }
}

pub(super) fn loss(frame: &mut Frame, area: Rect, state: &State, palette: Palette) {
    let train = state.loss.points();
    let text = |value: f64| format!("{value:.4}");
    let epochs = |value: fn(&resnet::train::EpochMetrics) -> Option<f64>| by_epochs(state, value);
    let curves = [
        Curve::new("train", Mark::Line, palette.train(), train.to_vec(), text),
        Curve::new(
            "validation",
            VALIDATION,
            palette.validation(),
            epochs(|e| e.validation_loss),
            text,
        ),
        Curve::new("test", TEST, palette.test(), epochs(|e| e.test_loss), text),
    ];
    // The y axis ends at the 98th percentile: the first losses can be huge.
    let mut values: Vec<f64> = train.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    let most = values.get(values.len() * 98 / 100).copied();
    chart(frame, area, "Loss", &curves, state.span(), [None, most]);
}

pub(super) fn accuracy(frame: &mut Frame, area: Rect, state: &State, palette: Palette) {
    let train = state.accuracy.points().to_vec();
    let text = |value: f64| format!("{value:.2}%");
    let epochs = |value: fn(&resnet::train::EpochMetrics) -> Option<f64>| by_epochs(state, value);
    let validation = epochs(|e| e.validation_accuracy);
    let curves = [
        Curve::new("train", Mark::Line, palette.train(), train, text),
        Curve::new("validation", VALIDATION, palette.validation(), validation, text),
        Curve::new("test", TEST, palette.test(), epochs(|e| e.test_accuracy), text),
    ];
    chart(frame, area, "Accuracy", &curves, state.span(), [None, None]);
}

pub(super) fn rate(frame: &mut Frame, area: Rect, state: &State) {
    let points = state.rate.points().to_vec();
    let text = |value: f64| print::rate(value as f32);
    let curve = Curve::new("", Mark::Line, Style::new(), points, text);
    chart(frame, area, "Learning rate", &[curve], state.span(), [Some(0.0), None]);
}

/// Images per second since this process began, and how much of the time it waits for others.
pub(super) fn throughput(frame: &mut Frame, area: Rect, state: &State) {
    let throughput = &state.throughput;
    let mut title = Line::from("Images/s".bold());
    if let (Some(now), Some(mean)) = (throughput.now, throughput.mean()) {
        let [now, mean] = [now, mean].map(short);
        let share = state.batch.and_then(|batch| batch.waiting);
        let waiting = share.map_or(String::new(), |share| format!("  {share:.0}% waiting"));
        let all = format!("  now {now}  mean {mean}{waiting}");
        let fits = title.width() + all.len() < usize::from(area.width);
        // The mean makes way first.
        title.push_span(if fits || share.is_none() {
            all
        } else {
            format!("  now {now}{waiting}")
        });
    }
    let block = framed(title);
    let columns = throughput.curve.columns(usize::from(block.inner(area).width));
    let most = columns.iter().fold(0.0, |a: f64, &b| a.max(b));
    let bars = Sparkline::default()
        .data(columns.iter().map(|value| value.round() as u64))
        .max((1.05 * most).ceil() as u64)
        .block(block);
    frame.render_widget(bars, area);
}

/// A number with one decimal below 100, otherwise rounded.
pub(super) fn short(x: f64) -> String {
    if x < 100.0 { format!("{x:.1}") } else { print::grouped(x.round() as usize) }
}

fn by_epochs(
    state: &State,
    value: impl Fn(&resnet::train::EpochMetrics) -> Option<f64>,
) -> Vec<(f64, f64)> {
    state.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect()
}

impl Curve {
    fn new(
        name: &'static str,
        mark: Mark,
        style: Style,
        points: Vec<(f64, f64)>,
        text: impl Fn(f64) -> String,
    ) -> Self {
        let last = points.last().map(|point| text(point.1));
        Curve { name, mark, style, points, last }
    }

    /// Mark, name and last value; the name only if `named`.
    fn legend(&self, named: bool) -> Option<Span<'static>> {
        let last = self.last.as_ref()?;
        let symbol = self.mark.symbol();
        let text = match self.name {
            "" => format!("  {last}"),
            name if named => format!("  {symbol} {name} {last}"),
            _ => format!("  {symbol} {last}"),
        };
        Some(Span::styled(text, self.style))
    }
}

/// Draws curves over the range `x`. The y axis runs from `least` to `most`, by default the extreme
/// values.
fn chart(
    frame: &mut Frame,
    area: Rect,
    name: &'static str,
    curves: &[Curve],
    x: [f64; 2],
    [least, most]: [Option<f64>; 2],
) {
    let title = |named| {
        let legends = curves.iter().filter_map(|curve| curve.legend(named));
        Line::from_iter(std::iter::once(name.bold()).chain(legends))
    };
    let named = title(true);
    let fits = named.width() <= usize::from(area.width);
    let block = framed(if fits { named } else { title(false) });
    let ys = || curves.iter().flat_map(|curve| &curve.points).map(|point| point.1);
    let least = least.unwrap_or_else(|| ys().fold(f64::INFINITY, f64::min));
    let most = most.unwrap_or_else(|| ys().fold(f64::NEG_INFINITY, f64::max));
    if !(least.is_finite() && most.is_finite()) {
        return frame.render_widget(block, area);
    }
    let ticks = Ticks::around(least, most, u32::from(area.height / 5).clamp(1, 5));
    let datasets = curves.iter().map(|curve| {
        let (marker, graph) = match curve.mark {
            Mark::Line => (Marker::Braille, GraphType::Line),
            Mark::Symbol(symbol) => (Marker::Custom(symbol), GraphType::Scatter),
        };
        Dataset::default().data(&curve.points).marker(marker).graph_type(graph).style(curve.style)
    });
    let epochs = |x: f64| Line::from(format!("{x:.1}").trim_end_matches(".0").to_owned());
    let mut last = epochs(x[1]);
    last.spans.insert(0, "epoch ".into());
    let x_axis = Axis::default().bounds(x).labels([epochs(x[0]), last]);
    let y_axis = Axis::default()
        .bounds(ticks.bounds())
        .labels(ticks.labels())
        .labels_alignment(HorizontalAlignment::Right);
    let chart = Chart::new(datasets.collect())
        .legend_position(None)
        .x_axis(x_axis)
        .y_axis(y_axis)
        .block(block);
    frame.render_widget(chart, area);
}

fn framed(mut title: Line<'_>) -> Block<'_> {
    title.push_span(" ");
    Block::new().borders(Borders::TOP).border_style(Style::new().dim()).title(title)
}

/// Axis ticks at round numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    /// The first, in units of `unit`.
    first: i64,
    last: i64,
    unit: f64,
}

impl Ticks {
    /// Ticks that enclose a range, in about this many intervals.
    fn around(least: f64, most: f64, intervals: u32) -> Self {
        let span = (most - least).max(1e-3 * most.abs()).max(1e-9);
        // Slightly less, so that rounding (0.2 as f32 is above 0.2) does not choose the next unit.
        let raw = span / f64::from(intervals) * (1.0 - 1e-6);
        let power = 10f64.powf(raw.log10().floor());
        let unit = [1.0, 2.0, 5.0].map(|x| x * power).into_iter().find(|unit| *unit >= raw);
        let unit = unit.unwrap_or(10.0 * power);
        // Rounding must not add an interval: 0.3 / 0.1 is slightly below 3.
        let first = (least / unit + 1e-6).floor();
        let last = (most / unit - 1e-6).ceil().max(first + 1.0);
        Ticks { first: first as i64, last: last as i64, unit }
    }

    fn bounds(self) -> [f64; 2] {
        // Include values that rounding moved past the ticks.
        [self.first as f64 - 2e-6, self.last as f64 + 2e-6].map(|n| n * self.unit)
    }

    fn labels(self) -> Vec<String> {
        let decimals = (-self.unit.log10().floor()).max(0.0) as usize;
        let label = |n: i64| {
            let value = n as f64 * self.unit;
            match decimals {
                0..6 => format!("{value:.decimals$}"),
                _ => format!("{value:.1e}"),
            }
        };
        (self.first..=self.last).map(label).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_enclose_the_range() {
        for (least, most, labels) in [
            (0.31, 2.2, &["0", "1", "2", "3"][..]),
            (0.0, 0.1, &["0.00", "0.05", "0.10"]),
            (0.0, f64::from(0.2f32), &["0.0", "0.1", "0.2"]),
            (12.5, 91.0, &["0", "50", "100"]),
            (90.0, 93.3, &["90", "92", "94"]),
            (0.1, 0.1, &["0.10000", "0.10005"]),
            (0.0, 0.0, &["0.0e0", "5.0e-10"]),
        ] {
            let ticks = Ticks::around(least, most, 2);
            let [first, last] = ticks.bounds();
            assert!(first <= least + 1e-9 && most - 1e-9 <= last && first < last, "{ticks:?}");
            assert_eq!(ticks.labels(), labels, "{least} {most}");
        }
        assert!(Ticks::around(0.0, 1e30, 2).labels().len() <= 4);
    }

    #[test]
    fn throughputs_are_short() {
        for (x, text) in [(0.25, "0.2"), (99.94, "99.9"), (280.4, "280"), (12345.6, "12,346")] {
            assert_eq!(short(x), text);
        }
    }
}
