//! The confusion matrix.

use crate::{
    Theme,
    svg::{Anchor, Canvas, Number, Opacity, Rect, Title},
    text::Face,
};

/// Up to this many classes, each cell shows its percentage and its number of images.
const FULL: usize = 16;
/// Up to this many classes, each cell shows its percentage.
const NUMBERED: usize = 40;
/// Maximum colour strength under text that stays readable, on light and dark paper.
const UNDER_TEXT: f32 = 0.55;
const NAME: Face = Face::regular(12.0);
const NOTE: Face = Face::regular(12.0);
const HEAD: Face = Face::bold(12.0);
const BAR: f32 = 84.0;

/// The confusion matrix, normalised by row: for each true class (row), the percentage predicted as
/// each class (column), with counts if there is room. `counts` are `[true][predicted]`.
///
/// Correct predictions (the diagonal) and wrong ones have a hue and a scale each. Up to 40 classes
/// have their accuracy next to the matrix; with more than 16, the most confused pairs are listed.
///
/// # Panics
/// If `counts` is not a square matrix with one row per class.
pub fn confusion<'a>(
    counts: &[Vec<u64>],
    classes: &[String],
    title: impl Into<Title<'a>>,
    theme: &Theme,
) -> String {
    let n = classes.len();
    assert!(
        counts.len() == n && counts.iter().all(|row| row.len() == n),
        "a square matrix of {n} classes"
    );
    let table = Table::new(counts, classes);
    if n <= NUMBERED {
        numbered(&table, title.into(), theme)
    } else {
        dense(&table, title.into(), theme)
    }
}

/// Counts, and values derived from them.
struct Table<'a> {
    counts: &'a [Vec<u64>],
    classes: &'a [String],
    totals: Vec<u64>,
    /// The largest fraction off the diagonal.
    worst: f32,
}

impl<'a> Table<'a> {
    fn new(counts: &'a [Vec<u64>], classes: &'a [String]) -> Self {
        let totals = counts.iter().map(|row| row.iter().sum()).collect();
        let mut table = Table { counts, classes, totals, worst: 0.0 };
        table.worst = table.mistakes().map(|(t, p)| table.share(t, p)).fold(0.0, f32::max);
        table
    }

    /// Fraction of a true class that was predicted as a class, in [0, 1].
    fn share(&self, truth: usize, predicted: usize) -> f32 {
        self.counts[truth][predicted] as f32 / self.totals[truth].max(1) as f32
    }

    /// The fraction on the scale of its hue, in [0, 1].
    fn depth(&self, truth: usize, predicted: usize) -> f32 {
        let share = self.share(truth, predicted);
        if truth == predicted { share } else { share / self.worst.max(f32::MIN_POSITIVE) }
    }

    /// Pairs of classes that were confused at least once.
    fn mistakes(&self) -> impl Iterator<Item = (usize, usize)> {
        let pairs =
            (0..self.classes.len()).flat_map(|t| (0..self.classes.len()).map(move |p| (t, p)));
        pairs.filter(|&(t, p)| t != p && self.counts[t][p] > 0)
    }

    /// The most frequent confusions, as lines of a list.
    fn most_confused(&self, lines: usize) -> Vec<(String, String)> {
        let mut pairs: Vec<(usize, usize)> = self.mistakes().collect();
        pairs.sort_by_key(|&(t, p)| (std::cmp::Reverse(self.counts[t][p]), t, p));
        let line = |&(t, p): &(usize, usize)| {
            let number = format!("{} of {}", self.counts[t][p], self.totals[t]);
            (pair(&self.classes[t], &self.classes[p], room(&number)), number)
        };
        pairs.iter().take(lines).map(line).collect()
    }

    /// The classes with the lowest accuracy, of those that have images.
    fn lowest_accuracy(&self, lines: usize) -> Vec<(String, String)> {
        let mut classes: Vec<usize> =
            (0..self.classes.len()).filter(|&c| self.totals[c] > 0).collect();
        classes.sort_by(|&a, &b| self.share(a, a).total_cmp(&self.share(b, b)));
        let line = |&c: &usize| {
            let number = format!("{} of {}", self.counts[c][c], self.totals[c]);
            (NOTE.fit(&self.classes[c], room(&number)).into_owned(), number)
        };
        classes.iter().take(lines).map(line).collect()
    }
}

