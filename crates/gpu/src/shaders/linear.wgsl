// The linear layer and its gradients.

fn weight(out: u32, input: u32) -> f32 {
    if input >= INPUTS {
        return 0.0;
    }
    return parameters[words.a + out * INPUTS + input];
}

// A thread for a logit.
fn forward(i: u32) {
    let image = i / OUTPUTS;
    let out = i % OUTPUTS;
    var sum = 0.0;
    for (var at = 0u; at < (INPUTS + 3u) / 4u; at++) {
        let x = load_x(image * IN4 + at);
        sum += x.x * weight(out, at * 4u) + x.y * weight(out, at * 4u + 1u);
        sum += x.z * weight(out, at * 4u + 2u) + x.w * weight(out, at * 4u + 3u);
    }
    logits[i] = sum + parameters[words.b + out];
}

// A thread for four inputs.
fn backward(i: u32) {
    let image = i / IN4;
    let input = i % IN4 * 4u;
    var sum = vec4<f32>();
    for (var out = 0u; out < OUTPUTS; out++) {
        let d = logits[image * OUTPUTS + out];
        sum += d * vec4<f32>(
            weight(out, input), weight(out, input + 1u), weight(out, input + 2u), weight(out, input + 3u),
        );
    }
    store_x(i, sum);
}

// A thread for a weight, or, behind them, a bias.
fn backward_weight(i: u32) {
    let out = select(i / INPUTS, i - OUTPUTS * INPUTS, i >= OUTPUTS * INPUTS);
    let input = i % INPUTS;
    var sum = 0.0;
    for (var image = 0u; image < words.n; image++) {
        var d = logits[image * OUTPUTS + out];
        if i < OUTPUTS * INPUTS {
            d *= load_x(image * IN4 + input / 4u)[input % 4u];
        }
        sum += d;
    }
    var at = words.a + i;
    if i >= OUTPUTS * INPUTS {
        at = words.b + out;
    }
    if words.g == 1u {
        sum += gradients[at];
    }
    gradients[at] = sum;
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    //{PASS}
}
