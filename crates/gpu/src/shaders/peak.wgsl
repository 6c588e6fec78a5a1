// What a device can do at most: `multiply` adds products in registers, `copy` and `read` go through memory.

// Eight independent sums of four values, words.a times.
fn multiply(i: u32) {
    let x = vec4<f32>(words.x);
    var s0 = vec4<f32>(f32(i));
    var s1 = s0 + 1.0;
    var s2 = s0 + 2.0;
    var s3 = s0 + 3.0;
    var s4 = s0 + 4.0;
    var s5 = s0 + 5.0;
    var s6 = s0 + 6.0;
    var s7 = s0 + 7.0;
    for (var k = 0u; k < words.a; k++) {
        s0 = s0 * x + words.y;
        s1 = s1 * x + words.y;
        s2 = s2 * x + words.y;
        s3 = s3 * x + words.y;
        s4 = s4 * x + words.y;
        s5 = s5 * x + words.y;
        s6 = s6 * x + words.y;
        s7 = s7 * x + words.y;
    }
    to[i] = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}

fn copy(i: u32) {
    if i < words.b {
        to[i] = from_[i];
    }
}

// A vector is written for each 64 that are read.
fn read(i: u32) {
    var sum = vec4<f32>();
    for (var k = 0u; k < 64u; k++) {
        let at = k * (words.b / 64u) + i;
        sum += from_[at];
    }
    to[i] = sum;
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    //{PASS}
}
