// The weight of a convolution, [out][tap][in] and dense, as the right operand of a product: [tap][in][out] with
// padded channels, or, for the gradient of the input, [tap][out][in].

fn weight(tap: u32, from_: u32, to: u32) -> f32 {
    if from_ >= FROM || to >= TO {
        return 0.0;
    }
    var at = (to * KERNEL * KERNEL + tap) * FROM + from_;
    if BACKWARD == 1u {
        at = (from_ * KERNEL * KERNEL + tap) * TO + to;
    }
    return parameters[words.a + at];
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= KERNEL * KERNEL * FROM4 * 4u * TO4 {
        return;
    }
    let from_ = i / TO4 % (FROM4 * 4u);
    let tap = i / TO4 / (FROM4 * 4u);
    let to = i % TO4 * 4u;
    var value = vec4<f32>(
        weight(tap, from_, to), weight(tap, from_, to + 1u),
        weight(tap, from_, to + 2u), weight(tap, from_, to + 3u),
    );
    if NORM == 1u {
        value *= load_rows(TO4 + i % TO4) * load_rows(2u * TO4 + i % TO4);
    }
    store_weights(i, value);
}
