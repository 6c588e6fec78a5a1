// Mean and sum of squared deviations of each channel, over each of PARTS parts of the pixels. The sums are of
// deviations from the part's first pixel, so that a large mean does not cost digits.

fn run(tile: u32, part: u32, lid: u32) {
    let channel = tile * COLUMNS + lid % COLUMNS;
    let row = lid / COLUMNS;
    let total = words.n * PIXELS;
    let one = (total + PARTS - 1u) / PARTS;
    let start = part * one;
    let end = min(start + one, total);
    var shift = vec4<f32>();
    if start < end {
        shift = load_x(start * C4 + channel);
    }
    var sum = vec4<f32>();
    var square = vec4<f32>();
    for (var pixel = start + row; pixel < end; pixel += ROWS) {
        let d = load_x(pixel * C4 + channel) - shift;
        sum += d;
        square += d * d;
    }
    add_rows(lid, sum, square);
    if row == 0u && start < end {
        let count = f32(end - start);
        let mean = sums[lid] / count;
        parts[(part * 2u) * C4 + channel] = shift + mean;
        parts[(part * 2u + 1u) * C4 + channel] = max(products[lid] - sums[lid] * mean, vec4<f32>());
    }
}
