//! `resnet bench`: benchmarks training steps or inference on random images.

mod profile;
mod shared;

use std::{path::Path, process::ExitCode, time::Duration};

use resnet::{
    Device, Dtype, Network,
    engine::{DeviceEvalPlan, EvalPlan},
    network::Init,
    profile::{Peaks, Profiler, median},
    recipe::Wire,
    train::Group,
};
use resnet_formats::printable;
use serde::Serialize;

use crate::{
    args::{BenchArgs, Global, Mode},
    device::{DeviceArg, RandomImages, TrainingSteps, WARM_UP, Work, repeat},
    error::Usage,
    print, processes,
};

#[derive(Serialize)]
struct Record {
    arch: String,
    mode: &'static str,
    /// Images of all processes together.
    batch: usize,
    image_size: usize,
    dtype: Dtype,
    /// The GPU that computed, with its driver; none if the CPU did.
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu: Option<String>,
    processes: usize,
    /// Of each process.
    threads: usize,
    isa: &'static str,
    /// Median.
    ms_per_step: f64,
    /// Of a step, how long process 0 waits for others, and takes in what they sent: the median. None if it is alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    communication_ms_per_step: Option<f64>,
    /// Of all processes together.
    images_per_second: f64,
    /// Of this process; none where it is not known.
    peak_memory_mb: Option<f64>,
    steps: usize,
    #[serde(flatten)]
    profile: Option<profile::Record>,
}

/// The time of each step after the warm-up, and of its operations with `--profile`.
type Times = (Vec<Duration>, Option<Profiler>);

pub(crate) fn run(args: &BenchArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let group = processes::group()?.with_timeout(args.comm.timeout);
    let result = bench(&group, args, global).map(|()| 0);
    processes::end(group, result)
}

/// Benchmarks as one process of a group, of which the first prints the result.
fn bench(group: &Group, args: &BenchArgs, global: &Global) -> anyhow::Result<()> {
    let side = side(args);
    let graph = args.arch.graph(args.arch.default_classes());
    let work = Work {
        graph: &graph,
        dtype: args.dtype.into(),
        batch: args.batch,
        size: [side; 2],
        trains: args.mode == Mode::Train,
        config: None,
    };
    let (device, (mut times, profiler), waits) = if group.size() > 1 {
        let (device, steps) = shared::times(group, &work, args, global)?;
        if !group.is_first() {
            return Ok(());
        }
        let (times, waits): (Vec<_>, Vec<_>) =
            steps.iter().map(|time| (time.step, time.waited)).unzip();
        (device, (times, None), Some(waits))
    } else {
        if args.comm.wire() == Some(Wire::Bf16) {
            let message = "--wire bf16 is how gradients travel between processes, and this is the only one: start \
                           several with mpirun or srun";
            return Err(Usage(message.into()).into());
        }
        let device = device(&work, args, global)?;
        let time = Duration::from_secs_f64(args.seconds);
        let times = match args.mode {
            Mode::Train => time_training(&work, args, &device, time)?,
            Mode::Eval => time_inference(&work, args, &device, time)?,
        };
        (device, times, None)
    };
    let cpu = device.cpu();
    let step = median(&mut times);
    let seconds = step.as_secs_f64();
    // Before the peaks are measured: that allocates memory too.
    let peak_memory_mb = peak_memory_mb();
    let profile = match profiler {
        Some(profiler) => Some(profile::Record::new(
            &profiler.finish(WARM_UP, step),
            &Peaks::measure(&device, args.dtype.into())?,
        )),
        None => None,
    };
    let record = Record {
        arch: args.arch.to_string(),
        mode: args.mode.name(),
        batch: args.batch,
        image_size: side,
        dtype: args.dtype.into(),
        gpu: device.gpu_name(),
        processes: group.size(),
        threads: cpu.threads(),
        isa: cpu.isa().name(),
        ms_per_step: 1e3 * seconds,
        communication_ms_per_step: waits.map(|mut waits| 1e3 * median(&mut waits).as_secs_f64()),
        images_per_second: args.batch as f64 / seconds,
        peak_memory_mb,
        steps: times.len(),
        profile,
    };
    if args.output.json {
        return print::json(&record);
    }
    let Record { arch, mode, batch, image_size, dtype, threads, isa, steps, .. } = &record;
    let images = print::counted(*batch as u64, "image");
    print::line(format!("{arch}, {mode}, {images} of {image_size}x{image_size}, {dtype}"))?;
    let device = record.gpu.as_deref().unwrap_or(isa);
    let mut threads = print::counted(*threads as u64, "thread");
    let (mut wait, mut of) = (String::new(), "");
    if let Some(ms) = record.communication_ms_per_step {
        threads = format!("{} processes of {threads}", record.processes);
        wait = format!(", {ms:.2} ms of it waiting for other processes");
        of = " (process 0)";
    }
    print::line(format!("  device       {}, {threads}", printable(device)))?;
    print::line(format!("  step         {:.2} ms (median of {steps}){wait}", record.ms_per_step))?;
    print::line(format!("  throughput   {:.1} images/s", record.images_per_second))?;
    if let Some(mb) = record.peak_memory_mb {
        print::line(format!("  peak memory  {mb:.0} MB{of}"))?;
    }
    match &record.profile {
        Some(profile) => profile.print(record.ms_per_step),
        None => Ok(()),
    }
}

