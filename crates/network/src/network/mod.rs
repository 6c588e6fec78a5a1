//! A network's parameters and running statistics, each in one flat arena.

mod arena;
mod init;
mod inventory;
mod layout;
mod state_dict;

pub use arena::Network;
pub use init::Init;
pub use inventory::{Param, ParamKind};
pub use state_dict::{StateDictError, check_state_dict};
