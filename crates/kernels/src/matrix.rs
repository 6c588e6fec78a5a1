//! Products of matrices in single precision.
//!
//! The loops are those of BLIS (Van Zee and van de Geijn 2015), by the same numbers:
//!
//! ```text
//! an item of work: up to MC rows of a panel of C, which is NR columns
//!   LOOP 4   blocks of the depth, KC     B's panel is packed, and stays in the L1 cache
//!     LOOP 1   register tiles, MR rows   A is read in place: a value of each row at a time
//!       micro-kernel                     the depth
//! ```
//!
//! A sum is cut into blocks of KC values by the depth alone, so that results depend neither on the
//! number of threads nor on the size of registers.

use std::ops::Range;

use crate::{
    check::{at_least, exactly, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// The most values of a block of the depth. With two AVX-512 vectors each they take 24 KiB, most of
/// an L1 cache.
const KC: usize = 192;
/// Rows of an item: a multiple of every MR and NR.
const MC: usize = 192;

/// A matrix that is read: its rows one after the other, or its columns.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Values between two rows, and between two columns: one of them is 1.
    strides: (usize, usize),
}

impl<'a> Matrix<'a> {
    /// A matrix of `rows` rows, one after the other.
    ///
    /// # Panics
    /// If there is not a value for each element.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        exactly("matrix", values.len(), product(&[rows, columns]));
        Matrix { values, rows, columns, strides: (columns, 1) }
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The transpose, of the same values.
    #[must_use]
    pub fn transposed(self) -> Self {
        let Matrix { values, rows, columns, strides } = self;
        Matrix { values, rows: columns, columns: rows, strides: (strides.1, strides.0) }
    }
}

/// Values of scratch for [`multiply`] and [`multiply_symmetric`].
pub fn scratch_len(cpu: &Cpu) -> usize {
    cpu.threads() * panel_len(cpu)
}

/// Values of a thread's packed panel.
fn panel_len(cpu: &Cpu) -> usize {
    KC * 2 * cpu.isa().lanes()
}

/// `c = alpha a b + beta c`, with `c` row by row. With a `beta` of 0, `c` is not read.
///
/// # Panics
/// If the sizes do not match, or the scratch is too short.
pub fn multiply(
    cpu: &Cpu,
    (alpha, a, b): (f32, Matrix<'_>, Matrix<'_>),
    beta: f32,
    c: &mut [f32],
    scratch: &mut [f32],
) {
    run(cpu, (alpha, a, b), beta, c, scratch, false);
}

/// The same where `c` and `a b` are symmetric but for rounding: half of the products are computed,
/// and `c` is exactly symmetric.
///
/// # Panics
/// As [`multiply`], and if `c` is not square.
pub fn multiply_symmetric(
    cpu: &Cpu,
    (alpha, a, b): (f32, Matrix<'_>, Matrix<'_>),
    beta: f32,
    c: &mut [f32],
    scratch: &mut [f32],
) {
    assert!(a.rows == b.columns, "{} x {} is not square", a.rows, b.columns);
    run(cpu, (alpha, a, b), beta, c, scratch, true);
}

fn run(
    cpu: &Cpu,
    (alpha, a, b): (f32, Matrix<'_>, Matrix<'_>),
    beta: f32,
    c: &mut [f32],
    scratch: &mut [f32],
    symmetric: bool,
) {
    assert!(a.columns == b.rows, "{} columns times {} rows", a.columns, b.rows);
    exactly("product", c.len(), product(&[a.rows, b.columns]));
    let each = panel_len(cpu);
    at_least("scratch", scratch.len(), product(&[cpu.threads(), each]));
    let (rows, columns, nr) = (a.rows, b.columns, 2 * cpu.isa().lanes());
    let blocks = rows.div_ceil(MC);
    let c = &DisjointChunks::new(c, 0);
    cpu.pool().run_scratch(
        columns.div_ceil(nr) * blocks,
        (),
        (scratch, each),
        |item, (), panel| {
            let (first, block) = (item / blocks * nr, item % blocks * MC);
            // Of a symmetric product, what is on and below the diagonal.
            let start = if symmetric { block.max(first) } else { block };
            let end = (block + MC).min(rows);
            if start < end {
                let columns = first..(first + nr).min(columns);
                let item =
                    Item { alpha, a, b, beta, c, rows: start..end, columns, symmetric, panel };
                cpu.isa().dispatch(item);
            }
        },
    );
}

/// Some rows of a panel of the product.
struct Item<'a> {
    alpha: f32,
    a: Matrix<'a>,
    b: Matrix<'a>,
    beta: f32,
    /// Nobody else uses the values in `rows` and `columns`; with `symmetric`, nor those opposite.
    c: &'a DisjointChunks<'a, f32>,
    rows: Range<usize>,
    /// NR, or fewer at the end.
    columns: Range<usize>,
    symmetric: bool,
    /// KC times NR values.
    panel: &'a mut [f32],
}

