//! A service on a free port, and what a test needs to know of it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use resnet::{
    Cpu, Dtype,
    data::photo,
    model_file::Model,
    predictions::Predictions,
    predictor::{Computes, Predictor},
};
use serde_json::Value;
use tokio::{sync, task, time::sleep};

use crate::{
    Limits, LoadError, Log, ModelSource, ServeError, Server, Settings,
    served::{Kind, Served},
    service::Service,
};

/// A service that runs.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) service: Arc<Service>,
    pub(super) log: Arc<Mutex<Vec<String>>>,
    stop: sync::oneshot::Sender<()>,
    done: task::JoinHandle<Result<(), ServeError>>,
    _reload: sync::mpsc::Sender<()>,
}

/// The model in a file, or the demo.
pub(super) struct Source(pub(super) Option<PathBuf>);

impl ModelSource for Source {
    fn path(&self) -> Option<PathBuf> {
        self.0.clone()
    }

    fn load(&self) -> Result<Predictor, LoadError> {
        let model = match &self.0 {
            Some(path) => Model::load(path, None)?,
            None => Model::demo(),
        };
        Ok(predictor(model))
    }
}

pub(super) fn predictor(model: Model) -> Predictor {
    Predictor::new(model, None, Dtype::Fp32, &Cpu::new(2).unwrap()).unwrap()
}

impl Running {
    /// The demo, as `demo`, with these limits.
    pub(super) async fn demo(limits: Limits) -> Running {
        let settings = Settings { limits, ..Settings::default() };
        Running::start(settings, vec![("demo".to_owned(), Box::new(Source(None)))]).await
    }

    /// A service that has loaded its models.
    pub(super) async fn start(
        settings: Settings,
        sources: Vec<(String, Box<dyn ModelSource>)>,
    ) -> Running {
        let settings = Settings { address: ([127, 0, 0, 1], 0).into(), ..settings };
        let lines = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&lines);
        let take = Log::new(move |line| lines.lock().unwrap().push(line.to_owned()));
        let server = Server::bind(settings, sources, take).await.unwrap();
        let (address, service) = (server.address(), Arc::clone(&server.service));
        let (stop, stopped) = sync::oneshot::channel();
        let (reload, reloads) = sync::mpsc::channel(1);
        let stopped = async {
            let _ = stopped.await;
        };
        let done = tokio::spawn(server.run(stopped, reloads));
        until(|| log.lock().unwrap().iter().any(|line| line.contains("\"ready\""))).await;
        Running { address, service, log, stop, done, _reload: reload }
    }

    pub(super) fn model(&self) -> Arc<Served> {
        self.service.registry.get(None).unwrap()
    }

    /// Waits until so many images are not answered.
    pub(super) async fn pending(&self, images: usize) {
        until(|| self.service.pending() == images).await;
    }

    /// A value of the metrics, 0 if there is none.
    pub(super) fn metric(&self, name: &str) -> f64 {
        let text = self.service.metrics.text(0, 0);
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The lines of the log of one event.
    pub(super) fn logged(&self, event: &str) -> Vec<Value> {
        let lines = self.log.lock().unwrap();
        let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }

    /// Asks it to end.
    pub(super) fn stop(self) -> task::JoinHandle<Result<(), ServeError>> {
        self.stop.send(()).unwrap();
        self.done
    }
}

/// Waits for something that happens soon on other threads.
pub(super) async fn until(mut happens: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if happens() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("it does not happen");
}

/// Keeps the batches of a kind waiting until it is dropped.
pub(super) struct Held {
    release: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    pub(super) fn new(model: Arc<Served>, kind: Kind) -> Held {
        let (release, released): (_, Receiver<()>) = channel();
        let (locked, is_locked) = channel();
        let thread = thread::spawn(move || {
            let _plan = model.lock(kind);
            locked.send(()).unwrap();
            // An error is the release: the sender is dropped.
            let _ = released.recv();
        });
        is_locked.recv().unwrap();
        Held { release: Some(release), thread: Some(thread) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.release.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

const PHOTOS: [&str; 8] = [
    "exif-6.jpg",
    "rgb.png",
    "grey.jpg",
    "lossless.webp",
    "cmyk.jpg",
    "interlaced.png",
    "animated.gif",
    "planar.tif",
];

/// Photos of many formats, and what `predict` computes for them in one batch.
pub(super) fn photos(computes: Computes) -> (Vec<Vec<u8>>, Predictions) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos"));
    let paths = PHOTOS.map(|name| folder.join(name));
    let predictor = predictor(Model::demo());
    let pixels = photo::prepare(&paths, predictor.preparation(), 2);
    let pixels: Vec<u8> = pixels.into_iter().flat_map(Result::unwrap).collect();
    let mut plan = predictor.plan(computes, PHOTOS.len()).unwrap();
    let predictions = plan.predict(predictor.input(&pixels), PHOTOS.len()).unwrap();
    (paths.iter().map(|path| fs::read(path).unwrap()).collect(), predictions)
}

/// Asserts that a prediction in JSON has the classes and probabilities of an image, bit for bit.
pub(super) fn is_prediction(found: &Value, predictions: &Predictions, image: usize) {
    let top: Vec<(usize, f32)> = found["top"]
        .as_array()
        .unwrap_or_else(|| panic!("no prediction: {found}"))
        .iter()
        .map(|one| {
            let index = one["index"].as_u64().unwrap() as usize;
            (index, one["probability"].as_f64().unwrap() as f32)
        })
        .collect();
    assert_eq!(top, predictions.top(image, top.len()), "image {image}");
}
