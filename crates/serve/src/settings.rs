//! Settings of the service: where it listens, how it batches, and how much it takes.

use std::{net::SocketAddr, time::Duration};

/// Settings of the service.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 is any free one.
    pub address: SocketAddr,
    /// Tokens of clients (`Authorization: Bearer`); none for a service that is open to all.
    pub tokens: Vec<String>,
    /// Origins whose pages may use the service from a browser; `*` is any.
    pub cors: Vec<String>,
    /// Images that are computed together, at most.
    pub max_batch: usize,
    /// How long an image waits, at most, for images that are being decoded or expected, to be computed with
    /// them.
    pub max_delay: Duration,
    /// Threads that decode photos, and that compute batches of small networks at the same time.
    pub threads: usize,
    /// What it takes.
    pub limits: Limits,
}

impl Default for Settings {
    /// On 127.0.0.1:8000, open to all.
    fn default() -> Self {
        Settings {
            address: ([127, 0, 0, 1], 8000).into(),
            tokens: Vec::new(),
            cors: Vec::new(),
            max_batch: 16,
            max_delay: Duration::from_millis(5),
            threads: 1,
            limits: Limits::default(),
        }
    }
}

/// How much the service takes. Past a limit a request is answered at once with an error, and costs no more
/// than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Pixels of a photo.
    pub pixels: u64,
    /// Images of a request.
    pub images: usize,
    /// Images of all requests that are not answered yet.
    pub queue: usize,
    /// Connections.
    pub connections: usize,
    /// From the last byte of a request to its answer.
    pub request_time: Duration,
    /// From the head of a request to the last byte of its body.
    pub body_time: Duration,
    /// How long a client may send nothing of a body.
    pub read_time: Duration,
    /// For the head of a request, and between two requests of a connection.
    pub header_time: Duration,
    /// How long a client may leave an answer unread.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body: 16 << 20,
            pixels: 50_000_000,
            images: 32,
            queue: 256,
            connections: 256,
            request_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            read_time: Duration::from_secs(10),
            header_time: Duration::from_secs(15),
            write_time: Duration::from_secs(30),
        }
    }
}

/// Bodies of the largest size that are in memory together.
const BODIES: usize = 16;
/// Bytes that a connection reads ahead; the head of a request is shorter.
pub(crate) const READ_AHEAD: usize = 64 << 10;

impl Limits {
    /// Bytes of all bodies that are in memory.
    pub(crate) fn bodies(&self) -> usize {
        BODIES.saturating_mul(self.body)
    }
}
