//! Options of a run that several processes share.

use std::time::Duration;

use clap::{Args, ValueEnum};
use resnet::recipe::{DataParallel, Wire};

use super::values;

/// How batches are cut, and how processes speak.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Several processes (under mpirun or srun)")]
pub(crate) struct ParallelArgs {
    /// Parts of a batch, each with batch norm statistics of its own. Results are bit-identical for one process
    /// and for any number of them that leaves each 1, 2, 4, ... parts
    /// [default: the number of processes]
    #[arg(long, value_name = "N", value_parser = values::shards)]
    pub(crate) shards: Option<usize>,
    /// Take batch norm statistics over the whole batch, not over each part: every process then has one
    #[arg(long)]
    pub(crate) sync_batch_norm: bool,
    #[command(flatten)]
    pub(crate) comm: CommArgs,
    /// The number of processes.
    #[arg(skip = 1_usize)]
    pub(crate) processes: usize,
}

/// How processes speak.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Several processes (under mpirun or srun)")]
pub(crate) struct CommArgs {
    /// The type in which gradients travel: bf16 halves the traffic, and rounds them [default: fp32]
    #[arg(long, value_enum, value_name = "TYPE")]
    wire: Option<WireArg>,
    /// How long a process waits for the others before all end with exit code 75
    #[arg(long = "comm-timeout", value_name = "TIME", default_value = "120s", value_parser = values::time)]
    pub(crate) timeout: Duration,
}

/// The type in which gradients travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WireArg {
    Fp32,
    Bf16,
}

impl CommArgs {
    /// The type in which gradients travel, if it is given.
    pub(crate) fn wire(&self) -> Option<Wire> {
        self.wire.map(|wire| match wire {
            WireArg::Fp32 => Wire::Fp32,
            WireArg::Bf16 => Wire::Bf16,
        })
    }
}

impl ParallelArgs {
    /// The settings of a recipe with the given options.
    pub(crate) fn applied(&self, known: DataParallel) -> DataParallel {
        let usual = if known.shards > 1 { known.shards } else { self.processes };
        DataParallel {
            shards: self.shards.unwrap_or(usual),
            sync_batch_norm: self.sync_batch_norm || known.sync_batch_norm,
            wire: self.comm.wire().unwrap_or(known.wire),
        }
    }
}
