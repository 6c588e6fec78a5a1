//! Errors of ONNX files.

use thiserror::Error;

use crate::printable::{brief, printable};

/// Why an ONNX file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A field is longer than its message.
    #[error("ends within a field: it is truncated, or not an ONNX file")]
    Truncated,
    /// A number does not fit 64 bits.
    #[error("has a number of more than 64 bits: it is damaged, or not an ONNX file")]
    Number,
    /// A field has an unknown type, or not that of its number.
    #[error("has a field of the wrong type: it is damaged, or not an ONNX file")]
    Type,
    /// A string is not UTF-8.
    #[error("has a string that is not UTF-8: it is damaged, or not an ONNX file")]
    Text,
    /// There is no graph, or several.
    #[error("has no graph, or several: it is damaged, or not an ONNX file")]
    Graph,
    /// There are more items of a kind than any network of the family has.
    #[error("has more than {most} {what}; no ResNet has as many")]
    TooMany {
        /// The kind of item.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// An item is incomplete, such as a node without an operator.
    #[error("has a {what} without {lacks}: it is damaged, or not an ONNX file")]
    Incomplete {
        /// The item.
        what: &'static str,
        /// What is missing.
        lacks: &'static str,
    },
    /// The values of a tensor are in another file, which cannot be read.
    #[error(
        "keeps the values of tensor '{}' in another file, {}: put both into one folder, or save the \
         model with its tensors inside",
        brief(tensor),
        printable(why)
    )]
    ExternalData {
        /// Its name.
        tensor: String,
        /// Which file, and what is wrong with it.
        why: String,
    },
    /// The number of a tensor's values does not fit its shape.
    #[error("has a tensor '{}' whose number of values does not fit its shape", brief(.0))]
    Values(String),
    /// A shape is negative, or so large that its size cannot be computed.
    #[error("has a tensor '{}' of an impossible shape", brief(.0))]
    Shape(String),
    /// The network is not a ResNet, or is exported in an unsupported way.
    #[error("{}", printable(.0))]
    Foreign(String),
}
