//! Batches that several processes share.

use resnet_comm::Wire;
use serde::{Deserialize, Serialize};

/// How a batch is cut, and how the parts become one step. The result does not depend on how many processes
/// share the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataParallel {
    /// Parts of a batch, each with a forward and a backward pass of its own
    /// (`torch.nn.parallel.DistributedDataParallel`). 1 for whole batches.
    pub shards: usize,
    /// Whether batch norms take their statistics over all parts (`torch.nn.SyncBatchNorm`), rather than over
    /// each. Then every process has one part.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sync_batch_norm: bool,
    /// The type in which gradients travel.
    #[serde(skip_serializing_if = "is_fp32")]
    pub wire: Wire,
}

impl Default for DataParallel {
    fn default() -> Self {
        DataParallel { shards: 1, sync_batch_norm: false, wire: Wire::Fp32 }
    }
}

fn is_fp32(&wire: &Wire) -> bool {
    wire == Wire::Fp32
}
