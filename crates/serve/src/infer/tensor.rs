//! Tensors of requests, as images.

use std::fmt;

use resnet::preprocess::Preparation;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::INPUT;
use crate::{problem::Problem, request::check_count, served::Prepared};

/// What the numbers of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Datatype {
    /// Normalised values.
    Fp32,
    /// Pixels from 0 to 255, to be normalised as those of photos are.
    Uint8,
}

/// The shape of a tensor, `[images][channels][height][width]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    images: usize,
    channels: usize,
    /// Values of an image.
    len: usize,
}

impl Shape {
    /// The shape that a request states, for a network that takes images so prepared, at most `most` of them.
    pub(super) fn new(
        stated: &[u64],
        preparation: Preparation,
        most: usize,
    ) -> Result<Shape, Problem> {
        let Preparation { image_size: side, channels, .. } = preparation;
        match *stated {
            [images, ref rest @ ..]
                if images > 0 && *rest == [channels, side, side].map(|n| n as u64) =>
            {
                let images = usize::try_from(images).unwrap_or(usize::MAX);
                check_count(images, most)?;
                Ok(Shape { images, channels, len: preparation.image_len() })
            }
            _ => Err(Problem::invalid(format!(
                "expected the shape [images, {channels}, {side}, {side}] for {INPUT}"
            ))),
        }
    }

    fn values(self) -> usize {
        self.images * self.len
    }
}

impl Datatype {
    /// The type of this name.
    pub(super) fn new(name: &str) -> Option<Datatype> {
        match name {
            "FP32" => Some(Datatype::Fp32),
            "UINT8" => Some(Datatype::Uint8),
            _ => None,
        }
    }

    /// The images of a tensor in bytes, little-endian.
    pub(super) fn of_bytes(self, bytes: &[u8], shape: Shape) -> Result<Vec<Prepared>, Problem> {
        let size = match self {
            Datatype::Fp32 => size_of::<f32>(),
            Datatype::Uint8 => 1,
        };
        if bytes.len() != shape.values() * size {
            let (len, expected) = (bytes.len(), shape.values() * size);
            let detail = format!("{INPUT} has {len} bytes, but its shape states {expected}");
            return Err(Problem::invalid(detail));
        }
        let image = |bytes: &[u8]| match self {
            Datatype::Fp32 => {
                let values = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
                let values: Vec<f32> = values.collect();
                if values.iter().any(|value| !value.is_finite()) {
                    let detail = format!("{INPUT} has values that are NaN or infinite");
                    return Err(Problem::invalid(detail));
                }
                Ok(Prepared::Values(values))
            }
            Datatype::Uint8 => Ok(pixels(bytes, shape.channels)),
        };
        bytes.chunks_exact(shape.len * size).map(image).collect()
    }

    /// The images of a tensor in JSON: numbers in row-major order, in one list or in lists of lists.
    pub(super) fn of_json(self, data: &RawValue, shape: Shape) -> Result<Vec<Prepared>, Problem> {
        let mut numbers = Numbers { datatype: self, shape, images: Vec::new(), image: Vec::new() };
        let mut text = serde_json::Deserializer::from_str(data.get());
        let read = text.deserialize_seq(&mut numbers);
        read.map_err(|error| Problem::invalid(format!("data of {INPUT}: {error}")))?;
        let (count, expected) = (numbers.count(), shape.values());
        if count != expected {
            let detail = format!("{INPUT} has {count} values, but its shape states {expected}");
            return Err(Problem::invalid(detail));
        }
        Ok(numbers.images)
    }
}

/// Pixels `[channels][height][width]` as those of a photo, `[height][width][channels]`.
fn pixels(planes: &[u8], channels: usize) -> Prepared {
    let plane = planes.len() / channels;
    let pixels = (0..planes.len()).map(|i| planes[i % channels * plane + i / channels]);
    Prepared::Pixels(pixels.collect())
}

/// Takes the numbers of a list, and those of the lists in it.
struct Numbers {
    datatype: Datatype,
    shape: Shape,
    images: Vec<Prepared>,
    /// Values of the image that is not whole yet.
    image: Vec<f32>,
}

impl Numbers {
    fn count(&self) -> usize {
        self.images.len() * self.shape.len + self.image.len()
    }

