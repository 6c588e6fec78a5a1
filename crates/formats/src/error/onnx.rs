//! What can be wrong with an ONNX file.

use thiserror::Error;

use crate::printable::{brief, printable};

/// What is wrong with an ONNX file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A field is longer than what holds it.
    #[error("ends within a field: it is truncated, or no ONNX file")]
    Truncated,
    /// A number that does not fit 64 bits.
    #[error("has a number of more than 64 bits: it is damaged, or no ONNX file")]
    Number,
    /// A field of a type that does not exist or that its number does not have.
    #[error("has a field of the wrong type: it is damaged, or no ONNX file")]
    Type,
    /// A text that is not UTF-8.
    #[error("has a text that is not UTF-8: it is damaged, or no ONNX file")]
    Text,
    /// No graph, or several.
    #[error("has no graph, or several: it is damaged, or no ONNX file")]
    Graph,
    /// More of something than any network of the family has.
    #[error("has more than {most} {what}; no network of this family has so many")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many are read.
        most: usize,
    },
    /// A node without an operator, a tensor without a name, and the like.
    #[error("has a {what} without {lacks}: it is damaged, or no ONNX file")]
    Incomplete {
        /// What.
        what: &'static str,
        /// What it should have.
        lacks: &'static str,
    },
    /// A tensor's values are in another file, which cannot be had.
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
    /// A tensor whose values are not as many as its shape needs.
    #[error("has a tensor '{}' whose values are not as many as its shape needs", brief(.0))]
    Values(String),
    /// A shape so large that its size cannot be computed, or negative.
    #[error("has a tensor '{}' of an impossible shape", brief(.0))]
    Shape(String),
    /// A network that is none of this family, or is written in a way that is not understood.
    #[error("{}", printable(.0))]
    Foreign(String),
}
