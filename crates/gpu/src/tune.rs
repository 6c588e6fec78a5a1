//! Which tile of a product is the fastest on a device: measured once, and kept in a file.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use resnet_kernels::{Dtype, conv::ConvShape};
use resnet_network::{
    Network,
    graph::{Graph, NodeId},
    network::Init,
};
use resnet_program::program::ConvOperand;

use crate::{
    DeviceKind, Gpu, GpuError, Measured,
    buffer::{Allocator, View},
    chunks::Chunks,
    kernel::Dispatch,
    ops::{
        Buffers,
        conv::{Conv, Fused},
    },
    workgroup::ThreadTile,
};

/// The product that is measured: a 3x3 convolution of 128 channels on 32 images of 16x16, 2.4 billion operations.
const SHAPE: ConvShape = ConvShape {
    in_channels: 128,
    out_channels: 128,
    height: 16,
    width: 16,
    kernel: 3,
    stride: 1,
    padding: 1,
    groups: 1,
};
const IMAGES: usize = 32;

impl Gpu {
    /// Measures which tile of a product is the fastest, or reads it from a file where an earlier call kept it for this
    /// device and driver. To be called before the first plan. A renderer in software is not measured.
    ///
    /// # Errors
    /// If the device was lost. A file that cannot be read or written is done without.
    pub fn tune(&self, file: &Path) -> Result<(), GpuError> {
        if self.info().kind == DeviceKind::Software {
            return Ok(());
        }
        let (kept, key) = (Measured(file), self.measured_as());
        let found = kept.get(&key).and_then(|index| index.parse::<usize>().ok());
        if let Some(&tile) = found.and_then(|index| ThreadTile::ALL.get(index)) {
            self.set_thread_tile(tile);
            return Ok(());
        }
        let index = self.measure(SHAPE, IMAGES)?;
        self.set_thread_tile(ThreadTile::ALL[index]);
        kept.set(&key, &index.to_string());
        Ok(())
    }

    /// What names the device, its driver and this version in a file of what was [`Measured`].
    pub fn measured_as(&self) -> String {
        let info = self.info();
        let version = env!("CARGO_PKG_VERSION");
        format!("{version} {} {} {}", info.backend, info.name, info.driver)
    }

    /// The index of the fastest of [`ThreadTile::ALL`].
    fn measure(&self, shape: ConvShape, images: usize) -> Result<usize, GpuError> {
        let most = self.device().limits().max_compute_workgroup_storage_size;
        let mut best = (Duration::MAX, 0);
        for (index, tile) in ThreadTile::ALL.into_iter().enumerate() {
            if tile.workgroup_bytes() > most {
                continue;
            }
            let product = Product::new(self, shape, images, tile)?;
            // The first compiles and warms up.
            product.run(self, 1)?;
            for _ in 0..3 {
                best = best.min((product.run(self, 4)?, index));
            }
        }
        Ok(best.1)
    }
}

/// A convolution by one tile.
struct Product {
    dispatch: Dispatch,
    images: usize,
    #[cfg(test)]
    values: wgpu::Buffer,
}

impl Product {
    fn new(gpu: &Gpu, shape: ConvShape, images: usize, tile: ThreadTile) -> Result<Self, GpuError> {
        let mut graph = Graph::new(3);
        let ConvShape { in_channels, out_channels, kernel, stride, padding, .. } = shape;
        let x = graph.conv2d("stem", Graph::INPUT, in_channels, 1, 1, 0);
        let node: NodeId = graph.conv2d("conv", x, out_channels, kernel, stride, padding);
        let network = Network::new(graph, Init::He, 0);
        let allocator = Allocator::new(gpu, 0);
        let [ins, outs] = [
            images * shape.height * shape.width * in_channels.next_multiple_of(16),
            images * shape.out_pixels() * out_channels.next_multiple_of(16),
        ];
        let outs_start = ins.next_multiple_of(64);
        let values = allocator.zeros("values", (outs_start + outs) * size_of::<f32>())?;
        let numbers: Vec<f32> = (0..ins).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        gpu.write(&values, 0, &numbers);
        let parameters = allocator.zeros("parameters", size_of_val(network.values()))?;
        gpu.write(&parameters, 0, network.values());
        let chunks = Chunks::one(values.clone(), size_of::<f32>());
        let buffers = Buffers {
            gpu,
            network: &network,
            dtype: Dtype::Fp32,
            batch: images,
            parameters: &parameters,
            running: &parameters,
            images: &parameters,
            values: &chunks,
            logits: &parameters,
            packed: &parameters,
            parts: &parameters,
            training: None,
        };
        let conv = Conv { buffers, node, shape, of_images: false };
        let packed = View::whole(&allocator.zeros("packed weights", conv.packed_bytes())?);
        let x = ConvOperand::Value { at: 0..ins, fused_norm: None };
        let y = outs_start..outs_start + outs;
        let pack = conv.pack(false, None, &packed)?;
        let dispatch = conv.forward_by(tile, &x, &packed, Fused::default(), &y)?;
        let product = Product {
            dispatch,
            images,
            #[cfg(test)]
            values,
        };
        product.submit(gpu, pack.iter())?;
        Ok(product)
    }

    /// Runs it so many times.
    fn run(&self, gpu: &Gpu, times: usize) -> Result<Duration, GpuError> {
        let start = Instant::now();
        self.submit(gpu, std::iter::repeat_n(&self.dispatch, times))?;
        Ok(start.elapsed())
    }

    fn submit<'d>(
        &self,
        gpu: &Gpu,
        dispatches: impl Iterator<Item = &'d Dispatch>,
    ) -> Result<(), GpuError> {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        dispatches.for_each(|one| one.encode(&mut pass, self.images, false));
        drop(pass);
        gpu.wait(gpu.queue().submit([encoder.finish()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All tiles compute the same bits, since each adds in the same order, and one of them is found to be the fastest.
    #[test]
    fn tiles_compute_the_same() {
        let Ok(gpu) = Gpu::open(0) else {
            eprintln!("no device: nothing is tested");
            return;
        };
        let shape = ConvShape { in_channels: 20, height: 7, width: 9, stride: 2, ..SHAPE };
        let of = |tile| {
            let product = Product::new(&gpu, shape, 3, tile).unwrap();
            product.run(&gpu, 1).unwrap();
            gpu.read_f32(&View::whole(&product.values)).unwrap()
        };
        let want = of(ThreadTile::ALL[0]);
        assert!(want.iter().rev().take(1000).any(|value| *value != 0.0));
        for tile in ThreadTile::ALL {
            assert!(of(tile) == want, "{tile:?}");
        }
        assert!(gpu.measure(shape, 3).unwrap() < ThreadTile::ALL.len());
    }
}
