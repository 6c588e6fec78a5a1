//! The speed of a device: training steps or inference on random images.

use std::time::{Duration, Instant};

use resnet::{
    Device, Network,
    data::{ImageSet, Images, Normalisation, Parts},
    engine::{DeviceEvalPlan, Engine, EngineConfig, EngineError, Input, MicroBatch, Targets},
    network::Init,
    optim::SgdConfig,
    profile::{Profiler, median},
    random::{Purpose, Random},
};

use super::work::Work;

/// Steps before the measurement: the first ones fault memory in, wake the threads and compile for the GPU.
pub(crate) const WARM_UP: usize = 2;

/// A learning rate so small that training on random labels does not diverge.
pub(crate) const RATE: f32 = 1e-4;

/// A batch of random images.
pub(crate) struct RandomImages {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    normalisation: Normalisation,
}

impl RandomImages {
    pub(crate) fn new(work: &Work<'_>) -> Self {
        let Work { graph, batch, size: [height, width], .. } = *work;
        let (channels, classes) = (graph.in_channels(), graph.classes());
        let mut random = Random::new(0, Purpose::Synthetic, &[]);
        let values = batch * height * width * channels;
        RandomImages {
            pixels: (0..values).map(|_| random.next_u64() as u8).collect(),
            labels: (0..batch).map(|_| random.below(classes as u64) as u32).collect(),
            normalisation: Normalisation::new(vec![0.5; channels], vec![0.25; channels]),
        }
    }

    pub(crate) fn input(&self) -> Input<'_> {
        Input::Bytes(&self.pixels, &self.normalisation)
    }

    /// The same as a data set to train on.
    pub(crate) fn into_parts(self, work: &Work<'_>) -> Parts {
        let Work { graph, size: [height, width], .. } = *work;
        let RandomImages { pixels, labels, normalisation } = self;
        let channels = graph.in_channels();
        Parts {
            name: "random images".to_owned(),
            classes: (0..graph.classes()).map(|class| class.to_string()).collect(),
            normalisation,
            train: ImageSet::Memory(Images { height, width, channels, pixels, labels }),
            validation: None,
            own_validation: false,
            test: None,
        }
    }
}

/// What an engine for training steps is made for.
pub(super) fn engine_config(work: &Work<'_>) -> EngineConfig {
    let Work { dtype, batch, size: [height, width], .. } = *work;
    let sgd = SgdConfig { momentum: 0.9, weight_decay: 5e-4, ..SgdConfig::default() };
    EngineConfig {
        dtype,
        batch,
        eval_batch: 1,
        height,
        width,
        optimizer: sgd.into(),
        ..EngineConfig::default()
    }
}

/// Training steps of a random network on the same random images.
pub(crate) struct TrainingSteps {
    pub(crate) engine: Engine,
    images: RandomImages,
    /// Whether the result of the step before is not taken yet.
    waits: bool,
}

impl TrainingSteps {
    pub(crate) fn new(work: &Work<'_>, device: &Device) -> anyhow::Result<Self> {
        let (graph, config) = (work.graph, engine_config(work));
        // It rejects a batch that does not fit into memory.
        Engine::check(graph, &config, 0, device)?;
        let network = Network::new(graph.clone(), Init::PyTorch, 0);
        let engine = Engine::new(network, &config, device)?;
        Ok(TrainingSteps { engine, images: RandomImages::new(work), waits: false })
    }

    /// A step whose operations are timed.
    pub(crate) fn timed_step(&mut self, profiler: &mut Profiler) -> Result<(), EngineError> {
        let targets = Targets::labels(&self.images.labels, 0.0);
        let batch = MicroBatch::whole(self.images.input(), targets);
        self.engine.timed_step(batch, RATE, profiler).map(drop)
    }

    /// A step. A GPU is one behind, so that it need not wait.
    pub(crate) fn step(&mut self) -> Result<(), EngineError> {
        let targets = Targets::labels(&self.images.labels, 0.0);
        let part = MicroBatch::whole(self.images.input(), targets);
        let result = self.engine.begin(part, &mut ())?;
        self.engine.apply(RATE)?;
        if result.is_none() && std::mem::replace(&mut self.waits, true) {
            self.engine.result()?;
        }
        Ok(())
    }
}

/// Calls `step` for `time`, at least once, after the warm-up; returns the time of each call.
pub(crate) fn repeat(
    time: Duration,
    mut step: impl FnMut() -> Result<(), EngineError>,
) -> Result<Vec<Duration>, EngineError> {
    for _ in 0..WARM_UP {
        step()?;
    }
    let start = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || start.elapsed() < time {
        let begun = Instant::now();
        step()?;
        times.push(begun.elapsed());
    }
    Ok(times)
}

/// Images per second of some work, measured for about this time.
pub(crate) fn images_per_second(
    work: &Work<'_>,
    device: &Device,
    time: Duration,
) -> anyhow::Result<f64> {
    let mut times = if work.trains {
        let mut steps = TrainingSteps::new(work, device)?;
        repeat(time, || steps.step())?
    } else {
        let Work { graph, dtype, batch, size: [height, width], .. } = *work;
        let mut plan = DeviceEvalPlan::new(graph, dtype, batch, height, width, &[], device)?;
        plan.load(&Network::new(graph.clone(), Init::PyTorch, 0))?;
        let images = RandomImages::new(work);
        repeat(time, || plan.forward(images.input(), batch).map(drop))?
    };
    Ok(work.batch as f64 / median(&mut times).as_secs_f64())
}
