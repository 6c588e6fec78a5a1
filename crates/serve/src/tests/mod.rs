//! Tests of the running service, over sockets.

mod alone;
mod answers;
mod batches;
mod client;
mod drain;
mod inference;
mod limits;
mod protection;
mod replacement;
mod running;
mod uploads;
