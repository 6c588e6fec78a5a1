//! Eigenvectors of a symmetric matrix by Jacobi's method.

/// The eigenvalues and eigenvectors of a symmetric matrix, by falling eigenvalue: cyclic Jacobi
/// rotations (Golub and Van Loan, "Matrix Computations", section 8.5) in one order, so that the bits
/// depend on the matrix alone. Vectors have unit length; their largest component is positive.
pub(super) fn eigenvectors(mut a: Vec<Vec<f64>>) -> Vec<(f64, Vec<f64>)> {
    let n = a.len();
    // Row i becomes eigenvector i.
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let total: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..MOST_SWEEPS {
        let off: f64 = (0..n).flat_map(|i| a[i][..i].iter()).map(|x| x * x).sum();
        if off <= total * f64::EPSILON * f64::EPSILON {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, p, q);
            }
        }
    }
    let mut found: Vec<(f64, Vec<f64>)> =
        vectors.into_iter().enumerate().map(|(i, vector)| (a[i][i], positive(vector))).collect();
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found
}

/// Convergence is quadratic: ten are enough for any matrix of this size.
const MOST_SWEEPS: usize = 50;

/// The rotation of coordinates `p` and `q` that makes `a[p][q]` zero.
fn rotate(a: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let tangent = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
    let cosine = (1.0 + tangent * tangent).sqrt().recip();
    let sine = tangent * cosine;
    let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
    for row in a.iter_mut() {
        (row[p], row[q]) = turn(row[p], row[q]);
    }
    for j in 0..vectors.len() {
        (a[p][j], a[q][j]) = turn(a[p][j], a[q][j]);
        (vectors[p][j], vectors[q][j]) = turn(vectors[p][j], vectors[q][j]);
    }
    (a[p][q], a[q][p]) = (0.0, 0.0);
}

/// The vector or its negative, so that its largest component is positive; the first of equals.
fn positive(mut vector: Vec<f64>) -> Vec<f64> {
    let mut largest = 0.0f64;
    for &x in &vector {
        largest = if x.abs() > largest.abs() { x } else { largest };
    }
    if largest < 0.0 {
        vector.iter_mut().for_each(|x| *x = -*x);
    }
    vector
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// The second difference: its eigenvalues are 2 - 2 cos(k pi / (n + 1)).
    #[test]
    fn a_matrix_with_known_eigenvalues() {
        for n in [1, 2, 3, 12, 27, 48] {
            let entry = |i: usize, j: usize| match i.abs_diff(j) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            };
            let matrix: Vec<Vec<f64>> =
                (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
            let found = eigenvectors(matrix);
            for (i, (value, vector)) in found.iter().enumerate() {
                let angle = (n - i) as f64 * PI / (n + 1) as f64;
                assert!((value - (2.0 - 2.0 * angle.cos())).abs() < 1e-12, "{n}, {i}: {value}");
                for (row, x) in vector.iter().enumerate() {
                    let product: f64 = (0..n).map(|j| entry(row, j) * vector[j]).sum();
                    assert!((product - value * x).abs() < 1e-12);
                }
                for (j, (_, other)) in found.iter().enumerate() {
                    let dot: f64 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12);
                }
                let (low, high) =
                    vector.iter().fold((0.0f64, 0.0f64), |(l, h), &x| (l.min(x), h.max(x)));
                assert!(high >= -low - 1e-12, "{n}, {i}: the largest component is negative");
            }
        }
    }

    #[test]
    fn diagonal_and_zero_matrices() {
        let diagonal = vec![vec![1.0, 0.0, 0.0], vec![0.0, 3.0, 0.0], vec![0.0, 0.0, 2.0]];
        let found = eigenvectors(diagonal);
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [3.0, 2.0, 1.0]);
        assert_eq!(found[0].1, [0.0, 1.0, 0.0]);
        assert_eq!(eigenvectors(vec![vec![0.0; 2]; 2])[1], (0.0, vec![0.0, 1.0]));
    }
}
