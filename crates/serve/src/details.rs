//! What the log has of a request for a model.

use std::time::Duration;

/// Which model a request was for, how many images it has, and how long they took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Details {
    pub(crate) model: String,
    pub(crate) images: usize,
    /// Of each stage the longest of an image, once all images have ended.
    pub(crate) times: Option<Times>,
}

impl Details {
    /// Of a request that is not computed yet.
    pub(crate) fn new(model: &str, images: usize) -> Details {
        Details { model: model.to_owned(), images, times: None }
    }
}

/// How long an image was in each stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) queue: Duration,
    pub(crate) decode: Duration,
    /// Of its whole batch.
    pub(crate) compute: Duration,
}

impl Times {
    /// The longer time of each stage.
    pub(crate) fn longest(self, other: Times) -> Times {
        Times {
            queue: self.queue.max(other.queue),
            decode: self.decode.max(other.decode),
            compute: self.compute.max(other.compute),
        }
    }
}
