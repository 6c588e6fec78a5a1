// What both passes of a batch norm's backward pass compute: the output's gradient times the activation's slope.
// SLOPE: 0 none, 1 a ReLU by its output, 2 a smooth activation by its input.

fn centred(i: u32) -> vec4<f32> {
    let c = i % C4;
    return (load_x(i) - load_rows(c)) * load_rows(C4 + c);
}

fn gradient(i: u32, centred: vec4<f32>) -> vec4<f32> {
    var g = load_dy(i);
    if SLOPE == 1u {
        g = select(vec4<f32>(), g, load_read(i) > vec4<f32>());
    }
    if SLOPE == 2u {
        let c = i % C4;
        var inner = centred * load_rows(2u * C4 + c) + load_rows(3u * C4 + c);
        if RESIDUAL == 1u {
            inner += load_read(i);
        }
        g *= slope(inner);
    }
    return g;
}
