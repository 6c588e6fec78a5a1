use resnet_kernels::{
    Cpu,
    matrix::{Matrix, multiply, multiply_symmetric, scratch_len},
};

use crate::testing::{error, narrow, on_every_isa, random, wide};

/// A matrix that is stored by rows, or by columns.
struct Stored {
    values: Vec<f32>,
    rows: usize,
    columns: usize,
    by_columns: bool,
}

impl Stored {
    fn random(rows: usize, columns: usize, by_columns: bool, seed: u64) -> Stored {
        Stored { values: narrow(&random(rows * columns, seed)), rows, columns, by_columns }
    }

    fn matrix(&self) -> Matrix<'_> {
        if self.by_columns {
            Matrix::new(&self.values, self.columns, self.rows).transposed()
        } else {
            Matrix::new(&self.values, self.rows, self.columns)
        }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        let at =
            if self.by_columns { column * self.rows + row } else { row * self.columns + column };
        f64::from(self.values[at])
    }
}

fn reference(alpha: f64, a: &Stored, b: &Stored, beta: f64, c: &[f64]) -> Vec<f64> {
    let of = |row: usize, column: usize| {
        let sum: f64 = (0..a.columns).map(|k| a.at(row, k) * b.at(k, column)).sum();
        let old = if beta == 0.0 { 0.0 } else { beta * c[row * b.columns + column] };
        alpha * sum + old
    };
    (0..a.rows * b.columns).map(|i| of(i / b.columns, i % b.columns)).collect()
}

/// Parts of registers and of blocks, in every dimension.
const SIZES: [[usize; 3]; 7] =
    [[1, 1, 1], [7, 3, 5], [16, 32, 16], [33, 40, 17], [65, 200, 49], [200, 9, 70], [13, 600, 33]];

#[test]
fn products_are_those_of_plain_loops() {
    on_every_isa(|cpu| {
        for ([rows, depth, columns], layout) in
            SIZES.into_iter().flat_map(|size| (0..4).map(move |layout| (size, layout)))
        {
            let a = Stored::random(rows, depth, layout & 1 != 0, 1);
            let b = Stored::random(depth, columns, layout & 2 != 0, 2);
            let mut scratch = vec![f32::NAN; scratch_len(cpu)];
            let c = random(rows * columns, 3);
            for (alpha, beta, c) in [(-0.5, 0.75, c), (2.0, 0.0, vec![f64::NAN; rows * columns])] {
                let mut found = narrow(&c);
                let product = (alpha, a.matrix(), b.matrix());
                multiply(cpu, product, beta, &mut found, &mut scratch);
                let expected = reference(alpha.into(), &a, &b, beta.into(), &c);
                let error = error(&wide(&found), &expected);
                assert!(error < 2e-6, "{rows} {depth} {columns} {layout} {}: {error}", cpu.isa());
            }
        }
    });
}

#[test]
fn symmetric_products_are_exactly_symmetric() {
    on_every_isa(|cpu| {
        for (side, depth) in [(1, 1), (5, 9), (32, 200), (50, 30), (193, 20), (260, 70)] {
            let a = Stored::random(side, depth, false, 1);
            let b =
                Stored { rows: depth, columns: side, by_columns: true, values: a.values.clone() };
            let c: Vec<f64> =
                (0..side * side).map(|i| ((i / side + 1) * (i % side + 1)) as f64 / 64.0).collect();
            let mut found = narrow(&c);
            // Only what is on or below the diagonal is read.
            for (row, column) in (0..side).flat_map(|r| (r + 1..side).map(move |c| (r, c))) {
                found[row * side + column] = f32::NAN;
            }
            let mut scratch = vec![f32::NAN; scratch_len(cpu)];
            let product = (0.5, a.matrix(), b.matrix());
            multiply_symmetric(cpu, product, -0.25, &mut found, &mut scratch);
            let expected = reference(0.5, &a, &b, -0.25, &c);
            assert!(error(&wide(&found), &expected) < 2e-6, "{side} {}", cpu.isa());
            for (row, column) in (0..side).flat_map(|r| (0..r).map(move |c| (r, c))) {
                assert_eq!(found[row * side + column], found[column * side + row]);
            }
        }
    });
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    on_every_isa(|cpu| {
        let (a, b) = (Stored::random(210, 230, false, 1), Stored::random(230, 210, true, 2));
        let of = |threads, symmetric| {
            let cpu = Cpu::with_isa(threads, cpu.isa()).unwrap();
            let (mut c, mut scratch) = (vec![0.0; 210 * 210], vec![0.0; scratch_len(&cpu)]);
            let multiply = if symmetric { multiply_symmetric } else { multiply };
            multiply(&cpu, (1.0, a.matrix(), b.matrix()), 0.0, &mut c, &mut scratch);
            c
        };
        for symmetric in [false, true] {
            let one = of(1, symmetric);
            assert!([2, 7].into_iter().all(|threads| of(threads, symmetric) == one));
        }
    });
}

#[test]
#[should_panic(expected = "3 columns times 2 rows")]
fn sizes_must_match() {
    let cpu = Cpu::new(1).unwrap();
    let values = [0.0; 6];
    let mut scratch = vec![0.0; scratch_len(&cpu)];
    let (a, b) = (Matrix::new(&values, 2, 3), Matrix::new(&values, 2, 3));
    multiply(&cpu, (1.0, a, b), 0.0, &mut [0.0; 6], &mut scratch);
}
