//! Reads the arguments of a pickle's instructions.

use std::{borrow::Cow, str};

use crate::FormatErrorKind;

/// The bytes of a pickle, and the position in them.
pub(super) struct PickleInput<'a> {
    bytes: &'a [u8],
    pub(super) position: usize,
}

type Result<T> = std::result::Result<T, FormatErrorKind>;

impl<'a> PickleInput<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        PickleInput { bytes, position: 0 }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..count).ok_or_else(|| damaged("it ends too early"))?;
        self.position += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Bytes after their length in one byte.
    pub(super) fn counted8(&mut self) -> Result<&'a [u8]> {
        let count = self.u8()?;
        self.take(count.into())
    }

    /// Bytes after their length in four.
    pub(super) fn counted32(&mut self) -> Result<&'a [u8]> {
        let count = self.u32()?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Bytes after their length in eight.
    pub(super) fn counted64(&mut self) -> Result<&'a [u8]> {
        let count = self.array().map(u64::from_le_bytes)?;
        self.take(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// The rest of the line, without its end.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.position..];
        let end = rest.iter().position(|&b| b == b'\n');
        let line = self.take(end.ok_or_else(|| damaged("a line has no end"))?)?;
        self.position += 1;
        utf8(line)
    }

    /// A line as a number.
    pub(super) fn number<T: str::FromStr>(&mut self) -> Result<T> {
        let line = self.line()?.trim();
        line.parse().map_err(|_| damaged("a number is malformed"))
    }
}

pub(super) fn damaged(why: &str) -> FormatErrorKind {
    FormatErrorKind::Pickle(why.to_owned())
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    str::from_utf8(bytes).map_err(|_| damaged("a string is not UTF-8"))
}

/// Decodes the escapes of protocol 0: `\xNN`, `\n` and so on; with `unicode`, `\uNNNN`.
pub(super) fn unescape(text: &str, unicode: bool) -> Result<Cow<'_, str>> {
    if !text.contains('\\') {
        return Ok(Cow::Borrowed(text));
    }
    let malformed = || damaged("a string has a malformed escape");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let escape = rest.chars().next().ok_or_else(malformed)?;
        let (digits, plain) = match escape {
            'u' if unicode => (4, None),
            'U' if unicode => (8, None),
            'x' if !unicode => (2, None),
            // Raw unicode strings have no other escapes.
            _ if unicode => {
                out.push('\\');
                continue;
            }
            'n' => (0, Some('\n')),
            'r' => (0, Some('\r')),
            't' => (0, Some('\t')),
            '\\' | '\'' | '"' => (0, Some(escape)),
            _ => return Err(malformed()),
        };
        rest = &rest[escape.len_utf8()..];
        out.push(match plain {
            Some(plain) => plain,
            None => {
                let code = rest.get(..digits).ok_or_else(malformed)?;
                rest = &rest[digits..];
                let code = u32::from_str_radix(code, 16).map_err(|_| malformed())?;
                char::from_u32(code).ok_or_else(malformed)?
            }
        });
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}
