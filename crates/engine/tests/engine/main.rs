//! The engine against its f64 interpreter, and what it promises of parts of batches and of memory.

mod graphs;
mod hooks;
mod interpreter;
mod memory;
mod micro_batches;
