//! Data on stdout, talk on stderr.

use std::io::{self, Write};

use indicatif::HumanCount;
use serde::Serialize;

/// Prints text and a line feed on stdout; colours are dropped where it is no terminal.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{}", text.as_ref())?;
    out.flush()
}

/// Prints bytes on stdout as they are.
pub(crate) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a value as one line of JSON on stdout.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string(value)?)?)
}

/// Says something on stderr. Nobody listening is no reason to stop.
pub(crate) fn talk(text: impl AsRef<str>) {
    let _ = writeln!(anstream::stderr().lock(), "{}", text.as_ref());
}

/// `11173962` as `11,173,962`.
pub(crate) fn grouped(n: usize) -> String {
    HumanCount(n as u64).to_string()
}

/// Multiply-accumulates in the unit that suits them: `555.4 M`, `1.814 G`.
pub(crate) fn macs(n: u64) -> String {
    match n {
        0 => "0".into(),
        1..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n as f64 / 1e6),
        _ => format!("{:.3} G", n as f64 / 1e9),
    }
}

/// Nodes that are computed together: `layer1.0.bn2 + add + relu2` for three of one module.
pub(crate) fn nodes(names: &[String]) -> String {
    let first = names.first().map_or("", String::as_str);
    let module = first.rfind('.').map_or("", |dot| &first[..=dot]);
    let rest = names.iter().skip(1).map(|name| name.strip_prefix(module).unwrap_or(name));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join(" + ")
}

/// Seconds as on a clock: `1:05`, `2:00:01`.
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
    fn digits_come_in_threes() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (11_173_962, "11,173,962")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn nodes_of_a_module_name_it_once() {
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
    fn clocks_tick() {
        for (s, text) in [(0.4, "0:00"), (65.0, "1:05"), (3599.6, "1:00:00"), (7201.0, "2:00:01")] {
            assert_eq!(clock(s), text);
        }
    }

    #[test]
    fn macs_have_a_unit() {
        for (n, text) in
            [(0, "0"), (640, "0.6 k"), (555_422_720, "555.4 M"), (1_814_073_344, "1.814 G")]
        {
            assert_eq!(macs(n), text);
        }
    }
}
