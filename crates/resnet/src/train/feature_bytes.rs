//! Features in the place of the pixels of [`Images`](crate::data::Images): four bytes each.

pub(super) fn to_bytes(features: &[f32]) -> Vec<u8> {
    features.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub(super) fn from_bytes(pixels: &[u8]) -> Vec<f32> {
    let (values, _) = pixels.as_chunks();
    values.iter().map(|&value| f32::from_le_bytes(value)).collect()
}
