//! Epochs over photos on disk: whatever happens to the files, the threads or the cache, a batch holds the
//! same bits.

mod cache;
mod epochs;
mod folder;
mod unusable;
