//! Quantities as horizontal bars.

use serde::Deserialize;

use crate::{
    Theme,
    svg::{Anchor, Canvas, Rect, Title},
    text::Face,
};

/// One bar of a chart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Bar {
    /// What was measured, left of the bar.
    pub label: String,
    /// How long the bar is, next to the others.
    pub value: f64,
    /// The quantity with its unit, right of the bar.
    pub figure: String,
    /// Whether it stands out from the others.
    pub ours: bool,
}

const LONGEST: f32 = 520.0;
const HEIGHT: f32 = 22.0;
const PITCH: f32 = 34.0;
const GAP: f32 = 12.0;

/// A chart with a bar for each quantity, from the top down. The longest is of the largest value; one
/// that is below zero or not a number has no length.
pub fn bars<'a>(bars: &[Bar], title: impl Into<Title<'a>>, theme: &Theme) -> String {
    let widest = |texts: &dyn Fn(&Bar) -> f32| bars.iter().map(texts).fold(0f32, f32::max);
    let labels = widest(&|bar| face(bar).width(&bar.label));
    let figures = widest(&|bar| face(bar).width(&bar.figure));
    let most = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let width = labels + GAP + LONGEST + GAP + figures;
    let height = (bars.len() as f32 * PITCH - (PITCH - HEIGHT)).max(0.0);
    let mut canvas = Canvas::new(title.into(), width, height, theme);
    for (i, bar) in bars.iter().enumerate() {
        let y = i as f32 * PITCH;
        let (left, length) = (labels + GAP, (bar.value / most).max(0.0) as f32 * LONGEST);
        let (colour, strength) = if bar.ours { (theme.accent, 1.0) } else { (theme.muted, 0.5) };
        canvas.group(&format!("{}: {}", bar.label, bar.figure), |canvas| {
            let mut text = |x, text: &str, anchor| {
                canvas.text(x, y + 16.0, text, face(bar), anchor, theme.ink);
            };
            text(labels, &bar.label, Anchor::End);
            text(left + length + GAP, &bar.figure, Anchor::Start);
            canvas.rect(Rect { x: left, y, width: length, height: HEIGHT }, colour, strength);
        });
    }
    canvas.finish()
}

fn face(bar: &Bar) -> Face {
    if bar.ours { Face::bold(14.0) } else { Face::regular(14.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_in_proportion() {
        let bar = |value| Bar { label: "a".into(), value, figure: "b".into(), ours: false };
        let svg = bars(&[200.0, 50.0, 0.0, -1.0, f64::NAN].map(bar), "", &Theme::LIGHT);
        let widths = [
            "width=\"520\" height=\"22\"",
            "width=\"130\" height=\"22\"",
            "width=\"0\" height=\"22\"",
        ];
        assert_eq!(widths.map(|width| svg.matches(width).count()), [1, 1, 3]);
    }
}
