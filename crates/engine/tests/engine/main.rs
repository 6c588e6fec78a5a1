//! The engine compared with its f64 interpreter; micro-batches, shards, hooks and memory.

mod eval_norms;
mod graphs;
mod hooks;
mod interpreter;
mod memory;
mod micro_batches;
mod muon;
mod recipes;
mod replan;
mod shards;
