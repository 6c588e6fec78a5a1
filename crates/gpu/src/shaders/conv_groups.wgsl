// Convolutions with groups, forward and both gradients, a thread for four values: every shape, without tiles.

const GROUP_IN = IN / GROUPS;
const GROUP_OUT = OUT / GROUPS;
const TAPS = KERNEL * KERNEL;

fn weight(out: u32, tap: u32, channel: u32) -> f32 {
    return parameters[words.a + (out * TAPS + tap) * GROUP_IN + channel];
}

// An output at a pixel.
fn output(image: u32, place: u32, out: u32) -> f32 {
    var value = 0.0;
    if out >= OUT {
        return value;
    }
    let first = out / GROUP_OUT * GROUP_IN;
    for (var tap = 0u; tap < TAPS; tap++) {
        let y = i32(place / OUT_WIDTH * STRIDE + tap / KERNEL) - i32(PADDING);
        let x = i32(place % OUT_WIDTH * STRIDE + tap % KERNEL) - i32(PADDING);
        if y < 0 || y >= i32(HEIGHT) || x < 0 || x >= i32(WIDTH) {
            continue;
        }
        let from_ = (image * HEIGHT + u32(y)) * WIDTH + u32(x);
        for (var c = 0u; c < GROUP_IN; c++) {
            let at = first + c;
            value += load_x(from_ * IN4 + at / 4u)[at % 4u] * weight(out, tap, c);
        }
    }
    return value;
}

fn forward(i: u32) {
    let pixel = i / OUT4;
    let place = pixel % (OUT_HEIGHT * OUT_WIDTH);
    let image = pixel / (OUT_HEIGHT * OUT_WIDTH);
    let out = i % OUT4 * 4u;
    var value = vec4<f32>(
        output(image, place, out), output(image, place, out + 1u),
        output(image, place, out + 2u), output(image, place, out + 3u),
    );
    if NORM == 1u {
        let column = i % OUT4;
        let scale = load_rows(OUT4 + column) * load_rows(2u * OUT4 + column);
        value = value * scale + load_rows(3u * OUT4 + column) - load_rows(column) * scale;
    }
    if RESIDUAL == 1u {
        value += load_residual(i);
    }
    if RELU == 1u {
        value = relu(value);
    }
    store_y(i, value);
}

// The gradient of an input at a pixel.
fn input_gradient(image: u32, place: u32, channel: u32) -> f32 {
    var value = 0.0;
    if channel >= IN {
        return value;
    }
    let first = channel / GROUP_IN * GROUP_OUT;
    for (var tap = 0u; tap < TAPS; tap++) {
        let y = i32(place / WIDTH + PADDING) - i32(tap / KERNEL);
        let x = i32(place % WIDTH + PADDING) - i32(tap % KERNEL);
        if y < 0 || x < 0 || y % i32(STRIDE) != 0 || x % i32(STRIDE) != 0 {
            continue;
        }
        let to_y = u32(y) / STRIDE;
        let to_x = u32(x) / STRIDE;
        if to_y >= OUT_HEIGHT || to_x >= OUT_WIDTH {
            continue;
        }
        let to = (image * OUT_HEIGHT + to_y) * OUT_WIDTH + to_x;
        for (var o = 0u; o < GROUP_OUT; o++) {
            let out = first + o;
            value += load_y(to * OUT4 + out / 4u)[out % 4u] * weight(out, tap, channel % GROUP_IN);
        }
    }
    return value;
}

fn backward(i: u32) {
    let pixel = i / IN4;
    let place = pixel % (HEIGHT * WIDTH);
    let image = pixel / (HEIGHT * WIDTH);
    let channel = i % IN4 * 4u;
    var value = vec4<f32>(
        input_gradient(image, place, channel), input_gradient(image, place, channel + 1u),
        input_gradient(image, place, channel + 2u), input_gradient(image, place, channel + 3u),
    );
    if ACCUMULATE == 1u {
        value += load_x(i);
    }
    store_x(i, value);
}

// A part of the pixels; `reduce` adds the parts.
fn backward_weight(i: u32, part: u32) {
    let channel = i % GROUP_IN;
    let tap = i / GROUP_IN % TAPS;
    let out = i / (GROUP_IN * TAPS);
    let from_ = out / GROUP_OUT * GROUP_IN + channel;
    let total = words.n * OUT_HEIGHT * OUT_WIDTH;
    let one = (total + PARTS - 1u) / PARTS;
    var sum = 0.0;
    for (var pixel = part * one; pixel < min((part + 1u) * one, total); pixel++) {
        let place = pixel % (OUT_HEIGHT * OUT_WIDTH);
        let image = pixel / (OUT_HEIGHT * OUT_WIDTH);
        let y = i32(place / OUT_WIDTH * STRIDE + tap / KERNEL) - i32(PADDING);
        let x = i32(place % OUT_WIDTH * STRIDE + tap % KERNEL) - i32(PADDING);
        if y >= 0 && y < i32(HEIGHT) && x >= 0 && x < i32(WIDTH) {
            let at = ((image * HEIGHT + u32(y)) * WIDTH + u32(x)) * IN4;
            let d = load_y(pixel * OUT4 + out / 4u)[out % 4u];
            sum += d * load_x(at + from_ / 4u)[from_ % 4u];
        }
    }
    parts[part * (OUT * TAPS * GROUP_IN) + i] = sum;
}

fn reduce(i: u32) {
    var sum = 0.0;
    for (var part = 0u; part < PARTS; part++) {
        sum += parts[part * (OUT * TAPS * GROUP_IN) + i];
    }
    if words.g == 1u {
        sum += gradients[words.a + i];
    }
    gradients[words.a + i] = sum;
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    //{PASS}
}
