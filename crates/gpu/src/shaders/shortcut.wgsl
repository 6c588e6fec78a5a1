// The shortcut without parameters (He et al. 2015, section 3.3, option A): every STRIDE-th pixel, with zero channels
// on both sides. With BACKWARD the gradient of its input: what is not kept has none.

// Channel `c - before` of the pixel at `from_`, if it is one of the input's.
fn channel(from_: u32, c: u32, before: u32) -> f32 {
    if c < before || c >= before + IN {
        return 0.0;
    }
    return load_x(from_ + (c - before) / 4u)[(c - before) % 4u];
}

// Channel `c + before`, if `c` is one of the input's.
fn gradient(from_: u32, c: u32, before: u32) -> f32 {
    if c >= IN {
        return 0.0;
    }
    return load_x(from_ + (c + before) / 4u)[(c + before) % 4u];
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    let out_height = (HEIGHT + STRIDE - 1u) / STRIDE;
    let out_width = (WIDTH + STRIDE - 1u) / STRIDE;
    let before = (OUT - IN) / 2u;
    var value = vec4<f32>();
    if BACKWARD == 0u {
        if i >= words.n * out_height * out_width * OUT4 {
            return;
        }
        let pixel = i / OUT4;
        let image = pixel / (out_height * out_width);
        let y = pixel / out_width % out_height * STRIDE;
        let x = pixel % out_width * STRIDE;
        let from_ = ((image * HEIGHT + y) * WIDTH + x) * IN4;
        let c = i % OUT4 * 4u;
        value = vec4<f32>(
            channel(from_, c, before), channel(from_, c + 1u, before),
            channel(from_, c + 2u, before), channel(from_, c + 3u, before),
        );
    } else {
        if i >= words.n * HEIGHT * WIDTH * IN4 {
            return;
        }
        let pixel = i / IN4;
        let image = pixel / (HEIGHT * WIDTH);
        let y = pixel / WIDTH % HEIGHT;
        let x = pixel % WIDTH;
        if y % STRIDE == 0u && x % STRIDE == 0u {
            let from_ = ((image * out_height + y / STRIDE) * out_width + x / STRIDE) * OUT4;
            let c = i % IN4 * 4u;
            value = vec4<f32>(
                gradient(from_, c, before), gradient(from_, c + 1u, before),
                gradient(from_, c + 2u, before), gradient(from_, c + 3u, before),
            );
        }
        if ACCUMULATE == 1u {
            value += load_y(i);
        }
    }
    store_y(i, value);
}
