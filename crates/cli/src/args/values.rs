//! Parsers of option values: each checks the range, and its error names the valid values.

use std::{net::Ipv6Addr, path::PathBuf, str::FromStr, time::Duration};

use clap::builder::{PathBufValueParser, TypedValueParser};
use resnet::{config::MAX_BATCH_SIZE, data::photo, predictor};

fn number<T: FromStr>(text: &str, expected: &str, holds: impl Fn(&T) -> bool) -> Result<T, String> {
    text.parse().ok().filter(holds).ok_or_else(|| format!("expected {expected}"))
}

/// A count of images, epochs and the like.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 1000000000", |n| (1..=1_000_000_000).contains(n))
}

/// A seed.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    number(text, "a whole number from 0 to 18446744073709551615", |_| true)
}

/// Repetitions of a run with another seed.
pub(crate) fn seeds(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 100", |n| (1..=100).contains(n))
}

/// Images in a grid.
pub(crate) fn pictures(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 1000", |n| (1..=1000).contains(n))
}

/// Images per batch.
pub(crate) fn batch_size(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 65536", |n| (1..=MAX_BATCH_SIZE).contains(n))
}

/// Side of an image, in pixels.
pub(crate) fn image_size(text: &str) -> Result<usize, String> {
    number(text, "a whole number of pixels from 1 to 4096", |n| (1..=4096).contains(n))
}

/// Number of classes.
pub(crate) fn classes(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 1000000", |n| (1..=1_000_000).contains(n))
}

/// Number of CPU threads.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 1024", |n| (1..=1024).contains(n))
}

/// A file of features, whose suffix is its format.
pub(crate) fn features() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.extension() {
        Some(suffix) if suffix == "npy" || suffix == "safetensors" => Ok(path),
        _ => Err("expected a name that ends in .npy or .safetensors"),
    })
}

/// A file of one format, by its suffix. Pipes and devices have any name.
pub(crate) fn file_of(suffix: &'static str) -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(move |path| {
        let is_of_system = path.starts_with("/dev") || path.starts_with("/proc");
        let is_stream = || path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir());
        let has_suffix = path.extension().is_some_and(|own| own.eq_ignore_ascii_case(suffix));
        match has_suffix || is_of_system || is_stream() {
            true => Ok(path),
            false => Err(format!("expected a name that ends in .{suffix}")),
        }
    })
}

/// A title.
pub(crate) fn title(text: &str) -> Result<String, String> {
    let is_blank = text.trim().is_empty();
    if is_blank { Err("expected some text".into()) } else { Ok(text.to_owned()) }
}

/// A learning rate, which is an `f32` in the end.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let holds = |x: &f64| (*x as f32).is_finite() && *x as f32 > 0.0;
    number(text, "a number above 0, in the range of 32-bit floats", holds)
}

/// The decay of an average.
pub(crate) fn average_decay(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 up to, but not including, 1", |x| (0.0..1.0).contains(x))
}

/// The parameter of a Beta distribution.
pub(crate) fn alpha(text: &str) -> Result<f64, String> {
    number(text, "a number from 0 to 1000", |x| (0.0..=1000.0).contains(x))
}

/// Weight decay.
pub(crate) fn decay(text: &str) -> Result<f32, String> {
    number(text, "a number of at least 0", |x: &f32| x.is_finite() && *x >= 0.0)
}

/// A factor of at most 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    number(text, "a number above 0 and up to 1", |x| 0.0 < *x && *x <= 1.0)
}

/// Momentum and label smoothing.
pub(crate) fn fraction(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 up to, but not including, 1", |x| (0.0..1.0).contains(x))
}

/// Bytes, such as 500M or 20G, in powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let shift = match unit.to_ascii_uppercase().trim_end_matches('B') {
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        "T" => Some(40),
        _ => None,
    };
    let size = shift.and_then(|shift| digits.parse::<u64>().ok()?.checked_mul(1 << shift));
    size.filter(|&size| size > 0).ok_or_else(|| "expected a size such as 500M or 20G".into())
}

/// Size of a request: memory for several is reserved.
pub(crate) fn body(text: &str) -> Result<usize, String> {
    let size = bytes(text)?;
    let expected = || "expected a size from 64K to 1G".to_owned();
    (1 << 16..=1 << 30).contains(&size).then_some(size as usize).ok_or_else(expected)
}

/// Pixels of a photo.
pub(crate) fn pixels(text: &str) -> Result<u64, String> {
    let range = 1_000_000..=photo::MAX_PIXELS;
    number(text, "a whole number from 1000000 to 134217728", |n| range.contains(n))
}

/// Parts of a batch.
pub(crate) fn shards(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 65536", |n| (1..=65_536).contains(n))
}

/// Images that are computed together.
pub(crate) fn served_batch(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 32", |n| (1..=predictor::BATCH).contains(n))
}

/// Images or connections of a service.
pub(crate) fn few(text: &str) -> Result<usize, String> {
    number(text, "a whole number from 1 to 65536", |n| (1..=65_536).contains(n))
}

/// The origin of pages as a browser sends it (RFC 6454): in lower case, without the usual port. `*` is any.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let origin = if text == "*" { Some(text.to_owned()) } else { serialised(text) };
    origin.ok_or_else(|| {
        "expected an origin such as https://example.org or http://localhost:3000, without a path, or *".into()
    })
}

