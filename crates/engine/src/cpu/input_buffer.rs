//! The input buffer of a plan.

use resnet_kernels::{
    Buffer, Cpu, OutOfMemory,
    input::{ByteTable, from_bytes, from_nchw, subtract},
    layout::ImageLayout,
};
use resnet_network::preprocess::Normalisation;
use resnet_program::{Input, program::Program};

/// The images of a batch in the layout of the first convolution, in f32 for every dtype.
#[derive(Debug)]
pub(super) struct InputBuffer {
    layout: ImageLayout,
    pub(super) values: Buffer,
    tables: Option<Tables>,
}

/// What normalises bytes.
#[derive(Debug)]
struct Tables {
    of: Normalisation,
    bytes: ByteTable,
    /// The mean image, normalised as pixels are: their mean is left to it.
    mean_image: Option<Vec<f32>>,
}

impl Tables {
    fn new(normalisation: &Normalisation) -> Tables {
        let Normalisation { mean, std, mean_image } = normalisation;
        let divided = |image: &Vec<f32>| {
            image.iter().zip(std.iter().cycle()).map(|(value, std)| value / std).collect()
        };
        let none = vec![0.0; mean.len()];
        let mean = if mean_image.is_some() { &none } else { mean };
        let bytes = ByteTable::new(mean, std);
        let mean_image = mean_image.as_ref().map(divided);
        Tables { of: normalisation.clone(), bytes, mean_image }
    }
}

impl InputBuffer {
    pub(super) fn new(program: &Program) -> Result<Self, OutOfMemory> {
        let values = Buffer::zeroed(program.images_len())?;
        Ok(InputBuffer { layout: program.image, values, tables: None })
    }

    /// Takes the images of another program. Memory that is large enough is kept.
    pub(super) fn replan(&mut self, program: &Program) -> Result<(), OutOfMemory> {
        self.layout = program.image;
        let len = program.images_len();
        if self.values.len() < len {
            // The old one goes first.
            self.values = Buffer::zeroed(0)?;
            self.values = Buffer::zeroed(len)?;
        } else {
            // Borders are elsewhere, and not written again.
            self.values.fill(0.0);
        }
        Ok(())
    }

    /// Converts the images of a batch, and normalises bytes.
    ///
    /// # Panics
    /// If the input has fewer than `images` images, or the normalisation another number of
    /// channels or a mean image of another size; or if it is crops.
    pub(super) fn fill(&mut self, cpu: &Cpu, input: Input<'_>, images: usize) {
        let one = self.layout.channels * self.layout.height * self.layout.width;
        match input {
            Input::Bytes(bytes, normalisation) => {
                assert!(bytes.len() >= images * one, "{} bytes for {images} images", bytes.len());
                if self.tables.as_ref().is_none_or(|tables| tables.of != *normalisation) {
                    self.tables = Some(Tables::new(normalisation));
                }
                let tables = self.tables.as_ref().expect("made above");
                from_bytes(cpu, &self.layout, images, bytes, &tables.bytes, &mut self.values);
                if let Some(image) = &tables.mean_image {
                    subtract(cpu, &self.layout, images, image, &mut self.values);
                }
            }
            Input::Nchw(values) => {
                assert!(
                    values.len() >= images * one,
                    "{} values for {images} images",
                    values.len()
                );
                from_nchw(cpu, &self.layout, images, values, &mut self.values);
            }
            Input::Crops(..) => panic!("the processor keeps no images"),
            Input::Features(_) => unreachable!("features enter the head"),
        }
    }
}