    fn push<E: Error>(&mut self, number: f64) -> Result<(), E> {
        let Shape { images, channels, len } = self.shape;
        if self.images.len() == images {
            let expected = self.shape.values();
            return Err(E::custom(format!("more than the {expected} values of its shape")));
        }
        let is_byte = number.fract() == 0.0 && (0.0..=255.0).contains(&number);
        if self.datatype == Datatype::Uint8 && !is_byte {
            return Err(E::custom(format!("{number} is no UINT8: expected 0 to 255")));
        }
        if !(number as f32).is_finite() {
            return Err(E::custom(format!("{number:e} is no FP32: it is too large")));
        }
        if self.image.is_empty() {
            self.image.reserve_exact(len);
        }
        self.image.push(number as f32);
        if self.image.len() == len {
            let image = std::mem::take(&mut self.image);
            self.images.push(match self.datatype {
                Datatype::Fp32 => Prepared::Values(image),
                Datatype::Uint8 => {
                    let planes: Vec<u8> = image.into_iter().map(|value| value as u8).collect();
                    pixels(&planes, channels)
                }
            });
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Numbers {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, in lists")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.push(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.push(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.push(number as f64)
    }
}

impl<'de> DeserializeSeed<'de> for &mut Numbers {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images of a pixel.
    fn shape() -> Shape {
        Shape::new(&[2, 3, 1, 1], Preparation::new(1, None, 3), 2).unwrap()
    }

    #[test]
    fn pixels_become_those_of_a_photo() {
        let preparation = Preparation::new(2, None, 3);
        let shape = Shape::new(&[1, 3, 2, 2], preparation, 1).unwrap();
        let planes = [1, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24];
        let photo = [1, 11, 21, 2, 12, 22, 3, 13, 23, 4, 14, 24];
        let expected = [Prepared::Pixels(photo.to_vec())];
        assert_eq!(Datatype::Uint8.of_bytes(&planes, shape).unwrap(), expected);
        let json = serde_json::value::to_raw_value(&planes).unwrap();
        assert_eq!(Datatype::Uint8.of_json(&json, shape).unwrap(), expected);
    }

    #[test]
    fn bytes_and_numbers_are_those_of_the_shape() {
        let of_json = |datatype: Datatype, text: &str| {
            let data: &RawValue = serde_json::from_str(text).unwrap();
            datatype.of_json(data, shape()).map_err(|problem| problem.detail.into_owned())
        };
        let two = of_json(Datatype::Uint8, "[[0, 1, 255], [3, 4, 5.0]]").unwrap();
        assert_eq!(two, [vec![0, 1, 255], vec![3, 4, 5]].map(Prepared::Pixels));
        for (text, part) in [
            ("[0, 1, 2, 3, 4, 256]", "256 is no UINT8"),
            ("[0, 1, 2, 3, 4, -1]", "-1 is no UINT8"),
            ("[0, 1, 2, 3, 4, 0.5]", "0.5 is no UINT8"),
            ("[0, 1, 2, 3, 4]", "has 5 values, but its shape states 6"),
            ("[0, 1, 2, 3, 4, 5, 6]", "more than the 6 values"),
        ] {
            let error = of_json(Datatype::Uint8, text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        assert!(of_json(Datatype::Fp32, "[0, 1, 2, 3, 4, -0.5]").is_ok());
        let error = of_json(Datatype::Fp32, "[0, 1, 2, 3, 4, -1e39]").unwrap_err();
        assert!(error.contains("-1e39 is no FP32"), "{error}");
        for value in [f32::NAN, f32::NEG_INFINITY] {
            let bytes = [0.0, 1.0, 2.0, 3.0, 4.0, value].map(f32::to_le_bytes);
            let problem = Datatype::Fp32.of_bytes(bytes.as_flattened(), shape()).unwrap_err();
            assert_eq!((problem.code, problem.status.as_u16()), ("invalid_request", 400));
        }
        for (datatype, bytes) in [(Datatype::Uint8, 6), (Datatype::Fp32, 24)] {
            assert_eq!(datatype.of_bytes(&vec![0; bytes], shape()).unwrap().len(), 2);
            for wrong in [0, 5, 7, 23, 25] {
                assert!(datatype.of_bytes(&vec![0; wrong], shape()).is_err());
            }
        }
    }
}
