// The gradient of a pool's input: a thread for four channels of a pixel of the input, which adds what the windows
// over it give. The gradient of a maximum goes to the first of the largest values, as in PyTorch.

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * HEIGHT * WIDTH * C4 {
        return;
    }
    let c = i % C4;
    let place = i / C4 % (HEIGHT * WIDTH);
    let image = i / (C4 * HEIGHT * WIDTH);
    let own_y = i32(place / WIDTH);
    let own_x = i32(place % WIDTH);
    let own = load_x(i);
    var sum = vec4<f32>();
    for (var to_y = first(own_y, KERNEL_Y); to_y <= min(last(own_y), i32(OUT_HEIGHT) - 1); to_y++) {
        for (var to_x = first(own_x, KERNEL_X); to_x <= min(last(own_x), i32(OUT_WIDTH) - 1); to_x++) {
            let y0 = to_y * i32(STRIDE) - i32(PADDING);
            let x0 = to_x * i32(STRIDE) - i32(PADDING);
            let y1 = min(y0 + i32(KERNEL_Y), i32(HEIGHT));
            let x1 = min(x0 + i32(KERNEL_X), i32(WIDTH));
            let d = load_dy(((image * OUT_HEIGHT + u32(to_y)) * OUT_WIDTH + u32(to_x)) * C4 + c);
            if MAX == 0u {
                sum += d / f32((y1 - max(y0, 0)) * (x1 - max(x0, 0)));
                continue;
            }
            // Whether no other value of the window is larger, or as large and before.
            var wins = vec4<bool>(true);
            for (var y = max(y0, 0); y < y1; y++) {
                for (var x = max(x0, 0); x < x1; x++) {
                    let other = load_x(((image * HEIGHT + u32(y)) * WIDTH + u32(x)) * C4 + c);
                    let before = vec4<bool>(y < own_y || (y == own_y && x < own_x));
                    wins = wins & !((other > own) | (before & (other == own)));
                }
            }
            sum += select(vec4<f32>(), d, wins);
        }
    }
    if ACCUMULATE == 1u {
        sum += load_dx(i);
    }
    store_dx(i, sum);
}

// The first window over a row or column, and the last one.
fn first(own: i32, kernel: u32) -> i32 {
    let past = own + i32(PADDING) - i32(kernel) + 1;
    return max((past + i32(STRIDE) - 1) / i32(STRIDE), 0);
}

fn last(own: i32) -> i32 {
    return (own + i32(PADDING)) / i32(STRIDE);
}
