// Sums of a batch norm's output gradient, and of it times the normalised input, over each of PARTS parts of the
// pixels.

fn run(tile: u32, part: u32, lid: u32) {
    let channel = tile * COLUMNS + lid % COLUMNS;
    let row = lid / COLUMNS;
    let total = words.n * PIXELS;
    let one = (total + PARTS - 1u) / PARTS;
    let start = part * one;
    let end = min(start + one, total);
    var sum = vec4<f32>();
    var product = vec4<f32>();
    for (var pixel = start + row; pixel < end; pixel += ROWS) {
        let i = pixel * C4 + channel;
        let x = centred(i);
        let g = gradient(i, x);
        sum += g;
        product += g * x;
    }
    add_rows(lid, sum, product);
    if row == 0u {
        parts[(part * 2u) * C4 + channel] = sums[lid];
        parts[(part * 2u + 1u) * C4 + channel] = products[lid];
    }
}
