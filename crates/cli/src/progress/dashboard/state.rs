//! The state of a run, as the dashboard shows it.

use std::{collections::VecDeque, time::Instant};

use resnet::{
    metrics,
    train::{BatchEvent, EpochMetrics, Event, Started},
};
use resnet_formats::printable;

use super::series::{MovingAverage, Series};
use crate::progress::{estimate::Estimate, position::Position};

/// Notes to keep.
const NOTES: usize = 20;
/// Batches that the training curves are averaged over, at most.
const SMOOTHING: u64 = 50;
/// Seconds of training that throughput is averaged over.
const THROUGHPUT_WINDOW: f64 = 1.0;

/// A run, updated from its events. Values per batch become curves in bounded memory.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) run: Option<Started>,
    /// The last batch.
    pub(super) batch: Option<BatchEvent>,
    pub(super) estimate: Estimate,
    /// During evaluation: images done, and their total.
    pub(super) evaluating: Option<(usize, usize)>,
    /// The finished epochs.
    pub(super) epochs: Vec<EpochMetrics>,
    /// The best of them.
    pub(super) best: Option<EpochMetrics>,
    /// File name, epoch and time of the last checkpoint.
    pub(super) saved: Option<(String, u64, Instant)>,
    pub(super) notes: VecDeque<String>,
    /// Values per batch, over epochs.
    pub(super) loss: Series,
    pub(super) accuracy: Series,
    pub(super) rate: Series,
    pub(super) throughput: Throughput,
    averages: (MovingAverage, MovingAverage),
}

impl Default for State {
    fn default() -> Self {
        State {
            run: None,
            batch: None,
            estimate: Estimate::default(),
            evaluating: None,
            epochs: Vec::new(),
            best: None,
            saved: None,
            notes: VecDeque::new(),
            loss: Series::default(),
            accuracy: Series::default(),
            rate: Series::default(),
            throughput: Throughput::default(),
            averages: (MovingAverage::over(1), MovingAverage::over(1)),
        }
    }
}

impl State {
    /// The state of a run that may have a position among others.
    pub(super) fn new(position: Option<Position>) -> State {
        State { estimate: Estimate::new(position), ..State::default() }
    }

    pub(super) fn update(&mut self, event: &Event, now: Instant) {
        self.estimate.update(event);
        match event {
            Event::Started(run) => self.begin(run),
            Event::Note(_) | Event::DeviceChanged { .. } => {
                self.notes.extend(event.log_line());
                while self.notes.len() > NOTES {
                    self.notes.pop_front();
                }
            }
            Event::Batch(batch) => self.add(batch),
            Event::Evaluating { done, images } => self.evaluating = Some((*done, *images)),
            Event::EpochEnd { metrics, best } => {
                self.evaluating = None;
                self.epochs.push(metrics.clone());
                if *best {
                    self.best = Some(metrics.clone());
                }
            }
            Event::Saved { path } => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let name = printable(&name).to_string();
                let done = self.epochs.last().map_or(0, |metrics| metrics.epoch);
                let epoch = self.batch.map_or(done, |batch| batch.epoch);
                self.saved = Some((name, epoch, now));
            }
            Event::Stopped { .. } | Event::Finished { .. } => {}
        }
    }

    fn begin(&mut self, run: &Started) {
        // At most an eighth of an epoch, so that the curve does not lag behind.
        let smooth = MovingAverage::over((run.steps_per_epoch / 8).min(SMOOTHING));
        self.averages = (smooth, smooth);
        self.throughput = Throughput::of(run);
        for epoch in &run.history {
            // Training metrics are means over the epoch.
            let middle = epoch.epoch as f64 - 0.5;
            self.loss.push(middle, epoch.train_loss);
            self.accuracy.push(middle, epoch.train_accuracy);
            self.rate.push(epoch.epoch as f64, f64::from(epoch.learning_rate));
        }
        // The first one, where there are no images to choose by.
        self.best = metrics::best(&run.history).or(run.history.first()).cloned();
        self.epochs = run.history.clone();
        self.run = Some(run.clone());
    }

    fn add(&mut self, batch: &BatchEvent) {
        let x = epochs_done(batch);
        self.loss.push(x, self.averages.0.add(batch.batch_loss));
        self.accuracy.push(x, self.averages.1.add(batch.batch_accuracy));
        self.rate.push(x, f64::from(batch.learning_rate));
        self.throughput.add(batch);
        self.batch = Some(*batch);
    }

    /// The range of epochs with data.
    pub(super) fn span(&self) -> [f64; 2] {
        let first = self.loss.points().first().map_or(0.0, |point| point.0.floor());
        let epochs = self.epochs.last().map_or(0.0, |epoch| epoch.epoch as f64);
        let last = self.batch.as_ref().map_or(0.0, epochs_done).max(epochs);
        [first, last.max(first + 1e-3)]
    }
}

/// Epochs done after a batch, with their fraction.
fn epochs_done(batch: &BatchEvent) -> f64 {
    batch.epoch.saturating_sub(1) as f64 + batch.batch as f64 / batch.batches.max(1) as f64
}

/// Images per second of training, without the time of evaluation. Events have the mean over the
/// epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Throughput {
    batch_size: f64,
    images: f64,
    /// Images and seconds of the epoch up to the previous batch.
    before: Option<(f64, f64)>,
    /// Images and seconds since the last point of the curve.
    recent: (f64, f64),
    /// All images and seconds.
    total: (f64, f64),
    /// Over seconds.
    pub(super) curve: Series,
    /// The last point.
    pub(super) now: Option<f64>,
}

impl Throughput {
    fn of(run: &Started) -> Self {
        let (batch_size, images) = (run.batch_size as f64, run.train_images as f64);
        Throughput { batch_size, images, ..Throughput::default() }
    }

    fn add(&mut self, batch: &BatchEvent) {
        let images = (batch.batch as f64 * self.batch_size).min(self.images);
        let done = (images, images / batch.images_per_second.max(1e-9));
        let before = if batch.batch == 1 { Some((0.0, 0.0)) } else { self.before };
        self.before = Some(done);
        // A resumed run: its earlier batches ran in another process.
        let Some(before) = before else { return };
        let step = (done.0 - before.0, (done.1 - before.1).max(0.0));
        for sum in [&mut self.recent, &mut self.total] {
            *sum = (sum.0 + step.0, sum.1 + step.1);
        }
        if self.recent.1 >= THROUGHPUT_WINDOW || self.now.is_none() {
            let speed = self.recent.0 / self.recent.1.max(1e-9);
            self.now = Some(speed);
            self.curve.push(self.total.1, speed);
            self.recent = (0.0, 0.0);
        }
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.total.1 > 0.0).then(|| self.total.0 / self.total.1)
    }
}
