//! Decodes photos that are in memory, within limits that the caller chooses.

use resnet_network::preprocess::Preparation;

use super::{
    PhotoError, Region,
    decode::Header,
    limits::{BYTES_PER_PIXEL, MAX_PIXELS, METADATA},
    parallel::MemoryBudget,
};

/// Decodes and prepares photos on the threads that call it. All of them together need no more memory than
/// the largest photo that it takes: a thread waits until there is enough.
///
/// ```
/// use resnet_data::photo::{PhotoDecoder, Preparation};
///
/// let decoder = PhotoDecoder::new(1_000_000);
/// let (pixels, region) =
///     decoder.prepare(b"P5 2 2 255 abcd", Preparation::new(2, None, 1)).unwrap();
/// assert_eq!((&*pixels, region.width), (&b"abcd"[..], 1.0));
/// assert!(decoder.prepare(b"P5 2000 2000 255 abcd", Preparation::new(2, None, 1)).is_err());
/// ```
#[derive(Debug)]
pub struct PhotoDecoder {
    /// Pixels of the largest photo.
    most: u64,
    budget: MemoryBudget,
}

impl PhotoDecoder {
    /// Takes photos of up to `pixels` pixels, and never of more than [`MAX_PIXELS`].
    pub fn new(pixels: u64) -> PhotoDecoder {
        let most = pixels.clamp(1, MAX_PIXELS);
        PhotoDecoder { most, budget: MemoryBudget::of(BYTES_PER_PIXEL * most) }
    }

    /// Bytes that decoding needs at most on `threads` threads, without the files and the results.
    pub fn memory(&self, threads: usize) -> u64 {
        BYTES_PER_PIXEL * self.most + METADATA * threads as u64
    }

    /// Decodes a photo as [`Photo::decode`](super::Photo::decode) does, and prepares it as
    /// [`Photo::prepare`](super::Photo::prepare). Returns the pixels
    /// `[image_size][image_size][channels]`, and which part of the photo they show.
    ///
    /// # Errors
    /// If the bytes are no photo, or it is damaged or too large.
    pub fn prepare(
        &self,
        bytes: &[u8],
        preparation: Preparation,
    ) -> Result<(Vec<u8>, Region), PhotoError> {
        let prepared = self.prepare_if(bytes, preparation, || true)?;
        Ok(prepared.expect("it is wanted"))
    }

    /// Does the same, unless the photo is not wanted any more once there is memory for it.
    ///
    /// # Errors
    /// If the bytes are no photo, or it is damaged or too large.
    pub fn prepare_if(
        &self,
        bytes: &[u8],
        preparation: Preparation,
        is_wanted: impl FnOnce() -> bool,
    ) -> Result<Option<(Vec<u8>, Region)>, PhotoError> {
        let header = Header::read(bytes, None, self.most)?;
        let _reservation = self.budget.reserve(header.cost);
        if !is_wanted() {
            return Ok(None);
        }
        let photo = header.decode(preparation.channels == 1)?;
        Ok(Some((photo.prepare(preparation)?, photo.region(preparation))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Photo;
    use super::*;

    #[test]
    fn it_prepares_as_files_are_prepared_and_refuses_by_the_header() {
        let file = include_bytes!("../../tests/photos/exif-6.jpg");
        let photo = Photo::decode(file, false).unwrap();
        let preparation = Preparation::new(32, Some(40), 3);
        let pixels = (photo.width * photo.height) as u64;
        let (prepared, region) = PhotoDecoder::new(pixels).prepare(file, preparation).unwrap();
        assert_eq!(prepared, photo.prepare(preparation).unwrap());
        assert_eq!(region, photo.region(preparation));
        let unwanted = PhotoDecoder::new(pixels).prepare_if(file, preparation, || false);
        assert!(unwanted.unwrap().is_none());
        let error = PhotoDecoder::new(pixels - 1).prepare(file, preparation).unwrap_err();
        assert!(matches!(error, PhotoError::TooLarge { most, .. } if most == pixels - 1));
    }
}
