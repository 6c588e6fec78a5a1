// The gradient of a convolution's weight: rows are output channels, columns are taps times input channels, the
// depth is the pixels of the output, in PARTS parts that `reduce` adds in order.

const THREAD_ROWS = 256u / THREAD_COLUMNS;
const DEPTH = 16u;
const COLUMNS4 = KERNEL * KERNEL * IN4;
const ROW_TILES = (OUT4 + THREAD_ROWS - 1u) / THREAD_ROWS;

var<workgroup> a: array<vec4<f32>, DEPTH * THREAD_ROWS>;
var<workgroup> b: array<vec4<f32>, DEPTH * THREAD_COLUMNS>;

fn run(tile: u32, part: u32, lid: u32) {
    let pixels = OUT_HEIGHT * OUT_WIDTH;
    let total = words.n * pixels;
    // Whole steps of the depth.
    let one = ((total + PARTS - 1u) / PARTS + DEPTH - 1u) / DEPTH * DEPTH;
    let end = min((part + 1u) * one, total);
    let first_row = tile % ROW_TILES * THREAD_ROWS;
    let first_column = tile / ROW_TILES * THREAD_COLUMNS;
    // The column that this thread loads.
    let own = first_column + lid % THREAD_COLUMNS;
    let tap = own / IN4;
    let tap_y = i32(tap / KERNEL) - i32(PADDING);
    let tap_x = i32(tap % KERNEL) - i32(PADDING);
    let channel = own % IN4;
    let ty = lid / THREAD_COLUMNS;
    let tx = lid % THREAD_COLUMNS;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var start = part * one; start < end; start += DEPTH) {
        for (var e = lid; e < DEPTH * THREAD_ROWS; e += 256u) {
            let pixel = start + e / THREAD_ROWS;
            let row = first_row + e % THREAD_ROWS;
            var value = vec4<f32>();
            if pixel < end && row < OUT4 {
                value = load_dy(pixel * OUT4 + row);
            }
            a[e] = value;
        }
        for (var e = lid; e < DEPTH * THREAD_COLUMNS; e += 256u) {
            let pixel = start + e / THREAD_COLUMNS;
            let place = pixel % pixels;
            let y = i32(place / OUT_WIDTH * STRIDE) + tap_y;
            let x = i32(place % OUT_WIDTH * STRIDE) + tap_x;
            var value = vec4<f32>();
            let inside = y >= 0 && y < i32(HEIGHT) && x >= 0 && x < i32(WIDTH);
            if inside && pixel < end && own < COLUMNS4 {
                let from_ = (pixel / pixels * HEIGHT + u32(y)) * WIDTH + u32(x);
                value = load_x(from_ * IN4 + channel);
            }
            b[e] = value;
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let left = a[k * THREAD_ROWS + ty];
            let right = b[k * THREAD_COLUMNS + tx];
            sum0 += left.x * right;
            sum1 += left.y * right;
            sum2 += left.z * right;
            sum3 += left.w * right;
        }
        workgroupBarrier();
    }
    let row = first_row + ty;
    let column = first_column + tx;
    if row < OUT4 && column < COLUMNS4 {
        let at = (part * OUT4 + row) * 4u * COLUMNS4 + column;
        parts[at] = sum0;
        parts[at + COLUMNS4] = sum1;
        parts[at + 2u * COLUMNS4] = sum2;
        parts[at + 3u * COLUMNS4] = sum3;
    }
}
