// Adds the parts of a batch norm's gradient sums, in order: the gradients of bias and weight.

fn run(tile: u32, z: u32, lid: u32) {
    let c4 = tile * 256u + lid;
    if c4 >= C4 {
        return;
    }
    var sum = vec4<f32>();
    var product = vec4<f32>();
    for (var part = 0u; part < PARTS; part++) {
        sum += parts[part * 2u * C4 + c4];
        product += parts[(part * 2u + 1u) * C4 + c4];
    }
    sums[c4] = sum;
    sums[C4 + c4] = product;
    for (var j = 0u; j < 4u; j++) {
        let c = c4 * 4u + j;
        if c >= CHANNELS {
            continue;
        }
        if words.g == 1u {
            gradients[words.a + c] += product[j];
            gradients[words.b + c] += sum[j];
        } else {
            gradients[words.a + c] = product[j];
            gradients[words.b + c] = sum[j];
        }
    }
}
