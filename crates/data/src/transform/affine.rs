//! Affine maps of images: Pillow's `Image.transform(AFFINE)`.

use serde::{Deserialize, Serialize};

/// How the pixels of a map are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// Between the nearest four pixels.
    Bilinear,
}

/// From positions in the new image to positions in the old one: `x' = m0 x + m1 y + m2` and
/// `y' = m3 x + m4 y + m5`, with pixel centres at halves.
pub type Matrix = [f64; 6];

/// The rotation of an image of `[height, width]` pixels about its centre, counter-clockwise, in degrees
/// (Pillow's `Image.rotate`).
pub fn rotation(degrees: f64, [height, width]: [usize; 2]) -> Matrix {
    let angle = -degrees.rem_euclid(360.0).to_radians();
    let (cos, sin) = (rounded(angle.cos()), rounded(angle.sin()));
    let mut matrix = [cos, sin, 0.0, rounded(-angle.sin()), cos, 0.0];
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    let [a, b, _, c, d, _] = matrix;
    (matrix[2], matrix[5]) = (a * -x + b * -y, c * -x + d * -y);
    matrix[2] += x;
    matrix[5] += y;
    matrix
}

/// 15 decimals, so that a quarter turn is exact.
fn rounded(value: f64) -> f64 {
    format!("{value:.15}").parse().expect("it is a decimal number")
}

/// Rotation (clockwise, degrees), shift `[x, y]` in pixels, factor on the size and shear `[x, y]` in
/// degrees, all about a centre `[x, y]` (torchvision's `_get_inverse_affine_matrix`).
pub fn affine(
    degrees: f64,
    translate: [f64; 2],
    scale: f64,
    shear: [f64; 2],
    centre: [f64; 2],
) -> Matrix {
    let angle = degrees.to_radians();
    let [shear_x, shear_y] = shear.map(f64::to_radians);
    let turned = angle - shear_y;
    let a = turned.cos() / shear_y.cos();
    let b = -turned.cos() * shear_x.tan() / shear_y.cos() - angle.sin();
    let c = turned.sin() / shear_y.cos();
    let d = -turned.sin() * shear_x.tan() / shear_y.cos() + angle.cos();
    let mut m = [d, -b, 0.0, -c, a, 0.0].map(|value| value / scale);
    let [x, y] = [0, 1].map(|i| -centre[i] - translate[i]);
    m[2] += m[0] * x + m[1] * y;
    m[5] += m[3] * x + m[4] * y;
    m[2] += centre[0];
    m[5] += centre[1];
    m
}

/// Maps `from` to `to`, both `[height][width][3]`. What comes from outside has the colour `fill`.
pub(super) fn transform(
    from: &[u8],
    [height, width]: [usize; 2],
    matrix: &Matrix,
    sampling: Sampling,
    fill: [u8; 3],
    to: &mut [u8],
) {
    let from = from.as_chunks::<3>().0;
    let rows = to.as_chunks_mut::<3>().0.chunks_exact_mut(width);
    match sampling {
        // Without rotation and shear, Pillow adds in f64, otherwise with 16 fractional bits.
        Sampling::Nearest if matrix[1] == 0.0 && matrix[3] == 0.0 => {
            let inside =
                |at: f64, len: usize| (at >= 0.0 && at < len as f64).then_some(at as usize);
            let mut y = matrix[5] + matrix[4] * 0.5;
            for row in rows {
                let mut x = matrix[2] + matrix[0] * 0.5;
                let line = inside(y, height).map(|y| &from[y * width..][..width]);
                for pixel in row {
                    *pixel = line.and_then(|line| Some(line[inside(x, width)?])).unwrap_or(fill);
                    x += matrix[0];
                }
                y += matrix[4];
            }
        }
        Sampling::Nearest => {
            let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
            let [a, b, c, d, e, f] = *matrix;
            let start = [fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5)];
            let [a, b, d, e] = [a, b, d, e].map(fixed);
            for (index, row) in (0..).zip(rows) {
                let (mut x, mut y) = (start[0] + b * index, start[1] + e * index);
                for pixel in row {
                    // Negative positions are above every size.
                    let (column, line) = ((x >> 16) as u64, (y >> 16) as u64);
                    *pixel = if column < width as u64 && line < height as u64 {
                        from[line as usize * width + column as usize]
                    } else {
                        fill
                    };
                    x += a;
                    y += d;
                }
            }
        }
        Sampling::Bilinear => {
            for (y, row) in rows.enumerate() {
                for (x, pixel) in row.iter_mut().enumerate() {
                    let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
                    let [x, y] = [0, 3].map(|i| matrix[i] * x + matrix[i + 1] * y + matrix[i + 2]);
                    *pixel = bilinear(from, [height, width], x, y).unwrap_or(fill);
                }
            }
        }
    }
}

/// The colour at a position, if it is inside. Pillow cuts fractions off.
fn bilinear(from: &[[u8; 3]], [height, width]: [usize; 2], x: f64, y: f64) -> Option<[u8; 3]> {
    if !(0.0..width as f64).contains(&x) || !(0.0..height as f64).contains(&y) {
        return None;
    }
    let (x, y) = (x - 0.5, y - 0.5);
    // Rounded down; not less than -1.
    let floor = |at: f64| if at < 0.0 { -1 } else { at as i32 };
    let (left, top) = (floor(x), floor(y));
    let (dx, dy) = (x - f64::from(left), y - f64::from(top));
    let pair =
        |first: i32, len: usize| [first.max(0) as usize, ((first + 1) as usize).min(len - 1)];
    let (columns, lines) = (pair(left, width), pair(top, height));
    let [above, below] = lines.map(|line| {
        let line = &from[line * width..][..width];
        columns.map(|column| line[column])
    });
    let between = |a: f64, b: f64, share: f64| a + (b - a) * share;
    Some(std::array::from_fn(|i| {
        let [above, below] = [above, below]
            .map(|[left, right]| between(f64::from(left[i]), f64::from(right[i]), dx));
        between(above, below, dy) as u8
    }))
}
