//! What a device holds, brought back.

use resnet_network::Network;

use crate::{GpuEngine, GpuError, buffer::View, memory::Arenas};

impl GpuEngine {
    /// The gradients since the last update. Waits for the device.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn gradients(&self) -> Result<Vec<f32>, GpuError> {
        let gradients = self.arenas.gradients.as_ref().expect("training has gradients");
        let len = self.network.values().len();
        self.gpu.read_f32(&View::part(gradients, &(0..len), size_of::<f32>()))
    }

    /// Brings what the device holds into a network, the optimiser's buffers and an average. Waits for the device.
    ///
    /// # Errors
    /// If the device was lost.
    pub fn download(
        &self,
        network: &mut Network,
        buffers: &mut [Vec<f32>],
        average: Option<&mut Network>,
    ) -> Result<(), GpuError> {
        self.gpu.check()?;
        self.read_arenas(&self.arenas, network)?;
        let (_, tracked) = network.running_mut();
        tracked.iter_mut().zip(&self.tracked).for_each(|(to, (count, _))| *to = *count);
        self.updates.read(&self.gpu, buffers)?;
        if let Some((to, from)) = average.zip(self.average.as_ref()) {
            self.read_arenas(from, to)?;
            to.running_mut().1.copy_from_slice(&self.average_tracked);
        }
        self.gpu.check()
    }

    fn read_arenas(&self, from: &Arenas, to: &mut Network) -> Result<(), GpuError> {
        for (values, buffer) in
            to.all_values_mut().into_iter().zip([&from.parameters, &from.running])
        {
            let view = View::part(buffer, &(0..values.len()), size_of::<f32>());
            if !values.is_empty() {
                values.copy_from_slice(&self.gpu.read_f32(&view)?);
            }
        }
        Ok(())
    }
}
