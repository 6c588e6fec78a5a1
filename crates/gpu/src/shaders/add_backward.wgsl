// The gradient of an input of an addition or an activation. SLOPE: 0 none, 1 a ReLU by its output, 2 a smooth
// activation by its input.

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= words.n * IMAGE4 {
        return;
    }
    var g = load_dy(i);
    if SLOPE == 1u {
        g = select(vec4<f32>(), g, load_y(i) > vec4<f32>());
    }
    if SLOPE == 2u {
        g *= slope(load_y(i));
    }
    if ACCUMULATE == 1u {
        g += load_dx(i);
    }
    store_dx(i, g);
}
