//! Predictions on stdout, as they come.

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
};

use anstyle::{AnsiColor, Style};
use resnet_formats::{Shown, brief, printable};
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::{late_bar::LateBar, print};

/// How predictions are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Table,
    Json,
    Csv,
}

/// The widest column of files, and of classes.
const MAX_WIDTHS: [usize; 2] = [40, 28];
/// Cells of a bar, of one photo and of many.
const BARS: [usize; 2] = [30, 10];
/// Classes less probable are no runners-up in a table of many photos.
const WORTH_NAMING: f32 = 0.01;

/// Prints predictions, and a bar of progress on stderr where nobody sees them on a terminal.
pub(super) struct Printer {
    format: Format,
    classes: Vec<String>,
    top: usize,
    photos: usize,
    /// Widths of the columns of files and classes.
    widths: [usize; 2],
    bar: LateBar,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    file: &'a str,
    top: Vec<Candidate<'a>>,
}

#[derive(Serialize)]
struct Candidate<'a> {
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
        if format != Format::Json {
            classes.iter_mut().for_each(|class| *class = brief(class).to_string());
        }
        let files = photos.iter().map(|path| label(path).width());
        let names = classes.iter().map(|class| class.width());
        let widths = [
            files.max().unwrap_or(0).clamp("file".len(), MAX_WIDTHS[0]),
            names.max().unwrap_or(0).clamp("class".len(), MAX_WIDTHS[1]),
        ];
        let bar = LateBar::new("predicting", images, quiet || io::stdout().is_terminal());
        let top = top.min(classes.len());
        Printer { format, classes, top, photos: photos.len(), widths, bar }
    }

    /// What stands above the first prediction.
    pub(super) fn begin(&self) -> io::Result<()> {
        match self.format {
            Format::Csv => {
                let columns =
                    (1..=self.top).flat_map(|i| [format!("class_{i}"), format!("probability_{i}")]);
                let columns: Vec<String> =
                    std::iter::once("file".to_owned()).chain(columns).collect();
                print::line(columns.join(","))
            }
            Format::Table if self.photos > 1 => {
                let [file, class] =
                    [("file", 0), ("class", 1)].map(|(t, i)| fit(t, self.widths[i]));
                let bar = " ".repeat(BARS[1]);
                let then = if self.top > 1 { "then" } else { "" };
                let header = format!("{file}  {class}  probability  {bar}  {then}");
                let bold = Style::new().bold();
                print::line(format!("{bold}{}{bold:#}", header.trim_end()))
            }
            _ => Ok(()),
        }
    }

    /// The most probable classes of a photo, and their probabilities.
    pub(super) fn print(&self, path: &Path, top: &[(usize, f32)]) -> anyhow::Result<()> {
        let file = path.to_string_lossy();
        let class = |index: usize| self.classes[index].as_str();
        match self.format {
            Format::Json => {
                let candidate =
                    |&(index, probability)| Candidate { class: class(index), probability };
                print::json(&Record { file: &file, top: top.iter().map(candidate).collect() })?;
            }
            Format::Csv => {
                let mut line = quoted(&name(path));
                for &(index, probability) in top {
                    line += &format!(",{},{probability}", quoted(class(index)));
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
        self.bar.tick();
        Ok(())
    }

    /// A line of the table of many photos.
    fn row(&self, path: &Path, top: &[(usize, f32)]) -> String {
        let [file, class] = self.widths;
        let Some((&(best, probability), others)) = top.split_first() else {
            return label(path);
        };
        let worth = others.iter().filter(|&&(_, p)| p >= WORTH_NAMING);
        let others =
            worth.map(|&(i, p)| format!("{} {}", self.classes[i], percent(p).trim_start()));
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

    /// Says why there is no prediction of something.
    pub(super) fn skip(&self, why: impl Display) {
        let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        self.bar.suspend(|| {
            print::talk(format!("{yellow}skipped:{yellow:#} {}", printable(&why.to_string())))
        });
        self.bar.tick();
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        self.bar.clear();
    }
}

/// What a file is called, for people.
fn name(path: &Path) -> String {
    path.shown().to_string()
}

/// The same in a table, which has no room for long names.
fn label(path: &Path) -> String {
    brief(&path.to_string_lossy()).to_string()
}

/// Text in exactly so many columns; of what is longer the end is shown.
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
    // Characters together may be wider than each for itself.
    let padding = " ".repeat(width.saturating_sub(text.width()));
    text.into_owned() + &padding
}

fn percent(probability: f32) -> String {
    format!("{:>6.2}%", 100.0 * probability)
}

/// A bar of up to `cells` cells, in halves.
fn bar(probability: f32, cells: usize) -> String {
    let halves = (probability * 2.0 * cells as f32).round() as usize;
    let blue = Style::new().fg_color(Some(AnsiColor::Blue.into()));
    let full = "━".repeat(halves / 2) + if halves % 2 == 1 { "╸" } else { "" };
    format!("{blue}{full}{blue:#}{}", " ".repeat(cells - halves.div_ceil(2)))
}

/// A field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must() {
        assert_eq!(quoted("a b.jpg"), "a b.jpg");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }

    #[test]
    fn columns_are_as_wide_as_said() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 4), "…def");
        assert_eq!(fit("猫猫猫", 5), "…猫猫");
        assert_eq!(fit("猫猫猫", 4).width(), 4);
        assert_eq!(fit("猫猫猫", 4), "…猫 ");
        // In one pass: a pass for each character would take minutes.
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
