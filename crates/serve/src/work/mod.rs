//! From images to answers: threads that decode, and threads that compute what is ready, in batches.
//!
//! ```text
//! request ──▶ undecoded ──▶ decode threads ──▶ ready, by model and kind ──▶ compute threads ──▶ answer
//!                                tensors ─────────▶
//! ```
//!
//! While a batch is computed the next one gathers, so batches are as large as the load makes them. An image
//! waits for others only while these are being decoded, or just after a larger batch, whose clients send their
//! next images together; and at most for the delay of the settings. An image that comes alone never waits, and is
//! computed by the thread that decoded it, as long as another one would decode what comes meanwhile.
//!
//! All threads compute the batch of a large network together. Those of a small one have a plan each: they share
//! what is ready, and do not wait for each other at every layer. Only an image that comes alone has all of them.

mod batch;
mod image;
mod threads;

pub(crate) use image::{Answer, Failed, Image, Photo};
pub(crate) use threads::Workers;
