//! Images on their way to a device.

use resnet_network::{crops::Resampling, preprocess::Normalisation};
use resnet_program::Input;

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    kept::Kept,
    kernel::{Dispatch, Element, Kernel, Work},
};

const IMAGES: &str = include_str!("shaders/images.wgsl");

/// Images of one size, as a plan takes them.
#[derive(Debug)]
pub(crate) struct Images {
    channels: usize,
    pixels: usize,
    /// A batch of bytes or floats, as it comes or is gathered.
    source: wgpu::Buffer,
    /// What crops are of.
    pub(crate) kept: Option<Kept>,
    /// What was prepared last.
    prepared: Option<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    form: Form,
    dispatches: Vec<Dispatch>,
}

/// How images come.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    Bytes(Normalisation),
    Crops(Normalisation, Option<Resampling>),
    Floats,
}

impl Images {
    /// For batches of up to `batch` images.
    pub(crate) fn new(
        allocator: &Allocator<'_>,
        [height, width, channels]: [usize; 3],
        batch: usize,
    ) -> Result<Self, GpuError> {
        let pixels = height * width;
        // A first batch that did not fit would end a run that has begun.
        let source = allocator.zeros("images", batch * pixels * channels * size_of::<f32>())?;
        Ok(Images { channels, pixels, source, kept: None, prepared: None })
    }

    /// Bytes of a batch as it comes, at most.
    pub(crate) fn bytes(&self) -> usize {
        self.source.size() as usize
    }

    /// Takes images that crops are of.
    pub(crate) fn keep(&mut self, kept: Option<Kept>) {
        (self.kept, self.prepared) = (kept, None);
    }

    /// Writes a batch of `n` images. Returns the kernels that convert them into `to`.
    ///
    /// # Panics
    /// If the input has fewer, or the normalisation another number of channels or a mean image of another size; if it is
    /// crops of images that are not kept, or of another size.
    pub(crate) fn write(
        &mut self,
        gpu: &Gpu,
        input: Input<'_>,
        n: usize,
        to: &wgpu::Buffer,
    ) -> Result<&[Dispatch], GpuError> {
        let one = self.pixels * self.channels;
        let form = match input {
            Input::Bytes(_, normalisation) => Form::Bytes(normalisation.clone()),
            Input::Crops(crops, normalisation) => {
                Form::Crops(normalisation.clone(), crops.resampling.clone())
            }
            Input::Nchw(_) => Form::Floats,
            Input::Features(_) => unreachable!("features enter the head"),
        };
        if self.prepared.as_ref().is_none_or(|prepared| prepared.form != form) {
            self.prepared = Some(self.prepare(gpu, form, to)?);
        }
        let prepared = self.prepared.as_ref().expect("made above");
        match input {
            Input::Bytes(bytes, _) => gpu.write(&self.source, 0, &bytes[..n * one]),
            Input::Crops(crops, _) => self.kept().write(gpu, &crops.crops[..n]),
            Input::Nchw(values) => gpu.write(&self.source, 0, &values[..n * one]),
            Input::Features(_) => unreachable!("refused above"),
        }
        Ok(&prepared.dispatches)
    }

    fn kept(&self) -> &Kept {
        self.kept.as_ref().expect("crops are of images that are kept")
    }

    fn prepare(&self, gpu: &Gpu, form: Form, to: &wgpu::Buffer) -> Result<Prepared, GpuError> {
        let table = match &form {
            Form::Floats => vec![0.0],
            Form::Bytes(normalisation) | Form::Crops(normalisation, _) => self.table(normalisation),
        };
        let values = Allocator::new(gpu, 0).zeros("normalisation", size_of_val(&table[..]))?;
        gpu.write(&values, 0, &table);
        let has_mean_image = table.len() > 256 * self.channels;
        let vectors = self.channels.div_ceil(4);
        let kernel = Kernel::new("images", IMAGES)
            .constants(&[("CHANNELS", self.channels), ("C4", vectors), ("PIXELS", self.pixels)])
            .constants(&[("FLOATS", (form == Form::Floats).into())])
            .constant("MEAN_IMAGE", has_mean_image.into())
            .bind("source", Element::U32, &View::whole(&self.source))
            .bind("table", Element::F32, &View::whole(&values))
            .bind("y", Element::Vec4, &View::whole(to));
        let mut dispatches = vec![kernel.build(gpu, Work::values(self.pixels * vectors))?];
        if let Form::Crops(_, resampling) = &form {
            let image = [self.pixels, self.channels];
            let gather = self.kept().gather(gpu, image, resampling.as_ref(), &self.source)?;
            dispatches.insert(0, gather);
        }
        Ok(Prepared { form, dispatches })
    }

    /// The normalised value of each byte by channel, `(byte / 255 - mean) / std`, and the mean image, divided by the
    /// standard deviation.
    fn table(&self, normalisation: &Normalisation) -> Vec<f32> {
        let Normalisation { mean, std, mean_image } = normalisation;
        assert_eq!([mean.len(), std.len()], [self.channels; 2], "channels to normalise");
        let mean = |channel: usize| if mean_image.is_some() { 0.0 } else { mean[channel] };
        let mut table = Vec::with_capacity(256 * self.channels);
        for (channel, std) in std.iter().enumerate() {
            table.extend((0..256).map(|byte| (byte as f32 / 255.0 - mean(channel)) / std));
        }
        if let Some(image) = mean_image {
            assert_eq!(image.len(), self.pixels * self.channels, "a mean image of another size");
            table.extend(image.iter().zip(std.iter().cycle()).map(|(value, std)| value / std));
        }
        table
    }
}
