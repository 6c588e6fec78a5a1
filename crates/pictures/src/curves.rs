//! Quantities over a common axis, as lines.

use std::fmt::Write;

use serde::Deserialize;

use crate::{
    Theme,
    svg::{Anchor, Canvas, Number, Title},
    text::Face,
};

/// One line of a chart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Curve {
    /// What it shows, next to its last point; empty for a line that is explained by another.
    pub label: String,
    /// Its points (x, y), from left to right. A point that is not finite interrupts the line.
    pub points: Vec<[f64; 2]>,
    /// How it is drawn.
    #[serde(default)]
    pub stroke: Stroke,
    /// Its colour: curves of one number have the same.
    pub colour: usize,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stroke {
    /// Broad.
    #[default]
    Bold,
    /// Narrow.
    Thin,
    /// Narrow and interrupted.
    Dashed,
}

/// An axis of a chart.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Axis {
    /// The quantity with its unit.
    pub label: String,
    /// The least and the largest value that are shown. Those of the curves, if there is none.
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// Whether it shows the logarithm of the values. Only those above 0 have a place then.
    #[serde(default)]
    pub logarithmic: bool,
}

const WIDTH: f32 = 620.0;
const HEIGHT: f32 = 340.0;
/// Width of one of several charts.
const PANEL_WIDTH: f32 = 380.0;
/// The space between charts.
const SPACE: f32 = 30.0;
/// The space between a line's end and its label, and between labels.
const GAP: f32 = 10.0;
const LINE: f32 = 17.0;
const FACE: Face = Face::regular(13.0);

/// A chart of curves. What lies outside of the axes' ranges is not shown.
pub fn curves<'a>(
    curves: &[Curve],
    axes: [&Axis; 2],
    title: impl Into<Title<'a>>,
    theme: &Theme,
) -> String {
    chart(&[("", curves)], axes, WIDTH, title.into(), theme)
}

/// One of several charts with the same axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its heading.
    pub heading: String,
    /// Its curves.
    pub curves: Vec<Curve>,
}

/// Charts of curves next to each other, with the same axes.
pub fn panels<'a>(
    panels: &[Panel],
    axes: [&Axis; 2],
    title: impl Into<Title<'a>>,
    theme: &Theme,
) -> String {
    let parts: Vec<(&str, &[Curve])> =
        panels.iter().map(|panel| (&*panel.heading, &*panel.curves)).collect();
    chart(&parts, axes, PANEL_WIDTH, title.into(), theme)
}

fn chart(
    panels: &[(&str, &[Curve])],
    [x, y]: [&Axis; 2],
    width: f32,
    title: Title<'_>,
    theme: &Theme,
) -> String {
    let values = |axis: usize| {
        let curves = panels.iter().flat_map(|(_, curves)| curves.iter());
        curves.flat_map(|curve| &curve.points).map(move |point| point[axis])
    };
    let xs = Scale::new(x, values(0), [0.0, width]);
    let ys = Scale::new(y, values(1), [HEIGHT, 0.0]);
    let left = ys.ticks().iter().map(|tick| FACE.width(&tick.1)).fold(0f32, f32::max) + GAP;
    let names = |curves: &[Curve]| {
        curves.iter().map(|c| Face::bold(13.0).width(&c.label)).fold(0f32, f32::max)
    };
    let has_headings = panels.iter().any(|(heading, _)| !heading.is_empty());
    let heading = if has_headings { LINE + 4.0 } else { 0.0 };
    let (top, below) = (heading + LINE + 6.0, 2.0 * LINE + 12.0);
    let widths: Vec<f32> =
        panels.iter().map(|(_, curves)| left + width + GAP + names(curves)).collect();
    let space = SPACE * widths.len().saturating_sub(1) as f32;
    let all = widths.iter().sum::<f32>() + space;
    let mut canvas = Canvas::new(title, all, top + HEIGHT + below, theme);
    let mut start = 0.0;
    for (index, ((heading, curves), width)) in panels.iter().zip(&widths).enumerate() {
        let frame = Frame { left: start + left, top, xs: &xs, ys: &ys };
        if !heading.is_empty() {
            canvas.text(frame.left, 12.0, heading, Face::bold(13.0), Anchor::Start, theme.ink);
        }
        if index == 0 {
            let baseline = top - LINE + 5.0;
            canvas.text(start, baseline, &y.label, FACE, Anchor::Start, theme.muted);
        }
        frame.draw(&mut canvas, curves, &x.label);
        start += width + SPACE;
    }
    canvas.finish()
}

/// Where a chart is, and what its axes show.
struct Frame<'s> {
    left: f32,
    top: f32,
    xs: &'s Scale,
    ys: &'s Scale,
}

