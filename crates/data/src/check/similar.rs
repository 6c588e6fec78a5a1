//! Finds photos that look alike, among millions.

/// Columns and rows of the grey photo that is hashed.
pub(super) const COLUMNS: usize = 9;
pub(super) const ROWS: usize = 8;

/// Columns and rows, and pixels, of the grey photo that is compared.
pub(super) const SIDE: usize = 16;
pub(super) const GREY: usize = SIDE * SIDE;

/// The most bits of 64 in which the difference hashes of near duplicates differ.
pub const NEAR_BITS: u32 = 8;

/// The least correlation of the 16x16 grey pixels of near duplicates. Photos of the same scene reach 0.95,
/// copies without a crop 0.98.
pub const NEAR_CORRELATION: f64 = 0.96;

/// The least standard deviation of the 16x16 pixels of a photo that is compared, levels of 255. Below it
/// they are noise.
const CONTRAST: f64 = 4.0;

/// Two hashes that differ in at most [`NEAR_BITS`] bits are equal in one of these bands at least.
const BANDS: usize = NEAR_BITS as usize + 1;
/// Values of the longest band.
const VALUES: usize = 1 << 64_usize.div_ceil(BANDS);

/// The photos that are like no photo before them, found by the bands of their hashes.
pub(super) struct Leaders<'a> {
    /// Each photo and its pixels.
    leaders: Vec<(usize, &'a [u8; GREY])>,
    /// For each band, the hashes and the leaders by its bits.
    bands: [Vec<Vec<(u64, u32)>>; BANDS],
}

impl Default for Leaders<'_> {
    fn default() -> Self {
        Leaders { leaders: Vec::new(), bands: [(); BANDS].map(|()| vec![Vec::new(); VALUES]) }
    }
}

impl<'a> Leaders<'a> {
    /// The leader that a photo is a near duplicate of: the nearest hash, the first of equally near ones.
    /// Without one the photo becomes a leader, unless it has too little contrast to be compared.
    pub(super) fn first_like(&mut self, photo: usize, hash: u64, grey: &'a [u8; GREY]) -> usize {
        if deviation(grey) < CONTRAST {
            return photo;
        }
        let bands: [usize; BANDS] = std::array::from_fn(|band| bits(hash, band));
        let candidates = self.bands.iter().zip(bands).flat_map(|(band, bits)| &band[bits]);
        let near = candidates.filter_map(|&(other, leader)| {
            let distance = (other ^ hash).count_ones();
            (distance <= NEAR_BITS).then_some((distance, leader))
        });
        let like = |&(_, leader): &(u32, u32)| {
            correlation(self.leaders[leader as usize].1, grey) >= NEAR_CORRELATION
        };
        if let Some((_, leader)) = near.filter(like).min() {
            return self.leaders[leader as usize].0;
        }
        let leader = self.leaders.len() as u32;
        self.leaders.push((photo, grey));
        self.bands.iter_mut().zip(bands).for_each(|(band, bits)| band[bits].push((hash, leader)));
        photo
    }
}

/// The bits of a band: equally many in all, to within one.
fn bits(hash: u64, band: usize) -> usize {
    let [start, end] = [band, band + 1].map(|band| 64 * band / BANDS);
    (hash >> start) as usize & ((1 << (end - start)) - 1)
}

/// dHash (Krawetz 2013): a bit for each pixel but the first of a row, whether it is brighter than the one
/// to its left.
pub(super) fn difference_hash(grey: &[u8; COLUMNS * ROWS]) -> u64 {
    let rows = grey.chunks_exact(COLUMNS);
    let bits = rows.flat_map(|row| row.windows(2).map(|pair| pair[1] > pair[0]));
    bits.fold(0, |hash, bit| hash << 1 | u64::from(bit))
}