/// A matrix with numbers in its cells and class names at its sides.
fn numbered(table: &Table<'_>, title: Title<'_>, theme: &Theme) -> String {
    let n = table.classes.len();
    let full = n <= FULL;
    let names: Vec<_> = table.classes.iter().map(|name| NAME.fit(name, 150.0)).collect();
    let longest = names.iter().map(|name| NAME.width(name)).fold(0.0, f32::max);
    let level = full && longest <= 66.0;
    let (cell_width, cell_height) = match full {
        true => ((longest + 10.0).clamp(50.0, if level { 76.0 } else { 54.0 }), 42.0),
        false => (30.0, 24.0),
    };
    let slant = std::f32::consts::FRAC_1_SQRT_2;
    let head = if level { 42.0 } else { 30.0 + longest * slant };
    let (left, top) = (longest.max(NOTE.width("true")) + 12.0, head);
    let (width, height) = (n as f32 * cell_width, n as f32 * cell_height);
    let side = left + width + 24.0;
    let list = if full { Vec::new() } else { table.most_confused((n / 2).max(10)) };
    let list_x = side + BAR + 76.0;
    let right = if list.is_empty() { side + BAR + 48.0 } else { list_x + LIST };
    let over = if level { 0.0 } else { left + width + longest * slant };
    let legend = top + height + 34.0;
    let note = match full {
        true => "Cells: percentage of the true class, and number of images.",
        false => "Cells: percentage of the true class.",
    };
    let right = right.max(over).max(NOTE.width(note)).max(left + SCALES);
    let mut canvas = Canvas::new(title, right, legend + 26.0, theme);

    canvas.text(left - 10.0, top - 12.0, "true", NOTE, Anchor::End, theme.muted);
    canvas.text(left, 11.0, "predicted", NOTE, Anchor::Start, theme.muted);
    canvas.text(side, top - 12.0, "accuracy", NOTE, Anchor::Start, theme.muted);
    for (i, name) in names.iter().enumerate() {
        let middle = left + (i as f32 + 0.5) * cell_width;
        if level {
            canvas.text(middle, top - 12.0, name, NAME, Anchor::Middle, theme.ink);
        } else {
            let at = (middle + 4.0, top - 9.0);
            canvas.slanted(at.0, at.1, name, NAME, theme.ink);
        }
        let baseline = top + (i as f32 + 0.5) * cell_height + 4.5;
        canvas.text(left - 10.0, baseline, name, NAME, Anchor::End, theme.ink);
        let share = table.share(i, i);
        let (bar_y, bar_height) = (baseline - 10.0, 12.0);
        let bar = Rect { x: side, y: bar_y, width: share * BAR, height: bar_height };
        canvas.rect(bar, theme.accent, UNDER_TEXT);
        let text = match table.totals[i] {
            0 => "no images".into(),
            _ => format!("{:.1}%", 100.0 * share),
        };
        canvas.text(side + share * BAR + 6.0, baseline, &text, NOTE, Anchor::Start, theme.ink);
    }
    for t in 0..n {
        for p in 0..n {
            let place = Rect {
                x: left + p as f32 * cell_width,
                y: top + t as f32 * cell_height,
                width: cell_width,
                height: cell_height,
            };
            cell(&mut canvas, table, (t, p), place, full);
        }
    }
    let outline = Rect { x: left, y: top, width, height };
    canvas.frame(outline, 1.0, theme.line);
    listing(&mut canvas, list_x, top, "most confused", &list);
    scales(&mut canvas, left, legend, table, UNDER_TEXT);
    let at = if left + NOTE.width(note) <= right { left } else { 0.0 };
    canvas.text(at, legend + 22.0, note, NOTE, Anchor::Start, theme.muted);
    canvas.finish()
}

