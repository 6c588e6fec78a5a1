//! The threads that decode and compute.

use std::{
    any::Any,
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use resnet::data::photo::PhotoDecoder;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    batch::{Groups, Next},
    image::{Answer, Failed, Image, Outcome, Photo, Ready, Ticket},
};
use crate::{
    log::Log,
    metrics::Metrics,
    served::{Computed, Kind, Prepared, Served, Threads},
    settings::Settings,
};

/// The threads. When they are dropped they finish what they have.
pub(crate) struct Workers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    work: Mutex<Work>,
    /// There is something to decode, or the end.
    decode: Condvar,
    /// Something changed for the threads that compute.
    compute: Condvar,
    decoder: PhotoDecoder,
    delay: Duration,
    metrics: Arc<Metrics>,
    log: Log,
}

struct Work {
    undecoded: VecDeque<(Ticket, Photo)>,
    groups: Groups,
    /// Decoding threads that have nothing to do.
    idle: usize,
    /// Nothing comes any more.
    ends: bool,
}

impl Work {
    fn new(threads: usize) -> Work {
        Work { undecoded: VecDeque::new(), groups: Groups::new(threads), idle: 0, ends: false }
    }

    /// A batch for a thread that decodes, if it is due: to wake another one for it takes longer. None if there is something to
    /// decode, or no other thread would decode what comes meanwhile.
    fn batch_for_decoder(
        &mut self,
        now: Instant,
        delay: Duration,
    ) -> Option<(Vec<Ready>, Threads)> {
        if self.idle == 0 || !self.undecoded.is_empty() {
            return None;
        }
        match self.groups.next(now, delay) {
            Next::Batch(batch, threads) => Some((batch, threads)),
            Next::Wait(_) | Next::Nothing => None,
        }
    }
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn new(settings: &Settings, metrics: Arc<Metrics>, log: Log) -> io::Result<Workers> {
        let threads = settings.threads.max(1);
        let shared = Arc::new(Shared {
            work: Mutex::new(Work::new(threads)),
            decode: Condvar::new(),
            compute: Condvar::new(),
            decoder: PhotoDecoder::new(settings.limits.pixels),
            delay: settings.max_delay,
            metrics,
            log,
        });
        let mut workers = Workers { shared, threads: Vec::new() };
        for _ in 0..threads {
            workers.spawn("decode", Shared::decode_all)?;
            workers.spawn("compute", Shared::compute_all)?;
        }
        Ok(workers)
    }

