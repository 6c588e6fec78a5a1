//! A pickle machine that runs nothing.
//!
//! Python's pickles are programs. This machine executes their stack operations and builds a graph
//! of inert values; where a pickle makes an object of a class or calls one of the listed functions
//! ([`calls`]), the result is a record of what was asked for. A call of any other function is an
//! error that names it.
//!
//! The readers there are (candle-core, repugnant-pickle, pytorch-reader, serde-pickle) either give
//! tensors by name only, so that the optimizer's state is lost, or know no persistent ids; none
//! refuses a call by its name or bounds its memory by the size of the file.
//!
//! Values lie in one arena and refer to each other by index: aliases through the memo cost nothing,
//! cycles can be represented, and dropping a deep graph does not recurse. Whoever walks the graph
//! has to bound the walk.

mod calls;
mod input;
mod machine;
mod value;

pub(crate) use machine::load;
pub(crate) use value::{Id, Pickle, Record, Value};

#[cfg(test)]
mod tests;
