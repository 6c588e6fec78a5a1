//! Formats numbers for the page.

/// `94.31%`, or a dash for none.
pub(super) fn percent(value: Option<f64>) -> String {
    finite(value).map_or_else(dash, |x| format!("{x:.2}%"))
}

/// A loss with four decimals.
pub(super) fn loss(value: Option<f64>) -> String {
    finite(value).map_or_else(dash, |x| format!("{x:.4}"))
}

/// Throughput in images per second.
pub(super) fn throughput(value: Option<f64>) -> String {
    finite(value).map_or_else(dash, |x| match x {
        ..10.0 => format!("{x:.1}"),
        _ => grouped(x.round() as u64),
    })
}

/// A learning rate with three significant digits: `0.0906`, `1.5e-6`.
pub(super) fn rate(value: Option<f64>) -> String {
    finite(value).map_or_else(dash, |x| {
        let rounded: f64 = format!("{x:.2e}").parse().expect("a number");
        if rounded != 0.0 && rounded.abs() < 1e-4 {
            format!("{rounded:e}")
        } else {
            rounded.to_string()
        }
    })
}

/// `11,173,962`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with an SI prefix: `11.17 M`.
pub(super) fn count(n: u64) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} k", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// `7.3 s`, `2 min 05 s`, `3 h 20 min`.
pub(super) fn time(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `1 epoch`, `2 epochs`.
pub(super) fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" })
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|x| x.is_finite())
}

fn dash() -> String {
    "–".to_owned()
}
