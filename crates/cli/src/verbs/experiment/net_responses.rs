//! The responses of a net.

use resnet::experiment::Response;
use serde::Serialize;

/// The responses of a net.
#[derive(Clone, Debug, Serialize)]
pub(super) struct NetResponses {
    /// Its name in the table.
    pub(super) name: String,
    pub(super) arch: String,
    /// Images that they were measured on.
    pub(super) images: usize,
    pub(super) layers: Vec<Response>,
}
