//! Images that stay on a device, and batches that are gathered from them.

use resnet_network::crops::{Crop, CropSettings, KeptImages, Resampling};

use crate::{
    Gpu, GpuError,
    buffer::{Allocator, View},
    kernel::{Dispatch, Element, Kernel, Work},
};

const GATHER: &str = include_str!("shaders/gather.wgsl");

/// Bytes of a crop on the device.
const CROP_BYTES: usize = 6 * size_of::<u32>();

/// The images of a data set, as bytes.
#[derive(Debug)]
pub(crate) struct Kept {
    pixels: wgpu::Buffer,
    images: usize,
    settings: CropSettings,
    /// Those of a batch.
    crops: wgpu::Buffer,
}

impl Kept {
    /// Sends images, if there is memory for them and for the crops of `batch` images, and then for `sent` bytes on their
    /// way.
    pub(crate) fn new(
        gpu: &Gpu,
        kept: &KeptImages<'_>,
        batch: usize,
        sent: usize,
    ) -> Result<Self, GpuError> {
        let KeptImages { pixels, settings } = *kept;
        let allocator = Allocator::new(gpu, 0);
        let buffer = allocator.zeros("images", pixels.len())?;
        let crops = allocator.zeros("crops", batch * CROP_BYTES)?;
        allocator.check_room(sent.max(pixels.len()))?;
        gpu.write(&buffer, 0, pixels);
        let image = settings.side * settings.side * settings.channels;
        Ok(Kept { pixels: buffer, images: pixels.len() / image.max(1), settings, crops })
    }

    /// Writes the crops of a batch.
    ///
    /// # Panics
    /// If one is of no image.
    pub(crate) fn write(&self, gpu: &Gpu, crops: &[Crop]) {
        let mut words = Vec::with_capacity(crops.len() * CROP_BYTES / size_of::<u32>());
        for &Crop { image, top, left, mirrored, cutout: [y, x] } in crops {
            assert!((image as usize) < self.images, "image {image} of {}", self.images);
            words.extend([image, top as u32, left as u32, u32::from(mirrored), y, x]);
        }
        gpu.write(&self.crops, 0, &words);
    }

    /// The kernel that gathers the bytes of the batch whose crops were written: images of so many pixels.
    ///
    /// # Panics
    /// If crops have another number of pixels or channels.
    pub(crate) fn gather(
        &self,
        gpu: &Gpu,
        [pixels, channels]: [usize; 2],
        resampling: Option<&Resampling>,
        bytes: &wgpu::Buffer,
    ) -> Result<Dispatch, GpuError> {
        let CropSettings { side, reflects, cutout, colour: [r, g, b], .. } = self.settings;
        let out = resampling.map_or(side, Resampling::side);
        let own = [out * out, self.settings.channels];
        assert_eq!(own, [pixels, channels], "crops of other images than the plan's");
        let none = Resampling { taps: 0, table: vec![0] };
        let Resampling { taps, table } = resampling.unwrap_or(&none);
        let weights = Allocator::new(gpu, 0).zeros("resampling", size_of_val(&table[..]))?;
        gpu.write(&weights, 0, table);
        let colour = u32::from_le_bytes([r, g, b, 0]) as usize;
        Kernel::new("gather", GATHER)
            .constants(&[("SIDE", side), ("CHANNELS", channels), ("OUT", out), ("TAPS", *taps)])
            .constants(&[("CUTOUT", cutout), ("COLOUR", colour), ("REFLECTS", reflects.into())])
            .bind("kept", Element::U32, &View::whole(&self.pixels))
            .bind("crops", Element::U32, &View::whole(&self.crops))
            .bind("table", Element::U32, &View::whole(&weights))
            .bind("bytes", Element::U32, &View::whole(bytes))
            .build(gpu, Work::values((pixels * channels).div_ceil(4)))
    }
}
