//! Connections: accepted within limits, and ended without losing a request.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{Router, http::Method, response::IntoResponse};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde_json::json;
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    pin, select,
    sync::{Semaphore, mpsc, watch},
    task::{JoinError, JoinSet, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at},
};

use crate::{
    app::router,
    handlers::healthz,
    log::Log,
    problem::Problem,
    registry::{LoadError, ModelSource, Reload},
    service::Service,
    settings::{Limits, READ_AHEAD, Settings},
    unread::Unread,
    write_timeout::WriteTimeout,
};

/// Connections that are answered 503 because there are too many. Further ones are closed at once.
pub(crate) const REFUSALS: usize = 32;
/// How long that answer may take.
const REFUSAL_TIME: Duration = Duration::from_secs(2);
/// What is answered even then: a service that has much to do must not be restarted for it.
const LIVE: [&str; 2] = ["/healthz", "/v2/health/live"];
/// How long connections are accepted and read after the end: some wait in the system's queue.
const GRACE: Duration = Duration::from_millis(100);
/// How often the files of models are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why the service does not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened at.
    #[error("cannot listen on {address}: {source}; choose another --host or --port")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A model cannot be loaded.
    #[error("{0}")]
    Model(#[source] LoadError),
    /// The system refuses threads or signals.
    #[error("the system refuses threads or signals: {0}")]
    System(#[from] io::Error),
    /// A thread of the service panicked.
    #[error("a thread of the service panicked: {0}")]
    Panic(#[from] JoinError),
}

/// A service that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    pub(crate) service: Arc<Service>,
}

impl Server {
    /// Listens, and starts the threads of the service.
    ///
    /// # Errors
    /// If the address cannot be listened at, or the system refuses threads.
    pub async fn bind(
        settings: Settings,
        sources: Vec<(String, Box<dyn ModelSource>)>,
        log: Log,
    ) -> Result<Server, ServeError> {
        let address = settings.address;
        let refused = |source| ServeError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(settings, sources, log)?);
        Ok(Server { listener, address, service })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loads the models, and serves until `stop` is done. Then no connection is accepted any more, and
    /// all requests are answered. Each message of `reload` loads all models again.
    ///
    /// # Errors
    /// If a model cannot be loaded.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        mut reload: mpsc::Receiver<()>,
    ) -> Result<(), ServeError> {
        let Server { listener, address, service } = self;
        let connections = Connections::new(Arc::clone(&service));
        let (ends, ended) = watch::channel(false);
        let accepting = tokio::spawn(connections.accept(listener, ended));
        pin!(stop);
        let loading = Arc::clone(&service);
        let mut loading = spawn_blocking(move || loading.registry.load());
        let loaded = select! {
            loaded = &mut loading => loaded?.map_err(ServeError::Model).map(|()| true),
            // The models are loaded to their end: a thread cannot be told to stop.
            () = &mut stop => loading.await?.map_err(ServeError::Model).map(|()| false),
        };
        if let Ok(true) = loaded {
            let models: Vec<_> = service.registry.names().collect();
            let (url, memory) = (format!("http://{address}/"), service.memory());
            service.log.write("ready", json!({ "url": url, "models": models, "memory": memory }));
            select! {
                () = &mut stop => {}
                () = watch_files(&service, &mut reload) => {}
            }
        }
        service.drain();
        service.log.write("draining", json!({ "pending_images": service.pending() }));
        let _ = ends.send(true);
        accepting.await?;
        service.log.write("ended", json!({}));
        loaded.map(drop)
    }
}

/// Loads models whose files change, and all of them when it is told to.
async fn watch_files(service: &Arc<Service>, reload: &mut mpsc::Receiver<()>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut listens = true;
    loop {
        let which = select! {
            _ = look.tick() => Reload::Changed,
            message = reload.recv(), if listens => match message {
                Some(()) => Reload::All,
                None => {
                    listens = false;
                    continue;
                }
            },
        };
        let service = Arc::clone(service);
        // What it did is in the log.
        let _ = spawn_blocking(move || service.registry.reload(which)).await;
    }
}

/// Waits for the end.
async fn end(ended: &mut watch::Receiver<bool>) {
    // Whoever could say so may be gone.
    let _ = ended.wait_for(|ended| *ended).await;
}

/// Accepts connections.
struct Connections {
    service: Arc<Service>,
    router: TowerToHyperService<Router>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    open: JoinSet<()>,
}

