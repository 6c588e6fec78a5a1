//! What an engine takes of a device's memory, and which batch that leaves room for.

use resnet_network::{Network, crops::KeptImages};
use resnet_program::memory;

use super::{GpuEngine, PLANNED};
use crate::{
    Gpu, GpuError, Settings, buffer::Allocator, memory::targets_and_results, train::allocate,
};

impl GpuEngine {
    /// The largest batch, up to that of the settings, that the device has memory for now; 0 if it has none for one image.
    /// A device that has the machine's memory leaves `kept` bytes for something else.
    ///
    /// # Errors
    /// If the graph does not fit the images, or the device was lost.
    pub fn largest_batch(
        gpu: &Gpu,
        network: &Network,
        settings: &Settings,
        kept: usize,
    ) -> Result<usize, GpuError> {
        let others = GpuEngine::unplanned(gpu, network, &Settings { batch: 1, ..*settings });
        let others = match others {
            Err(GpuError::Memory { .. }) => return Ok(0),
            others => others?,
        };
        memory::largest_batch(settings.batch, |batch| match others.check_room(batch, kept) {
            Ok(()) => Ok(true),
            Err(GpuError::Memory { .. }) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Keeps the images of a data set, in place of those before: what [`Input::Crops`](resnet_program::Input::Crops) are
    /// of. The batch comes first: [the largest](GpuEngine::largest_batch) is that without images, and they are kept in
    /// what its steps leave. False if there is too little, or kernels do not reach them.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn keep_images(&mut self, images: &KeptImages<'_>) -> Result<bool, GpuError> {
        let (batch, sent) = (self.settings.batch, self.loaded_bytes());
        let train = self.train.as_mut().expect(PLANNED);
        match train.keep(&self.gpu, images, batch, sent) {
            Err(GpuError::Memory { .. }) => return Ok(false),
            kept => kept?,
        }
        self.gpu.check().map(|()| true)
    }

    /// Checks that there is memory for steps of so many images next to everything else, and `kept` bytes of the machine's
    /// for something else. No kernel is compiled.
    fn check_room(&self, batch: usize, kept: usize) -> Result<(), GpuError> {
        let allocator = Allocator::new(&self.gpu, batch);
        let graph = self.network.graph();
        let _of_batch = targets_and_results(&allocator, graph.classes(), batch)?;
        let of_step = allocate(&self.gpu, &self.network, self.lowering(graph, batch), None)?;
        // Drivers may take the machine's memory when it is written to, so what this engine has is not missing yet.
        let gradients = size_of_val(self.network.values());
        let own = of_step.bytes() + self.loaded_bytes() + gradients;
        allocator.check(own.saturating_add(kept))?;
        allocator.check_room(self.loaded_bytes())
    }

    /// Bytes that [`GpuEngine::load`] sends.
    pub(super) fn loaded_bytes(&self) -> usize {
        let Settings { buffers, average, .. } = self.settings;
        (1 + buffers + usize::from(average)) * size_of_val(self.network.values())
    }
}
