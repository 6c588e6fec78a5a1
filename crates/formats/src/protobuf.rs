//! Protocol Buffers: [`Message`] writes a message, [`Fields`] reads one.
//!
//! A message is a list of fields, each a number and a value. The reader borrows from the bytes: it
//! allocates nothing, skips fields that are not requested, and follows only the nesting that its
//! caller follows. So an untrusted file cannot make it use much memory.

mod read;
mod write;

pub(crate) use read::{FieldValue, Fields, varint};
pub(crate) use write::Message;
