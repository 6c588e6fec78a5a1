// A matrix product: ROWS x DEPTH times DEPTH x COLUMNS, in words.a, words.c and words.b. A workgroup computes 64 x 64
// values, 16 of the depth at a time in workgroup memory. The sum over the depth is in one order.

const SIDE = 64u;
const DEPTH = 16u;
// One more than needed, against conflicts of banks.
const PITCH = SIDE + 1u;

var<workgroup> left: array<f32, DEPTH * PITCH>;
var<workgroup> right: array<f32, DEPTH * PITCH>;

fn element_a(row: u32, k: u32) -> f32 {
    if row >= words.a || k >= words.c {
        return 0.0;
    }
    if A_TRANSPOSED == 1u {
        return a[k * words.a + row];
    }
    return a[row * words.c + k];
}

fn element_b(k: u32, column: u32) -> f32 {
    if column >= words.b || k >= words.c {
        return 0.0;
    }
    if B_TRANSPOSED == 1u {
        return b[column * words.c + k];
    }
    return b[k * words.b + column];
}

// Neighbouring threads load neighbouring values: along the depth, or along the other side of a transposed matrix.
fn place(e: u32, along_side: bool) -> vec2<u32> {
    if along_side {
        return vec2<u32>(e % SIDE, e / SIDE);
    }
    return vec2<u32>(e / DEPTH, e % DEPTH);
}

fn right_of(k: u32, tx: u32) -> vec4<f32> {
    let at = k * PITCH + tx;
    return vec4<f32>(right[at], right[at + 16u], right[at + 32u], right[at + 48u]);
}

fn run(tile: u32, z: u32, lid: u32) {
    let tiles = (words.b + SIDE - 1u) / SIDE;
    let first_row = tile / tiles * SIDE;
    let first_column = tile % tiles * SIDE;
    if first_row >= words.a {
        return;
    }
    let ty = lid / 16u;
    let tx = lid % 16u;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var start = 0u; start < words.c; start += DEPTH) {
        for (var e = lid; e < SIDE * DEPTH; e += 256u) {
            let of_a = place(e, A_TRANSPOSED == 1u);
            let of_b = place(e, B_TRANSPOSED == 0u);
            left[of_a.y * PITCH + of_a.x] = element_a(first_row + of_a.x, start + of_a.y);
            right[of_b.y * PITCH + of_b.x] = element_b(start + of_b.y, first_column + of_b.x);
        }
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k++) {
            let v = right_of(k, tx);
            let at = k * PITCH + ty;
            sum0 += left[at] * v;
            sum1 += left[at + 16u] * v;
            sum2 += left[at + 32u] * v;
            sum3 += left[at + 48u] * v;
        }
        workgroupBarrier();
    }
    finish4(first_row + ty, first_column + tx, sum0);
    finish4(first_row + ty + 16u, first_column + tx, sum1);
    finish4(first_row + ty + 32u, first_column + tx, sum2);
    finish4(first_row + ty + 48u, first_column + tx, sum3);
}

fn finish4(row: u32, column: u32, sum: vec4<f32>) {
    finish(row, column, sum.x);
    finish(row, column + 16u, sum.y);
    finish(row, column + 32u, sum.z);
    finish(row, column + 48u, sum.w);
}

fn finish(row: u32, column: u32, sum: f32) {
    if row >= words.a || column >= words.b {
        return;
    }
    let at = row * words.b + column;
    if POLYNOMIAL == 1u {
        // x A^2 + y A + z
        c[at] = words.x * sum + words.y * a[at] + select(0.0, words.z, row == column);
    } else if ADD == 1u {
        c[words.d + at] += words.x * sum;
    } else {
        c[at] = sum;
    }
}
