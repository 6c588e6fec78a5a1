// Sums of a batch norm's output gradient, and of it times the normalised input, over each of PARTS parts of the
// pixels.

const ROWS = 256u / COLUMNS;

var<workgroup> sums: array<vec4<f32>, 256>;
var<workgroup> products: array<vec4<f32>, 256>;

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
    sums[lid] = sum;
    products[lid] = product;
    for (var half = ROWS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if row < half {
            sums[lid] += sums[lid + half * COLUMNS];
            products[lid] += products[lid + half * COLUMNS];
        }
    }
    if row == 0u {
        parts[(part * 2u) * C4 + channel] = sums[lid];
        parts[(part * 2u + 1u) * C4 + channel] = products[lid];
    }
}
