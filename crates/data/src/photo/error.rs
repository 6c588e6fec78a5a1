//! Errors of photos.

use std::{fmt, io, path::PathBuf};

use image::{ExtendedColorType, error::UnsupportedErrorKind};
use resnet_formats::{Shown, brief};
use thiserror::Error;

use super::limits::MAX_FILE;

/// Why a photo cannot be used. The message continues a sentence that starts with the file name.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PhotoError {
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The file is empty.
    #[error("is empty")]
    Empty,
    /// The first bytes match no image format.
    #[error("is not an image in a supported format (JPEG, PNG, WebP, GIF, BMP, TIFF)")]
    NotAnImage,
    /// The image format is not supported.
    #[error("is {0}, which is not supported: convert it to JPEG, PNG or WebP")]
    UnsupportedFormat(&'static str),
    /// A variant of the format that the decoders do not support.
    #[error("uses an unsupported feature ({0}): save it as a standard JPEG or PNG")]
    UnsupportedFeature(String),
    /// The file exceeds [`MAX_FILE`].
    #[error(
        "is larger than the limit of {} MiB: scale it down",
        MAX_FILE >> 20
    )]
    FileTooLarge,
    /// The image exceeds [`MAX_PIXELS`](super::MAX_PIXELS), or fewer for its kind.
    #[error(
        "has {width}x{height} pixels ({} megapixels), above the limit of {}: scale it down",
        (u64::from(*width) * u64::from(*height)).div_ceil(1_000_000),
        most / 1_000_000
    )]
    TooLarge {
        /// Columns, as the header states.
        width: u32,
        /// Rows, as the header states.
        height: u32,
        /// Pixels that a photo of this kind may have.
        most: u64,
    },
    /// Resized, the whole photo has more than 64 MiB.
    #[error("is too long: whole, it would be resized to {width}x{height} pixels")]
    WholeTooLarge {
        /// Rows.
        height: u64,
        /// Columns.
        width: u64,
    },
    /// The file ends before the image does.
    #[error("is truncated: the file ends before the image does")]
    Truncated,
    /// The content violates the format.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// The allocation of its pixels failed.
    #[error("needs {0} bytes of memory, which are not available")]
    Memory(u64),
}

impl From<image::ImageError> for PhotoError {
    fn from(error: image::ImageError) -> Self {
        use image::ImageError::{Decoding, IoError, Unsupported};
        match error {
            IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => PhotoError::Truncated,
            Unsupported(e) => PhotoError::UnsupportedFeature(match e.kind() {
                UnsupportedErrorKind::Color(ExtendedColorType::Unknown(bits @ 1..)) => {
                    of_bits(bits)
                }
                UnsupportedErrorKind::Color(_) => "colours of its kind".into(),
                _ => one_line(&e.to_string()),
            }),
            Decoding(e) => {
                let cause = std::error::Error::source(&e).map(ToString::to_string);
                let text = cause.unwrap_or_else(|| e.to_string());
                // The rest names a type of the decoder.
                let text = text.split("ChunkType").next().unwrap_or_default();
                let text = text.trim_end_matches(" while decoding ").trim_end_matches(": ");
                let text = match text.starts_with("Image too large") {
                    true => "a side is longer than 65535 pixels",
                    false => text,
                };
                PhotoError::Damaged(one_line(text.trim_matches('"')))
            }
            error => PhotoError::Damaged(one_line(&error.to_string())),
        }
    }
}

/// A feature: pixels of this many bits.
pub(super) fn of_bits(bits: impl fmt::Display) -> String {
    format!("pixels of {bits} bits")
}

/// The error of a photo, with its file.
#[derive(Debug, Error)]
pub struct PhotoFileError {
    /// The file.
    pub path: PathBuf,
    /// Its error.
    pub error: PhotoError,
}

impl fmt::Display for PhotoFileError {
    /// One line, whatever the file name contains.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.shown(), self.error)
    }
}

/// The message of a decoder.
fn one_line(text: &str) -> String {
    brief(text.trim_end()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = PhotoError::TooLarge { width: 20_000, height: 15_000, most: 134_000_000 };
        let error = PhotoFileError { path: "a\nb\u{1b}[31m.png".into(), error };
        let line = "a\\nb\\u{1b}[31m.png has 20000x15000 pixels (300 megapixels), above the limit of \
                    134: scale it down";
        assert_eq!(error.to_string(), line);
    }
}
