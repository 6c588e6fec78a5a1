//! The GPUs of the machine, and which of them is taken.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use resnet::{
    Cpu, Device,
    data::default_data_dir,
    engine::{
        DeviceEvalPlan, Engine, EngineError,
        gpu::{self, DeviceInfo, DeviceKind, Gpu, GpuError, Measured},
    },
    summary::Summary,
    train,
};

use super::{
    arg::DeviceArg,
    auto::{WhyCpu, check_memory, decide, is_card},
    node::node,
    speed::{engine_config, images_per_second},
    why_cpu::set_why_cpu,
    work::Work,
};

/// A GPU, and whether `--device auto` takes it.
pub(crate) struct Listed {
    pub(crate) info: DeviceInfo,
    /// None if it cannot be opened.
    pub(crate) device: anyhow::Result<Device>,
    pub(crate) is_taken: bool,
}

/// All GPUs, and whether `--device auto` takes them for some work.
pub(crate) fn list(cpu: &Cpu, work: Work<'_>) -> Vec<Listed> {
    let taken = taken(cpu, work).ok().map(|(number, _)| number);
    let devices = gpu::devices().into_iter().enumerate();
    let listed = |(number, info)| {
        let device = tuned(number).map(|gpu| Device::Gpu(gpu, cpu.clone()));
        Listed { info, device: device.map_err(Into::into), is_taken: taken == Some(number) }
    };
    devices.map(listed).collect()
}

/// The GPU that is asked for, once it is open. If it was lost it is opened again.
static OPEN: Mutex<Option<Gpu>> = Mutex::new(None);

/// What `--device auto` came to, once that is decided: the process has one device, until it is lost.
static DECIDED: Mutex<Option<Option<Gpu>>> = Mutex::new(None);

/// The device of some work, as [`choose`](super::choose).
pub(super) fn choose(
    asked: DeviceArg,
    cpu: &Cpu,
    needs_cpu: Option<&str>,
    work: Work<'_>,
    note: impl Fn(&str) + Clone + Send + 'static,
) -> anyhow::Result<Device> {
    let gpu = match asked {
        DeviceArg::Cpu => None,
        DeviceArg::Gpu(number) => {
            if let Some(setting) = needs_cpu {
                bail!(
                    "{setting} is not available on a GPU: use --device cpu, not {}",
                    number.map_or("gpu".to_owned(), |number| format!("gpu:{number}"))
                );
            }
            Some(open(number)?)
        }
        DeviceArg::Auto => match needs_cpu {
            Some(setting) => {
                let devices = found(node().as_deref());
                let hardware = devices.iter().find(|info| info.kind != DeviceKind::Software);
                if let Some(DeviceInfo { name, .. }) = hardware {
                    note(&format!(
                        "the CPU computes, not {name}: {setting} is not available on a GPU"
                    ));
                }
                None
            }
            None => {
                let mut decided = DECIDED.lock().unwrap_or_else(PoisonError::into_inner);
                if matches!(&*decided, Some(Some(gpu)) if gpu.is_lost()) {
                    *decided = None;
                }
                let find = || match taken(cpu, work) {
                    Ok((_, gpu)) => Some(gpu),
                    Err(why) => {
                        tell(&why, &note);
                        None
                    }
                };
                decided.get_or_insert_with(find).clone()
            }
        },
    };
    let Some(gpu) = gpu else { return Ok(cpu.into()) };
    let device = Device::Gpu(gpu.clone(), cpu.clone());
    // Others may have taken its memory since it was measured.
    let has_memory = match asked {
        DeviceArg::Auto => check_memory(device.name(), work.batch, || largest_batch(&device, work)),
        DeviceArg::Cpu | DeviceArg::Gpu(_) => Ok(()),
    };
    if let Err(why) = has_memory {
        tell(&why, &note);
        return Ok(cpu.into());
    }
    // What was only tried has nothing to say.
    gpu.on_note(move |text| note(text));
    Ok(device)
}

/// The largest batch of some work, up to its own, that a GPU has memory for. Whatever else is wrong, the work says.
fn largest_batch(device: &Device, work: Work<'_>) -> anyhow::Result<usize> {
    let Work { graph, dtype, batch, size: [height, width], .. } = work;
    let largest = match (work.trains, work.config) {
        // It computes fewer at a time where it has to.
        (false, _) => match DeviceEvalPlan::new(graph, dtype, batch, height, width, &[], device) {
            Err(error) if error.lacks_memory() => Ok(0),
            made => made.map(|_| batch),
        },
        (true, Some(config)) => {
            train::largest_batch(config, 0, device).map(|largest| largest.unwrap_or(0))
        }
        (true, None) => Engine::largest_batch(graph, &engine_config(&work), 0, device),
    };
    match largest {
        Err(EngineError::Plan(_)) => Ok(batch),
        largest => Ok(largest?),
    }
}

/// What was said last: the next network or image size may have the same to say.
static TOLD: Mutex<Option<String>> = Mutex::new(None);

