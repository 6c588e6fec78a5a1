//! Reads Protocol Buffers.

use crate::error::Malformed;

/// A field's value: a number, or bytes (text, a message, packed numbers).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldValue<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
}

impl<'a> FieldValue<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let FieldValue::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed::Type) }
    }

    pub(crate) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Text)
    }

    pub(crate) fn string(self) -> Result<String, Malformed> {
        self.text().map(str::to_owned)
    }

    pub(crate) fn message(self) -> Result<Fields<'a>, Malformed> {
        self.bytes().map(Fields)
    }

    /// An integer; negative ones are in two's complement.
    pub(crate) fn int(self) -> Result<i64, Malformed> {
        if let FieldValue::Varint(value) = self { Ok(value as i64) } else { Err(Malformed::Type) }
    }

    pub(crate) fn float(self) -> Result<f32, Malformed> {
        match self {
            FieldValue::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(Malformed::Type),
        }
    }
}

/// The fields of a message, in file order. It ends after an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, FieldValue<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = field(&mut self.0);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn field<'a>(bytes: &mut &'a [u8]) -> Result<(u64, FieldValue<'a>), Malformed> {
    let key = varint(bytes)?;
    let value = match key & 7 {
        0 => FieldValue::Varint(varint(bytes)?),
        1 => FieldValue::Fixed64(take(bytes, 8)?.try_into().expect("eight bytes")),
        2 => {
            let length = varint(bytes)?;
            FieldValue::Bytes(take(
                bytes,
                usize::try_from(length).map_err(|_| Malformed::Truncated)?,
            )?)
        }
        5 => FieldValue::Fixed32(take(bytes, 4)?.try_into().expect("four bytes")),
        _ => return Err(Malformed::Type),
    };
    match key >> 3 {
        0 => Err(Malformed::Type),
        number => Ok((number, value)),
    }
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed::Truncated)?;
    *bytes = rest;
    Ok(taken)
}

/// A varint: seven bits per byte, the lowest first. The high bit is set in all bytes but the last.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed::Truncated)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            break;
        }
        value |= bits << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::Message;

    #[test]
    fn numbers_round_trip() {
        for value in [0, 1, 127, 128, 300, i64::MAX, -1, i64::MIN] {
            let message = Message::default().int(15, value).int(16, value);
            let fields: Vec<_> = Fields(&message.0).map(|f| f.unwrap()).collect();
            assert_eq!(fields.iter().map(|f| f.0).collect::<Vec<_>>(), [15, 16]);
            assert!(fields.iter().all(|f| f.1.int() == Ok(value)));
        }
    }

    #[test]
    fn malformed_bytes_are_errors() {
        let cases: [(&[u8], Malformed); 8] = [
            (&[0x08], Malformed::Truncated),
            (&[0x08, 0x80], Malformed::Truncated),
            (&[0x12, 0x02, b'a'], Malformed::Truncated),
            (&[0x0d, 0, 0, 0], Malformed::Truncated),
            (&[0x0b], Malformed::Type),
            (&[0x00, 0x00], Malformed::Type),
            (
                &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
                Malformed::Number,
            ),
            (&[0xff; 12], Malformed::Number),
        ];
        for (bytes, expected) in cases {
            let read: Vec<_> = Fields(bytes).collect();
            assert_eq!(read, [Err(expected)], "{bytes:?}");
        }
    }
}
