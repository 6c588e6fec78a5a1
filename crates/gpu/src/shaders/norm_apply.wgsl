// y = activation?(norm(x) + residual?)

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * PIXELS * C4 {
        return;
    }
    let c = i % C4;
    let scale = load_rows(C4 + c) * load_rows(2u * C4 + c);
    var value = (load_x(i) - load_rows(c)) * scale + load_rows(3u * C4 + c);
    if RESIDUAL == 1u {
        value += load_residual(i);
    }
    store_y(i, activation(value));
}
