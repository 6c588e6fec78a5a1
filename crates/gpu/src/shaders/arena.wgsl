// Passes over a range of an arena: words.a its start, words.b its length.

// average = decay average + (1 - decay) value, as torch.lerp: words.x is the decay, words.y is 1 - decay.
fn average(i: u32) {
    if i >= words.b {
        return;
    }
    let old = to[words.a + i];
    let new_ = other[words.a + i];
    let value = select(new_ - words.x * (new_ - old), old + words.y * (new_ - old), words.y < 0.5);
    to[words.a + i] = value;
    if words.c == 1u {
        other[words.a + i] = value;
    }
}

fn scale(i: u32) {
    if i < words.b {
        to[words.a + i] *= words.x;
    }
}

// By one of the other buffer's values.
fn scale_by(i: u32) {
    if i < words.b {
        to[words.a + i] *= other[words.c];
    }
}

fn copy(i: u32) {
    if i < words.b {
        to[words.a + i] = other[i];
    }
}

// The sum of squares of each 4096 values.
fn squares(tile: u32, lid: u32) {
    var sum = 0.0;
    for (var j = 0u; j < 16u; j++) {
        let i = tile * 4096u + j * 256u + lid;
        if i < words.b {
            sum += to[words.a + i] * to[words.a + i];
        }
    }
    let total = workgroup_sum(lid, sum);
    if lid == 0u {
        other[words.c + tile] = total;
    }
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    //{PASS}
}
