//! The device's clock, for profiles.

use std::time::Duration;

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    device::TIMESTAMPS,
};

/// Readings of the device's clock.
pub(crate) struct Clock {
    times: wgpu::QuerySet,
    count: u32,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

impl Clock {
    /// Room for so many readings.
    pub(crate) fn new(gpu: &Gpu, count: usize) -> Result<Self, GpuError> {
        let unsupported = |reason: &str| {
            let device = gpu.info().name.clone();
            Err(GpuError::Unsupported { device, reason: reason.to_owned() })
        };
        if !gpu.device().features().contains(TIMESTAMPS) {
            return unsupported("its driver cannot read the clock between kernels");
        }
        if count > wgpu::QUERY_SET_MAX_QUERIES as usize {
            return unsupported("the network has too many operations for a profile");
        }
        let (device, count) = (gpu.device(), count as u32);
        let times = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("times"),
            size: u64::from(count) * 8,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let read = Allocator::new(gpu, 0).zeros("times", count as usize * 8)?;
        Ok(Clock { times, count, resolved, read })
    }

    pub(crate) fn times(&self) -> &wgpu::QuerySet {
        &self.times
    }

    /// Keeps the readings, after the pass that takes them.
    pub(crate) fn resolve(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.resolve_query_set(&self.times, 0..self.count, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, self.resolved.size());
    }

    /// The readings, since some moment.
    pub(crate) fn read(&self, gpu: &Gpu) -> Result<Vec<Duration>, GpuError> {
        let period = f64::from(gpu.queue().get_timestamp_period());
        let view = View::part(&self.read, &(0..self.count as usize), 8);
        let bytes = gpu.read(&view)?;
        let words = bytes
            .chunks_exact(8)
            .map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
        let words: Vec<u64> = words.collect();
        let first = words.first().copied().unwrap_or(0);
        let since = |word: u64| (word.wrapping_sub(first) as f64 * period) as u64;
        Ok(words.into_iter().map(|word| Duration::from_nanos(since(word))).collect())
    }
}
