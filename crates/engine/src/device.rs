//! Where networks run.

use resnet_kernels::Cpu;

/// What computes: this machine's processor, or a GPU of it.
///
/// An [`Engine`](crate::Engine) or a [`DeviceEvalPlan`](crate::DeviceEvalPlan) takes one, and `&Cpu` is one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    Cpu(Cpu),
    /// A GPU, and the processor, which still loads and augments.
    #[cfg(feature = "gpu")]
    Gpu(resnet_gpu::Gpu, Cpu),
}

impl Device {
    /// The processor.
    pub fn cpu(&self) -> &Cpu {
        match self {
            Device::Cpu(cpu) => cpu,
            #[cfg(feature = "gpu")]
            Device::Gpu(_, cpu) => cpu,
        }
    }

    /// Whether it is a GPU.
    pub fn is_gpu(&self) -> bool {
        !matches!(self, Device::Cpu(_))
    }

    /// Whether it is a GPU that went away: it computes nothing any more.
    pub fn is_lost(&self) -> bool {
        match self {
            Device::Cpu(_) => false,
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => gpu.is_lost(),
        }
    }

    /// The name and the driver of a GPU: `NVIDIA RTX 4090, Vulkan, NVIDIA 580.95`. None for the processor.
    pub fn gpu_name(&self) -> Option<String> {
        match self {
            Device::Cpu(_) => None,
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => {
                let resnet_gpu::DeviceInfo { name, backend, driver, .. } = gpu.info();
                Some(format!("{name}, {backend}, {driver}"))
            }
        }
    }

    /// Its name without the driver: `NVIDIA RTX 4090`, or `cpu`.
    pub fn name(&self) -> &str {
        match self {
            Device::Cpu(_) => "cpu",
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => &gpu.info().name,
        }
    }

    /// The same where each thread runs networks of its own ([`Cpu::on_one_thread`]). A GPU stays as it is.
    #[must_use]
    pub fn on_one_thread(&self) -> Device {
        match self {
            Device::Cpu(cpu) => Device::Cpu(cpu.on_one_thread()),
            #[cfg(feature = "gpu")]
            Device::Gpu(..) => self.clone(),
        }
    }
}

impl From<&Cpu> for Device {
    fn from(cpu: &Cpu) -> Device {
        Device::Cpu(cpu.clone())
    }
}

impl From<&Device> for Device {
    fn from(device: &Device) -> Device {
        device.clone()
    }
}
