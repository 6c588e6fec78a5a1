//! A network as data: nodes in topological order.
//!
//! Everything else reads this one list: the parameter inventory, the plan, the summary and the
//! state-dict names. A node's `name` is the PyTorch module path (`layer1.0.conv1`), so that
//! `name + ".weight"` is a state-dict key.

mod epsilon;
mod error;
mod list;
mod node;
mod rules;

pub use epsilon::Epsilon;
pub use error::GraphError;
pub use list::Graph;
pub use node::{Node, NodeId, Op, Shape};