fn cell(
    canvas: &mut Canvas<'_>,
    table: &Table<'_>,
    (t, p): (usize, usize),
    place: Rect,
    full: bool,
) {
    let theme = canvas.theme;
    let (count, share) = (table.counts[t][p], table.share(t, p));
    if count == 0 && t != p {
        return;
    }
    let hue = if t == p { theme.accent } else { theme.bad };
    let inner = Rect {
        x: place.x + 0.5,
        y: place.y + 0.5,
        width: place.width - 1.0,
        height: place.height - 1.0,
    };
    let hint = format!("{} predicted as {}: {count}", table.classes[t], table.classes[p]);
    canvas.group(&hint, |canvas| {
        canvas.rect(inner, hue, UNDER_TEXT * table.depth(t, p));
        let middle = place.x + place.width / 2.0;
        if full {
            let face = if t == p { Face::bold(14.0) } else { Face::regular(13.0) };
            // Rare confusions are muted.
            let ink = if t != p && share < 0.01 { theme.muted } else { theme.ink };
            let percent = format!("{:.1}", 100.0 * share);
            canvas.text(middle, place.y + 19.0, &percent, face, Anchor::Middle, ink);
            let (small, count) = (Face::regular(10.0), count.to_string());
            canvas.text(middle, place.y + 33.0, &count, small, Anchor::Middle, ink);
        } else if share >= 0.005 {
            let face = if t == p { Face::bold(11.0) } else { Face::regular(11.0) };
            let percent = format!("{:.0}", 100.0 * share);
            canvas.text(middle, place.y + 16.0, &percent, face, Anchor::Middle, theme.ink);
        }
    });
}

/// Width of a list next to the matrix.
const LIST: f32 = 330.0;

/// The width that a number leaves for the name.
fn room(number: &str) -> f32 {
    LIST - NOTE.width(number) - 12.0
}

/// `cat predicted as dog`. If it is too wide, both names are shortened.
fn pair(truth: &str, predicted: &str, width: f32) -> String {
    const BETWEEN: &str = " predicted as ";
    let room = width - NOTE.width(BETWEEN);
    let truth = NOTE.fit(truth, (room - NOTE.width(predicted)).max(room / 2.0));
    let predicted = NOTE.fit(predicted, room - NOTE.width(&truth));
    format!("{truth}{BETWEEN}{predicted}")
}

/// Names with numbers, under a heading.
fn listing(canvas: &mut Canvas<'_>, x: f32, y: f32, heading: &str, lines: &[(String, String)]) {
    let theme = canvas.theme;
    if lines.is_empty() {
        return;
    }
    canvas.text(x, y + 10.0, heading, HEAD, Anchor::Start, theme.ink);
    for (i, (name, number)) in lines.iter().enumerate() {
        let baseline = y + 32.0 + 19.0 * i as f32;
        canvas.text(x, baseline, name, NOTE, Anchor::Start, theme.ink);
        canvas.text(x + LIST, baseline, number, NOTE, Anchor::End, theme.muted);
    }
}

/// Maximum width of the legend.
const SCALES: f32 = 430.0;

/// The legend of the two hues.
fn scales(canvas: &mut Canvas<'_>, x: f32, baseline: f32, table: &Table<'_>, deepest: f32) {
    let theme = canvas.theme;
    let mut x = x;
    for (name, hue, most) in [("correct", theme.accent, 1.0), ("wrong", theme.bad, table.worst)] {
        if most == 0.0 {
            continue;
        }
        let most = percent(most);
        for (text, gap) in [(name, 8.0), ("0", 5.0)] {
            canvas.text(x, baseline, text, NOTE, Anchor::Start, theme.muted);
            x += NOTE.width(text) + gap;
        }
        canvas.element("<g shape-rendering=\"crispEdges\">");
        for step in 0..20 {
            let place =
                Rect { x: x + 4.0 * step as f32, y: baseline - 10.0, width: 4.0, height: 12.0 };
            canvas.rect(place, hue, deepest * (step as f32 + 0.5) / 20.0);
        }
        canvas.element("</g>");
        canvas.text(x + 85.0, baseline, &most, NOTE, Anchor::Start, theme.muted);
        x += 85.0 + NOTE.width(&most) + 32.0;
    }
}

/// A share as a percentage: a small one has decimals.
fn percent(share: f32) -> String {
    match 100.0 * share {
        percent @ 10.0.. => format!("{percent:.0}%"),
        percent @ 1.0.. => format!("{percent:.1}%"),
        percent @ 0.005.. => format!("{percent:.2}%"),
        _ => "<0.01%".to_owned(),
    }
}

