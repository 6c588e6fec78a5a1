//! Training on a device, which holds all that training changes.

use std::{collections::VecDeque, time::Duration};

use resnet_kernels::{Dtype, loss::Target};
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
};
use resnet_program::{Input, MicroBatch, StepResult, lower::Lowering, program::Program};

use crate::{
    Gpu, GpuError, GpuEvalPlan, Settings,
    buffer::Allocator,
    clock::Clock,
    memory::{Arenas, targets_and_results},
    muon::Muon,
    train::{Loss, LossBuffers, TrainPlan},
    update::Updates,
};

mod room;
mod update;

/// Trains a network on a device: parameters, their gradients, running statistics, what the optimiser keeps and the
/// average stay there. Calls return as soon as the device has its commands.
#[derive(Debug)]
pub struct GpuEngine {
    pub(crate) gpu: Gpu,
    settings: Settings,
    /// Names the places of parameters. Its values are those that were loaded.
    pub(crate) network: Network,
    /// `num_batches_tracked` of each batch norm, and whether a step moves it.
    pub(crate) tracked: Vec<(i64, bool)>,
    pub(crate) average_tracked: Vec<i64>,
    pub(crate) arenas: Arenas,
    pub(crate) average: Option<Arenas>,
    pub(crate) updates: Updates,
    muon: Option<Muon>,
    targets: wgpu::Buffer,
    class_weights: wgpu::Buffer,
    results: wgpu::Buffer,
    /// None only after a plan could not be made.
    train: Option<TrainPlan>,
    eval: GpuEvalPlan,
    /// What the plan for evaluation has loaded: the average or the network.
    loaded: Option<bool>,
    waiting: VecDeque<Waiting>,
    /// Staging buffers that wait for another step.
    spare: Vec<wgpu::Buffer>,
}

/// A step whose result is not known.
#[derive(Debug)]
struct Waiting {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
    images: usize,
    divisor: f64,
}

impl GpuEngine {
    /// An engine for a network, before its first step.
    ///
    /// # Errors
    /// If the graph does not fit the images, or the device has too little memory.
    pub fn new(gpu: &Gpu, network: &Network, settings: &Settings) -> Result<Self, GpuError> {
        let made = GpuEngine::of(gpu, network, settings);
        let Err(GpuError::Memory { device, reason, .. }) = made else { return made };
        let (batch, fits) = (settings.batch, GpuEngine::largest_batch(gpu, network, settings, 0));
        // All of it would, if another program has returned memory meanwhile.
        let fits = fits.ok().filter(|&fits| fits < batch);
        Err(GpuError::Memory { device, batch, reason, fits })
    }

    fn of(gpu: &Gpu, network: &Network, settings: &Settings) -> Result<Self, GpuError> {
        let mut engine = GpuEngine::unplanned(gpu, network, settings)?;
        engine.plan(engine.lowering(network.graph(), settings.batch))?;
        Allocator::new(gpu, settings.batch).check_room(engine.loaded_bytes())?;
        let zeros = vec![vec![0.0; network.values().len()]; settings.buffers];
        engine.load(network, &zeros);
        gpu.check()?;
        Ok(engine)
    }

    /// All but the plan of a step.
    fn unplanned(gpu: &Gpu, network: &Network, settings: &Settings) -> Result<Self, GpuError> {
        let Settings { batch, eval_batch, height, width, buffers, .. } = *settings;
        let allocator = Allocator::new(gpu, batch);
        let arenas = Arenas::new(gpu, network, batch, true)?;
        let average =
            settings.average.then(|| Arenas::new(gpu, network, batch, false)).transpose()?;
        let graph = network.graph();
        let [targets, results] = targets_and_results(&allocator, graph.classes(), batch)?;
        let updates = Updates::new(gpu, network, &arenas, average.as_ref(), buffers, batch)?;
        let of_muon = || Muon::new(gpu, network, &arenas, updates.momentum(), batch);
        let muon = settings.muon.then(of_muon).transpose()?;
        Ok(GpuEngine {
            gpu: gpu.clone(),
            settings: *settings,
            tracked: network.all_batches_tracked().iter().map(|&count| (count, true)).collect(),
            average_tracked: network.all_batches_tracked().to_vec(),
            updates,
            muon,
            targets,
            class_weights: allocator.zeros("class weights", graph.classes() * size_of::<f32>())?,
            results,
            train: None,
            eval: GpuEvalPlan::new(gpu, graph, Dtype::Fp32, eval_batch, [height, width], &[])?,
            network: network.clone(),
            arenas,
            average,
            loaded: None,
            waiting: VecDeque::new(),
            spare: Vec::new(),
        })
    }

