//! Updates of parameters: optimisers, averages and norms of gradients.

use std::ops::Range;

use resnet_network::Network;

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    kernel::{Dispatch, Element, Kernel, Work},
    memory::Arenas,
    workgroup::{self, THREADS},
};

const UPDATE: &str = include_str!("shaders/update.wgsl");
const ARENA: &str = include_str!("shaders/arena.wgsl");

/// How parameters are updated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `torch.optim.SGD`.
    Sgd {
        /// Momentum.
        momentum: f32,
        /// Whether it is Nesterov's.
        nesterov: bool,
    },
    /// `torch.optim.AdamW`.
    AdamW {
        /// Decay of the averages of the gradient and of its square.
        betas: [f64; 2],
        /// Added to the root of the average square.
        eps: f64,
    },
}

impl Rule {
    /// How many values it keeps for each parameter.
    pub fn buffers(self) -> usize {
        match self {
            Rule::Sgd { .. } => 1,
            Rule::AdamW { .. } => 2,
        }
    }
}

/// Parameters that are updated at one rate.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRange {
    /// Their range, in the order of [`Network::values`].
    pub range: Range<usize>,
    /// The learning rate.
    pub lr: f32,
    /// Weight decay.
    pub weight_decay: f32,
    /// Their updates so far, this one included, which AdamW corrects for.
    pub step: u64,
}

/// Words of a range in the shader's table.
const WORDS: usize = 12;

/// Values whose squares a workgroup adds up.
pub(crate) const SQUARES: usize = 4096;

impl UpdateRange {
    fn words(&self, rule: Rule) -> [u32; WORDS] {
        let UpdateRange { ref range, lr, weight_decay, step } = *self;
        let factors = match rule {
            Rule::Sgd { momentum, nesterov } => {
                [lr, weight_decay, momentum, f32::from(u8::from(nesterov)), 0.0, 0.0, 0.0]
            }
            Rule::AdamW { betas: [beta1, beta2], eps } => {
                let (lr, step) = (f64::from(lr), step as f64);
                [
                    lr / (1.0 - beta1.powf(step)),
                    1.0 - lr * f64::from(weight_decay),
                    1.0 - beta1,
                    beta2,
                    1.0 - beta2,
                    (1.0 - beta2.powf(step)).sqrt().recip(),
                    eps,
                ]
                .map(|factor| factor as f32)
            }
        };
        let mut words = [0; WORDS];
        [words[0], words[1]] = [range.start, range.end].map(|at| at as u32);
        words[2..9].copy_from_slice(&factors.map(f32::to_bits));
        words
    }
}

/// A pass over a range of `to`, which calls a function of the shader.
pub(crate) fn arena(call: &str, to: &View, other: &View) -> Kernel<'static> {
    Kernel::new("arena", ARENA)
        .with(workgroup::SUM)
        .insert("PASS", call)
        .bind("to", Element::F32, to)
        .bind("other", Element::F32, other)
}

/// The passes over all parameters, and what the optimiser keeps.
#[derive(Debug)]
pub(crate) struct Updates {
    /// What the optimiser keeps for each parameter.
    buffers: Vec<wgpu::Buffer>,
    table: wgpu::Buffer,
    /// Ranges that the table has room for.
    most: usize,
    /// By SGD or AdamW.
    update: Dispatch,
    /// Of parameters, and of running statistics.
    averages: Vec<Dispatch>,
    squares: Dispatch,
    scale: Dispatch,
    sums: wgpu::Buffer,
}

impl Updates {
    pub(crate) fn new(
        gpu: &Gpu,
        network: &Network,
        arenas: &Arenas,
        average: Option<&Arenas>,
        buffers: usize,
        batch: usize,
    ) -> Result<Self, GpuError> {
        let allocator = Allocator::new(gpu, batch);
        let (len, word) = (network.values().len(), size_of::<f32>());
        let buffers = (0..buffers)
            .map(|_| allocator.zeros("the optimiser's values", len * word))
            .collect::<Result<Vec<_>, _>>()?;
        let most = network.params().len();
        let table = allocator.zeros("rates", most * WORDS * word)?;
        let sums = allocator.zeros("sums of squares", (len.div_ceil(SQUARES) + most) * word)?;
        let gradients = View::whole(arenas.gradients.as_ref().expect("training has gradients"));
        let second = buffers.last().expect("an optimiser keeps something");
        let update = Kernel::new("update", UPDATE)
            .constant("ADAMW", (buffers.len() == 2).into())
            .bind("parameters", Element::F32, &View::whole(&arenas.parameters))
            .bind("gradients", Element::F32, &gradients)
            .bind("first", Element::F32, &View::whole(&buffers[0]))
            .bind("second", Element::F32, &View::whole(second))
            .bind("table", Element::U32, &View::whole(&table))
            .build(gpu, Work::fixed(len))?;
        let pass = |name: &str, other: &View, to: &View, len: usize, each: usize| {
            arena(name, to, other).word(1, len).build(gpu, Work::groups(len.div_ceil(each), 1))
        };
        let mut averages = Vec::new();
        if let Some(average) = average {
            let running = network.running_values().len();
            for (from, to, len) in [
                (&arenas.parameters, &average.parameters, len),
                (&arenas.running, &average.running, running),
            ] {
                if len > 0 {
                    let (from, to) = (View::whole(from), View::whole(to));
                    averages.push(pass("average(i);", &from, &to, len, 256)?);
                }
            }
        }
        let all = View::whole(&sums);
        Ok(Updates {
            squares: pass("squares(tile, lid);", &all, &gradients, len, SQUARES)?,
            scale: pass("scale(i);", &all, &gradients, len, 256)?,
            buffers,
            table,
            most,
            update,
            averages,
            sums,
        })
    }

