//! What all requests share: the models, the threads, the limits.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Bytes,
    extract::Request,
    http::{StatusCode, request::Parts},
};
use serde_json::Value;
use tokio::{sync::Semaphore, time::timeout};

use crate::{
    details::{Details, Times},
    held::Held,
    log::Log,
    metrics::Metrics,
    problem::Problem,
    registry::{ModelSource, Registry},
    request,
    served::Served,
    settings::{READ_AHEAD, Settings},
    work::{Answer, Failed, Image, Workers},
};

/// Bytes that are made of a byte of a body, at most: in JSON a number of four bytes is written in two.
const MADE_OF_BODIES: usize = 2;
/// Bytes of the program itself, its threads, and what its allocator keeps.
const PROGRAM: usize = 64 << 20;

/// What all requests share.
pub(crate) struct Service {
    pub(crate) settings: Settings,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) log: Log,
    workers: Workers,
    /// A permit for each KiB of the bodies in memory, and of the answers that clients have not read.
    pub(crate) bodies: Arc<Semaphore>,
    /// A permit for each image that is not answered yet.
    queue: Arc<Semaphore>,
    is_draining: AtomicBool,
}

/// What came of the images of a request, in its order, and what the log has of it.
pub(crate) type Answers = (Vec<Result<Answer, Failed>>, Details);

impl Service {
    pub(crate) fn new(
        settings: Settings,
        sources: Vec<(String, Box<dyn ModelSource>)>,
        log: Log,
    ) -> io::Result<Service> {
        let metrics = Arc::new(Metrics::new(log.dropped()));
        let registry = Registry::new(sources, &settings, log.clone(), Arc::clone(&metrics));
        let workers = Workers::new(&settings, Arc::clone(&metrics), log.clone())?;
        let permits = |n: usize| Arc::new(Semaphore::new(n.min(Semaphore::MAX_PERMITS)));
        let bodies = permits(settings.limits.bodies().div_ceil(1 << 10));
        let (queue, is_draining) = (permits(settings.limits.queue), AtomicBool::new(false));
        Ok(Service { settings, registry, metrics, log, workers, bodies, queue, is_draining })
    }

    /// Why new requests are not welcome.
    pub(crate) fn unready(&self) -> Option<Problem> {
        if self.is_draining() {
            return Some(Problem::unavailable("not_ready", "the service ends", 1));
        }
        self.registry.unready()
    }

    /// Whether it ends: connections are closed after their next answer.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// From now on new requests should go elsewhere. Those that come are answered.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Images that are not answered yet.
    pub(crate) fn pending(&self) -> usize {
        self.settings.limits.queue - self.queue.available_permits()
    }

    /// The head and the body of a request.
    pub(crate) async fn read(&self, request: Request) -> Result<(Parts, Bytes), Problem> {
        let (parts, body) = request.into_parts();
        let limits = &self.settings.limits;
        let body = request::read(&parts.headers, body, limits, &self.bodies).await?;
        Ok((parts, body))
    }

    /// An answer, which takes its share of the memory of bodies until the client has read it.
    ///
    /// # Errors
    /// If all of that memory is taken.
    pub(crate) fn hold(&self, answer: Vec<u8>) -> Result<Bytes, Problem> {
        Held::of(answer, &self.bodies).map(Held::freeze)
    }

    /// Computes the images of a request, or says that there are too many, or that it takes too long.
    pub(crate) async fn compute(
        &self,
        model: &Arc<Served>,
        images: Vec<Image>,
    ) -> Result<Answers, Problem> {
        let mut details = Details::new(&model.name, images.len());
        let places = Arc::clone(&self.queue).try_acquire_many_owned(images.len() as u32);
        let Ok(places) = places else {
            let detail = "the queue is full: try again later, or send fewer images at once";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", detail);
            let retry_after = Some(self.metrics.retry_after(self.pending()));
            return Err(Problem { retry_after, ..problem }.with(details));
        };
        let receivers = self.workers.submit(model, images, places);
        let outcomes = async {
            let mut answers = Vec::with_capacity(receivers.len());
            let mut longest = Times::default();
            for receiver in receivers {
                let lost = (Err(Failed::Internal), Times::default());
                let (answer, times) = receiver.await.unwrap_or(lost);
                answers.push(answer);
                longest = longest.longest(times);
            }
            (answers, longest)
        };
        let Ok((answers, times)) = timeout(self.settings.limits.request_time, outcomes).await
        else {
            let detail = "the request was not computed in time: try again later";
            let retry_after = self.metrics.retry_after(self.pending());
            return Err(Problem::unavailable("timeout", detail, retry_after).with(details));
        };
        details.times = Some(times);
        Ok((answers, details))
    }

    /// Bytes of memory that the service takes at most, part by part and in all.
    pub(crate) fn memory(&self) -> Value {
        let limits = &self.settings.limits;
        let models = self.registry.ready();
        let memory = models.iter().map(|model| model.memory());
        // A tensor has four bytes a value, a photo one.
        let image = models.iter().map(|model| 4 * model.predictor.preparation().image_len());
        let parts = [
            ("models_bytes", memory.clone().sum()),
            // Models are replaced one after the other.
            ("replacement_bytes", memory.max().unwrap_or(0)),
            ("bodies_bytes", limits.bodies().saturating_mul(1 + MADE_OF_BODIES)),
            ("decoding_bytes", self.workers.decoding_memory() as usize),
            ("queue_bytes", limits.queue * image.max().unwrap_or(0)),
            ("connections_bytes", limits.connections * READ_AHEAD),
            ("program_bytes", PROGRAM),
        ];
        let total = parts.iter().fold(0_usize, |total, (_, bytes)| total.saturating_add(*bytes));
        let all = parts.into_iter().chain([("total_bytes", total)]);
        all.map(|(name, bytes)| (name, Value::from(bytes))).collect()
    }
}
