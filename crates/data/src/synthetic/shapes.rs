//! The ten shapes, within the unit circle. A mirrored shape is a shape of the same class.

/// Class names, in label order.
pub(crate) const CLASSES: [&str; 10] = [
    "disc",
    "ring",
    "crescent",
    "square",
    "triangle",
    "star",
    "cross",
    "arrow",
    "stripes",
    "checkerboard",
];

/// Cosine and sine of 0, 72, ..., 288 degrees: the corners of a pentagon.
const PENTAGON: [(f32, f32); 5] = [
    (1.0, 0.0),
    (0.309_017, 0.951_056_5),
    (-0.809_017, 0.587_785_25),
    (-0.809_017, -0.587_785_25),
    (0.309_017, -0.951_056_5),
];

/// Cosine and sine of 0, 120 and 240 degrees.
const TRIANGLE: [(f32, f32); 3] = [(1.0, 0.0), (-0.5, 0.866_025_4), (-0.5, -0.866_025_4)];

fn disc(x: f32, y: f32, radius: f32) -> bool {
    x * x + y * y < radius * radius
}

fn rectangle(x: f32, y: f32, half_width: f32, half_height: f32) -> bool {
    x.abs() < half_width && y.abs() < half_height
}

/// Whether a point lies in the shape of a class.
pub(super) fn contains(class: usize, x: f32, y: f32) -> bool {
    match CLASSES[class] {
        "disc" => disc(x, y, 0.9),
        "ring" => disc(x, y, 0.95) && !disc(x, y, 0.55),
        "crescent" => disc(x, y, 0.95) && !disc(x - 0.45, y, 0.75),
        "square" => rectangle(x, y, 0.7, 0.7),
        "triangle" => TRIANGLE.iter().all(|(nx, ny)| x * nx + y * ny < 0.5),
        // The tips of a pentagram lie outside one of its five lines, its centre outside none.
        "star" => PENTAGON.iter().filter(|(nx, ny)| x * nx + y * ny < 0.309).count() >= 4,
        "cross" => rectangle(x, y, 0.95, 0.3) || rectangle(x, y, 0.3, 0.95),
        "arrow" => {
            let head = x > 0.0 && x < 0.95 && y.abs() < 0.95 - x;
            head || rectangle(x + 0.45, y, 0.5, 0.28)
        }
        "stripes" => rectangle(x, y, 0.7, 0.7) && stripe(y),
        _ => rectangle(x, y, 0.7, 0.7) && (stripe(x) == stripe(y)),
    }
}

/// Five bands over [-0.7, 0.7]: in, out, in, out, in.
fn stripe(t: f32) -> bool {
    t.abs() < 0.14 || t.abs() > 0.42
}
