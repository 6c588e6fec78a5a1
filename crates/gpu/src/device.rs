//! Devices: which there are, and one that is open.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use resnet_formats::caught;

use crate::{
    GpuError,
    pipeline::Pipeline,
    workgroup::{THREADS, ThreadTile},
};

/// The kind of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// A card with memory of its own.
    Discrete,
    /// A part of the processor, which shares its memory.
    Integrated,
    /// A GPU that a virtual machine sees.
    Virtual,
    /// A renderer in software: it runs on the processor.
    Software,
    /// Unknown.
    Other,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DeviceKind::Discrete => "discrete",
            DeviceKind::Integrated => "integrated",
            DeviceKind::Virtual => "virtual",
            DeviceKind::Software => "software",
            DeviceKind::Other => "unknown",
        })
    }
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// As the driver calls it.
    pub name: String,
    /// Vulkan, Metal or DirectX 12.
    pub backend: String,
    /// The driver, and its version.
    pub driver: String,
    /// Its kind.
    pub kind: DeviceKind,
    /// Bytes of a buffer, at most. wgpu does not tell how much memory there is.
    pub largest_buffer: u64,
}

impl DeviceInfo {
    fn of(adapter: &wgpu::Adapter) -> DeviceInfo {
        let info = adapter.get_info();
        let driver = [&info.driver, &info.driver_info].map(|text| text.trim().to_owned());
        DeviceInfo {
            name: info.name,
            backend: match info.backend {
                wgpu::Backend::Dx12 => "DirectX 12".to_owned(),
                other => format!("{other:?}"),
            },
            driver: driver.join(" ").trim().to_owned(),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => DeviceKind::Discrete,
                wgpu::DeviceType::IntegratedGpu => DeviceKind::Integrated,
                wgpu::DeviceType::VirtualGpu => DeviceKind::Virtual,
                wgpu::DeviceType::Cpu => DeviceKind::Software,
                wgpu::DeviceType::Other => DeviceKind::Other,
            },
            largest_buffer: adapter.limits().max_buffer_size,
        }
    }
}

/// Every device of the machine: cards before integrated ones, software last.
fn adapters() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    descriptor.flags = wgpu::InstanceFlags::empty();
    // Drivers that give more than there is fail later, in the middle of a step.
    descriptor.memory_budget_thresholds.for_resource_creation = Some(90);
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    adapters.sort_by_key(|adapter| match DeviceInfo::of(adapter).kind {
        DeviceKind::Discrete => 0,
        DeviceKind::Virtual => 1,
        DeviceKind::Integrated => 2,
        DeviceKind::Other => 3,
        DeviceKind::Software => 4,
    });
    adapters
}

/// The devices, in the order of `gpu:0`, `gpu:1`, ...: cards, then integrated ones, software last. None without a
/// loader or a driver.
pub fn devices() -> Vec<DeviceInfo> {
    adapters().iter().map(DeviceInfo::of).collect()
}

/// What profiles need.
pub(crate) const TIMESTAMPS: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES);

/// Bytes that the threads of a workgroup share, in the widest of the usual tiles: those of 16 channels (`conv.wgsl`).
const WORKGROUP_BYTES: u32 = 256 * 5 * 16 + 16 * 4 * 16;

/// Why a device is lost whose driver has no memory for a command. What does not fit is refused before, unless another program
/// takes memory meanwhile.
const OUT_OF_MEMORY: &str = "its memory ran out: use smaller batches or images, end other programs that use it, or take \
                             --device cpu";

/// A reason of wgpu's, as a person is told.
fn explained(reason: String) -> String {
    match reason.eq_ignore_ascii_case("out of memory") {
        true => OUT_OF_MEMORY.to_owned(),
        false => reason,
    }
}

/// How long an answer of the device may take, before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is given to a device at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portions {
    /// Bytes of a buffer of activations, where no value is larger and the device allows as many.
    pub(crate) chunk: u64,
    /// Floating-point operations and bytes of a submission. Drivers stop devices that work on one for seconds; this is
    /// some hundredths of a second on a small device.
    pub(crate) submission: [u64; 2],
    /// Bytes that a kernel reaches of a buffer, where the device allows as many.
    pub(crate) reach: u64,
    /// Bytes of all buffers, if that is not left to the driver.
    pub(crate) memory: Option<u64>,
}

impl Default for Portions {
    fn default() -> Self {
        let submission = [50_000_000_000, 2_000_000_000];
        Portions { chunk: 1 << 30, submission, reach: u64::MAX, memory: None }
    }
}

/// An open device. Clones are of the same one.
#[derive(Clone)]
pub struct Gpu {
    shared: Arc<Shared>,
    pub(crate) portions: Portions,
}

/// Takes a note for a person.
type Note = Box<dyn FnOnce(&str) + Send>;

struct Shared {
    info: DeviceInfo,
    device: wgpu::Device,
    queue: wgpu::Queue,
    /// Why the device failed, if it did.
    failure: Arc<Mutex<Option<String>>>,
    /// What takes the next note.
    note: Mutex<Option<Note>>,
    /// The tile of wide products.
    thread_tile: OnceLock<ThreadTile>,
    /// Pipelines by the text of their shader.
    pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.shared.info).finish()
    }
}

