//! A pickle machine that never calls a function.
//!
//! A Python pickle is a program. This machine executes its stack operations and builds a graph of inert
//! values. Where a pickle creates an object or calls a function, the result is a record of that call. A
//! call of a function that reaches the machine ([`calls`]) is an error that names it.
//!
//! Other readers (candle-core, repugnant-pickle, pytorch-reader, serde-pickle) return tensors by
//! name only and lose the optimizer's state, or do not support persistent ids. None of them refuses
//! calls by name or limits memory by the size of the file.
//!
//! Values are in one arena and refer to each other by index. So aliases through the memo are free,
//! cycles can be represented, and dropping a deep graph does not recurse. Code that walks the graph
//! must limit the walk.

mod calls;
mod input;
mod machine;
mod value;

pub(crate) use machine::load;
pub(crate) use value::{Id, Pickle, Record, Value};

#[cfg(test)]
mod tests;
