//! Bodies that are not read to their end, because their request is refused. If a connection is closed while
//! more of its body comes, the system resets it, and the client may lose the answer.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderValue, Response, header},
};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// How long the rest of a body is read behind the answer.
const LINGER: Duration = Duration::from_secs(5);
/// How much of it is read, at most.
const REST: usize = 256 << 20;

/// Whether the last request of a connection has a body that is not read to its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicBool>);

impl Unread {
    /// The body of the connection's next request, which says when it has been read.
    pub(crate) fn follow(&self, body: Incoming) -> Followed {
        self.0.store(!body.is_end_stream(), Ordering::Relaxed);
        Followed { body, unread: self.clone() }
    }

    fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Says in an answer that its connection ends, if there is more of the body.
    pub(crate) fn announce<B>(&self, answer: &mut Response<B>) {
        if self.is_left() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Reads the rest of the body from a connection that has been answered.
    pub(crate) async fn linger(&self, mut stream: TcpStream) {
        if !self.is_left() {
            return;
        }
        let (mut piece, mut rest) = (vec![0; 16 << 10], REST);
        let _ = timeout(LINGER, async {
            while rest > 0
                && let Ok(read @ 1..) = stream.read(&mut piece).await
            {
                rest = rest.saturating_sub(read);
            }
        })
        .await;
    }
}

/// A body that says when it has been read to its end.
pub(crate) struct Followed {
    body: Incoming,
    unread: Unread,
}

impl Body for Followed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(None) = frame {
            self.unread.0.store(false, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
