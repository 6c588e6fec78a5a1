// Images to [n][row][column][channels], channels padded to four: from bytes [n][row][column][channels] by a table of
// their normalised values, or with FLOATS from normalised values [n][channels][row][column].

fn channel(pixel: u32, c: u32) -> f32 {
    if c >= CHANNELS {
        return 0.0;
    }
    if FLOATS == 1u {
        return bitcast<f32>(source[(pixel / PIXELS * CHANNELS + c) * PIXELS + pixel % PIXELS]);
    }
    let at = pixel * CHANNELS + c;
    let byte = source[at / 4u] >> (at % 4u * 8u) & 255u;
    var value = table[c * 256u + byte];
    if MEAN_IMAGE == 1u {
        value -= table[CHANNELS * 256u + pixel % PIXELS * CHANNELS + c];
    }
    return value;
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * PIXELS * C4 {
        return;
    }
    let c = i % C4 * 4u;
    let pixel = i / C4;
    store_y(i, vec4<f32>(
        channel(pixel, c), channel(pixel, c + 1u), channel(pixel, c + 2u), channel(pixel, c + 3u),
    ));
}
