//! Writes Protocol Buffers.

/// A message so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn int(mut self, number: u64, value: i64) -> Self {
        self.put_varint(number << 3);
        self.put_varint(value as u64);
        self
    }

    pub(crate) fn float(mut self, number: u64, value: f32) -> Self {
        self.put_varint(number << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn double(mut self, number: u64, value: f64) -> Self {
        self.put_varint(number << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn text(self, number: u64, text: &str) -> Self {
        self.bytes(number, text.as_bytes())
    }

    pub(crate) fn message(self, number: u64, message: &Message) -> Self {
        self.bytes(number, &message.0)
    }

    fn bytes(self, number: u64, bytes: &[u8]) -> Self {
        let mut message = self.length(number, bytes.len());
        message.0.extend(bytes);
        message
    }

    /// Starts a field of `length` bytes, which are to follow.
    pub(crate) fn length(mut self, number: u64, length: usize) -> Self {
        self.put_varint(number << 3 | 2);
        self.put_varint(length as u64);
        self
    }

    /// One field for each item.
    pub(crate) fn each<T>(
        self,
        items: impl IntoIterator<Item = T>,
        field: impl FnMut(Self, T) -> Self,
    ) -> Self {
        items.into_iter().fold(self, field)
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_format() {
        // 150 in field 1, "testing" in field 2: the examples of the format's documentation.
        assert_eq!(Message::default().int(1, 150).0, [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing");
        assert_eq!(text.0, [&[0x12, 0x07], &b"testing"[..]].concat());
        assert_eq!(Message::default().float(3, 1.0).0, [0x1d, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().double(3, 1.0).0, [0x19, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}