impl Connections {
    fn new(service: Arc<Service>) -> Connections {
        let router = TowerToHyperService::new(router(Arc::clone(&service)));
        let places = service.settings.limits.connections.min(Semaphore::MAX_PERMITS);
        let (places, refusals) =
            (Arc::new(Semaphore::new(places)), Arc::new(Semaphore::new(REFUSALS)));
        Connections { service, router, places, refusals, open: JoinSet::new() }
    }

    /// Accepts connections until the end, then those that came before it, and waits until all are done.
    async fn accept(mut self, listener: TcpListener, mut ended: watch::Receiver<bool>) {
        loop {
            select! {
                accepted = listener.accept() => self.take(accepted, &ended).await,
                Some(_) = self.open.join_next() => {}
                () = end(&mut ended) => break,
            }
        }
        let until = Instant::now() + GRACE;
        // `timeout_at` takes a connection that waits, however late it is.
        while Instant::now() < until
            && let Ok(accepted) = timeout_at(until, listener.accept()).await
        {
            self.take(accepted, &ended).await;
        }
        drop(listener);
        while self.open.join_next().await.is_some() {}
    }

    async fn take(
        &mut self,
        accepted: io::Result<(TcpStream, SocketAddr)>,
        ended: &watch::Receiver<bool>,
    ) {
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Too many open files, say: others may close theirs.
                self.service.log.write("accept_failed", json!({ "error": error.to_string() }));
                return sleep(Duration::from_millis(50)).await;
            }
        };
        // An answer leaves at once.
        let _ = stream.set_nodelay(true);
        let (limits, ended) = (self.service.settings.limits, ended.clone());
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => {
                let (service, router) = (Arc::clone(&self.service), self.router.clone());
                self.open.spawn(async move {
                    service.metrics.connections.fetch_add(1, Ordering::Relaxed);
                    serve(stream, router, limits, ended).await;
                    drop(place);
                    service.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Err(_) => match Arc::clone(&self.refusals).try_acquire_owned() {
                Ok(refusal) => {
                    let service = Arc::clone(&self.service);
                    self.open.spawn(async move {
                        let _ = timeout(REFUSAL_TIME, refuse(stream, service)).await;
                        drop(refusal);
                    });
                }
                Err(_) => self.service.metrics.refusal("too_many_connections"),
            },
        }
    }
}

/// Answers the requests of a connection. From the end on it answers the one in hand, and closes.
async fn serve(
    stream: TcpStream,
    router: TowerToHyperService<Router>,
    limits: Limits,
    mut ended: watch::Receiver<bool>,
) {
    let unread = Unread::default();
    let followed = unread.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.call(request.map(|body| followed.follow(body)));
        let followed = followed.clone();
        async move {
            let mut answer = answer.await?;
            followed.announce(&mut answer);
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(WriteTimeout::new(stream, limits.write_time));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.header_time);
    http.max_buf_size(READ_AHEAD);
    let mut connection = http.serve_connection(io, service);
    let ends = async {
        end(&mut ended).await;
        // What the client has sent by now is read: a connection without a request is closed.
        sleep(GRACE).await;
    };
    select! {
        biased;
        // A client that breaks off, or sends no HTTP, is no error of the service.
        _ = &mut connection => {}
        () = ends => {
            Pin::new(&mut connection).graceful_shutdown();
            let _ = (&mut connection).await;
        }
    }
    let stream = connection.into_parts().io.into_inner().into_inner();
    unread.linger(stream).await;
}

/// Answers the first request of a connection: there are too many.
async fn refuse(stream: TcpStream, service: Arc<Service>) {
    let unread = Unread::default();
    let followed = unread.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let is_live = request.method() == Method::GET && LIVE.contains(&request.uri().path());
        drop(followed.follow(request.into_body()));
        let service = Arc::clone(&service);
        async move {
            if is_live {
                return Ok::<_, Infallible>(healthz().await);
            }
            service.metrics.refusal("too_many_connections");
            let detail = "the service has as many connections as it may: try again";
            Ok(Problem::unavailable("too_many_connections", detail, 1).into_response())
        }
    });
    let mut http = http1::Builder::new();
    let mut connection = http.keep_alive(false).serve_connection(TokioIo::new(stream), answer);
    let _ = (&mut connection).await;
    let stream = connection.into_parts().io.into_inner();
    unread.linger(stream).await;
}
