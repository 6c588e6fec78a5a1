// y = activation?(x + residual?)

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * IMAGE4 {
        return;
    }
    var value = load_x(i);
    if RESIDUAL == 1u {
        value += load_residual(i);
    }
    store_y(i, activation(value));
}
