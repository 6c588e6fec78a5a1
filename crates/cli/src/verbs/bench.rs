//! `resnet bench`: benchmarks training steps or inference on random images.

mod profile;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use resnet::{
    Cpu, Dtype, Network,
    data::Normalisation,
    engine::{Engine, EngineConfig, EvalPlan, Input, MicroBatch, Targets},
    network::Init,
    optim::SgdConfig,
    profile::{Peaks, Profiler, median},
    random::{Purpose, Random},
};
use serde::Serialize;

use crate::{
    args::{BenchArgs, Global, Mode},
    print,
};

/// Steps before the measurement: the first ones fault memory in and wake the threads.
const WARM_UP: usize = 2;

#[derive(Serialize)]
struct Record {
    arch: String,
    mode: &'static str,
    batch: usize,
    image_size: usize,
    dtype: Dtype,
    threads: usize,
    isa: &'static str,
    /// Median.
    ms_per_step: f64,
    images_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_mb: Option<f64>,
    steps: usize,
    #[serde(flatten)]
    profile: Option<profile::Record>,
}

/// The time of each step after the warm-up, and of its operations with `--profile`.
type Times = (Vec<Duration>, Option<Profiler>);

pub(crate) fn run(args: &BenchArgs, global: &Global) -> anyhow::Result<()> {
    let cpu = global.cpu()?;
    let time = Duration::from_secs_f64(args.seconds);
    let (mut times, profiler) = match args.mode {
        Mode::Train => time_training(args, &cpu, time)?,
        Mode::Eval => time_inference(args, &cpu, time)?,
    };
    let step = median(&mut times);
    let seconds = step.as_secs_f64();
    // Before the peaks are measured: that allocates memory too.
    let peak_memory_mb = peak_memory_mb();
    let profile = match profiler {
        Some(profiler) => Some(profile::Record::new(
            &profiler.finish(WARM_UP, step),
            &Peaks::measure(&cpu, args.dtype.into())?,
        )),
        None => None,
    };
    let record = Record {
        arch: args.arch.to_string(),
        mode: args.mode.name(),
        batch: args.batch,
        image_size: dimensions(args).1,
        dtype: args.dtype.into(),
        threads: cpu.threads(),
        isa: cpu.isa().name(),
        ms_per_step: 1e3 * seconds,
        images_per_second: args.batch as f64 / seconds,
        peak_memory_mb,
        steps: times.len(),
        profile,
    };
    if args.output.json {
        return print::json(&record);
    }
    let Record { arch, mode, batch, image_size, dtype, threads, isa, steps, .. } = &record;
    print::line(format!("{arch}, {mode}, {batch} images of {image_size}x{image_size}, {dtype}"))?;
    print::line(format!("  device       {isa}, {threads} threads"))?;
    print::line(format!("  step         {:.2} ms (median of {steps})", record.ms_per_step))?;
    print::line(format!("  throughput   {:.1} images/s", record.images_per_second))?;
    if let Some(mb) = record.peak_memory_mb {
        print::line(format!("  peak memory  {mb:.0} MB"))?;
    }
    match &record.profile {
        Some(profile) => profile.print(record.ms_per_step),
        None => Ok(()),
    }
}

/// A batch of random images.
struct RandomImages {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    normalisation: Normalisation,
}

impl RandomImages {
    fn new(args: &BenchArgs) -> Self {
        let (batch, size, classes) = dimensions(args);
        let mut random = Random::new(0, Purpose::Synthetic, &[]);
        RandomImages {
            pixels: (0..batch * size * size * 3).map(|_| random.next_u64() as u8).collect(),
            labels: (0..batch).map(|_| random.below(classes as u64) as u32).collect(),
            normalisation: Normalisation::new(vec![0.5; 3], vec![0.25; 3]),
        }
    }

    fn input(&self) -> Input<'_> {
        Input::Bytes(&self.pixels, &self.normalisation)
    }
}

/// Batch size, image size and number of classes.
fn dimensions(args: &BenchArgs) -> (usize, usize, usize) {
    let size = args.image_size.unwrap_or(args.arch.image_size());
    (args.batch, size, args.arch.default_classes())
}

// The plans come first: they reject a batch that does not fit into memory.

fn time_training(args: &BenchArgs, cpu: &Cpu, time: Duration) -> anyhow::Result<Times> {
    let (batch, size, classes) = dimensions(args);
    let config = EngineConfig {
        dtype: args.dtype.into(),
        batch,
        eval_batch: 1,
        height: size,
        width: size,
        optimizer: SgdConfig { momentum: 0.9, weight_decay: 5e-4, ..SgdConfig::default() }.into(),
        ..EngineConfig::default()
    };
    let graph = args.arch.graph(classes);
    Engine::check(&graph, &config, 0, cpu)?;
    let mut engine = Engine::new(Network::new(graph, Init::PyTorch, 0), &config, cpu)?;
    let images = RandomImages::new(args);
    let targets = Targets::labels(&images.labels, 0.0);
    let part = MicroBatch::whole(images.input(), targets);
    let mut profiler = args.profile.then(|| Profiler::new(engine.plan_summary().operations));
    let times = repeat(time, || {
        profiler.iter_mut().for_each(Profiler::begin);
        engine.backward(part, &mut profiler);
        // So small that training on random labels does not diverge.
        engine.apply(1e-4);
        profiler.iter_mut().for_each(Profiler::updated);
    });
    Ok((times, profiler))
}

fn time_inference(args: &BenchArgs, cpu: &Cpu, time: Duration) -> anyhow::Result<Times> {
    let (batch, size, classes) = dimensions(args);
    let graph = args.arch.graph(classes);
    let mut plan = EvalPlan::new(&graph, args.dtype.into(), batch, size, size, cpu)?;
    let images = RandomImages::new(args);
    let mut profiler = args.profile.then(|| Profiler::new(plan.summary().operations));
    plan.load(&Network::new(graph, Init::PyTorch, 0));
    let times = repeat(time, || {
        profiler.iter_mut().for_each(Profiler::begin);
        std::hint::black_box(plan.forward_with(images.input(), batch, &mut profiler));
    });
    Ok((times, profiler))
}

/// Calls `step` for `time`, at least once, after the warm-up; returns the time of each call.
fn repeat(time: Duration, mut step: impl FnMut()) -> Vec<Duration> {
    (0..WARM_UP).for_each(|_| step());
    let start = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || start.elapsed() < time {
        let begun = Instant::now();
        step();
        times.push(begun.elapsed());
    }
    times
}

/// Peak resident memory of this process in 10^6 bytes, on Linux.
fn peak_memory_mb() -> Option<f64> {
    let status = resnet_formats::read_text(Path::new("/proc/self/status"), 1 << 20).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = kib.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
