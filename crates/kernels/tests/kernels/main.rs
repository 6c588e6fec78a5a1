//! Every operation against plain loops in f64, on every instruction set, through the public
//! interface.

mod adamw;
mod average;
mod batch_norm;
mod conv;
mod elementwise;
mod input;
mod instruction_sets;
mod linear;
mod loss;
mod matrix;
mod muon;
mod norm;
mod pooling;
mod sgd;
mod testing;
