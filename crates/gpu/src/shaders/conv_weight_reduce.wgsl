// Adds the parts of a weight's gradient, in order, and drops the padding of channels.

const COLUMNS4 = KERNEL * KERNEL * IN4;

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i >= OUT * KERNEL * KERNEL * IN {
        return;
    }
    let channel = i % IN;
    let tap = i / IN % (KERNEL * KERNEL);
    let row = i / (IN * KERNEL * KERNEL);
    let column = tap * IN4 + channel / 4u;
    var sum = 0.0;
    for (var part = 0u; part < PARTS; part++) {
        sum += parts[(part * OUT4 * 4u + row) * COLUMNS4 + column][channel % 4u];
    }
    if words.g == 1u {
        sum += gradients[words.a + i];
    }
    gradients[words.a + i] = sum;
}
