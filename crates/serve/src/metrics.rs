//! Metrics in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the classes of durations, seconds.
const SECONDS: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Upper bounds of the classes of batch sizes.
const SIZES: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// What the service counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    counts: Mutex<Counts>,
    /// Requests that are being answered.
    pub(crate) in_flight: AtomicUsize,
    /// Open connections.
    pub(crate) connections: AtomicUsize,
    /// Seconds per image, of recent batches (the bits of an f64).
    pace: AtomicU64,
    /// Lines of the log that were dropped.
    dropped_lines: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By route and status.
    requests: BTreeMap<(String, u16), u64>,
    /// By route.
    cancelled: BTreeMap<String, u64>,
    /// By route.
    seconds: BTreeMap<String, Histogram>,
    /// By code of the problem.
    refusals: BTreeMap<&'static str, u64>,
    /// By model.
    images: BTreeMap<String, u64>,
    /// By model: of batches.
    sizes: BTreeMap<String, Histogram>,
    /// By stage of an image: queue, decode, compute.
    stages: BTreeMap<&'static str, Histogram>,
    /// By model and result.
    loads: BTreeMap<(String, &'static str), u64>,
    /// By model.
    lost: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Histogram {
    /// Of each class; the last one has no upper bound.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, bounds: &[f64], value: f64) {
        self.counts.resize(bounds.len() + 1, 0);
        let class = bounds.iter().position(|&bound| value <= bound).unwrap_or(bounds.len());
        self.counts[class] += 1;
        self.sum += value;
    }
}

