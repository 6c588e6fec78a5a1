// The gradient of a global maximum's input: a thread for four channels of an image. It goes to the first of the largest
// values, as in PyTorch.

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * C4 {
        return;
    }
    let first = i / C4 * PIXELS * C4 + i % C4;
    var top = load_x(first);
    var winner = vec4<u32>();
    for (var pixel = 1u; pixel < PIXELS; pixel++) {
        let value = load_x(first + pixel * C4);
        let wins = value > top;
        top = select(top, value, wins);
        winner = select(winner, vec4<u32>(pixel), wins);
    }
    let d = load_dy(i);
    for (var pixel = 0u; pixel < PIXELS; pixel++) {
        var value = select(vec4<f32>(), d, winner == vec4<u32>(pixel));
        if ACCUMULATE == 1u {
            value += load_dx(first + pixel * C4);
        }
        store_dx(first + pixel * C4, value);
    }
}
