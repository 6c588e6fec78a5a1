//! Prints predictions on stdout, one photo at a time.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anstyle::{AnsiColor, Style};
use resnet_formats::{brief, is_printable, printable};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{
    delayed_progress::DelayedProgress,
    photos::{file_name, json_name, label, quoted},
    print,
};

/// How predictions are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

/// Maximum width of the columns of files and classes.
const MAX_WIDTHS: [usize; 2] = [40, 28];
/// Length of a bar, for one photo and for several.
const BARS: [usize; 2] = [30, 10];
/// The table of several photos lists other classes from this probability on.
const MIN_RUNNER_UP: f32 = 0.01;

/// Prints predictions. Unless stdout is a terminal, it shows a progress bar on stderr.
pub(super) struct Printer {
    format: Format,
    classes: Vec<String>,
    top: usize,
    photos: usize,
    /// Widths of the columns of files and classes.
    widths: [usize; 2],
    bar: DelayedProgress,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    file: &'a str,
    top: Vec<Candidate<'a>>,
    /// Files of its heat map.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pictures: Vec<String>,
}

#[derive(Serialize)]
struct Candidate<'a> {
    /// The class's number.
    index: usize,
    class: &'a str,
    probability: f32,
}

impl Printer {
    pub(super) fn new(
        format: Format,
        photos: &[PathBuf],
        images: usize,
        mut classes: Vec<String>,
        top: usize,
        quiet: bool,
    ) -> Printer {
        for class in &mut classes {
            match format {
                Format::Table => *class = brief(class).to_string(),
                Format::Csv => *class = printable(class).to_string(),
                Format::Json => {}
            }
        }
        let files = photos.iter().map(|path| label(path).width());
        let names = classes.iter().map(|class| class.width());
        let widths = [
            files.max().unwrap_or(0).clamp("file".len(), MAX_WIDTHS[0]),
            names.max().unwrap_or(0).clamp("class".len(), MAX_WIDTHS[1]),
        ];
        let bar = DelayedProgress::new("predicting", images, quiet || io::stdout().is_terminal());
        let top = top.min(classes.len());
        Printer { format, classes, top, photos: photos.len(), widths, bar }
    }

    /// Prints the header, if the format has one.
    pub(super) fn begin(&self) -> io::Result<()> {
        match self.format {
            Format::Csv => {
                let names = ["index", "class", "probability"];
                let columns = (1..=self.top).flat_map(|i| names.map(|name| format!("{name}_{i}")));
                let columns: Vec<String> =
                    std::iter::once("file".to_owned()).chain(columns).collect();
                print::line(columns.join(","))
            }
            Format::Table if self.photos > 1 => {
                let [file, class] =
                    [("file", 0), ("class", 1)].map(|(t, i)| fit(t, self.widths[i]));
                let bar = " ".repeat(BARS[1]);
                let others = if self.top > 1 { "runners-up" } else { "" };
                let header = format!("{file}  {class}  probability  {bar}  {others}");
                let bold = Style::new().bold();
                print::line(format!("{bold}{}{bold:#}", header.trim_end()))
            }
            _ => Ok(()),
        }
    }

    /// Prints the most probable classes of a photo and their probabilities. `pictures` are the files
    /// of its heat map.
    pub(super) fn print(
        &self,
        path: &Path,
        top: &[(usize, f32)],
        pictures: &[PathBuf],
    ) -> anyhow::Result<()> {
        self.bar.tick();
        let class = |index: usize| self.classes[index].as_str();
        match self.format {
            Format::Json => {
                let candidate =
                    |&(index, probability)| Candidate { index, class: class(index), probability };
                let file = json_name(path);
                let top = top.iter().map(candidate).collect();
                let pictures = pictures.iter().map(|path| json_name(path)).collect();
                print::json(&Record { file: &file, top, pictures })?;
            }
            Format::Csv => {
                let mut line = quoted(&file_name(path, is_printable));
                for &(index, probability) in top {
                    line += &format!(",{index},{},{probability}", quoted(class(index)));
                }
                print::line(line)?;
            }
            Format::Table if self.photos > 1 => print::line(self.row(path, top))?,
            Format::Table => {
                let bold = Style::new().bold();
                print::line(format!("{bold}{}{bold:#}", label(path)))?;
                for &(index, probability) in top {
                    let class = fit(class(index), self.widths[1]);
                    let bar = bar(probability, BARS[0]);
                    let line = format!("  {class}  {}  {bar}", percent(probability));
                    print::line(line.trim_end())?;
                }
            }
        }
        Ok(())
    }