impl Frame<'_> {
    fn draw(&self, canvas: &mut Canvas<'_>, curves: &[Curve], label: &str) {
        let (Frame { left, top, xs, ys }, theme) = (self, canvas.theme);
        let right = left + xs.places[1];
        for (at, text) in ys.ticks() {
            let to = top + ys.place(at);
            canvas.line([*left, to], [right, to], theme.line);
            canvas.text(left - GAP, to + 4.5, &text, FACE, Anchor::End, theme.muted);
        }
        for (at, text) in xs.ticks() {
            let to = left + xs.place(at);
            canvas.line([to, top + HEIGHT], [to, top + HEIGHT + 5.0], theme.line);
            canvas.text(to, top + HEIGHT + LINE + 3.0, &text, FACE, Anchor::Middle, theme.muted);
        }
        let below = top + HEIGHT + 2.0 * LINE + 8.0;
        canvas.text(right, below, label, FACE, Anchor::End, theme.muted);

        let colours = [theme.accent, theme.bad, theme.good, theme.ink, theme.muted];
        let mut labels = Vec::new();
        // Thin lines under the bold ones.
        for bold in [false, true] {
            for curve in curves.iter().filter(|curve| (curve.stroke == Stroke::Bold) == bold) {
                let colour = colours[curve.colour % colours.len()];
                let place = |p: &[f64; 2]| {
                    (xs.shows(p[0]) && ys.shows(p[1]))
                        .then(|| [left + xs.place(p[0]), top + ys.place(p[1])])
                };
                let places: Vec<_> = curve.points.iter().map(place).collect();
                for part in places.split(Option::is_none).filter(|part| !part.is_empty()) {
                    polyline(canvas, part.iter().flatten(), curve.stroke, colour);
                }
                if let Some(&end) = places.iter().flatten().next_back()
                    && !curve.label.is_empty()
                {
                    labels.push((end, curve, colour));
                }
            }
        }
        // A line that ends early has its label there, the others in the margin.
        let (mut margin, early): (Vec<_>, Vec<_>) =
            labels.into_iter().partition(|&([x, _], ..)| x > right - GAP);
        margin.sort_by(|a, b| a.0[1].total_cmp(&b.0[1]));
        let ends: Vec<f32> = margin.iter().map(|label| label.0[1]).collect();
        let places = apart(&ends, top + HEIGHT).into_iter();
        let margin = margin
            .into_iter()
            .zip(places)
            .map(|((_, curve, colour), y)| (right + GAP, y + 4.5, curve, colour));
        let early =
            early.into_iter().map(|([x, y], curve, colour)| (x + 5.0, y - 5.0, curve, colour));
        for (x, y, curve, colour) in early.chain(margin) {
            let face = Face { size: 13.0, bold: curve.stroke == Stroke::Bold };
            canvas.text(x, y, &curve.label, face, Anchor::Start, colour);
        }
    }
}

fn polyline<'a>(
    canvas: &mut Canvas<'_>,
    places: impl Iterator<Item = &'a [f32; 2]>,
    stroke: Stroke,
    colour: &str,
) {
    let places: Vec<&[f32; 2]> = places.collect();
    let mut points = String::new();
    // A single point is a line of no length, which is drawn as a dot.
    let again = places.first().filter(|_| places.len() == 1);
    for [x, y] in places.iter().chain(again) {
        let _ = write!(points, "{},{} ", Number(*x), Number(*y));
    }
    let style = match stroke {
        Stroke::Bold => "stroke-width=\"2.8\"",
        Stroke::Thin => "stroke-width=\"1.2\"",
        Stroke::Dashed => "stroke-width=\"1.4\" stroke-dasharray=\"5 4\"",
    };
    canvas.element(format_args!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" {style} \
         stroke-linejoin=\"round\" stroke-linecap=\"round\"/>",
        points.trim_end()
    ));
}

/// The places of labels, which are sorted: near the ends of their lines, and a line apart.
fn apart(ends: &[f32], lowest: f32) -> Vec<f32> {
    let mut places = ends.to_vec();
    for i in 1..places.len() {
        places[i] = places[i].max(places[i - 1] + LINE);
    }
    let mut most = lowest;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - LINE;
    }
    places
}

/// From values to places.
struct Scale {
    /// The ends: values, or their decimal logarithms.
    from: f64,
    to: f64,
    logarithmic: bool,
    places: [f32; 2],
}

impl Scale {
    /// The scale of an axis, for these values.
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, places: [f32; 2]) -> Scale {
        let logarithmic = axis.logarithmic;
        let scaled = |value: f64| if logarithmic { value.log10() } else { value };
        let found = values.map(scaled).filter(|value| value.is_finite()).fold(
            None,
            |range: Option<[f64; 2]>, value| match range {
                None => Some([value, value]),
                Some([least, most]) => Some([value.min(least), value.max(most)]),
            },
        );
        let [from, to] = axis.range.map(|range| range.map(scaled)).or(found).unwrap_or([0.0, 1.0]);
        let to = if to > from { to } else { from + 1.0 };
        Scale { from, to, logarithmic, places }
    }

    /// A value as the ends are.
    fn scaled(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    fn shows(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&self.scaled(value))
    }

    fn place(&self, value: f64) -> f32 {
        let share = ((self.scaled(value) - self.from) / (self.to - self.from)) as f32;
        self.places[0] + (self.places[1] - self.places[0]) * share
    }

    /// Powers of ten, at most ten of them, with their texts.
    fn powers(&self) -> Vec<(f64, String)> {
        let (first, last) = (self.from.ceil() as i32, self.to.floor() as i32);
        let step = ((last - first) / 10 + 1).max(1) as usize;
        let tick = |power: i32| (10f64.powi(power), format!("1e{power}"));
        (first..=last).step_by(step).map(tick).collect()
    }

    /// Round values, four to eight of them, with their texts.
    fn ticks(&self) -> Vec<(f64, String)> {
        if self.logarithmic {
            return self.powers();
        }
        let rough = (self.to - self.from) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|&s| s >= 0.8 * rough);
        let step = step.unwrap_or(10.0 * power);
        let decimals = (-step.log10().floor()).clamp(0.0, 12.0) as usize;
        let (first, last) = ((self.from / step).ceil(), (self.to / step).floor());
        let count = (last - first).clamp(0.0, 20.0) as u32;
        let tick = |i: u32| (first + f64::from(i)) * step;
        (0..=count).map(tick).map(|at| (at, format!("{at:.decimals$}"))).collect()
    }
}

#[cfg(test)]
mod tests;
