// The gradients of a batch norm's input and residual. The input's overwrites the output's, and is copied to `dx`.

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * PIXELS * C4 {
        return;
    }
    let c = i % C4;
    let x = centred(i);
    let g = gradient(i, x);
    // Of `norm(x) + x` both gradients go to one place.
    var before = vec4<f32>();
    if D_RESIDUAL == 1u {
        store_d_residual(i, g);
    }
    if D_RESIDUAL == 2u {
        store_d_residual(i, load_d_residual(i) + g);
    }
    if DX == 3u {
        before = g;
    }
    if DX == 4u {
        before = load_dx(i) + g;
    }
    var inner = g;
    if RUNNING == 0u {
        inner -= (sums[c] + x * sums[C4 + c]) / f32(words.n * PIXELS);
    }
    let d = load_rows(2u * C4 + c) * load_rows(C4 + c) * inner;
    store_dy(i, d);
    if DX == 1u {
        store_dx(i, d);
    }
    if DX == 2u {
        store_dx(i, load_dx(i) + d);
    }
    if DX > 2u {
        store_dx(i, before + d);
    }
}
