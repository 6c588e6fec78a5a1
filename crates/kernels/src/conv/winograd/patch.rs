//! Patches of pixels, as transforms read them.

use super::{
    grid::{Grid, MAX_CHANNELS},
    quantise::{MAX_INT16_CHANNELS, is_int16, load_f32_words},
    transform::{HalfTransformed, Transform1d},
};
use crate::{conv::operands::ScaleShift, isa::Vector, scalar::Scalar};

static ZEROS: [u64; MAX_CHANNELS / 2] = [0; MAX_CHANNELS / 2];

/// The `N` x `N` input pixels around a tile, or its `N` x `N` output pixels. Pixels outside of the
/// image are zero. It is read one vector of words of channels at a time.
pub(super) struct Patch<T, const N: usize> {
    /// Where each pixel starts. Where all are inside of the image, only the first is set, and `row`
    /// and `column` are the strides.
    pixels: [[*const T; N]; N],
    inside: bool,
    row: usize,
    column: usize,
    /// Whether it is the first of a band.
    leftmost: bool,
}

/// Scale and shift of the channels of a vector of words.
type Norm<V> = Option<([V; 2], [V; 2])>;

impl<T: Scalar, const N: usize> Patch<T, N> {
    /// The patch whose first pixel is `border` rows and columns before the tile's.
    #[inline(always)]
    pub(super) fn new(grid: &Grid, images: &[T], tile: usize, border: usize) -> Self {
        let (image, y, x) = grid.place(tile);
        let image = &images[image * grid.image_len()..][..grid.image_len()];
        let (row, column) = (grid.width * grid.channels, grid.channels);
        let inside = y >= border
            && x >= border
            && y + N - border <= grid.height
            && x + N - border <= grid.width;
        let mut pixels = [[zeros(); N]; N];
        if inside {
            pixels[0][0] = image[(y - border) * row + (x - border) * column..].as_ptr();
        } else {
            for (i, line) in pixels.iter_mut().enumerate() {
                for (j, pixel) in line.iter_mut().enumerate() {
                    // Negative positions wrap to large ones.
                    let (y, x) = ((y + i).wrapping_sub(border), (x + j).wrapping_sub(border));
                    if y < grid.height && x < grid.width {
                        *pixel = image[y * row + x * column..].as_ptr();
                    }
                }
            }
        }
        Patch { pixels, inside, row, column, leftmost: x == 0 }
    }

    /// The batch norm of the channels from `channel` on, which is fused into the load.
    ///
    /// # Safety
    /// A vector of words from `channel` must lie within the stored channels.
    #[inline(always)]
    unsafe fn norm<V: Vector>(norm: Option<ScaleShift<'_>>, channel: usize) -> Norm<V> {
        let n = norm?;
        // SAFETY: `TypedInput::check` covers the stored channels.
        unsafe {
            let (scale, shift) = (n.scale.as_ptr().add(channel), n.shift.as_ptr().add(channel));
            Some((load_f32_words::<T, V>(scale), load_f32_words::<T, V>(shift)))
        }
    }

    /// The address of a channel of a pixel.
    #[inline(always)]
    fn at(&self, (i, j): (usize, usize), channel: usize) -> *const T {
        if self.inside {
            let base = self.pixels[0][0].wrapping_add(channel);
            base.wrapping_add(i * self.row + j * self.column)
        } else {
            self.pixels[i][j].wrapping_add(channel)
        }
    }

    /// The channels of a vector of words of a pixel, after the batch norm.
    ///
    /// # Safety
    /// It must lie within the stored channels.
    #[inline(always)]
    unsafe fn pixel<V: Vector>(
        &self,
        (i, j): (usize, usize),
        channel: usize,
        norm: Norm<V>,
    ) -> [V; 2] {
        // SAFETY: the caller's contract.
        let [mut first, mut second]: [V; 2] = unsafe { T::load_words(self.at((i, j), channel)) };
        if let Some((scale, shift)) = norm
            && (self.inside || self.pixels[i][j] != zeros())
        {
            first = first.mul_add(scale[0], shift[0]).relu();
            second = second.mul_add(scale[1], shift[1]).relu();
        }
        [first, second]
    }

    /// The first half of a transform, along columns, of a vector of words of each pixel.
    ///
    /// # Safety
    /// The words from `channel` on must lie within the stored channels.
    #[inline(always)]
    pub(super) unsafe fn columns<L: Transform1d<N, R>, V: Vector, const R: usize>(
        &self,
        channel: usize,
        norm: Option<ScaleShift<'_>>,
        halves: &mut [HalfTransformed<V, R, N>; 2],
    ) {
        // SAFETY: the caller's contract.
        let norm = unsafe { Self::norm::<V>(norm, channel) };
        for j in 0..N {
            let mut columns = [[V::zero(); N]; 2];
            for i in 0..N {
                // SAFETY: the caller's contract.
                [columns[0][i], columns[1][i]] = unsafe { self.pixel((i, j), channel, norm) };
            }
            halves[0].set(j, L::apply(&columns[0]));
            if is_int16::<T>() {
                halves[1].set(j, L::apply(&columns[1]));
            }
        }
    }
}

/// Columns that neighbouring patches share, at most.
const SHARED: usize = 2;

/// Sums of squares of patches of `N` x `N` pixels, tile after tile. Columns that two patches share
/// are summed once.
pub(super) struct PatchSquares<const N: usize> {
    /// Sums of the last columns of the previous patch.
    last: [[f32; MAX_INT16_CHANNELS]; SHARED],
}

impl<const N: usize> PatchSquares<N> {
    /// Columns from one patch to the next: a patch is a tile and a border.
    const STEP: usize = N / 4 * 4;

    #[inline(always)]
    pub(super) fn new(grid: &Grid) -> Self {
        assert_eq!(grid.side, Self::STEP);
        PatchSquares { last: [[0.0; MAX_INT16_CHANNELS]; SHARED] }
    }

    /// The sums of a vector of words of a patch. It `follows` if the previous call for this channel
    /// was for the previous tile.
    ///
    /// # Safety
    /// The words from `channel` on must lie within the stored channels.
    #[inline(always)]
    pub(super) unsafe fn of<T: Scalar, V: Vector>(
        &mut self,
        patch: &Patch<T, N>,
        follows: bool,
        channel: usize,
        norm: Option<ScaleShift<'_>>,
    ) -> [V; 2] {
        assert!(channel + 2 * V::LANES <= MAX_INT16_CHANNELS);
        let known = if follows && !patch.leftmost { N - Self::STEP } else { 0 };
        let mut total = [V::zero(); 2];
        // SAFETY: the caller's contract.
        unsafe {
            let norm = Patch::<T, N>::norm::<V>(norm, channel);
            for j in 0..N {
                let mut sums = [V::zero(); 2];
                if j < known {
                    let last = self.last[j].as_ptr().add(channel);
                    sums = [V::load(last), V::load(last.add(V::LANES))];
                } else {
                    for i in 0..N {
                        let [a, b] = patch.pixel::<V>((i, j), channel, norm);
                        sums = [a.mul_add(a, sums[0]), b.mul_add(b, sums[1])];
                    }
                }
                if j >= Self::STEP {
                    let last = self.last[j - Self::STEP].as_mut_ptr().add(channel);
                    sums[0].store(last);
                    sums[1].store(last.add(V::LANES));
                }
                total = [total[0].add(sums[0]), total[1].add(sums[1])];
            }
        }
        total
    }
}

/// Pixels outside of the image: zeros in any scalar type, for every channel.
#[inline(always)]
fn zeros<T>() -> *const T {
    ZEROS.as_ptr().cast::<T>()
}
