//! A device's peaks, measured: the two limits of a roofline.

use std::time::{Duration, Instant};

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    kernel::{Dispatch, Element, Kernel, Work},
    workgroup::THREADS,
};

const PEAK: &str = include_str!("shaders/peak.wgsl");

/// The peaks of a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GpuPeaks {
    /// Floating-point operations per second in registers, in fp32.
    pub flops: f64,
    /// Bytes per second of a copy. Each byte counts twice: read, and written.
    pub copy: f64,
    /// Bytes per second of reading.
    pub read: f64,
}

/// Vectors of four f32 that are copied: 64 MiB.
const VECTORS: usize = 4 << 20;

/// Threads that multiply.
const MULTIPLYING: usize = 1 << 18;

/// Floating-point operations of a thread and a turn.
const FLOPS: f64 = 8.0 * 4.0 * 2.0;

/// A measurement lasts at least so long.
const LEAST: Duration = Duration::from_millis(20);

impl Gpu {
    /// Measures. Takes less than a second on a card.
    ///
    /// # Errors
    /// If the device lacks 128 MiB of memory, or was lost.
    pub fn peaks(&self) -> Result<GpuPeaks, GpuError> {
        let allocator = Allocator::new(self, 0);
        let [from, to] = ["peak", "peak"].map(|label| allocator.zeros(label, VECTORS * 16));
        let [from, to] = [from?, to?].map(|buffer| View::whole(&buffer));
        let kernel = |pass: &str, threads: usize| {
            Kernel::new("peak", PEAK)
                .insert("PASS", pass)
                .bind("from_", Element::Vec4, &from)
                .bind("to", Element::Vec4, &to)
                .word(1, VECTORS)
                .float(0, 0.999)
                .float(1, 0.001)
                .build(self, Work::groups(threads.div_ceil(THREADS as usize), 1))
        };
        let multiply = kernel("multiply(i);", MULTIPLYING)?;
        let (turns, time) = self.longer(|turns| {
            let mut dispatch = multiply.clone();
            dispatch.set(0, turns);
            (dispatch, 1)
        })?;
        let bytes = (VECTORS * 16) as f64;
        let memory = |dispatch: Dispatch| {
            let (times, time) = self.longer(|times| (dispatch.clone(), times))?;
            Ok::<_, GpuError>(bytes * f64::from(times) / time.as_secs_f64())
        };
        Ok(GpuPeaks {
            flops: MULTIPLYING as f64 * FLOPS * f64::from(turns) / time.as_secs_f64(),
            copy: 2.0 * memory(kernel("copy(i);", VECTORS)?)?,
            read: memory(kernel("read(i);", VECTORS / 64)?)?,
        })
    }

    /// Doubles a kernel's work, by a word or by how often it runs, until it lasts long enough; then the best of three.
    fn longer(&self, of: impl Fn(u32) -> (Dispatch, u32)) -> Result<(u32, Duration), GpuError> {
        let run = |work: u32| {
            let (dispatch, times) = of(work);
            let mut encoder = self.device().create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            (0..times).for_each(|_| dispatch.encode(&mut pass, 1, false));
            drop(pass);
            let start = Instant::now();
            self.wait(self.queue().submit([encoder.finish()]))?;
            Ok::<_, GpuError>(start.elapsed())
        };
        // The first compiles.
        run(1)?;
        let mut work = 1;
        while run(work)? < LEAST && work < 1 << 20 {
            work *= 2;
        }
        let times = [run(work)?, run(work)?, run(work)?];
        Ok((work, times.into_iter().min().unwrap_or(LEAST)))
    }
}
