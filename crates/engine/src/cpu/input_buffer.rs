//! The input buffer of a plan.

use resnet_kernels::{
    Buffer, Cpu, OutOfMemory,
    input::{ByteTable, from_bytes, from_nchw},
    layout::ImageLayout,
};
use resnet_network::preprocess::Normalisation;

use crate::{batch::Input, program::Program};

/// The images of a batch in the layout of the first convolution, in f32 for every dtype.
#[derive(Debug)]
pub(super) struct InputBuffer {
    layout: ImageLayout,
    pub(super) values: Buffer,
    table: Option<(Normalisation, ByteTable)>,
}

impl InputBuffer {
    pub(super) fn new(program: &Program) -> Result<Self, OutOfMemory> {
        let values = Buffer::zeroed(program.images_len())?;
        Ok(InputBuffer { layout: program.image, values, table: None })
    }

    /// Converts the images of a batch, and normalises bytes.
    ///
    /// # Panics
    /// If the input has fewer than `images` images, or the normalisation another number of
    /// channels.
    pub(super) fn fill(&mut self, cpu: &Cpu, input: Input<'_>, images: usize) {
        let one = self.layout.channels * self.layout.height * self.layout.width;
        match input {
            Input::Bytes(bytes, normalisation) => {
                assert!(bytes.len() >= images * one, "{} bytes for {images} images", bytes.len());
                if self.table.as_ref().is_none_or(|(of, _)| of != normalisation) {
                    let table = ByteTable::new(&normalisation.mean, &normalisation.std);
                    self.table = Some((normalisation.clone(), table));
                }
                let (_, table) = self.table.as_ref().expect("made above");
                from_bytes(cpu, &self.layout, images, bytes, table, &mut self.values);
            }
            Input::Nchw(values) => {
                assert!(
                    values.len() >= images * one,
                    "{} values for {images} images",
                    values.len()
                );
                from_nchw(cpu, &self.layout, images, values, &mut self.values);
            }
        }
    }
}