/// What a process alone computes with.
fn device(work: &Work<'_>, args: &BenchArgs, global: &Global) -> anyhow::Result<Device> {
    match (args.profile && args.mode == Mode::Eval, global.device) {
        (false, _) => global.device(*work),
        (true, DeviceArg::Gpu(_)) => {
            let message =
                "--mode eval --profile times the operations of the CPU: leave out --device";
            Err(Usage(message.into()).into())
        }
        (true, _) => Ok(Device::Cpu(global.cpu()?)),
    }
}

/// Rows and columns of the images.
fn side(args: &BenchArgs) -> usize {
    args.image_size.unwrap_or(args.arch.image_size())
}

fn time_training(
    work: &Work<'_>,
    args: &BenchArgs,
    device: &Device,
    time: Duration,
) -> anyhow::Result<Times> {
    let mut steps = TrainingSteps::new(work, device)?;
    let mut profiler = args.profile.then(|| Profiler::new(steps.engine.operations()));
    let times = repeat(time, || match &mut profiler {
        Some(profiler) => steps.timed_step(profiler),
        None => steps.step(),
    })?;
    Ok((times, profiler))
}

fn time_inference(
    work: &Work<'_>,
    args: &BenchArgs,
    device: &Device,
    time: Duration,
) -> anyhow::Result<Times> {
    let &Work { graph, dtype, batch, size: [height, width], .. } = work;
    let network = Network::new(graph.clone(), Init::PyTorch, 0);
    // The plan comes first: it rejects a batch that does not fit into memory.
    if !args.profile {
        let mut plan = DeviceEvalPlan::new(graph, dtype, batch, height, width, &[], device)?;
        plan.load(&network)?;
        let images = RandomImages::new(work);
        let times = repeat(time, || plan.forward(images.input(), batch).map(drop))?;
        return Ok((times, None));
    }
    let mut plan = EvalPlan::new(graph, dtype, batch, height, width, device.cpu())?;
    plan.load(&network);
    let images = RandomImages::new(work);
    let mut profiler = Profiler::new(plan.summary().operations);
    let times = repeat(time, || {
        profiler.begin();
        std::hint::black_box(plan.forward_with(images.input(), batch, &mut profiler));
        Ok(())
    })?;
    Ok((times, Some(profiler)))
}

/// Peak resident memory of this process in 10^6 bytes, on Linux.
fn peak_memory_mb() -> Option<f64> {
    let status = resnet_formats::read_text(Path::new("/proc/self/status"), 1 << 20).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = kib.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
