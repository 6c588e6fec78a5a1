//! Processes that train one network together.
//!
//! A [`Group`] is how a process speaks with the others: it sends bytes from process 0 to all, gathers them
//! there, and adds up gradients. A thread of its own makes every call of the [`Transport`], so that sums are
//! under way while gradients are still computed. [`Buckets`] hands gradients over as they become final.
//!
//! Additions are ours, in a fixed binary [tree]: the transport moves bytes only. So the sums have the
//! same bits on every transport, for every bucket size, and for every number of processes that the tree
//! [allows](tree::allows). `MPI_Allreduce` promises none of the three.
//!
//! ```
//! use resnet_comm::{Buckets, Group, Wire, in_process};
//! let sums: Vec<Vec<f32>> = std::thread::scope(|scope| {
//!     let processes = in_process(2).into_iter().map(|transport| {
//!         scope.spawn(move || {
//!             let group = Group::start(move || Ok::<_, resnet_comm::CommError>(transport))?;
//!             let mut gradients = vec![1.0, 2.0, group.rank() as f32];
//!             let mut buckets = Buckets::new(&group, Wire::Fp32, 1024);
//!             buckets.add(0..3, &gradients);
//!             buckets.finish(&mut gradients)?;
//!             group.finish(0)?;
//!             Ok::<_, resnet_comm::CommError>(gradients)
//!         })
//!     });
//!     let processes: Vec<_> = processes.collect();
//!     processes.into_iter().map(|process| process.join().unwrap().unwrap()).collect()
//! });
//! assert_eq!(sums, [[2.0, 4.0, 1.0], [2.0, 4.0, 1.0]]);
//! ```
#![forbid(unsafe_code)]

mod buckets;
mod error;
mod group;
mod pool;
mod reactor;
mod reduction;
mod threads;
mod transport;
pub mod tree;
mod wire;

pub use buckets::{BUCKET_BYTES, Buckets};
pub use error::CommError;
pub use group::{Group, Sum};
pub use threads::{InProcess, in_process};
pub use transport::{Completed, MOST_BYTES, Ticket, Transport};
pub use wire::Wire;
