//! Which device computes: `--device`. Nothing else decides it.

mod arg;
#[cfg(feature = "gpu")]
mod auto;
#[cfg(feature = "gpu")]
mod gpus;
mod node;
mod speed;
mod why_cpu;
mod work;

use resnet::{Cpu, Device};

#[cfg(feature = "gpu")]
pub(crate) use self::gpus::{Listed, list};
pub(crate) use self::{
    arg::DeviceArg,
    speed::{RATE, RandomImages, TrainingSteps, WARM_UP, images_per_second, repeat},
    why_cpu::why_cpu,
    work::Work,
};

/// The [name](Device::name) of the CPU.
const CPU: &str = "cpu";

/// The device of some work, which may have a setting that only the CPU has. `note` gets what a person would
/// want to know: also later, if a GPU computes fewer images at a time than it is given.
///
/// # Errors
/// If a GPU is asked for, and there is none, it cannot be used, or the CPU is needed.
pub(crate) fn choose(
    asked: DeviceArg,
    cpu: &Cpu,
    needs_cpu: Option<&str>,
    work: Work<'_>,
    note: impl Fn(&str) + Clone + Send + 'static,
) -> anyhow::Result<Device> {
    match asked {
        DeviceArg::Cpu => Ok(cpu.into()),
        #[cfg(feature = "gpu")]
        asked => gpus::choose(asked, cpu, needs_cpu, work, note),
        #[cfg(not(feature = "gpu"))]
        asked => {
            let _ = (work.config, note);
            check(asked)?;
            if needs_cpu.is_none() && node::node().is_some() {
                why_cpu::set_why_cpu("built without GPU support (--features gpu)".to_owned());
            }
            Ok(cpu.into())
        }
    }
}

/// Checks a GPU that is asked for, before anything is done.
///
/// # Errors
/// If there is none, or it cannot be used.
pub(crate) fn check(asked: DeviceArg) -> anyhow::Result<()> {
    name(asked).map(drop)
}

/// The device of this [name](Device::name), if it is there.
pub(crate) fn of_name(name: &str) -> Option<DeviceArg> {
    match name {
        CPU => Some(DeviceArg::Cpu),
        #[cfg(feature = "gpu")]
        name => gpus::of_name(name),
        #[cfg(not(feature = "gpu"))]
        _ => None,
    }
}

/// The [name](Device::name) of the device that is asked for; none for `auto`, which depends on the work.
///
/// # Errors
/// If that GPU is not there or cannot be used.
pub(crate) fn name(asked: DeviceArg) -> anyhow::Result<Option<String>> {
    match asked {
        DeviceArg::Auto => Ok(None),
        DeviceArg::Cpu => Ok(Some(CPU.to_owned())),
        #[cfg(feature = "gpu")]
        DeviceArg::Gpu(number) => Ok(Some(gpus::open(number)?.info().name.clone())),
        #[cfg(not(feature = "gpu"))]
        DeviceArg::Gpu(_) => anyhow::bail!(
            "this `resnet` was built without GPUs: leave out --device, or build it with `cargo build --release \
             --features gpu`"
        ),
    }
}
