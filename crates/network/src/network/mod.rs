//! A network: a graph with its parameters and running statistics.
//!
//! Make one with [`Network::new`], or fill it from a state dict with [`Network::load_state_dict`].
//! All parameters are in one flat buffer, the arena ([`Network::values`]); [`Param`] names the
//! range of each.

mod adjust;
mod arena;
mod init;
mod inventory;
mod layout;
mod state_dict;

pub use arena::Network;
pub use init::Init;
pub use inventory::{Param, ParamKind};
pub use state_dict::{StateDictError, check_state_dict};
