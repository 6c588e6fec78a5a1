//! Buffers on a device.

use std::ops::Range;

use crate::{DeviceKind, Gpu, GpuError};

/// A part of a buffer.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) buffer: wgpu::Buffer,
    /// Bytes.
    pub(crate) range: Range<u64>,
}

impl View {
    /// A whole buffer.
    pub(crate) fn whole(buffer: &wgpu::Buffer) -> View {
        View { buffer: buffer.clone(), range: 0..buffer.size() }
    }

    /// A part of a buffer, of values of `size` bytes.
    pub(crate) fn part(buffer: &wgpu::Buffer, values: &Range<usize>, size: usize) -> View {
        let range = (values.start * size) as u64..(values.end * size) as u64;
        View { buffer: buffer.clone(), range }
    }
}

/// Makes buffers, and finds out whether they fit.
pub(crate) struct Allocator<'a> {
    gpu: &'a Gpu,
    /// Images of the batch that they are for, 0 if for none.
    batch: usize,
}

impl<'a> Allocator<'a> {
    pub(crate) fn new(gpu: &'a Gpu, batch: usize) -> Self {
        Allocator { gpu, batch }
    }

    /// A buffer of zeros, of so many bytes, which a kernel reaches.
    pub(crate) fn zeros(&self, label: &str, bytes: usize) -> Result<wgpu::Buffer, GpuError> {
        self.check_reach(label, bytes)?;
        self.chunk(label, bytes)
    }

    /// A buffer of zeros, of so many bytes, of which kernels reach parts.
    pub(crate) fn chunk(&self, label: &str, bytes: usize) -> Result<wgpu::Buffer, GpuError> {
        use wgpu::BufferUsages as Usage;
        self.make(label, bytes, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST)
    }

    /// Checks that there is room for so many bytes on their way to the device, of which a few pieces are at the same
    /// time: where the driver has none, wgpu gives the device up.
    pub(crate) fn check_room(&self, bytes: usize) -> Result<(), GpuError> {
        use wgpu::BufferUsages as Usage;
        let usage = Usage::MAP_WRITE | Usage::COPY_SRC;
        self.make("transfers", bytes.min(PIECES * PIECE), usage).map(drop)
    }

    /// A buffer that the host reads.
    pub(crate) fn staging(&self, bytes: usize) -> Result<wgpu::Buffer, GpuError> {
        self.make("staging", bytes, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST)
    }

    fn make(
        &self,
        label: &str,
        bytes: usize,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let (size, most) = (padded(bytes), self.gpu.device().limits().max_buffer_size);
        if size > most {
            let reason = format!("{label} take {} MiB, buffers {} at most", size >> 20, most >> 20);
            return Err(self.refused(reason));
        }
        let descriptor =
            wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        if let Some(buffer) = self.try_make(&descriptor) {
            return Ok(buffer);
        }
        // What was dropped is free once the device is done with it.
        self.gpu.queue().submit([]);
        self.gpu.idle()?;
        self.try_make(&descriptor)
            .ok_or_else(|| self.refused(format!("{} MiB for {label} are refused", size >> 20)))
    }

    fn try_make(&self, descriptor: &wgpu::BufferDescriptor<'_>) -> Option<wgpu::Buffer> {
        let device = self.gpu.device();
        if let Some(most) = self.gpu.portions.memory {
            let taken =
                device.generate_allocator_report().map_or(0, |all| all.total_allocated_bytes);
            if taken + descriptor.size > most {
                return None;
            }
        }
        let scope = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = device.create_buffer(descriptor);
        pollster::block_on(scope.pop()).is_none().then_some(buffer)
    }

    /// Checks that kernels reach so many bytes of a buffer at once.
    pub(crate) fn check_reach(&self, label: &str, bytes: usize) -> Result<(), GpuError> {
        let (size, most) = (padded(bytes), self.gpu.reach());
        if size > most {
            let reason = format!("{label} take {} MiB, kernels reach {}", size >> 20, most >> 20);
            return Err(self.refused(reason));
        }
        Ok(())
    }

