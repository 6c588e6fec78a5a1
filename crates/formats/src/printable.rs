//! Makes untrusted text safe to show: in a message, on a terminal, in a log.
//!
//! A file can have any class name, tensor name or file name. Control characters, and characters
//! that make text look like other text, are shown as Rust escapes: `\n`, `\u{1b}`.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    path::Path,
};

/// How many of a long name's first and last characters are shown. The middle is cut.
const SHOWN: [usize; 2] = [160, 60];

/// Bytes of a path, at most (Linux's `PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Whether a character is shown as it is: not a control character, a line end, a change of
/// direction or an invisible character. (Joiners of Indic and Persian words and of emoji, and emoji
/// variation selectors, are invisible but allowed.)
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text whose [`Display`](fmt::Display) escapes unprintable characters.
#[derive(Clone, Debug)]
pub struct Printable<'a> {
    text: Cow<'a, str>,
    cut: bool,
}

/// Text of any length, with unprintable characters escaped.
///
/// ```
/// assert_eq!(resnet_formats::printable("a\n\u{1b}[31mb").to_string(), r"a\n\u{1b}[31mb");
/// ```
pub fn printable(text: &str) -> Printable<'_> {
    Printable { text: text.into(), cut: false }
}

/// A name or another program's message, with unprintable characters escaped; the middle of a long
/// one is cut.
pub fn brief(text: &str) -> Printable<'_> {
    Printable { text: text.into(), cut: true }
}

/// Paths with unprintable characters escaped, instead of [`Path::display`].
pub trait Shown {
    /// The full path, with bytes that are not UTF-8 as `\xe9`. One longer than systems open is shown as
    /// [`brief`].
    fn shown(&self) -> Printable<'_>;
}

impl Shown for Path {
    fn shown(&self) -> Printable<'_> {
        let text = self.to_str().map_or_else(|| with_bytes(self).into(), Cow::from);
        Printable { cut: text.len() > LONGEST_PATH, text }
    }
}

fn with_bytes(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text += chunk.valid();
        chunk.invalid().iter().for_each(|byte| text += &format!("\\x{byte:02x}"));
    }
    text
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, last] = SHOWN;
        let places = |text: &str| text.char_indices().nth(first + last).is_some();
        if self.cut && places(&self.text) {
            let end = self.text.char_indices().nth(first).map_or(0, |(at, _)| at);
            let start = self.text.char_indices().nth_back(last - 1).map_or(0, |(at, _)| at);
            escaped(&self.text[..end], f)?;
            f.write_str("...")?;
            return escaped(&self.text[start..], f);
        }
        escaped(&self.text, f)
    }
}

fn escaped(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    text.chars().try_for_each(|c| match is_printable(c) {
        true => f.write_char(c),
        false => write!(f, "{}", c.escape_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        for (text, shown) in [
            ("frog, лягушка, 青蛙, 👩‍🔬", "frog, лягушка, 青蛙, 👩‍🔬"),
            ("\u{1b}]0;x\u{7}\r\n\t\u{7f}", r"\u{1b}]0;x\u{7}\r\n\t\u{7f}"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("a\u{202e}b\u{2066}c\u{200b}d", r"a\u{202e}b\u{2066}c\u{200b}d"),
            ("\u{2028}\u{feff}\u{e0041}", r"\u{2028}\u{feff}\u{e0041}"),
            ("\u{3164}\u{2800}\u{fe01}\u{e0100}", r"\u{3164}\u{2800}\u{fe01}\u{e0100}"),
            ("\u{2764}\u{fe0f}", "\u{2764}\u{fe0f}"),
        ] {
            assert_eq!(printable(text).to_string(), shown);
            assert_eq!(Path::new(text).shown().to_string(), shown);
        }
    }

    #[test]
    #[cfg(unix)]
    fn bytes_of_other_encodings_are_told_apart() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
        let shown = |bytes| Path::new(OsStr::from_bytes(bytes)).shown().to_string();
        assert_eq!(shown(b"caf\xe9 \x1b.png"), r"caf\xe9 \u{1b}.png");
        assert_eq!(shown(b"caf\xe8"), r"caf\xe8");
    }

    #[test]
    fn only_long_names_are_cut() {
        let long = format!("{}\u{1b}{}", "ä".repeat(159), "b".repeat(1000));
        let cut = format!("{}\\u{{1b}}...{}", "ä".repeat(159), "b".repeat(60));
        assert_eq!(brief(&long).to_string(), cut);
        assert_eq!(printable(&long).to_string().chars().count(), 159 + 6 + 1000);
        assert_eq!(Path::new(&"p".repeat(5000)).shown().to_string().len(), 160 + 3 + 60);
        let fits = "c".repeat(220);
        assert_eq!(brief(&fits).to_string(), fits);
    }
}
