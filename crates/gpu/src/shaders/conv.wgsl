// A convolution as an implicit matrix product: rows are pixels of the output, the depth is the taps of the
// window times the input channels, columns are output channels. With BACKWARD it is the gradient of the input:
// rows are pixels of the input, and a pixel has one of STRIDE x STRIDE classes, by the taps that reach it.
//
// A workgroup computes TILE_ROWS x TILE_COLUMNS4 vectors, DEPTH4 vectors of the depth at a time in workgroup
// memory. The sum over the depth is in one order, whatever the tile is.

const DEPTH4 = 4u;
const THREAD_ROWS = 256u / THREAD_COLUMNS;
const TILE_ROWS = THREAD_ROWS * ROWS;
const TILE_COLUMNS4 = THREAD_COLUMNS * VECTORS;
const COLUMN_TILES = (OUT4 + TILE_COLUMNS4 - 1u) / TILE_COLUMNS4;
// Vectors from one row of `a` to the next: one more than needed, against conflicts of banks.
const PITCH = DEPTH4 + 1u;
const LOADS = TILE_ROWS / 64u;

var<workgroup> a: array<vec4<f32>, TILE_ROWS * PITCH>;
var<workgroup> b: array<vec4<f32>, 4u * DEPTH4 * TILE_COLUMNS4>;

// The rows and columns of a class, and its first tap.
struct Class {
    y: u32, x: u32, height: u32, width: u32, tap_y: u32, tap_x: u32, taps_y: u32, taps_x: u32,
}

fn class_of(index: u32) -> Class {
    var c: Class;
    c.y = index / STRIDE;
    c.x = index % STRIDE;
    c.height = (max(TO_HEIGHT, c.y) - c.y + STRIDE - 1u) / STRIDE;
    c.width = (max(TO_WIDTH, c.x) - c.x + STRIDE - 1u) / STRIDE;
    c.tap_y = (c.y + PADDING) % STRIDE;
    c.tap_x = (c.x + PADDING) % STRIDE;
    c.taps_y = (KERNEL - min(c.tap_y, KERNEL) + STRIDE - 1u) / STRIDE;
    c.taps_x = (KERNEL - min(c.tap_x, KERNEL) + STRIDE - 1u) / STRIDE;
    return c;
}

fn whole() -> Class {
    return Class(0u, 0u, TO_HEIGHT, TO_WIDTH, 0u, 0u, KERNEL, KERNEL);
}

fn run(tile: u32, z: u32, lid: u32) {
    var class_ = whole();
    if BACKWARD == 1u {
        class_ = class_of(z / COLUMN_TILES);
    }
    let first_column = (z % COLUMN_TILES) * TILE_COLUMNS4;
    let pixels = class_.height * class_.width;
    let rows = words.n * pixels;
    let first_row = tile * TILE_ROWS;
    if first_row >= rows {
        return;
    }
    let depth4 = class_.taps_y * class_.taps_x * IN4;

    // The places of the rows that this thread loads: image, and row and column of the window's start.
    let lane = lid % DEPTH4;
    var image: array<u32, LOADS>;
    var row_y: array<i32, LOADS>;
    var row_x: array<i32, LOADS>;
    for (var i = 0u; i < LOADS; i++) {
        let row = first_row + lid / DEPTH4 + i * 64u;
        let pixel = row % pixels;
        let y = pixel / class_.width;
        let x = pixel % class_.width;
        image[i] = row / pixels;
        if row >= rows {
            // Outside of every image.
            row_y[i] = -1000000;
        } else if BACKWARD == 1u {
            row_y[i] = i32(y + (class_.y + PADDING) / STRIDE);
            row_x[i] = i32(x + (class_.x + PADDING) / STRIDE);
        } else {
            row_y[i] = i32(y * STRIDE) - i32(PADDING);
            row_x[i] = i32(x * STRIDE) - i32(PADDING);
        }
    }
    let ty = lid / THREAD_COLUMNS;
    let tx = lid % THREAD_COLUMNS;
    //{ZERO}

    for (var start = 0u; start < depth4; start += DEPTH4) {
        let at = start + lane;
        let tap = at / IN4;
        let tap_y = tap / class_.taps_x;
        let tap_x = tap % class_.taps_x;
        let channel = at % IN4;
        for (var i = 0u; i < LOADS; i++) {
            var y = row_y[i] + i32(tap_y);
            var x = row_x[i] + i32(tap_x);
            if BACKWARD == 1u {
                y = row_y[i] - i32(tap_y);
                x = row_x[i] - i32(tap_x);
            }
            var value = vec4<f32>();
            let inside = y >= 0 && y < i32(FROM_HEIGHT) && x >= 0 && x < i32(FROM_WIDTH);
            if inside && at < depth4 {
                let pixel = (image[i] * FROM_HEIGHT + u32(y)) * FROM_WIDTH + u32(x);
                value = load_x(pixel * IN4 + channel);
            }
            a[(lid / DEPTH4 + i * 64u) * PITCH + lane] = value;
        }
        for (var e = lid; e < 4u * DEPTH4 * TILE_COLUMNS4; e += 256u) {
            let at = start + e / (4u * TILE_COLUMNS4);
            let column = first_column + e % TILE_COLUMNS4;
            let inner = (e / TILE_COLUMNS4) % 4u;
            let tap = at / IN4;
            var tap_y = tap / class_.taps_x;
            var tap_x = tap % class_.taps_x;
            if BACKWARD == 1u {
                tap_y = class_.tap_y + STRIDE * tap_y;
                tap_x = class_.tap_x + STRIDE * tap_x;
            }
            var value = vec4<f32>();
            if at < depth4 && column < OUT4 {
                let k = ((tap_y * KERNEL + tap_x) * IN4 + at % IN4) * 4u + inner;
                value = load_weights(k * OUT4 + column);
            }
            b[e] = value;
        }
        workgroupBarrier();
        //{MULTIPLY}
        workgroupBarrier();
    }
    //{STORE}
}

fn finish(row: u32, column: u32, sum: vec4<f32>, rows: u32, class_: Class) {
    if row >= rows || column >= OUT4 {
        return;
    }
    var pixel = row;
    if BACKWARD == 1u {
        let pixels = class_.height * class_.width;
        let in_class = row % pixels;
        let y = class_.y + STRIDE * (in_class / class_.width);
        let x = class_.x + STRIDE * (in_class % class_.width);
        pixel = (row / pixels * TO_HEIGHT + y) * TO_WIDTH + x;
    }
    let at = pixel * OUT4 + column;
    var value = sum;
    if NORM == 1u {
        let scale = load_rows(OUT4 + column) * load_rows(2u * OUT4 + column);
        value += load_rows(3u * OUT4 + column) - load_rows(column) * scale;
    }
    if RESIDUAL == 1u {
        value += load_residual(at);
    }
    if ACCUMULATE == 1u {
        value += load_y(at);
    }
    if RELU == 1u {
        value = relu(value);
    }
    store_y(at, value);
}
