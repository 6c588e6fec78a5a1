//! Arguments of `resnet serve`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, builder::NonEmptyStringValueParser};

use super::{model::NetworkArgs, resizing::ResizingArgs, values};
use crate::completion;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct ServeArgs {
    /// Models: run folders, files (safetensors, PyTorch, ONNX), `last` for the newest run, or `demo`. A
    /// model is called as its file or folder. The first one answers where a request names none
    #[arg(value_name = "MODEL", required_unless_present = "models", add = completion::models())]
    pub(crate) paths: Vec<PathBuf>,
    /// A model with another name; may be given several times
    #[arg(long = "model", value_name = "NAME=PATH", help_heading = "Models")]
    pub(crate) models: Vec<NamedPath>,
    #[command(flatten, next_help_heading = "Models")]
    pub(crate) network: NetworkArgs,
    #[command(flatten, next_help_heading = "Preprocessing")]
    pub(crate) resizing: ResizingArgs,
    /// Address to listen on, or a name of it such as localhost: 0.0.0.0 or :: is every one of this machine
    #[arg(
        long,
        value_name = "HOST",
        default_value = "127.0.0.1",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Address and access"
    )]
    pub(crate) host: String,
    /// Port to listen on; 0 for any free one, which the log names
    #[arg(long, value_name = "N", default_value = "8000", help_heading = "Address and access")]
    pub(crate) port: u16,
    /// Address and port in one, such as 0.0.0.0:8000 or [::]:8000
    #[arg(
        long,
        value_name = "HOST:PORT",
        conflicts_with_all = ["host", "port"],
        help_heading = "Address and access"
    )]
    pub(crate) listen: Option<HostPort>,
    /// File with a token on each line: only clients that send one (Authorization: Bearer TOKEN) are
    /// answered [default: all are]
    #[arg(long, value_name = "FILE", help_heading = "Address and access")]
    pub(crate) token_file: Option<PathBuf>,
    /// Let pages of this origin, such as https://example.org, use the service from a browser; * for any.
    /// May be given several times
    #[arg(
        long,
        value_name = "ORIGIN",
        value_parser = values::origin,
        help_heading = "Address and access"
    )]
    pub(crate) cors: Vec<String>,
    /// Open the page in the browser
    #[arg(long, help_heading = "Address and access")]
    pub(crate) open: bool,
    /// Images that are computed together, at most
    #[arg(
        long,
        value_name = "N",
        default_value = "16",
        value_parser = values::served_batch,
        help_heading = "Batches"
    )]
    pub(crate) max_batch: usize,
    /// How long an image waits, at most, for images that are being decoded or expected, to be computed
    /// with them. One that comes alone never waits
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5ms",
        value_parser = values::delay,
        help_heading = "Batches"
    )]
    pub(crate) max_delay: Duration,
    /// Size of a request
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "16M",
        value_parser = values::body,
        help_heading = "Limits"
    )]
    pub(crate) max_body: usize,
    /// Pixels of a photo
    #[arg(
        long,
        value_name = "N",
        default_value = "50000000",
        value_parser = values::pixels,
        help_heading = "Limits"
    )]
    pub(crate) max_pixels: u64,
    /// Images of a request
    #[arg(
        long,
        value_name = "N",
        default_value = "32",
        value_parser = values::few,
        help_heading = "Limits"
    )]
    pub(crate) max_images: usize,
    /// Images of all requests that are not answered yet
    #[arg(
        long,
        value_name = "N",
        default_value = "256",
        value_parser = values::few,
        help_heading = "Limits"
    )]
    pub(crate) queue: usize,
    /// Connections
    #[arg(
        long,
        value_name = "N",
        default_value = "256",
        value_parser = values::few,
        help_heading = "Limits"
    )]
    pub(crate) max_connections: usize,
    /// Time from the end of a request to its answer
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = values::time,
        help_heading = "Limits"
    )]
    pub(crate) timeout: Duration,
    /// Time for the body of a request to arrive
    #[arg(
        long,
        value_name = "TIME",
        default_value = "60s",
        value_parser = values::time,
        help_heading = "Limits"
    )]
    pub(crate) body_timeout: Duration,
}

/// `HOST:PORT`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.rsplit_once(':').and_then(|(host, port)| {
            let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            // Without brackets its last part could be the port.
            let host = inner.or_else(|| Some(host).filter(|host| !host.contains(':')))?;
            let host = Some(host.to_owned()).filter(|host| !host.is_empty())?;
            Some(HostPort { host, port: port.parse().ok()? })
        });
        split.ok_or_else(|| {
            "expected HOST:PORT, such as localhost:8000, 0.0.0.0:8000 or [::]:8000".into()
        })
    }
}

/// `NAME=PATH`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedPath {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl FromStr for NamedPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(name, path)| is_name(name) && !path.is_empty());
        let (name, path) = parts.ok_or(
            "expected NAME=PATH, with a name of letters, digits, and . _ - such as cats=cats.pt",
        )?;
        Ok(NamedPath { name: name.to_owned(), path: path.into() })
    }
}

/// Whether a model may have this name, which is part of addresses.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 100 && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_be_a_name_or_an_address() {
        for (text, host, port) in [
            ("localhost:8000", "localhost", 8000),
            ("0.0.0.0:80", "0.0.0.0", 80),
            ("[::1]:0", "::1", 0),
        ] {
            assert_eq!(text.parse(), Ok(HostPort { host: host.into(), port }));
        }
        for text in ["", "localhost", ":8000", "[]:8000", "::1:8000", "localhost:", "a:70000"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }
}