fn serialised(origin: &str) -> Option<String> {
    let origin = origin.strip_suffix('/').unwrap_or(origin).to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://")?;
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_of = |text: &str, others: &str| {
        let is_one = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        !text.is_empty() && text.chars().all(is_one)
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        None => Some(host).filter(|host| is_of(host, ".-_"))?.to_owned(),
    };
    let port = match port {
        Some(port) => Some(port.parse::<u16>().ok().filter(|_| is_of(port, ""))?),
        None => None,
    };
    let usual = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let port = port.filter(|_| port != usual).map(|port| format!(":{port}")).unwrap_or_default();
    is_of(scheme, "+.-").then(|| format!("{scheme}://{host}{port}"))
}

/// A short time with its unit, or 0: `5ms`.
pub(crate) fn delay(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(10);
    let delay = if text == "0" { Ok(Duration::ZERO) } else { humantime::parse_duration(text) };
    let expected = || "expected a time of at most 10s with its unit, such as 5ms, or 0".into();
    delay.ok().filter(|delay| *delay <= most).ok_or_else(expected)
}

/// Seconds to measure.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    number(text, "a number of seconds above 0, at most 86400", |x| *x > 0.0 && *x <= 86_400.0)
}

/// A duration with its unit: `90s`, `30m`, `1h30m`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let most = Duration::from_secs(365 * 86_400);
    humantime::parse_duration(text)
        .ok()
        .filter(|t| !t.is_zero() && *t <= most)
        .ok_or_else(|| "expected a time with its unit, such as 90s, 30m or 1h30m".into())
}

/// Mean of each RGB channel, of pixels scaled to [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mean(pub(crate) [f32; 3]);

impl FromStr for Mean {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        channels(text, |x| (0.0..=1.0).contains(&x)).map(Mean).ok_or_else(|| {
            "expected three numbers from 0 to 1, such as 0.4914,0.4822,0.4465".into()
        })
    }
}

/// Standard deviation of each RGB channel, of pixels scaled to [0, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Std(pub(crate) [f32; 3]);

impl FromStr for Std {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A smaller deviation would scale pixels up to values that no network can use.
        channels(text, |x| (1e-4..=1e4).contains(&x)).map(Std).ok_or_else(|| {
            "expected three numbers from 0.0001 to 10000, such as 0.2023,0.1994,0.2010".into()
        })
    }
}

fn channels(text: &str, holds: impl Fn(f32) -> bool) -> Option<[f32; 3]> {
    let values: Option<Vec<f32>> =
        text.split(',').map(|x| x.trim().parse().ok().filter(|&x| holds(x))).collect();
    values?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_range_are_rejected() {
        assert_eq!(count("12"), Ok(12));
        for text in ["0", "-1", "1.5", "", "many", "99999999999999999999999"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert_eq!(rate("0.1"), Ok(0.1));
        for text in ["0", "-0.1", "nan", "inf", "1e-50", "1e300"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!((seed("0"), seed("18446744073709551615")), (Ok(0), Ok(u64::MAX)));
        assert!(seed("-1").is_err() && seed("18446744073709551616").is_err());
        assert!(decay("0").is_ok() && decay("-0").is_ok() && decay("-1e-4").is_err());
        assert!(fraction("0").is_ok() && fraction("1").is_err() && fraction("nan").is_err());
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(
            (bytes("500M"), bytes("20g"), bytes("2GB")),
            (Ok(500 << 20), Ok(20 << 30), Ok(2 << 30))
        );
        for text in ["", "20", "G", "0G", "-1G", "1.5G", "1G5", "99999999999T", "1é"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(time("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(time("1h30m"), Ok(Duration::from_secs(5400)));
        for text in ["30", "0s", "-5m", "", "9999y"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_has_bounds() {
        assert_eq!((body("64K"), body("1G")), (Ok(1 << 16), Ok(1 << 30)));
        assert!(body("1K").is_err() && body("2G").is_err() && pixels("10").is_err());
        assert_eq!((served_batch("32"), delay("0")), (Ok(32), Ok(Duration::ZERO)));
        assert!(served_batch("33").is_err() && few("0").is_err());
        assert!(delay("5").is_err() && delay("11s").is_err());
    }

    #[test]
    fn origins_are_those_that_browsers_send() {
        for (text, sent) in [
            ("*", "*"),
            ("https://example.org", "https://example.org"),
            ("https://example.org/", "https://example.org"),
            ("HTTPS://Example.ORG:443", "https://example.org"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[0:0::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
            ("chrome-extension://abc", "chrome-extension://abc"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(sent), "{text}");
        }
        for text in [
            "",
            "example.org",
            "https://",
            "https://example.org/page",
            "https://example.org//",
            "https://*.example.org",
            "https://a:b@example.org",
            "https://example.org:",
            "https://example.org:+80",
            "https://example.org:70000",
            "https://bücher.example",
            "http://[::1",
            "http://::1",
            "://example.org",
            "null",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn normalisation_needs_three_channels() {
        assert_eq!("0.5, 0.25,1".parse(), Ok(Mean([0.5, 0.25, 1.0])));
        assert!("0.5".parse::<Mean>().is_err() && "0.5,0.5,nan".parse::<Mean>().is_err());
        assert!("0.2,0,0.2".parse::<Std>().is_err() && "0.2,0.2,0.2".parse::<Std>().is_ok());
    }
}
