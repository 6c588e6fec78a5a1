//! How values travel.

use serde::{Deserialize, Serialize};

/// The type in which gradients travel between processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// As they are.
    #[default]
    Fp32,
    /// Rounded to bfloat16, to nearest even: half the bytes. Every sum of the [tree](crate::tree) is rounded
    /// too, so that results do not depend on which of them travel.
    Bf16,
}

impl Wire {
    /// Bytes of a value.
    pub fn size(self) -> usize {
        match self {
            Wire::Fp32 => 4,
            Wire::Bf16 => 2,
        }
    }

    /// Rounds values to what can travel.
    pub fn round(self, values: &mut [f32]) {
        if self == Wire::Bf16 {
            values.iter_mut().for_each(|value| *value = from_bf16(to_bf16(*value)));
        }
    }

    /// Appends values as bytes: none of their bits are lost if they are [rounded](Wire::round).
    pub(crate) fn encode(self, values: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Wire::Fp32 => bytes.extend_from_slice(bytemuck::cast_slice(values)),
            Wire::Bf16 => {
                let start = bytes.len();
                bytes.resize(start + 2 * values.len(), 0);
                for (two, &value) in bytes[start..].chunks_exact_mut(2).zip(values) {
                    two.copy_from_slice(&to_bf16(value).to_ne_bytes());
                }
            }
        }
    }

    /// The values of these bytes.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut [f32]) {
        match self {
            Wire::Fp32 => bytemuck::cast_slice_mut(values).copy_from_slice(bytes),
            Wire::Bf16 => {
                for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                    *value = from_bf16(u16::from_ne_bytes([bytes[0], bytes[1]]));
                }
            }
        }
    }
}

fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Rounds to nearest even, as `Tensor.to(torch.bfloat16)`.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_is_pytorchs() {
        // torch.tensor([...]).to(torch.bfloat16).float()
        let cases = [
            (1.0, 1.0),
            (1.0 + 1.0 / 256.0, 1.0),       // a tie: to even
            (1.0 + 3.0 / 256.0, 1.015_625), // a tie: to even
            (-5.3, -5.3125),
            (3.4e38, f32::INFINITY), // above the largest value by more than half a step
            (1e-40, 9.183_55e-41),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
        ];
        for (value, expected) in cases {
            let mut rounded = [value];
            Wire::Bf16.round(&mut rounded);
            assert_eq!(rounded[0], expected, "{value}");
        }
        let mut nan = [f32::NAN];
        Wire::Bf16.round(&mut nan);
        assert!(nan[0].is_nan());
    }

    #[test]
    fn bytes_keep_rounded_values() {
        for wire in [Wire::Fp32, Wire::Bf16] {
            let mut values = [0.1, -2.5e-7, 7.0, 1e30, 0.0];
            wire.round(&mut values);
            let mut bytes = vec![7];
            wire.encode(&values, &mut bytes);
            let bytes = bytes.split_off(1);
            assert_eq!(bytes.len(), values.len() * wire.size());
            let mut found = [0.0; 5];
            wire.decode(&bytes, &mut found);
            assert_eq!(found, values);
        }
    }
}