impl Gpu {
    /// Opens a device, by its place among [`devices`].
    ///
    /// # Errors
    /// If there is no such device, or its driver lacks what training needs.
    pub fn open(index: usize) -> Result<Gpu, GpuError> {
        let adapters = adapters();
        let found = adapters.len();
        let Some(adapter) = adapters.into_iter().nth(index) else {
            return Err(GpuError::NoSuch { wanted: index, found });
        };
        let info = DeviceInfo::of(&adapter);
        let unsupported =
            |reason: String| GpuError::Unsupported { device: info.name.clone(), reason };
        if !adapter.features().contains(wgpu::Features::IMMEDIATES) {
            return Err(unsupported("its driver has no push constants".to_owned()));
        }
        let limits = adapter.limits();
        let threads =
            limits.max_compute_invocations_per_workgroup.min(limits.max_compute_workgroup_size_x);
        let memory = limits.max_compute_workgroup_storage_size;
        if u64::from(threads) < THREADS || memory < WORKGROUP_BYTES {
            return Err(unsupported(format!(
                "its workgroups have {threads} threads and {memory} bytes, and {THREADS} and {WORKGROUP_BYTES} are \
                 needed"
            )));
        }
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("resnet"),
            required_features: wgpu::Features::IMMEDIATES | (adapter.features() & TIMESTAMPS),
            required_limits: limits,
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| unsupported(error.to_string()))?;
        let failure = Arc::new(Mutex::new(None));
        let keep = |failure: &Arc<Mutex<Option<String>>>| {
            let failure = failure.clone();
            move |reason: String| {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(explained(reason));
            }
        };
        let (lost, error) = (keep(&failure), keep(&failure));
        device.set_device_lost_callback(move |_, reason| lost(reason));
        device.on_uncaptured_error(Arc::new(move |found: wgpu::Error| error(found.to_string())));
        let (note, thread_tile, pipelines) = (Mutex::default(), OnceLock::new(), Mutex::default());
        let shared = Shared { info, device, queue, failure, note, thread_tile, pipelines };
        Ok(Gpu { shared: Arc::new(shared), portions: Portions::default() })
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        &self.shared.info
    }

    /// Sets what takes the next note, which says that less than was asked for runs at once.
    pub fn on_note(&self, note: impl FnOnce(&str) + Send + 'static) {
        *self.next_note() = Some(Box::new(note));
    }

    /// Gives a note to whoever takes it.
    pub(crate) fn note(&self, text: &str) {
        let next = self.next_note().take();
        if let Some(note) = next {
            note(text);
        }
    }

    fn next_note(&self) -> MutexGuard<'_, Option<Note>> {
        self.shared.note.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.shared.device
    }

    pub(crate) fn queue(&self) -> &wgpu::Queue {
        &self.shared.queue
    }

    /// The tile of wide products: the first of [`ThreadTile::ALL`] unless another was found to be faster.
    pub(crate) fn thread_tile(&self) -> ThreadTile {
        *self.shared.thread_tile.get_or_init(|| ThreadTile::ALL[0])
    }

    /// Sets the tile of wide products. The first call counts, and only before the first plan.
    pub(crate) fn set_thread_tile(&self, tile: ThreadTile) {
        let _ = self.shared.thread_tile.set(tile);
    }

    /// The pipeline of a shader's text, which is made once.
    pub(crate) fn pipeline(
        &self,
        text: &str,
        make: impl FnOnce() -> Result<Pipeline, String>,
    ) -> Result<Arc<Pipeline>, GpuError> {
        let mut made = self.shared.pipelines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = made.get(text) {
            return Ok(pipeline.clone());
        }
        let device = || self.shared.info.name.clone();
        let made_now =
            make().map_err(|reason| GpuError::Unsupported { device: device(), reason })?;
        let pipeline = Arc::new(made_now);
        made.insert(text.to_owned(), pipeline.clone());
        Ok(pipeline)
    }

    /// Whether everything so far was done, as far as is known.
    pub(crate) fn check(&self) -> Result<(), GpuError> {
        let failure = self.failure().clone();
        failure.map_or(Ok(()), |reason| Err(self.lost(reason)))
    }

    /// Whether it went away, or a command failed: it computes nothing any more, and has to be opened again.
    pub fn is_lost(&self) -> bool {
        self.check().is_err()
    }

    /// Waits for a submission.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), GpuError> {
        self.poll(Some(submission))
    }

    /// Waits until the device has done everything.
    pub(crate) fn idle(&self) -> Result<(), GpuError> {
        self.poll(None)
    }

    fn poll(&self, submission_index: Option<wgpu::SubmissionIndex>) -> Result<(), GpuError> {
        let poll = wgpu::PollType::Wait { submission_index, timeout: Some(PATIENCE) };
        // wgpu panics where the driver says that the device is lost.
        let polled = caught(|| self.shared.device.poll(poll));
        self.check()?;
        match polled {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.lost(error.to_string())),
            None => Err(self.lost("its driver gave up".to_owned())),
        }
    }

    /// Bytes of a chunk of activations, at most.
    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.portions.chunk.min(self.shared.device.limits().max_buffer_size)
    }

    /// Bytes that a kernel reaches of a buffer, at most.
    pub(crate) fn reach(&self) -> u64 {
        self.portions.reach.min(self.shared.device.limits().max_storage_buffer_binding_size)
    }

    /// From now on it is lost, for the reason that was found first.
    pub(crate) fn lost(&self, reason: String) -> GpuError {
        let reason = self.failure().get_or_insert(reason).clone();
        GpuError::Lost { device: self.shared.info.name.clone(), reason }
    }

    fn failure(&self) -> MutexGuard<'_, Option<String>> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_memory_says_what_to_do() {
        for reason in ["Out of memory", "Out of Memory"] {
            assert_eq!(explained(reason.to_owned()), OUT_OF_MEMORY);
        }
        assert_eq!(explained("Device is lost".to_owned()), "Device is lost");
    }
}
