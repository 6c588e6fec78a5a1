//! A network as data: nodes in topological order.
//!
//! Start from [`Graph::new`], append nodes with its methods, and make a [`Network`](crate::Network)
//! of it. The parameters, the plans, the summary and the state-dict names all follow from this
//! list. A node's `name` is the PyTorch module path (`layer1.0.conv1`), so `name + ".weight"` is a
//! state-dict key.
//!
//! ```
//! use resnet_network::{Graph, Network, network::Init};
//!
//! let mut g = Graph::new(3);
//! let x = g.conv2d("conv1", Graph::INPUT, 16, 3, 1, 1);
//! let x = g.batch_norm2d("bn1", x);
//! let x = g.relu("relu1", x);
//! // relu(bn(conv(x)) + x): a residual block of one convolution.
//! let y = g.conv2d("block.conv", x, 16, 3, 1, 1);
//! let y = g.batch_norm2d("block.bn", y);
//! let y = g.add("block.add", y, x);
//! let y = g.relu("block.relu", y);
//! let y = g.global_avg_pool("avgpool", y);
//! g.linear("fc", y, 10);
//! assert_eq!(g.shapes(32, 32)?.last().unwrap().channels, 10);
//!
//! let net = Network::new(g, Init::He, 0);
//! assert_eq!(net.params()[0].name, "conv1.weight");
//! # Ok::<(), resnet_network::graph::GraphError>(())
//! ```

mod activation;
mod epsilon;
mod error;
mod list;
mod node;
mod rules;

pub use activation::Activation;
pub use epsilon::Epsilon;
pub use error::GraphError;
pub use list::Graph;
pub use node::{Node, NodeId, Op, Shape};