/// Sums that mean and deviation follow from, without rounding.
fn sums(a: &[u8; GREY], b: &[u8; GREY]) -> (f64, f64, f64) {
    let n = GREY as i64;
    let sum = |of: &dyn Fn(i64, i64) -> i64| -> i64 {
        a.iter().zip(b).map(|(&a, &b)| of(a.into(), b.into())).sum()
    };
    let (sum_a, sum_b) = (sum(&|a, _| a), sum(&|_, b| b));
    let covariance = n * sum(&|a, b| a * b) - sum_a * sum_b;
    let variance_a = n * sum(&|a, _| a * a) - sum_a * sum_a;
    let variance_b = n * sum(&|_, b| b * b) - sum_b * sum_b;
    (covariance as f64, variance_a as f64, variance_b as f64)
}

/// The correlation of two photos, from -1 to 1.
fn correlation(a: &[u8; GREY], b: &[u8; GREY]) -> f64 {
    let (covariance, variance_a, variance_b) = sums(a, b);
    covariance / (variance_a * variance_b).sqrt()
}

fn deviation(grey: &[u8; GREY]) -> f64 {
    sums(grey, grey).0.sqrt() / GREY as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> [u8; COLUMNS * ROWS] {
        std::array::from_fn(|i| (i % COLUMNS * 20 + i / COLUMNS * 3) as u8)
    }

    #[test]
    fn the_hash_is_that_of_its_definition() {
        assert_eq!(difference_hash(&ramp()), u64::MAX);
        let mut grey = ramp();
        grey[1] = 0;
        grey[COLUMNS * ROWS - 1] = grey[COLUMNS * ROWS - 2];
        assert_eq!(difference_hash(&grey), u64::MAX >> 1 & !1);
    }

    #[test]
    fn hashes_with_few_different_bits_share_a_band() {
        let hash = 0x0123_4567_89AB_CDEF_u64;
        for start in 0..64 {
            // Bits in as many bands as can be, and neighbouring bits.
            let spread = (0..8).fold(hash, |hash, i| hash ^ 1 << ((start + i * 7) % 64));
            for other in [spread, hash ^ 0xFF_u64.rotate_left(start)] {
                assert_eq!((other ^ hash).count_ones(), NEAR_BITS);
                assert!((0..BANDS).any(|band| bits(hash, band) == bits(other, band)));
            }
        }
        let all: u32 = (0..BANDS).map(|band| bits(u64::MAX, band).count_ones()).sum();
        assert_eq!(all, 64);
    }

    #[test]
    fn copies_are_found_and_others_are_not() {
        let wave = |i: usize| 128.0 + 90.0 * (i as f64 * 0.7).sin();
        let photo: [u8; GREY] = std::array::from_fn(|i| wave(i) as u8);
        let photos: [[u8; GREY]; 8] = [
            photo,
            // Brighter, and with a little noise.
            photo.map(|p| p + 20),
            std::array::from_fn(|i| photo[i] + (i * 7 % 3) as u8),
            // The same hash, but another photo: mirrored, inverted, another.
            std::array::from_fn(|i| photo[i / SIDE * SIDE + SIDE - 1 - i % SIDE]),
            photo.map(|p| 255 - p),
            std::array::from_fn(|i| (i % SIDE * 15) as u8),
            // Noise on one colour is no picture.
            std::array::from_fn(|i| 100 + (i % 3) as u8),
            std::array::from_fn(|i| 100 + (i % 3) as u8),
        ];
        let hash = 0x0123_4567_89AB_CDEF;
        let mut leaders = Leaders::default();
        let first: Vec<usize> = photos
            .iter()
            .enumerate()
            .map(|(i, grey)| leaders.first_like(i, hash ^ i as u64, grey))
            .collect();
        assert_eq!(first, [0, 0, 0, 3, 4, 5, 6, 7]);
        // Another hash is another photo, whatever its pixels.
        assert_eq!(leaders.first_like(8, !hash, &photos[0]), 8);
        assert_eq!(leaders.first_like(9, !hash ^ 0xFF, &photos[0]), 8);
    }
}