    /// What SGD and Muon keep for each parameter.
    pub(crate) fn momentum(&self) -> &wgpu::Buffer {
        &self.buffers[0]
    }

    /// Replaces what the optimiser keeps.
    pub(crate) fn write(&self, gpu: &Gpu, buffers: &[Vec<f32>]) {
        assert_eq!(buffers.len(), self.buffers.len(), "buffers of another optimiser");
        for (to, from) in self.buffers.iter().zip(buffers) {
            assert!(size_of_val(&from[..]) as u64 <= to.size(), "values of another network");
            gpu.write(to, 0, from);
        }
    }

    /// Reads what the optimiser keeps.
    pub(crate) fn read(&self, gpu: &Gpu, buffers: &mut [Vec<f32>]) -> Result<(), GpuError> {
        for (to, from) in buffers.iter_mut().zip(&self.buffers) {
            let view = View::part(from, &(0..to.len()), size_of::<f32>());
            to.copy_from_slice(&gpu.read_f32(&view)?);
        }
        Ok(())
    }

    pub(crate) fn run(&mut self, gpu: &Gpu, rule: Rule, ranges: &[UpdateRange]) {
        assert!(ranges.len() <= self.most, "more ranges than parameters");
        if ranges.is_empty() {
            return;
        }
        let words: Vec<u32> = ranges.iter().flat_map(|range| range.words(rule)).collect();
        gpu.write(&self.table, 0, &words);
        self.update.set(0, ranges.len() as u32);
        submit(gpu, [&self.update]);
    }

    pub(crate) fn average(&mut self, gpu: &Gpu, decay: f64, back: bool) {
        for dispatch in &mut self.averages {
            dispatch.set_float(0, decay as f32);
            dispatch.set_float(1, (1.0 - decay) as f32);
            dispatch.set(2, back.into());
        }
        submit(gpu, &self.averages);
    }

    /// The sum of squares of some gradients.
    pub(crate) fn sum_of_squares(
        &self,
        gpu: &Gpu,
        ranges: &[Range<usize>],
    ) -> Result<f64, GpuError> {
        assert!(ranges.len() <= self.most, "more ranges than parameters");
        let mut parts = 0;
        let mut of = |range: &Range<usize>| {
            let mut dispatch = over(&self.squares, range, SQUARES);
            dispatch.set(2, parts as u32);
            parts += range.len().div_ceil(SQUARES);
            dispatch
        };
        let all: Vec<Dispatch> = ranges.iter().map(&mut of).collect();
        submit(gpu, &all);
        let sums = gpu.read_f32(&View::part(&self.sums, &(0..parts), size_of::<f32>()))?;
        Ok(sums.into_iter().map(f64::from).sum())
    }

    /// Multiplies some gradients.
    pub(crate) fn scale(&self, gpu: &Gpu, ranges: &[Range<usize>], factor: f32) {
        let of = |range: &Range<usize>| {
            let mut dispatch = over(&self.scale, range, THREADS as usize);
            dispatch.set_float(0, factor);
            dispatch
        };
        let all: Vec<Dispatch> = ranges.iter().map(of).collect();
        submit(gpu, &all);
    }
}

/// A pass over a range, of which a workgroup has `each` values.
fn over(dispatch: &Dispatch, range: &Range<usize>, each: usize) -> Dispatch {
    let mut dispatch = dispatch.clone();
    dispatch.set(0, range.start as u32);
    dispatch.set(1, range.len() as u32);
    dispatch.set_groups(range.len().div_ceil(each));
    dispatch
}

pub(crate) fn submit<'d>(gpu: &Gpu, dispatches: impl IntoIterator<Item = &'d Dispatch>) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    dispatches.into_iter().for_each(|one| one.encode(&mut pass, 1, false));
    drop(pass);
    gpu.queue().submit([encoder.finish()]);
}
