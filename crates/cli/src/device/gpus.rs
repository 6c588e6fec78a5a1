//! The GPUs of the machine, and which of them is taken.

use std::{
    fs,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use resnet::{
    Cpu, Device,
    data::default_data_dir,
    engine::gpu::{self, DeviceInfo, DeviceKind, Gpu, GpuError},
    summary::Summary,
};
use resnet_formats::Shown;

use super::{arg::DeviceArg, speed::images_per_second, work::Work};

/// A GPU, and whether `--device auto` takes it.
pub(crate) struct Listed {
    pub(crate) info: DeviceInfo,
    /// None if it cannot be opened.
    pub(crate) device: anyhow::Result<Device>,
    pub(crate) is_taken: bool,
}

/// All GPUs, and whether `--device auto` takes them for some work.
pub(crate) fn list(cpu: &Cpu, work: Work<'_>) -> Vec<Listed> {
    let taken = taken(cpu, work, &|_| {}).map(|(number, _)| number);
    let devices = gpu::devices().into_iter().enumerate();
    let listed = |(number, info)| {
        let device = tuned(number).map(|gpu| Device::Gpu(gpu, cpu.clone()));
        Listed { info, device: device.map_err(Into::into), is_taken: taken == Some(number) }
    };
    devices.map(listed).collect()
}

/// The GPU that is asked for, once it is open.
static OPEN: Mutex<Option<Gpu>> = Mutex::new(None);

/// What `--device auto` came to, once that is decided: the process has one device.
static DECIDED: Mutex<Option<Option<Gpu>>> = Mutex::new(None);

/// The device of some work, as [`choose`](super::choose).
pub(super) fn choose(
    asked: DeviceArg,
    cpu: &Cpu,
    needs_cpu: Option<&str>,
    work: Work<'_>,
    note: &dyn Fn(&str),
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
                let devices = node().map_or_else(Vec::new, |_| gpu::devices());
                if let Some(DeviceInfo { name, .. }) = devices.iter().find(|info| is_card(info)) {
                    note(&format!(
                        "the CPU computes, not {name}: {setting} is not available on a GPU"
                    ));
                }
                None
            }
            None => {
                let mut decided = DECIDED.lock().unwrap_or_else(PoisonError::into_inner);
                let decide = || taken(cpu, work, note).map(|(_, gpu)| gpu);
                decided.get_or_insert_with(decide).clone()
            }
        },
    };
    Ok(gpu.map_or_else(|| cpu.into(), |gpu| Device::Gpu(gpu, cpu.clone())))
}

/// The GPU of this number; without one, the first that is no software.
pub(super) fn open(number: Option<usize>) -> anyhow::Result<Gpu> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(gpu) = &*open {
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

/// The GPU that `--device auto` takes, with its number: a card, or that of a virtual machine. Else any other GPU that is
/// faster than the CPU. Never software.
fn taken(cpu: &Cpu, work: Work<'_>, note: &dyn Fn(&str)) -> Option<(usize, Gpu)> {
    let node = node();
    if cfg!(target_os = "linux") && node.is_none() {
        // No driver is loaded for nothing.
        return None;
    }
    let devices = gpu::devices();
    let hardware = devices.iter().position(|info| info.kind != DeviceKind::Software);
    let Some(number) = hardware else {
        if let Some(node) = node {
            let node = node.shown();
            note(&format!(
                "the CPU computes: there is a GPU ({node}), but no driver of Vulkan for it that this process can \
                 use (--device cpu does not look for one)"
            ));
        }
        return None;
    };
    let name = &devices[number].name;
    let gpu = match tuned(number) {
        Ok(gpu) => gpu,
        Err(error) => {
            note(&format!("the CPU computes: {error}"));
            return None;
        }
    };
    if is_card(&devices[number]) {
        return Some((number, gpu));
    }
    match is_faster(&gpu, cpu, work) {
        Ok(true) => Some((number, gpu)),
        Ok(false) => None,
        Err(error) => {
            note(&format!("the CPU computes: {name}: {error:#}"));
            None
        }
    }
}

/// Opens a GPU. Which of its kernels are the fastest is measured once, and kept with the data sets.
fn tuned(number: usize) -> Result<Gpu, GpuError> {
    let gpu = Gpu::open(number)?;
    if let Ok(folder) = default_data_dir() {
        gpu.tune(&folder.join("gpu-kernels.txt"))?;
    }
    Ok(gpu)
}

/// Whether it is taken without a measurement.
fn is_card(info: &DeviceInfo) -> bool {
    matches!(info.kind, DeviceKind::Discrete | DeviceKind::Virtual)
}

/// Floating-point operations of a step that is measured: a fraction of a second for any CPU.
const STEP: f64 = 2e10;
/// How long each side is measured.
const TIME: Duration = Duration::from_millis(500);

/// Whether a GPU does some work faster than the CPU, by a few steps of each.
fn is_faster(gpu: &Gpu, cpu: &Cpu, work: Work<'_>) -> anyhow::Result<bool> {
    let [height, width] = work.size;
    let macs = Summary::new(work.graph, height, width)?.macs as f64;
    // A backward pass takes twice as long as a forward pass.
    let image = 2.0 * macs * if work.trains { 3.0 } else { 1.0 };
    let batch = ((STEP / image) as usize).clamp(1, work.batch);
    let work = Work { batch, ..work };
    let of_gpu = images_per_second(&work, &Device::Gpu(gpu.clone(), cpu.clone()), TIME)?;
    let of_cpu = images_per_second(&work, &cpu.into(), TIME)?;
    Ok(of_gpu > of_cpu)
}

/// A device node of a GPU, on Linux: of NVIDIA's driver, AMD's, Windows' subsystem, or any other.
fn node() -> Option<PathBuf> {
    let known = ["/dev/nvidiactl", "/dev/kfd", "/dev/dxg"].map(PathBuf::from);
    let others = fs::read_dir("/dev/dri").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_render = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("renderD"))
    };
    let mut nodes = known.into_iter().filter(|node| node.exists()).chain(others.filter(is_render));
    nodes.next()
}
