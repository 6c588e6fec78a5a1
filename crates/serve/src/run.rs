//! Runs the service until a signal ends it.

use std::net::SocketAddr;

use tokio::{runtime, select, sync::mpsc};

use crate::{
    log::Log,
    registry::ModelSource,
    server::{ServeError, Server},
    settings::Settings,
};

/// Threads that read requests and write answers.
const WORKERS: usize = 2;

/// Serves models, the first of which is the default, until SIGTERM or SIGINT (Ctrl-C) has come and all
/// requests are answered. A second one ends the process at once. SIGHUP loads all models again. `listening`
/// is called with the address when the page can be asked for: models are still being loaded then.
///
/// # Errors
/// If the address cannot be listened at, or a model cannot be loaded.
pub fn run(
    settings: Settings,
    sources: Vec<(String, Box<dyn ModelSource>)>,
    log: Log,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    let runtime =
        runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let (reload, reloads) = mpsc::channel(1);
        let server = Server::bind(settings, sources, log).await?;
        listening(server.address());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            signals.until_stop(&reload).await;
            let _ = stop.send(());
            let signal = signals.stop().await;
            std::process::exit(128 + signal);
        });
        let stopped = async {
            let _ = stopped.await;
        };
        server.run(stopped, reloads).await
    })
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGINT or SIGTERM, and returns its number.
    async fn stop(&mut self) -> i32 {
        use tokio::signal::unix::SignalKind;
        select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }

    /// Passes on SIGHUP until SIGINT or SIGTERM comes.
    async fn until_stop(&mut self, reload: &mpsc::Sender<()>) {
        loop {
            select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                // One that waits already stands for this one too.
                _ = self.hang_up.recv() => drop(reload.try_send(())),
            }
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals)
    }

    /// Waits for Ctrl-C, and returns the number of SIGINT.
    async fn stop(&mut self) -> i32 {
        let _ = tokio::signal::ctrl_c().await;
        2
    }

    async fn until_stop(&mut self, _: &mpsc::Sender<()>) {
        self.stop().await;
    }
}
