// The rows of a batch norm: mean, 1 / sqrt(variance + epsilon), weight and bias; and its running statistics. The parts
// of the batch are merged in order (Chan et al. 1983). With RUNNING the rows are of the running statistics, which stay.

// A parameter of a channel; 0 in the padding, which then stays 0.
fn parameter(start: u32, c: u32) -> f32 {
    if c >= CHANNELS {
        return 0.0;
    }
    return parameters[start + c];
}

fn parameter4(start: u32, c: u32) -> vec4<f32> {
    return vec4<f32>(
        parameter(start, c), parameter(start, c + 1u), parameter(start, c + 2u), parameter(start, c + 3u),
    );
}

fn statistic(start: u32, c: u32) -> f32 {
    if c >= CHANNELS {
        return 0.0;
    }
    return running[start + c];
}

fn statistic4(start: u32, c: u32) -> vec4<f32> {
    return vec4<f32>(
        statistic(start, c), statistic(start, c + 1u), statistic(start, c + 2u), statistic(start, c + 3u),
    );
}

// Moves a running statistic.
fn move_(start: u32, c: u32, value: f32) {
    if c < CHANNELS {
        running[start + c] += words.x * (value - running[start + c]);
    }
}

fn run(tile: u32, z: u32, lid: u32) {
    let c4 = tile * 256u + lid;
    if c4 >= C4 {
        return;
    }
    let c = c4 * 4u;
    var mean = vec4<f32>();
    var variance = vec4<f32>();
    if RUNNING == 1u {
        mean = statistic4(words.c, c);
        variance = statistic4(words.d, c);
    } else {
        var square = vec4<f32>();
        var count = 0.0;
        let total = words.n * PIXELS;
        let one = (total + PARTS - 1u) / PARTS;
        for (var part = 0u; part < PARTS && part * one < total; part++) {
            let more = f32(min(one, total - part * one));
            let delta = load_parts(part * 2u * C4 + c4) - mean;
            let sum = count + more;
            mean += delta * (more / sum);
            square += load_parts((part * 2u + 1u) * C4 + c4) + delta * delta * (count * more / sum);
            count = sum;
        }
        variance = square / count;
        if count > 1.0 {
            let unbiased = square / (count - 1.0);
            for (var j = 0u; j < 4u; j++) {
                move_(words.c, c + j, mean[j]);
                move_(words.d, c + j, unbiased[j]);
            }
        }
    }
    store_rows(c4, mean);
    store_rows(C4 + c4, 1.0 / sqrt(variance + words.y));
    store_rows(2u * C4 + c4, parameter4(words.a, c));
    store_rows(3u * C4 + c4, parameter4(words.b, c));
}