impl Metrics {
    /// Of nothing yet, with the count of the lines that the log drops.
    pub(crate) fn new(dropped_lines: Arc<AtomicU64>) -> Metrics {
        Metrics { dropped_lines, ..Metrics::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn request(&self, route: &str, status: u16, time: Duration) {
        let mut counts = self.counts();
        *counts.requests.entry((route.to_owned(), status)).or_default() += 1;
        counts.seconds.entry(route.to_owned()).or_default().add(&SECONDS, time.as_secs_f64());
    }

    /// The client left before the answer.
    pub(crate) fn cancelled(&self, route: &str) {
        *self.counts().cancelled.entry(route.to_owned()).or_default() += 1;
    }

    pub(crate) fn refusal(&self, code: &'static str) {
        *self.counts().refusals.entry(code).or_default() += 1;
    }

    pub(crate) fn load(&self, model: &str, result: &'static str) {
        *self.counts().loads.entry((model.to_owned(), result)).or_default() += 1;
    }

    /// The GPU of a model went away.
    pub(crate) fn lost(&self, model: &str) {
        *self.counts().lost.entry(model.to_owned()).or_default() += 1;
    }

    pub(crate) fn stage(&self, stage: &'static str, time: Duration) {
        self.counts().stages.entry(stage).or_default().add(&SECONDS, time.as_secs_f64());
    }

    /// A batch was computed.
    pub(crate) fn batch(&self, model: &str, images: usize, time: Duration) {
        let mut counts = self.counts();
        *counts.images.entry(model.to_owned()).or_default() += images as u64;
        counts.sizes.entry(model.to_owned()).or_default().add(&SIZES, images as f64);
        drop(counts);
        let last = time.as_secs_f64() / images.max(1) as f64;
        let mean = f64::from_bits(self.pace.load(Ordering::Relaxed));
        let mean = if mean == 0.0 { last } else { mean + 0.2 * (last - mean) };
        self.pace.store(mean.to_bits(), Ordering::Relaxed);
    }

    /// Seconds after which a queue of so many images will have room, from 1 to 60.
    pub(crate) fn retry_after(&self, images: usize) -> u64 {
        let pace = f64::from_bits(self.pace.load(Ordering::Relaxed));
        (pace * images as f64).ceil().clamp(1.0, 60.0) as u64
    }

    /// All metrics in the text format of Prometheus. `pending` images are not answered yet.
    pub(crate) fn text(&self, models_ready: usize, pending: usize) -> String {
        let counts = self.counts();
        let mut text = Text::default();
        text.family("resnet_build_info", "gauge", "The program's version.");
        text.value("resnet_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        for (name, help, value) in [
            ("resnet_models_ready", "Models that are in service.", models_ready),
            ("resnet_connections", "Open connections.", self.connections.load(Ordering::Relaxed)),
            (
                "resnet_requests_in_flight",
                "Requests that are being answered.",
                self.in_flight.load(Ordering::Relaxed),
            ),
            ("resnet_images_pending", "Images that are not answered yet.", pending),
        ] {
            text.family(name, "gauge", help);
            text.value(name, &[], value);
        }
        let name = "resnet_requests_total";
        text.family(name, "counter", "Answered requests, by route and status.");
        for ((route, status), &count) in &counts.requests {
            text.value(name, &[("route", route), ("status", &status.to_string())], count);
        }
        let name = "resnet_requests_cancelled_total";
        text.family(name, "counter", "Requests whose clients left before the answer, by route.");
        for (route, &count) in &counts.cancelled {
            text.value(name, &[("route", route)], count);
        }
        let name = "resnet_refusals_total";
        text.family(name, "counter", "Answers that are problems, by their code.");
        for (code, &count) in &counts.refusals {
            text.value(name, &[("code", code)], count);
        }
        let name = "resnet_images_total";
        text.family(name, "counter", "Computed images, by model.");
        for (model, &count) in &counts.images {
            text.value(name, &[("model", model)], count);
        }
        let name = "resnet_model_loads_total";
        text.family(name, "counter", "Loaded models, by model and result.");
        for ((model, result), &count) in &counts.loads {
            text.value(name, &[("model", model), ("result", result)], count);
        }
        let name = "resnet_gpus_lost_total";
        text.family(name, "counter", "GPUs that went away, by model.");
        for (model, &count) in &counts.lost {
            text.value(name, &[("model", model)], count);
        }
        let name = "resnet_log_lines_dropped_total";
        text.family(name, "counter", "Lines of the log that nobody read in time.");
        text.value(name, &[], self.dropped_lines.load(Ordering::Relaxed));
        let name = "resnet_request_seconds";
        text.family(name, "histogram", "From the head of a request to its answer, by route.");
        for (route, histogram) in &counts.seconds {
            text.histogram(name, ("route", route), &SECONDS, histogram);
        }
        let name = "resnet_image_seconds";
        text.family(name, "histogram", "Of an image in each stage: queue, decode, compute.");
        for (stage, histogram) in &counts.stages {
            text.histogram(name, ("stage", stage), &SECONDS, histogram);
        }
        let name = "resnet_batch_images";
        text.family(name, "histogram", "Images that were computed together, by model.");
        for (model, histogram) in &counts.sizes {
            text.histogram(name, ("model", model), &SIZES, histogram);
        }
        text.0
    }
}

/// Text of Prometheus. Values of labels are names of models, routes and the like, which need no escapes.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.0, "{name} {value}"),
            false => writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")),
        };
    }

    fn histogram(&mut self, name: &str, label: (&str, &str), bounds: &[f64], of: &Histogram) {
        let bounds = bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&of.counts) {
            total += count;
            self.value(&format!("{name}_bucket"), &[label, ("le", &bound)], total);
        }
        self.value(&format!("{name}_sum"), &[label], of.sum);
        self.value(&format!("{name}_count"), &[label], total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative() {
        let metrics = Metrics::default();
        for images in [1, 2, 2, 40] {
            metrics.batch("net", images, Duration::from_millis(10 * images as u64));
        }
        metrics.request("/v1/predict", 200, Duration::from_millis(3));
        let text = metrics.text(1, 0);
        for line in [
            "resnet_batch_images_bucket{model=\"net\",le=\"1\"} 1",
            "resnet_batch_images_bucket{model=\"net\",le=\"2\"} 3",
            "resnet_batch_images_bucket{model=\"net\",le=\"32\"} 3",
            "resnet_batch_images_bucket{model=\"net\",le=\"+Inf\"} 4",
            "resnet_batch_images_sum{model=\"net\"} 45",
            "resnet_batch_images_count{model=\"net\"} 4",
            "resnet_images_total{model=\"net\"} 45",
            "resnet_request_seconds_bucket{route=\"/v1/predict\",le=\"0.005\"} 1",
            "resnet_requests_total{route=\"/v1/predict\",status=\"200\"} 1",
            "resnet_models_ready 1",
            "resnet_log_lines_dropped_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        // 10 ms an image: 250 of them take 2.5 s.
        assert_eq!((metrics.retry_after(250), metrics.retry_after(1)), (3, 1));
    }

    #[test]
    fn every_family_is_described_once() {
        let metrics = Metrics::default();
        metrics.refusal("body_too_large");
        metrics.load("net", "ok");
        metrics.lost("net");
        metrics.cancelled("/v1/predict");
        metrics.stage("queue", Duration::ZERO);
        let text = metrics.text(0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|s| name.strip_suffix(s));
            let described = format!("# TYPE {} ", family.unwrap_or(name));
            assert_eq!(text.matches(&described).count(), 1, "{line}");
        }
    }
}