    /// A row of the table of several photos.
    fn row(&self, path: &Path, top: &[(usize, f32)]) -> String {
        let [file, class] = self.widths;
        let Some((&(best, probability), others)) = top.split_first() else {
            return label(path);
        };
        let runners_up = others.iter().filter(|&&(_, p)| p >= MIN_RUNNER_UP);
        let others =
            runners_up.map(|&(i, p)| format!("{} {}", self.classes[i], percent(p).trim_start()));
        let line = format!(
            "{}  {}  {:>11}  {}  {}",
            fit(&label(path), file),
            fit(&self.classes[best], class),
            percent(probability),
            bar(probability, BARS[1]),
            others.collect::<Vec<_>>().join(", "),
        );
        line.trim_end().to_owned()
    }

    /// Prints why an input has no prediction.
    pub(super) fn skip(&self, why: impl Display) {
        let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        self.bar.suspend(|| {
            print::status(format!("{yellow}skipped:{yellow:#} {}", printable(&why.to_string())))
        });
        self.bar.tick();
    }

    /// Removes the bar.
    pub(super) fn end(self) {
        self.bar.clear();
    }
}

/// Text padded or cut to exactly `width` columns; a cut text keeps its end.
fn fit(text: &str, width: usize) -> String {
    let mut text = Cow::from(text);
    if text.width() > width {
        let mut room = width.saturating_sub(1);
        let fits = |&(_, c): &(usize, char)| {
            let rest = room.checked_sub(c.width().unwrap_or(0));
            room = rest.unwrap_or(room);
            rest.is_some()
        };
        let end = text.char_indices().rev().take_while(fits).last();
        let start = end.map_or(text.len(), |(start, _)| start);
        text = format!("…{}", &text[start..]).into();
    }
    // A sequence of characters may be wider than the sum of its characters.
    let padding = " ".repeat(width.saturating_sub(text.width()));
    text.into_owned() + &padding
}

fn percent(probability: f32) -> String {
    format!("{:>6.2}%", 100.0 * probability)
}

/// A bar of up to `cells` cells, in half-cell steps.
fn bar(probability: f32, cells: usize) -> String {
    let halves = (probability * 2.0 * cells as f32).round() as usize;
    let blue = Style::new().fg_color(Some(AnsiColor::Blue.into()));
    let full = "━".repeat(halves / 2) + if halves % 2 == 1 { "╸" } else { "" };
    format!("{blue}{full}{blue:#}{}", " ".repeat(cells - halves.div_ceil(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits_its_column() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 4), "…def");
        assert_eq!(fit("猫猫猫", 5), "…猫猫");
        assert_eq!(fit("猫猫猫", 4).width(), 4);
        assert_eq!(fit("猫猫猫", 4), "…猫 ");
        // Must be linear: quadratic time would take minutes.
        assert_eq!(fit(&"x".repeat(10_000_000), 4), "…xxx");
    }

    #[test]
    fn bars_have_half_cells() {
        let plain = |p, cells| anstream::adapter::strip_str(&bar(p, cells)).to_string();
        assert_eq!(plain(1.0, 3), "━━━");
        assert_eq!(plain(0.5, 3), "━╸ ");
        assert_eq!(plain(0.0, 3), "   ");
        assert_eq!(plain(f32::NAN, 3), "   ");
    }
}
