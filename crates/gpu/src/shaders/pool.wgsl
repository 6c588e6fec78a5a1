// Pooling, forward: a thread for four channels of a pixel of the output. A window that leaves the image has the
// pixels inside only. A mean is over these.

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * OUT_HEIGHT * OUT_WIDTH * C4 {
        return;
    }
    let c = i % C4;
    let place = i / C4 % (OUT_HEIGHT * OUT_WIDTH);
    let image = i / (C4 * OUT_HEIGHT * OUT_WIDTH);
    let y0 = i32(place / OUT_WIDTH * STRIDE) - i32(PADDING);
    let x0 = i32(place % OUT_WIDTH * STRIDE) - i32(PADDING);
    var value = vec4<f32>();
    var count = 0.0;
    for (var y = max(y0, 0); y < min(y0 + i32(KERNEL_Y), i32(HEIGHT)); y++) {
        for (var x = max(x0, 0); x < min(x0 + i32(KERNEL_X), i32(WIDTH)); x++) {
            let next = load_x(((image * HEIGHT + u32(y)) * WIDTH + u32(x)) * C4 + c);
            if MAX == 1u {
                // NaN is the largest value, as in PyTorch.
                value = select(value, next, vec4<bool>(count == 0.0) | (next > value) | is_nan(next));
            } else {
                value += next;
            }
            count += 1.0;
        }
    }
    if MAX == 0u {
        value /= count;
    }
    store_y(i, value);
}
