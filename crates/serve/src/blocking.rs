//! Work on the threads of connections.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Bytes that are read or written in some tens of microseconds. To hand the other connections to another thread
/// takes as long.
const SHORT: usize = 16 << 10;

/// Does work that reads or writes so many bytes. If they are many, other connections do not wait for it.
pub(crate) fn blocking<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let has_threads = || {
        let runtime = Handle::try_current();
        runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
    };
    match bytes > SHORT && has_threads() {
        true => block_in_place(work),
        false => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, time::Duration};

    use super::*;

    /// Whether another task runs, on a runtime of one thread, while work waits for it.
    async fn others_run(bytes: usize, time: Duration) -> bool {
        let work = async move {
            let (sender, receiver) = channel();
            tokio::spawn(async move { sender.send(()) });
            blocking(bytes, || receiver.recv_timeout(time).is_ok())
        };
        tokio::spawn(work).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_wait_for_short_work_only() {
        assert!(!others_run(SHORT, Duration::from_millis(20)).await);
        assert!(others_run(SHORT + 1, Duration::from_secs(60)).await);
    }

    #[tokio::test]
    async fn a_runtime_without_threads_works_on() {
        assert!(!others_run(SHORT + 1, Duration::from_millis(20)).await);
    }
}
