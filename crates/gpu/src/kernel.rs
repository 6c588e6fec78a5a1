//! Compute kernels: the text of a shader with its constants and bindings, and a dispatch of it.

use std::{fmt::Write, sync::Arc};

use resnet_kernels::Dtype;

use crate::{
    Gpu, GpuError,
    buffer::View,
    pipeline::{Pipeline, WORDS, compile},
    workgroup::THREADS,
};

/// The type of a binding's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    U32,
    /// Four f32.
    Vec4,
    /// Four values of a dtype.
    Values(Dtype),
}

/// Workgroups of a dispatch along its first dimension, at most.
const MOST: u64 = 32768;

/// The threads or workgroups of a dispatch, by the images of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// For each image.
    per_image: u64,
    /// For any batch.
    fixed: u64,
    /// How many a workgroup does.
    per_group: u64,
    /// The third dimension.
    z: u64,
}

impl Work {
    /// A thread for each of so many values of an image.
    pub(crate) fn values(per_image: usize) -> Work {
        Work { per_image: per_image as u64, fixed: 0, per_group: THREADS, z: 1 }
    }

    /// A thread for each of so many values.
    pub(crate) fn fixed(values: usize) -> Work {
        Work { per_image: 0, fixed: values as u64, per_group: THREADS, z: 1 }
    }

    /// A workgroup for each `rows` rows of an image.
    pub(crate) fn rows(per_image: usize, rows: usize, z: usize) -> Work {
        Work { per_image: per_image as u64, fixed: 0, per_group: rows as u64, z: z as u64 }
    }

    /// So many workgroups.
    pub(crate) fn groups(groups: usize, z: usize) -> Work {
        Work { per_image: 0, fixed: groups as u64, per_group: 1, z: z as u64 }
    }

    fn size(self, n: u64) -> [u32; 3] {
        let groups = (self.per_image * n + self.fixed).div_ceil(self.per_group).max(1);
        let x = groups.min(MOST);
        [x, groups.div_ceil(x), self.z].map(|side| side as u32)
    }
}

/// A kernel with what it works on.
#[derive(Clone, Debug)]
pub(crate) struct Dispatch {
    pipeline: Arc<Pipeline>,
    bindings: wgpu::BindGroup,
    pub(crate) words: [u32; WORDS],
    work: Work,
}

impl Dispatch {
    /// Sets one of the integers after `n`.
    pub(crate) fn set(&mut self, index: usize, value: u32) {
        self.words[1 + index] = value;
    }

    /// Sets one of the floats.
    pub(crate) fn set_float(&mut self, index: usize, value: f32) {
        self.words[8 + index] = value.to_bits();
    }

    /// Sets how many workgroups it has.
    pub(crate) fn set_groups(&mut self, groups: usize) {
        self.work = Work::groups(groups, 1);
    }

    /// Adds it to a pass, for `n` images. With `accumulate`, gradients of parameters are added to those before.
    pub(crate) fn encode(&self, pass: &mut wgpu::ComputePass<'_>, n: usize, accumulate: bool) {
        let mut words = self.words;
        words[0] = n as u32;
        words[7] |= u32::from(accumulate);
        let [x, y, z] = self.work.size(n as u64);
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.set_immediates(0, bytemuck::cast_slice(&words));
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A kernel in the making.
pub(crate) struct Kernel<'a> {
    label: &'a str,
    body: String,
    header: String,
    views: Vec<View>,
    words: [u32; WORDS],
}

impl<'a> Kernel<'a> {
    /// A kernel of a shader's text, which defines `run(tile, z, lid)`.
    pub(crate) fn new(label: &'a str, body: &str) -> Self {
        Kernel {
            label,
            body: body.to_owned(),
            header: String::new(),
            views: Vec::new(),
            words: [0; WORDS],
        }
    }

    /// Replaces a line `//{name}` of the text.
    pub(crate) fn insert(mut self, name: &str, text: &str) -> Self {
        let place = format!("//{{{name}}}");
        debug_assert!(self.body.contains(&place), "{}: no place {name}", self.label);
        self.body = self.body.replace(&place, text);
        self
    }