/// Colour steps per hue in a matrix without numbers.
const STEPS: usize = 16;

/// A matrix of many classes, without numbers.
fn dense(table: &Table<'_>, title: Title<'_>, theme: &Theme) -> String {
    let n = table.classes.len();
    let cell = (720.0 / n as f32).clamp(0.5, 12.0);
    let cell = if cell >= 2.0 { cell.floor() } else { cell };
    let side = n as f32 * cell;
    let (top, list_x) = (22.0, side + 36.0);
    let height = top + side.max(560.0) + 34.0;
    let mut canvas = Canvas::new(title, list_x + LIST, height, theme);
    canvas.text(
        0.0,
        11.0,
        "rows: true class, columns: predicted class",
        NOTE,
        Anchor::Start,
        theme.muted,
    );
    // With a thousand classes, a single image must still be visible.
    let dot = (1.6 / cell).max(1.0);
    let mut levels = vec![String::new(); 2 * STEPS];
    for t in 0..n {
        for p in 0..n {
            if table.counts[t][p] > 0 {
                let level = (table.depth(t, p) * STEPS as f32).ceil().clamp(1.0, STEPS as f32);
                let index = if t == p { 0 } else { STEPS } + level as usize - 1;
                let path = format!("M{p} {t}h{0}v{0}h-{0}z", Number(dot));
                levels[index].push_str(&path);
            }
        }
    }
    canvas.element(format_args!("<g transform=\"translate(0 {top}) scale({cell})\">"));
    for (index, path) in levels.iter().enumerate().filter(|(_, path)| !path.is_empty()) {
        let hue = if index < STEPS { theme.accent } else { theme.bad };
        let (fill, opacity) = theme.tint(hue, (index % STEPS + 1) as f32 / STEPS as f32);
        let opacity = Opacity(opacity);
        canvas.element(format_args!("<path d=\"{path}\" fill=\"{fill}\"{opacity}/>"));
    }
    canvas.element("</g>");
    canvas.frame(Rect { x: 0.0, y: top, width: side, height: side }, 1.0, theme.line);
    listing(&mut canvas, list_x, top, "most confused", &table.most_confused(12));
    let y = top + 32.0 + 19.0 * 12.0 + 20.0;
    listing(&mut canvas, list_x, y, "lowest accuracy", &table.lowest_accuracy(12));
    scales(&mut canvas, 0.0, top + side + 28.0, table, 1.0);
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Vec<Vec<u64>>, Vec<String>) {
        let counts = vec![vec![8, 2, 0], vec![5, 5, 0], vec![0, 0, 0]];
        (counts, ["cat", "dog", "cow"].map(String::from).to_vec())
    }

    #[test]
    fn rows_are_normalised() {
        let (counts, classes) = table();
        let table = Table::new(&counts, &classes);
        assert_eq!((table.share(0, 1), table.share(1, 0), table.share(2, 2)), (0.2, 0.5, 0.0));
        assert_eq!((table.depth(0, 0), table.depth(0, 1), table.worst), (0.8, 0.4, 0.5));
    }

    #[test]
    fn a_confusion_names_both_classes() {
        let long = "West Highland white terrier, Westie";
        assert_eq!(pair("cat", "dog", 300.0), "cat predicted as dog");
        for (truth, predicted) in [(long, long), ("cat", long), (long, "dog")] {
            let line = pair(truth, predicted, 240.0);
            let (a, b) = line.split_once(" predicted as ").unwrap();
            assert!(a.len() >= 3 && b.len() >= 3 && NOTE.width(&line) <= 240.0, "{line}");
            assert_eq!((a == truth, b == predicted), (truth == "cat", predicted == "dog"));
        }
    }

    #[test]
    fn lists_start_with_the_worst() {
        let (counts, classes) = table();
        let table = Table::new(&counts, &classes);
        let line = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        let confused = [("dog predicted as cat", "5 of 10"), ("cat predicted as dog", "2 of 10")];
        assert_eq!(table.most_confused(9), confused.iter().map(line).collect::<Vec<_>>());
        let least = [("dog", "5 of 10"), ("cat", "8 of 10")];
        assert_eq!(table.lowest_accuracy(9), least.iter().map(line).collect::<Vec<_>>());
    }
}