    fn spawn(&mut self, name: &str, work: fn(&Shared)) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(name.to_owned());
        self.threads.push(thread.spawn(move || work(&shared))?);
        Ok(())
    }

    /// Bytes that decoding needs at most.
    pub(crate) fn decoding_memory(&self) -> u64 {
        self.shared.decoder.memory(self.threads.len() / 2)
    }

    /// Takes images, each of which holds its place in the queue until it is answered.
    ///
    /// # Panics
    /// If there are fewer places than images.
    pub(crate) fn submit(
        &self,
        model: &Arc<Served>,
        images: Vec<Image>,
        mut places: OwnedSemaphorePermit,
    ) -> Vec<oneshot::Receiver<Outcome>> {
        let photos = images.iter().filter(|image| matches!(image, Image::Photo(_))).count();
        let has_tensors = photos < images.len();
        let mut work = self.shared.lock();
        let submit = |image: Image| {
            let kind = image.kind();
            let place = places.split(1).expect("a place for each image");
            let (ticket, receiver) = Ticket::new(Arc::clone(model), kind, place);
            work.groups.announce(model, kind);
            match image {
                Image::Photo(photo) => work.undecoded.push_back((ticket, photo)),
                Image::Prepared(prepared) => {
                    let ready = Ready { ticket, prepared, region: None };
                    work.groups.arrive(model, kind, Some(ready));
                }
            }
            receiver
        };
        let receivers = images.into_iter().map(submit).collect();
        let wanted = photos.min(work.idle);
        drop(work);
        // A thread that is woken for nothing takes a core from one that works. Those that are busy look themselves.
        (0..wanted).for_each(|_| self.shared.decode.notify_one());
        if has_tensors {
            self.shared.compute.notify_one();
        }
        receivers
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.decode.notify_all();
        self.shared.compute.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was printed when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a decoding thread does.
    fn decode_all(&self) {
        let mut work = self.lock();
        loop {
            match work.undecoded.pop_front() {
                Some((ticket, photo)) => {
                    drop(work);
                    let (model, kind) = (Arc::clone(&ticket.model), ticket.kind);
                    let ready = self.decode(ticket, photo);
                    work = self.lock();
                    work.groups.arrive(&model, kind, ready);
                    // It may be replaced while this thread goes on computing for others.
                    drop(model);
                    while let Some((batch, threads)) =
                        work.batch_for_decoder(Instant::now(), self.delay)
                    {
                        work = self.run(work, batch, threads);
                    }
                    // At the end there is nothing left to wait for.
                    if work.groups.are_ready() || work.ends {
                        self.compute.notify_one();
                    }
                }
                None if work.ends => return,
                None => {
                    work.idle += 1;
                    work = self.decode.wait(work).unwrap_or_else(PoisonError::into_inner);
                    work.idle -= 1;
                }
            }
        }
    }

    fn decode(&self, mut ticket: Ticket, photo: Photo) -> Option<Ready> {
        let started = Instant::now();
        ticket.begin(started);
        if ticket.is_abandoned() {
            return None;
        }
        let preparation = ticket.model.predictor.preparation();
        // A decoder that panics at a file must not take the thread with it.
        let is_wanted = || !ticket.is_abandoned();
        let prepare = || self.decoder.prepare_if(&photo.file, preparation, is_wanted);
        let prepared = catch_unwind(AssertUnwindSafe(prepare));
        drop(photo);
        ticket.since = Instant::now();
        ticket.times.decode = ticket.since - started;
        self.metrics.stage("decode", ticket.times.decode);
        match prepared {
            Ok(Ok(Some((pixels, region)))) => {
                let prepared = Prepared::Pixels(pixels);
                return Some(Ready { ticket, prepared, region: Some(region) });
            }
            // Its client left while it waited for memory.
            Ok(Ok(None)) => {}
            Ok(Err(error)) => ticket.finish(Err(Failed::Photo(error))),
            Err(panic) => {
                self.failed(&ticket.model, &message(&*panic));
                ticket.finish(Err(Failed::Internal));
            }
        }
        None
    }

    /// What a computing thread does.
    fn compute_all(&self) {
        let mut work = self.lock();
        loop {
            match work.groups.next(Instant::now(), self.delay) {
                Next::Batch(batch, threads) => work = self.run(work, batch, threads),
                Next::Nothing if work.ends => {
                    self.compute.notify_one();
                    return;
                }
                Next::Nothing | Next::Wait(None) => {
                    work = self.compute.wait(work).unwrap_or_else(PoisonError::into_inner);
                }
                Next::Wait(Some(until)) => {
                    let left = until.saturating_duration_since(Instant::now());
                    let waited = self.compute.wait_timeout(work, left);
                    work = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Computes a batch without the lock.
    fn run(
        &self,
        work: MutexGuard<'_, Work>,
        batch: Vec<Ready>,
        threads: Threads,
    ) -> MutexGuard<'_, Work> {
        let is_more = work.groups.are_ready();
        drop(work);
        // For another thread.
        if is_more {
            self.compute.notify_one();
        }
        let (model, kind) = (Arc::clone(&batch[0].ticket.model), batch[0].ticket.kind);
        let images = batch.len();
        self.compute(&model, kind, threads, batch);
        let mut work = self.lock();
        work.groups.computed(&model, (kind, threads), images, Instant::now());
        work
    }

    fn compute(&self, model: &Served, kind: Kind, threads: Threads, mut batch: Vec<Ready>) {
        let (started, images) = (Instant::now(), batch.len());
        for image in &mut batch {
            image.ticket.begin(started);
            self.metrics.stage("queue", image.ticket.times.queue);
        }
        let inputs: Vec<&Prepared> = batch.iter().map(|image| &image.prepared).collect();
        let computed = catch_unwind(AssertUnwindSafe(|| model.compute(kind, threads, &inputs)));
        let time = started.elapsed();
        for image in &mut batch {
            image.ticket.times.compute = time;
        }
        self.metrics.stage("compute", time);
        self.metrics.batch(&model.name, images, time);
        let computed = match computed {
            Ok(computed) => computed.map_err(|error| {
                if error.is_lost() {
                    model.lose();
                }
                error.to_string()
            }),
            Err(panic) => Err(message(&*panic)),
        };
        let computed = match computed {
            Ok(computed) => computed,
            Err(error) => {
                self.failed(model, &error);
                let is_lost = model.is_lost();
                for Ready { ticket, .. } in batch {
                    ticket.finish(Err(if is_lost { Failed::Lost } else { Failed::Internal }));
                }
                return;
            }
        };
        for (Ready { ticket, region, .. }, Computed { logits, map, is_finite }) in
            batch.into_iter().zip(computed)
        {
            let answer = Answer { logits, map, region };
            ticket.finish(if is_finite { Ok(answer) } else { Err(Failed::NotFinite) });
        }
    }

    fn failed(&self, model: &Served, error: &str) {
        self.log.write("failed", json!({ "model": model.name, "error": error }));
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    use axum::body::Bytes;
    use resnet::{Cpu, Dtype, model_file::Model, predictor::Predictor};
    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_thread_that_decoded_computes_if_another_one_would_decode() {
        let cpu = Cpu::new(1).unwrap();
        let predictor = Predictor::new(Model::demo(), None, Dtype::Fp32, &cpu).unwrap();
        let (kind, model) = (Kind::Photos, Served::new("demo", predictor, 4, 2).unwrap());
        let (model, places) = (Arc::new(model), Arc::new(Semaphore::new(2)));
        let ticket = || {
            let place = Arc::clone(&places).try_acquire_owned().unwrap();
            Ticket::new(Arc::clone(&model), kind, place)
        };
        let ((ticket, _client), (waiting, _other)) = (ticket(), ticket());
        let mut work = Work::new(2);
        work.groups.announce(&model, kind);
        let image = Ready { ticket, prepared: Prepared::Pixels(Vec::new()), region: None };
        work.groups.arrive(&model, kind, Some(image));
        let batch = |work: &mut Work| {
            let batch = work.batch_for_decoder(Instant::now(), Duration::ZERO);
            batch.map(|(images, threads)| (images.len(), threads))
        };
        assert_eq!(batch(&mut work), None, "no other thread would decode");
        work.idle = 1;
        work.undecoded.push_back((waiting, Photo { file: Bytes::new(), heat_map: false }));
        assert_eq!(batch(&mut work), None, "there is something to decode");
        work.undecoded.clear();
        assert_eq!(batch(&mut work), Some((1, Threads::All)));
        assert_eq!(batch(&mut work), None);
    }
}