/// Says why the CPU computes: at once if something is wrong, else in the header of a run.
fn tell(why: &WhyCpu, note: &dyn Fn(&str)) {
    match why {
        WhyCpu::NoGpu | WhyCpu::Slower(_) => set_why_cpu(why.to_string()),
        WhyCpu::NoDriver(_) | WhyCpu::Failed(_) | WhyCpu::Memory { .. } => {
            let text = format!("the CPU computes: {why}");
            let mut last = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
            if last.as_ref() != Some(&text) {
                note(&text);
                *last = Some(text);
            }
        }
    }
}

/// The GPU of this number; without one, the first that is no software.
pub(super) fn open(number: Option<usize>) -> anyhow::Result<Gpu> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(gpu) = &*open
        && !gpu.is_lost()
    {
        return Ok(gpu.clone());
    }
    let number = match number {
        Some(number) => number,
        None => {
            let devices = gpu::devices();
            let hardware = devices.iter().position(|info| info.kind != DeviceKind::Software);
            hardware.with_context(|| match devices.first() {
                None => "--device gpu: there is no GPU with a driver of Vulkan, Metal or DirectX 12. Install the \
                         driver of the GPU, or leave out --device"
                    .to_owned(),
                Some(DeviceInfo { name, .. }) => format!(
                    "--device gpu: there is only {name}, which is software on the CPU. Leave out --device, or take it \
                     with --device gpu:0"
                ),
            })?
        }
    };
    let gpu = tuned(number).with_context(|| format!("--device gpu:{number}"))?;
    *open = Some(gpu.clone());
    Ok(gpu)
}

/// The first GPU of this name.
pub(super) fn of_name(name: &str) -> Option<DeviceArg> {
    let number = gpu::devices().iter().position(|info| info.name == name)?;
    Some(DeviceArg::Gpu(Some(number)))
}

/// The GPUs. On Linux no driver is loaded without a device node.
fn found(node: Option<&Path>) -> Vec<DeviceInfo> {
    if cfg!(target_os = "linux") && node.is_none() { Vec::new() } else { gpu::devices() }
}

/// The GPU that `--device auto` takes, with its number, or why it takes the CPU.
fn taken(cpu: &Cpu, work: Work<'_>) -> Result<(usize, Gpu), WhyCpu> {
    let node = node();
    let devices = found(node.as_deref());
    let open = |number| tuned(number).map_err(anyhow::Error::from);
    decide(node, &devices, open, |info, gpu| is_worth_it(info, gpu, cpu, work))
}

/// Opens a GPU. Which of its kernels are the fastest is measured once, and kept.
fn tuned(number: usize) -> Result<Gpu, GpuError> {
    let gpu = Gpu::open(number)?;
    if let Some(file) = kept("gpu-kernels.txt") {
        gpu.tune(&file)?;
    }
    Ok(gpu)
}

/// A file of what was measured of this machine: in the user's cache folder, since `--data-dir` may be other machines' too.
fn kept(name: &str) -> Option<PathBuf> {
    default_data_dir().ok().map(|folder| folder.join(name))
}

/// Floating-point operations of a step that is measured: a fraction of a second for any CPU.
const STEP: f64 = 2e10;
/// Images of a step that only has to succeed.
const FEW: usize = 2;
/// How long each side is measured.
const TIME: Duration = Duration::from_millis(500);

/// Whether a GPU does some work: a card if it can, another one if it is faster than the CPU by a few steps of each. What was
/// found once is kept, for this network and its batches.
fn is_worth_it(info: &DeviceInfo, gpu: &Gpu, cpu: &Cpu, work: Work<'_>) -> anyhow::Result<bool> {
    let Work { dtype, batch, size: [height, width], trains, .. } = work;
    let macs = Summary::new(work.graph, height, width)?.macs;
    let key = format!(
        "{}; {}, {} threads; {} of {batch} images of {height}x{width}, {macs} multiply-accumulates each, in {dtype}",
        gpu.measured_as(),
        cpu.isa().name(),
        cpu.threads(),
        if trains { "training" } else { "inference" }
    );
    let file = kept("gpu-speed.txt");
    let kept = file.as_deref().map(Measured);
    match kept.and_then(|kept| kept.get(&key)).as_deref() {
        Some("gpu") => return Ok(true),
        Some("cpu") => return Ok(false),
        _ => {}
    }
    let device = Device::Gpu(gpu.clone(), cpu.clone());
    let is_taken = if is_card(info) {
        let work = Work { batch: batch.min(FEW), ..work };
        images_per_second(&work, &device, Duration::ZERO)?;
        true
    } else {
        // A backward pass takes twice as long as a forward pass.
        let image = 2.0 * macs as f64 * if trains { 3.0 } else { 1.0 };
        let work = Work { batch: ((STEP / image) as usize).clamp(1, batch), ..work };
        let of_gpu = images_per_second(&work, &device, TIME)?;
        of_gpu > images_per_second(&work, &cpu.into(), TIME)?
    };
    if let Some(kept) = kept {
        kept.set(&key, if is_taken { "gpu" } else { "cpu" });
    }
    Ok(is_taken)
}