    /// Checks that there is memory for so many bytes, where the device has the machine's.
    pub(crate) fn check(&self, bytes: usize) -> Result<(), GpuError> {
        let shares = matches!(self.gpu.info().kind, DeviceKind::Software | DeviceKind::Integrated);
        match resnet_program::memory::available().filter(|_| shares) {
            Some(available) if available < bytes => Err(self.refused(format!(
                "they need {} MiB, and {} are available",
                bytes >> 20,
                available >> 20
            ))),
            _ => Ok(()),
        }
    }

    fn refused(&self, reason: String) -> GpuError {
        let device = self.gpu.info().name.clone();
        GpuError::Memory { device, batch: self.batch, reason, fits: None }
    }
}

/// Bytes of a buffer: views start at multiples of 256.
fn padded(bytes: usize) -> u64 {
    (bytes.max(4) as u64).next_multiple_of(256)
}

/// Bytes that are sent or read at once: some cards have 256 MiB that the host reaches.
const PIECE: usize = 32 << 20;
/// Pieces that are on their way at the same time, at most.
const PIECES: usize = 4;

impl Gpu {
    /// Writes values to a buffer, from a byte on.
    pub(crate) fn write<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer, start: u64, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        let whole = bytes.len() / 4 * 4;
        for (index, piece) in bytes[..whole].chunks(PIECE).enumerate() {
            if index > 0 && index % PIECES == 0 {
                // The device remembers that it failed.
                let _ = self.wait(self.queue().submit([]));
            }
            self.queue().write_buffer(buffer, start + (index * PIECE) as u64, piece);
        }
        if whole < bytes.len() {
            let mut last = [0; 4];
            last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
            self.queue().write_buffer(buffer, start + whole as u64, &last);
        }
    }

    /// Reads a part of a buffer. Waits for the device.
    pub(crate) fn read(&self, view: &View) -> Result<Vec<u8>, GpuError> {
        let bytes = (view.range.end - view.range.start) as usize;
        let staging = Allocator::new(self, 0).staging(bytes.min(PIECE))?;
        let mut read = Vec::with_capacity(bytes);
        for start in (0..bytes).step_by(PIECE) {
            let size = (bytes - start).min(PIECE).next_multiple_of(4) as u64;
            let mut encoder = self.device().create_command_encoder(&Default::default());
            let from = view.range.start + start as u64;
            encoder.copy_buffer_to_buffer(&view.buffer, from, &staging, 0, size);
            let submission = self.queue().submit([encoder.finish()]);
            read.extend(self.map(&staging, size, submission)?);
        }
        read.truncate(bytes);
        Ok(read)
    }

    /// Reads the first bytes of a staging buffer, once a submission is done.
    pub(crate) fn map(
        &self,
        staging: &wgpu::Buffer,
        bytes: u64,
        submission: wgpu::SubmissionIndex,
    ) -> Result<Vec<u8>, GpuError> {
        let slice = staging.slice(0..bytes);
        slice.map_async(wgpu::MapMode::Read, |_| {});
        self.wait(submission)?;
        let read = match slice.get_mapped_range() {
            Ok(view) => view.to_vec(),
            Err(error) => return Err(self.lost(error.to_string())),
        };
        staging.unmap();
        Ok(read)
    }

    /// Reads f32 values.
    pub(crate) fn read_f32(&self, view: &View) -> Result<Vec<f32>, GpuError> {
        Ok(self
            .read(view)?
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together() {
        let Ok(gpu) = Gpu::open(0) else {
            eprintln!("no device: nothing is tested");
            return;
        };
        // Two and a half pieces, and three bytes.
        let bytes: Vec<u8> = (0..PIECE * 5 / 2 + 3).map(|i| (i % 251) as u8).collect();
        let buffer = Allocator::new(&gpu, 0).zeros("bytes", bytes.len() + 8).unwrap();
        gpu.write(&buffer, 8, &bytes);
        let read = gpu.read(&View::part(&buffer, &(8..8 + bytes.len()), 1)).unwrap();
        assert!(read == bytes, "other bytes");
    }
}
