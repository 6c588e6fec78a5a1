//! Results on stdout, status messages on stderr.
//!
//! Untrusted text is made printable where a message or a table is built. Everything printed here is
//! sanitised again: only printable text, line feeds and ANSI styles reach a terminal.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

use indicatif::HumanCount;
use resnet_formats::is_printable;
use serde::Serialize;

/// Prints text and a line feed on stdout. Colours are dropped unless stdout is a terminal.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", sanitise(text.as_ref())).and_then(|()| out.flush()).map_err(to_stdout)
}

/// Names stdout in an error. The kind stays: a closed pipe is no failure.
fn to_stdout(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to stdout: {error}"))
}

/// Prints bytes on stdout as they are.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(to_stdout)
}

/// Prints a value as one line of JSON on stdout.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(ascii_where_needed(&serde_json::to_string(value)?))?)
}

/// Prints a line of JSON on stderr.
pub(crate) fn log(json: &str) {
    status(ascii_where_needed(json));
}

/// Prints a status message on stderr. A closed stderr is not an error.
pub(crate) fn status(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr().lock(), "{}", sanitise(text.as_ref()));
}

/// Escapes control characters, except line feeds and ANSI styles (`ESC [ ... m`).
fn sanitise(text: &str) -> Cow<'_, str> {
    let is_plain = |c| c == '\n' || is_printable(c);
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = match style(rest) {
            Some(style) => style,
            None => &rest[..c.len_utf8()],
        };
        if taken.len() > 1 && c == '\u{1b}' || is_plain(c) {
            out.push_str(taken);
        } else {
            out.extend(c.escape_default());
        }
        rest = &rest[taken.len()..];
    }
    out.into()
}

/// The ANSI style at the start of a text.
fn style(text: &str) -> Option<&str> {
    let code = text.strip_prefix("\u{1b}[")?;
    let end = code.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    code[end..].starts_with('m').then(|| &text[..2 + end + 1])
}

/// JSON in which unprintable characters are `\u` escapes.
fn ascii_where_needed(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match is_printable(c) {
            true => out.push(c),
            // Unprintable characters occur only inside JSON strings.
            false => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    out
}

/// `11173962` as `11,173,962`.
pub(crate) fn grouped(n: usize) -> String {
    HumanCount(n as u64).to_string()
}

/// `1 epoch`, `1,564 steps`, `10 classes`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    let plural = match n {
        1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {what}{plural}", HumanCount(n))
}

/// A learning rate with three digits: `0.100`, `3.20e-4`.
pub(crate) fn rate(lr: f32) -> String {
    if lr == 0.0 || lr >= 0.01 { format!("{lr:.3}") } else { format!("{lr:.2e}") }
}

/// Multiply-accumulates with a suitable SI prefix: `555.4 M`, `1.814 G`.
pub(crate) fn macs(n: u64) -> String {
    match n {
        0 => "0".into(),
        1..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.3} G", n as f64 / 1e9),
    }
}

/// Names of fused nodes: `layer1.0.bn2 + add + relu2` for three of one module.
pub(crate) fn nodes(names: &[String]) -> String {
    let first = names.first().map_or("", String::as_str);
    let module = first.rfind('.').map_or("", |dot| &first[..=dot]);
    let rest = names.iter().skip(1).map(|name| name.strip_prefix(module).unwrap_or(name));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join(" + ")
}

/// Seconds as minutes and seconds, or hours: `1:05`, `2:00:01`.
pub(crate) fn clock(seconds: f64) -> String {
    let s = seconds.round() as u64;
    match s / 3600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        hours => format!("{hours}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_styles_kept() {
        for (text, printed) in [
            ("plain\ntext", "plain\ntext"),
            ("\u{1b}[1m\u{1b}[38;5;1mred\u{1b}[0m", "\u{1b}[1m\u{1b}[38;5;1mred\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}[1", r"\u{1b}[2J\u{1b}[1"),
            ("\u{1b}]0;x\u{7}\r", r"\u{1b}]0;x\u{7}\r"),
            ("\u{9b}1m\u{202e}ä", r"\u{9b}1m\u{202e}ä"),
        ] {
            assert_eq!(sanitise(text), printed);
        }
    }

    #[test]
    fn escaped_json_parses_to_the_same_value() {
        let text = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}ä\n";
        let json = ascii_where_needed(&serde_json::to_string(text).unwrap());
        assert_eq!(json, r#""a\u001b\u007f\u009b\u202e\udb40\udc41ä\n""#);
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn numbers_have_thousands_separators() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (11_173_962, "11,173,962")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn one_is_singular() {
        for (n, what, text) in [
            (1, "class", "1 class"),
            (2, "class", "2 classes"),
            (1, "test image", "1 test image"),
            (0, "image", "0 images"),
            (1564, "step", "1,564 steps"),
        ] {
            assert_eq!(counted(n, what), text);
        }
    }

    #[test]
    fn fused_nodes_share_their_module_prefix() {
        for (names, text) in [
            (&["conv1", "bn1", "relu1"][..], "conv1 + bn1 + relu1"),
            (&["layer1.0.bn2", "layer1.0.add"], "layer1.0.bn2 + add"),
            (&["layer1.0.shortcut.0", "layer1.0.add"], "layer1.0.shortcut.0 + layer1.0.add"),
            (&["linear"], "linear"),
        ] {
            assert_eq!(nodes(&names.iter().map(|n| n.to_string()).collect::<Vec<_>>()), text);
        }
    }

    #[test]
    fn durations_are_formatted() {
        for (s, text) in [(0.4, "0:00"), (65.0, "1:05"), (3599.6, "1:00:00"), (7201.0, "2:00:01")] {
            assert_eq!(clock(s), text);
        }
    }

    #[test]
    fn macs_have_an_si_prefix() {
        for (n, text) in
            [(0, "0"), (640, "0.6 k"), (555_422_720, "555.4 M"), (1_814_073_344, "1.814 G")]
        {
            assert_eq!(macs(n), text);
        }
    }
}