    /// How steps are lowered at first, which takes the most memory.
    fn lowering<'a>(&self, graph: &'a Graph, batch: usize) -> Lowering<'a> {
        let Settings { dtype, height, width, .. } = self.settings;
        Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] }
    }

    fn plan(&mut self, lowering: Lowering<'_>) -> Result<(), GpuError> {
        let loss = LossBuffers {
            targets: &self.targets,
            class_weights: &self.class_weights,
            results: &self.results,
        };
        let (momentum, earlier) = (self.settings.norm_momentum, self.train.take());
        let network = &self.network;
        let plan =
            TrainPlan::new(&self.gpu, network, &self.arenas, lowering, momentum, loss, earlier)?;
        self.train = Some(plan);
        Ok(())
    }

    /// Replaces parameters, running statistics and what the optimiser keeps. An average starts again, from this
    /// network.
    ///
    /// # Panics
    /// If the buffers are of another network or optimiser.
    pub fn load(&mut self, network: &Network, buffers: &[Vec<f32>]) {
        assert!(network.graph() == self.network.graph(), "a network of another graph");
        self.arenas.write(&self.gpu, network);
        self.updates.write(&self.gpu, buffers);
        for (own, &count) in self.tracked.iter_mut().zip(network.all_batches_tracked()) {
            own.0 = count;
        }
        self.loaded = None;
        if self.average.is_some() {
            self.load_average(network);
        }
    }

    /// Replaces the average.
    ///
    /// # Panics
    /// If there is none.
    pub fn load_average(&mut self, network: &Network) {
        self.average.as_ref().expect("the engine keeps an average").write(&self.gpu, network);
        self.average_tracked.copy_from_slice(network.all_batches_tracked());
        self.loaded = None;
    }

    /// Plans the next steps: for images of `height` x `width`, without the gradients that only the parameters of
    /// `frozen` nodes need, and with the running statistics in the batch norms `eval`, which stay.
    ///
    /// # Errors
    /// As [`GpuEngine::new`]. The engine can then not be used.
    pub fn replan(
        &mut self,
        height: usize,
        width: usize,
        frozen: &[NodeId],
        eval: &[NodeId],
    ) -> Result<(), GpuError> {
        let Settings { dtype, batch, .. } = self.settings;
        let graph = self.network.graph().clone();
        for (norm, (_, moves)) in self.network.norms().zip(&mut self.tracked) {
            *moves = !eval.contains(&norm);
        }
        self.plan(Lowering { graph: &graph, dtype, batch, height, width, frozen, eval })
    }

    /// Begins forward, loss and backward of a micro-batch. Its gradients replace those before, or with `accumulate`
    /// are added to them. [`GpuEngine::result`] returns the loss.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If the micro-batch has no images or more than [`Settings::batch`] or than its input, or a target does not fit
    /// the classes.
    pub fn backward(
        &mut self,
        micro_batch: MicroBatch<'_>,
        accumulate: bool,
    ) -> Result<(), GpuError> {
        self.submit(micro_batch, accumulate, None)
    }

    /// [`GpuEngine::backward`] of a whole step, measured by the device's clock: the time of each operation of the
    /// [program](GpuEngine::program), 0 for the update. Waits for the device.
    ///
    /// # Errors
    /// If the device has no clock for that, or was lost.
    ///
    /// # Panics
    /// As [`GpuEngine::backward`], or if the input is features.
    pub fn timed_backward(
        &mut self,
        micro_batch: MicroBatch<'_>,
    ) -> Result<Vec<Duration>, GpuError> {
        assert!(
            !matches!(micro_batch.input, Input::Features(_)),
            "a step by features is no whole one"
        );
        let operations = self.program().operations.len();
        let clock = Clock::new(&self.gpu, operations + 1)?;
        self.submit(micro_batch, false, Some(&clock))?;
        let times = clock.read(&self.gpu)?;
        Ok(times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect())
    }

    /// Waits until the device has done everything.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn idle(&self) -> Result<(), GpuError> {
        self.gpu.idle()
    }

    /// The program of a training step.
    pub fn program(&self) -> &Program {
        &self.train.as_ref().expect(PLANNED).program
    }

    fn submit(
        &mut self,
        micro_batch: MicroBatch<'_>,
        accumulate: bool,
        clock: Option<&Clock>,
    ) -> Result<(), GpuError> {
        let MicroBatch { input, targets, .. } = micro_batch;
        let (n, classes) = (targets.len(), self.network.graph().classes());
        assert!((1..=self.settings.batch).contains(&n), "{n} images of a batch");
        assert!(targets.target.fits(classes), "a target is none of {classes} classes");
        let weights = targets.class_weights.map_or(classes, <[f32]>::len);
        assert_eq!(weights, classes, "class weights of other classes");
        let soft = match targets.target {
            Target::Labels(labels) => {
                self.gpu.write(&self.targets, 0, labels);
                false
            }
            Target::Probabilities { values, .. } => {
                self.gpu.write(&self.targets, 0, values);
                true
            }
        };
        match targets.class_weights {
            Some(weights) => self.gpu.write(&self.class_weights, 0, weights),
            None => self.gpu.write(&self.class_weights, 0, &vec![1.0_f32; classes]),
        }
        let divisor = micro_batch.divisor();
        let loss = Loss { soft, smoothing: targets.label_smoothing, divisor };
        let bytes = 2 * self.settings.batch * size_of::<f32>();
        let staging = match self.spare.pop() {
            Some(staging) => staging,
            None => Allocator::new(&self.gpu, self.settings.batch).staging(bytes)?,
        };
        let (results, times) = (&self.results, clock.map(Clock::times));
        let train = self.train.as_mut().expect(PLANNED);
        let submission = train.run(&self.gpu, input, n, (loss, accumulate), times, |encoder| {
            encoder.copy_buffer_to_buffer(results, 0, &staging, 0, (8 * n) as u64);
            clock.iter().for_each(|clock| clock.resolve(encoder));
        })?;
        self.waiting.push_back(Waiting { staging, submission, images: n, divisor });
        self.tracked.iter_mut().filter(|(_, moves)| *moves).for_each(|(count, _)| {
            *count = count.wrapping_add(1);
        });
        self.loaded = None;
        self.gpu.check()
    }

    /// Micro-batches whose result was not taken.
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// The result of the first micro-batch whose result was not taken. Waits for it.
    ///
    /// # Errors
    /// If the device was lost.
    ///
    /// # Panics
    /// If there is none.
    pub fn result(&mut self) -> Result<StepResult, GpuError> {
        let waiting = self.waiting.pop_front().expect("a micro-batch without a result");
        let Waiting { staging, submission, images, divisor } = waiting;
        let bytes = self.gpu.map(&staging, (8 * images) as u64, submission)?;
        self.spare.push(staging);
        let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let (mut loss, mut correct) = (0.0, 0);
        for image in bytes.chunks_exact(8) {
            loss += f64::from(float(&image[..4]));
            correct += usize::from(float(&image[4..]) == 1.0);
        }
        Ok(StepResult { loss: loss / divisor, correct })
    }

    /// Logits `[images][classes]` of the network, or of the average, with running statistics. Waits for the device.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn evaluate(
        &mut self,
        of_average: bool,
        input: Input<'_>,
        images: usize,
    ) -> Result<&[f32], GpuError> {
        self.load_eval(of_average)?;
        self.eval.forward(input, images)
    }

    /// What enters the head for some images in training, `[images][features]`.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn features(&mut self, input: Input<'_>, images: usize) -> Result<Vec<f32>, GpuError> {
        assert!(images <= self.settings.batch, "{images} images in an engine for fewer");
        self.loaded = None;
        self.train.as_mut().expect(PLANNED).features(&self.gpu, input, images)
    }

    /// What enters the head for some images in evaluation.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn evaluated_features(
        &mut self,
        of_average: bool,
        input: Input<'_>,
        images: usize,
    ) -> Result<Vec<f32>, GpuError> {
        self.load_eval(of_average)?;
        self.eval.features(input, images)
    }

    fn load_eval(&mut self, of_average: bool) -> Result<(), GpuError> {
        if self.loaded != Some(of_average) {
            let average = self.average.as_ref().filter(|_| of_average);
            self.eval.load_from(average.unwrap_or(&self.arenas))?;
            self.loaded = Some(of_average);
        }
        Ok(())
    }
}

const PLANNED: &str = "the last plan was made";

#[cfg(test)]
mod tests;
