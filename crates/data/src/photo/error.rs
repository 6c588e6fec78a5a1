//! What can be wrong with a photo.

use std::{fmt, io, path::PathBuf};

use resnet_formats::{Shown, brief};
use thiserror::Error;

use super::limits::{MAX_FILE, MAX_PIXELS};

/// Why bytes are no photo, said so that it reads on after the name of a file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PhotoError {
    /// The system cannot read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// The first bytes are of no image.
    #[error("is no image: JPEG, PNG, WebP, GIF and BMP are read")]
    NoImage,
    /// The first bytes are of an image of another format.
    #[error("is {0}, a format that is not read: convert it to JPEG, PNG or WebP")]
    OtherFormat(&'static str),
    /// A kind of its format that the decoders do not know.
    #[error("is of a kind that is not read ({0}): save it as a plain JPEG or PNG")]
    OtherKind(String),
    /// More bytes than are read.
    #[error(
        "has more than {} MiB, the most that is read: scale it down",
        MAX_FILE >> 20
    )]
    FileTooLarge,
    /// More pixels than are read.
    #[error(
        "is {width}x{height}, {} megapixels: at most {} are read, scale it down",
        (u64::from(*width) * u64::from(*height)).div_ceil(1_000_000),
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Columns, as the file says.
        width: u32,
        /// Rows, as the file says.
        height: u32,
    },
    /// It ends before the image does.
    #[error("is truncated: the file ends before the image does")]
    Truncated,
    /// It is not what its format asks for.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// The system refused the memory for its pixels.
    #[error("needs {0} bytes more memory than there are")]
    Memory(u64),
}

impl From<image::ImageError> for PhotoError {
    fn from(error: image::ImageError) -> Self {
        use image::ImageError::{Decoding, IoError, Unsupported};
        match error {
            IoError(e) if e.kind() == io::ErrorKind::UnexpectedEof => PhotoError::Truncated,
            Unsupported(e) => PhotoError::OtherKind(one_line(&e.to_string())),
            Decoding(e) => {
                let cause = std::error::Error::source(&e).map(ToString::to_string);
                let text = cause.unwrap_or_else(|| e.to_string());
                // What follows names a type of the decoder.
                let text = text.split(" while decoding ChunkType").next().unwrap_or_default();
                PhotoError::Damaged(one_line(text.trim_matches('"')))
            }
            error => PhotoError::Damaged(one_line(&error.to_string())),
        }
    }
}

/// A file that is no photo, and why.
#[derive(Debug, Error)]
pub struct PhotoFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub error: PhotoError,
}

impl fmt::Display for PhotoFileError {
    /// One line, whatever the file is called.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.shown(), self.error)
    }
}

/// What a decoder says.
fn one_line(text: &str) -> String {
    brief(text.trim_end()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = PhotoError::TooLarge { width: 20_000, height: 15_000 };
        let error = PhotoFileError { path: "a\nb\u{1b}[31m.png".into(), error };
        let line = "a\\nb\\u{1b}[31m.png is 20000x15000, 300 megapixels: at most 134 are read, \
                    scale it down";
        assert_eq!(error.to_string(), line);
    }
}