    /// Puts another text before it.
    pub(crate) fn with(mut self, text: &str) -> Self {
        self.body.insert_str(0, text);
        self
    }

    /// A constant of the text.
    pub(crate) fn constant(mut self, name: &str, value: usize) -> Self {
        let _ = writeln!(self.header, "const {name} = {value}u;");
        self
    }

    /// Constants of the text.
    pub(crate) fn constants(self, all: &[(&str, usize)]) -> Self {
        all.iter().fold(self, |kernel, &(name, value)| kernel.constant(name, value))
    }

    /// A buffer by its name in the text.
    pub(crate) fn bind(mut self, name: &str, element: Element, view: &View) -> Self {
        let index = self.views.len();
        let stored = match element {
            Element::F32 => "f32",
            Element::U32 => "u32",
            Element::Vec4 | Element::Values(Dtype::Fp32) => "vec4<f32>",
            Element::Values(Dtype::Bf16) => "vec2<u32>",
        };
        let _ = writeln!(
            self.header,
            "@group(0) @binding({index}) var<storage, read_write> {name}: array<{stored}>;"
        );
        let [load, store] = match element {
            Element::F32 | Element::U32 => {
                self.views.push(view.clone());
                return self;
            }
            Element::Vec4 | Element::Values(Dtype::Fp32) => ["{name}[i]", "value"],
            Element::Values(Dtype::Bf16) => ["from_bf16({name}[i])", "to_bf16(value)"],
        }
        .map(|text| text.replace("{name}", name));
        let _ = writeln!(
            self.header,
            "fn load_{name}(i: u32) -> vec4<f32> {{ return {load}; }}\n\
             fn store_{name}(i: u32, value: vec4<f32>) {{ {name}[i] = {store}; }}"
        );
        self.views.push(view.clone());
        self
    }

    /// A buffer that may be missing: reads are then 0, and must not happen.
    pub(crate) fn bind_if(self, name: &str, element: Element, view: Option<&View>) -> Self {
        match view {
            Some(view) => self.bind(name, element, view),
            None => {
                let mut kernel = self;
                let _ = writeln!(
                    kernel.header,
                    "fn load_{name}(i: u32) -> vec4<f32> {{ return vec4<f32>(); }}\n\
                     fn store_{name}(i: u32, value: vec4<f32>) {{}}"
                );
                kernel
            }
        }
    }

    /// One of the integers.
    pub(crate) fn word(mut self, index: usize, value: usize) -> Self {
        self.words[1 + index] = value as u32;
        self
    }

    /// One of the floats.
    pub(crate) fn float(mut self, index: usize, value: f32) -> Self {
        self.words[8 + index] = value.to_bits();
        self
    }

    /// Compiles it, unless the same text was compiled before.
    ///
    /// # Errors
    /// If a buffer is larger than a kernel of the device can reach.
    pub(crate) fn build(self, gpu: &Gpu, work: Work) -> Result<Dispatch, GpuError> {
        let text = format!("{PRELUDE}{}{}", self.header, self.body);
        let (device, most) = (gpu.device(), gpu.reach());
        if let Some(view) = self.views.iter().find(|view| view.range.end - view.range.start > most)
        {
            let bytes = view.range.end - view.range.start;
            return Err(GpuError::Unsupported {
                device: gpu.info().name.clone(),
                reason: format!(
                    "kernels reach {} MiB of a buffer, not {}",
                    most >> 20,
                    bytes >> 20
                ),
            });
        }
        let bindings = self.views.len();
        let pipeline = gpu.pipeline(&text, || compile(device, self.label, &text, bindings))?;
        let entries: Vec<_> = self
            .views
            .iter()
            .enumerate()
            .map(|(index, view)| wgpu::BindGroupEntry {
                binding: index as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &view.buffer,
                    offset: view.range.start,
                    size: std::num::NonZero::new(view.range.end - view.range.start),
                }),
            })
            .collect();
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(self.label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        gpu.check()?;
        Ok(Dispatch { pipeline, bindings, words: self.words, work })
    }
}

/// What every shader begins with.
const PRELUDE: &str = include_str!("shaders/prelude.wgsl");