impl Kernel for Item<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(mut self) {
        let depth = self.a.columns;
        let blocks = depth.div_ceil(KC).max(1);
        let part = depth.div_ceil(blocks);
        // LOOP 4: blocks of the depth.
        for block in 0..blocks {
            let ks = block * part..((block + 1) * part).min(depth);
            self.pack::<V>(ks.clone());
            let beta = if block == 0 { self.beta } else { 1.0 };
            // LOOP 1: MR rows.
            for row in self.rows.clone().step_by(MR) {
                let mut starts = [std::ptr::null(); MR];
                for (p, start) in starts.iter_mut().enumerate() {
                    // Rows after the last are computed as the last, and not stored.
                    let row = (row + p).min(self.rows.end - 1);
                    let at = row * self.a.strides.0 + ks.start * self.a.strides.1;
                    *start = self.a.values.as_ptr().wrapping_add(at);
                }
                let mut sums = [[V::zero(); 2]; MR];
                // SAFETY: the rows of A and the panel hold the depth.
                unsafe {
                    micro_kernel(&mut sums, &starts, self.a.strides.1, self.panel, ks.len());
                }
                for (p, sums) in sums.into_iter().enumerate().take(self.rows.end - row) {
                    self.store(sums, row + p, beta);
                }
            }
        }
        if self.symmetric {
            self.mirror::<V>();
        }
    }
}

impl Item<'_> {
    /// Packs a block of the panel of B: NR values for each of the depth, zeros after the last column.
    #[inline(always)]
    fn pack<V: Vector>(&mut self, ks: Range<usize>) {
        let (nr, count) = (2 * V::LANES, self.columns.len());
        let (down, right) = self.b.strides;
        let start = ks.start * down + self.columns.start * right;
        let panel = &mut self.panel[..ks.len() * nr];
        if count < nr {
            panel.fill(0.0);
        }
        if right == 1 {
            for (k, to) in panel.chunks_exact_mut(nr).enumerate() {
                to[..count].copy_from_slice(&self.b.values[start + k * down..][..count]);
            }
            return;
        }
        let (whole_ks, whole) = (ks.len() / V::LANES * V::LANES, count / V::LANES * V::LANES);
        for column in (0..whole).step_by(V::LANES) {
            for k in (0..whole_ks).step_by(V::LANES) {
                let from = self.b.values[start + column * right + k..].as_ptr();
                let to = panel[k * nr + column..].as_mut_ptr();
                // SAFETY: LANES columns of B hold LANES values each from here, and as many rows of the
                // panel.
                unsafe { V::transpose(from, right, to, nr, None) };
            }
        }
        for column in 0..count {
            let done = if column < whole { whole_ks } else { 0 };
            let from = &self.b.values[start + column * right..][..ks.len()];
            for k in done..ks.len() {
                panel[k * nr + column] = from[k];
            }
        }
    }

    /// Stores the sums of a row: `alpha` times them, and `beta` times what is there.
    #[inline(always)]
    fn store<V: Vector>(&self, sums: [V; 2], row: usize, beta: f32) {
        let count = self.columns.len();
        let at = self.c.as_mut_ptr().wrapping_add(row * self.b.columns + self.columns.start);
        // SAFETY: a part of a row of the product, which is this item's own.
        let to = unsafe { std::slice::from_raw_parts_mut(at, count) };
        let (alpha, factor) = (V::splat(self.alpha), V::splat(beta));
        for (sum, to) in sums.into_iter().zip(to.chunks_mut(V::LANES)) {
            // A part of a vector goes through a whole one.
            let mut values = [0.0; 16];
            let values = &mut values[..V::LANES];
            let is_whole = to.len() == V::LANES;
            let old = if beta == 0.0 {
                V::zero()
            } else if is_whole {
                V::read(to).mul(factor)
            } else {
                values[..to.len()].copy_from_slice(to);
                V::read(values).mul(factor)
            };
            let new = sum.mul_add(alpha, old);
            if is_whole {
                new.write(to);
            } else {
                new.write(values);
                to.copy_from_slice(&values[..to.len()]);
            }
        }
    }

    /// Copies what is below the diagonal to the opposite side.
    #[inline(always)]
    fn mirror<V: Vector>(&self) {
        let (side, c) = (self.b.columns, self.c.as_mut_ptr());
        for first in self.columns.clone().step_by(V::LANES) {
            let end = (first + V::LANES).min(self.columns.end);
            let mut row = self.rows.start;
            while row < self.rows.end {
                let is_whole = end - first == V::LANES && self.rows.end - row >= V::LANES;
                if is_whole && row >= end {
                    let from = c.wrapping_add(row * side + first).cast_const();
                    let to = c.wrapping_add(first * side + row);
                    // SAFETY: LANES rows of LANES values of this item's own, and those opposite.
                    unsafe { V::transpose(from, side, to, side, None) };
                    row += V::LANES;
                    continue;
                }
                for column in first..end.min(row) {
                    // SAFETY: a value of this item's own, and the one opposite.
                    unsafe { *c.add(column * side + row) = *c.add(row * side + column) };
                }
                row += 1;
            }
        }
    }
}

/// The micro-kernel: `sums[p][v] += a[p][k] * panel[k][v]`, where `a[p][k]` is `k * stride` values
/// after the start of row `p`.
///
/// # Safety
/// Each row must be valid for reading `depth` such values, and `panel` hold `2 * depth` vectors.
#[inline(always)]
unsafe fn micro_kernel<V: Vector, const MR: usize>(
    sums: &mut [[V; 2]; MR],
    rows: &[*const f32; MR],
    stride: usize,
    panel: &[f32],
    depth: usize,
) {
    let (mut b, mut at) = (panel.as_ptr(), 0);
    for _ in 0..depth {
        // SAFETY: the caller's contract.
        unsafe {
            let vectors = [V::load(b), V::load(b.add(V::LANES))];
            b = b.add(2 * V::LANES);
            for p in 0..MR {
                let a = V::splat(*rows[p].add(at));
                for v in 0..2 {
                    sums[p][v] = a.mul_add(vectors[v], sums[p][v]);
                }
            }
        }
        at += stride;
    }
}
