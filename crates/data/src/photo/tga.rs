//! TGA files, which do not begin with a signature.

/// Whether a file of `len` bytes begins with the header of a TGA: its fields fit together, as Pillow checks, and
/// so does the length if its pixels are not compressed.
pub(super) fn is_tga(bytes: &[u8], len: u64) -> bool {
    let Some(header) = bytes.first_chunk::<18>() else { return false };
    let word = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let [id, has_map, kind] = [header[0], header[1], header[2]];
    let (map_start, map_len, map_bits) = (word(3), word(5), header[7]);
    let (width, height, bits) = (word(12), word(14), header[16]);
    let map_bytes = match has_map {
        0 if map_start == 0 && map_len == 0 => 0,
        1 if matches!(map_bits, 15 | 16 | 24 | 32) => map_len * usize::from(map_bits.div_ceil(8)),
        _ => return false,
    };
    let fits = match kind & !8 {
        1 => has_map == 1 && bits == 8,
        2 => matches!(bits, 15 | 16 | 24 | 32),
        3 => matches!(bits, 1 | 8 | 16),
        _ => false,
    };
    let pixels = width * height;
    let is_compressed = kind & 8 != 0;
    let least = match is_compressed {
        true => 1,
        false => (pixels * usize::from(bits)).div_ceil(8),
    };
    fits && pixels > 0
        && header[17] & 0xC0 == 0
        && kind <= 11
        && len >= (18 + usize::from(id) + map_bytes + least) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_must_fit_together() {
        let tga = |kind: u8, bits: u8, pixels: usize| {
            let mut header = vec![0; 18];
            (header[2], header[12], header[14], header[16]) = (kind, 3, 2, bits);
            header.extend(vec![7; pixels]);
            header
        };
        let is_tga = |bytes: &[u8]| is_tga(bytes, bytes.len() as u64);
        assert!(is_tga(&tga(2, 24, 18)) && is_tga(&tga(3, 8, 6)) && is_tga(&tga(10, 32, 1)));
        assert!(!is_tga(&tga(2, 24, 17)), "too short");
        assert!(!is_tga(&tga(1, 8, 6)), "no palette");
        assert!(!is_tga(&tga(2, 12, 18)) && !is_tga(&tga(4, 24, 18)) && !is_tga(&[0; 64]));
    }
}
