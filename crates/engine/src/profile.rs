//! Measures the time of each operation of a step, and the machine's peak (roofline).
//!
//! Make a [`Profiler`] from the operations of a [plan summary](crate::plan_summary), pass it to the
//! steps as [`Hooks`], and read the [`Profile`] that [`Profiler::finish`] returns.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use resnet_kernels::{Bandwidth, Dtype};
use resnet_program::{
    PlanError,
    program::{Kind, Operation, Pass},
};

use crate::{Device, EngineError, hooks::Hooks, plan_summary::PlannedOperation};

/// The machine's measured peaks: the two limits of a roofline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peaks {
    /// Floating-point operations per second in registers, with dot products of the dtype.
    pub flops: f64,
    /// Bytes per second to and from memory.
    pub bandwidth: Bandwidth,
}

impl Peaks {
    /// Measures with all threads, or on a GPU, where it is fp32 for either dtype. Takes about a second.
    ///
    /// # Errors
    /// If 256 MiB of memory are not available, or the GPU was lost.
    pub fn measure(device: &Device, dtype: Dtype) -> Result<Self, EngineError> {
        match device {
            Device::Cpu(cpu) => {
                let bandwidth = cpu.bandwidth().map_err(PlanError::from)?;
                Ok(Peaks { flops: cpu.peak_flops(dtype), bandwidth })
            }
            #[cfg(feature = "gpu")]
            Device::Gpu(gpu, _) => {
                let resnet_gpu::GpuPeaks { flops, copy, read } = gpu.peaks()?;
                Ok(Peaks { flops, bandwidth: Bandwidth { copy, read } })
            }
        }
    }
}

/// Times the operations of steps. An operation's time starts where the previous operation ended.
#[derive(Debug)]
pub struct Profiler {
    operations: Vec<PlannedOperation>,
    /// `[operation][step]`.
    times: Vec<Vec<Duration>>,
    last: Instant,
}

impl Hooks for Profiler {
    fn done(&mut self, operation: usize) {
        let now = Instant::now();
        self.times[operation].push(now - self.last);
        self.last = now;
    }
}

impl Profiler {
    /// A profiler for a plan's operations, in the order of its summary.
    pub fn new(operations: Vec<PlannedOperation>) -> Self {
        Profiler { times: vec![Vec::new(); operations.len()], operations, last: Instant::now() }
    }

    /// Starts the clock of a step.
    pub fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// Ends the last operation of a training step, the optimiser's update.
    pub fn updated(&mut self) {
        self.done(self.operations.len() - 1);
    }

    /// Takes the times of the operations of a step.
    pub fn add(&mut self, step: &[Duration]) {
        self.times.iter_mut().zip(step).for_each(|(times, time)| times.push(*time));
    }

    /// The median time of each operation, without the first `warm_up` steps. `step` is the median
    /// time of a whole step.
    pub fn finish(self, warm_up: usize, step: Duration) -> Profile {
        let timed = |(operation, times): (PlannedOperation, Vec<Duration>)| {
            let mut times: Vec<Duration> = times.into_iter().skip(warm_up).collect();
            TimedOperation { operation, seconds: median(&mut times).as_secs_f64() }
        };
        Profile {
            operations: self.operations.into_iter().zip(self.times).map(timed).collect(),
            step: step.as_secs_f64(),
        }
    }
}

/// The median; zero if there are no times.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let middle = |i: usize| times.get(i).copied().unwrap_or_default();
    (middle(times.len().saturating_sub(1) / 2) + middle(times.len() / 2)) / 2
}

/// An operation and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedOperation {
    /// The operation.
    pub operation: PlannedOperation,
    /// Its median time, seconds.
    pub seconds: f64,
}

/// The times of the operations of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// In the order of the step.
    pub operations: Vec<TimedOperation>,
    /// Time of the whole step, seconds.
    pub step: f64,
}

/// Sums over the operations of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct KindTotal {
    /// The kind.
    pub kind: Kind,
    /// Time of each pass, seconds.
    pub passes: HashMap<Pass, f64>,
    /// Time of all passes, seconds.
    pub seconds: f64,
    /// Floating-point operations, as the direct method needs them.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Profile {
    /// Sum over all operations, seconds.
    pub fn sum(&self) -> f64 {
        self.operations.iter().map(|timed| timed.seconds).sum()
    }

    /// Sums by kind, the largest time first.
    pub fn kinds(&self) -> Vec<KindTotal> {
        let mut totals: Vec<KindTotal> = Vec::new();
        for TimedOperation { operation: planned, seconds } in &self.operations {
            let Operation { kind, pass, flops, bytes, .. } = &planned.operation;
            let index = totals.iter().position(|t| t.kind == *kind).unwrap_or_else(|| {
                let passes = HashMap::new();
                totals.push(KindTotal { kind: *kind, passes, seconds: 0.0, flops: 0, bytes: 0 });
                totals.len() - 1
            });
            let total = &mut totals[index];
            *total.passes.entry(*pass).or_default() += seconds;
            total.seconds += seconds;
            total.flops += flops;
            total.bytes += bytes;
        }
        totals.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Compute;

    #[test]
    fn the_median_is_in_the_middle() {
        let ms = Duration::from_millis;
        assert_eq!(median(&mut []), ms(0));
        assert_eq!(median(&mut [ms(9), ms(1), ms(2)]), ms(2));
        assert_eq!(median(&mut [ms(9), ms(1), ms(2), ms(4)]), ms(3));
    }

    #[test]
    fn kinds_add_up() {
        let operation = |kind, pass, flops, bytes| {
            let (layer, names, compute) = (None, Vec::new(), Compute::Loss);
            (Operation { layer, names, kind, pass, compute, flops, bytes }, None).into()
        };
        let conv = Kind::Conv { kernel: 3, stride: 1, groups: false };
        let timed = |operation, seconds| TimedOperation { operation, seconds };
        let profile = Profile {
            operations: vec![
                timed(operation(Kind::Input, Pass::Forward, 0, 7), 0.5),
                timed(operation(conv, Pass::Forward, 10, 3), 1.0),
                timed(operation(conv, Pass::BackwardData, 10, 4), 2.0),
                timed(operation(conv, Pass::Forward, 5, 1), 0.25),
            ],
            step: 4.0,
        };
        let passes = [(Pass::Forward, 1.25), (Pass::BackwardData, 2.0)].into_iter().collect();
        let input = [(Pass::Forward, 0.5)].into_iter().collect();
        assert_eq!(
            profile.kinds(),
            [
                KindTotal { kind: conv, passes, seconds: 3.25, flops: 25, bytes: 8 },
                KindTotal { kind: Kind::Input, passes: input, seconds: 0.5, flops: 0, bytes: 7 },
            ]
        );
        assert_eq!(profile.sum(), 3.75);
    }
}
