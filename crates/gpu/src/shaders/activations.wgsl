// Activations and their slopes. ACTIVATION: 0 none, 1 ReLU, 2 GELU, 3 its tanh form, 4 SiLU.

fn relu(x: vec4<f32>) -> vec4<f32> {
    return select(max(x, vec4<f32>()), x, is_nan(x));
}

fn logistic(x: vec4<f32>) -> vec4<f32> {
    // Without infinities, which compilers may assume away.
    return 1.0 / (1.0 + exp(min(-x, vec4<f32>(80.0))));
}

// The distribution function of the normal distribution: by its series (Marsaglia 2004), and in the tail by its
// continued fraction.
fn normal(x: f32) -> f32 {
    let a = abs(x);
    let density = 0.3989422804014327 * exp(-0.5 * x * x);
    var tail = 0.0;
    if a < 1.5 {
        var term = a;
        var sum = a;
        for (var k = 1u; k < 20u; k++) {
            term *= a * a / f32(2u * k + 1u);
            sum += term;
        }
        tail = 0.5 - density * sum;
    } else {
        var rest = a;
        for (var k = 40u; k > 0u; k--) {
            rest = a + f32(k) / rest;
        }
        tail = density / rest;
    }
    return select(tail, 1.0 - tail, x > 0.0);
}

fn normal4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(normal(x.x), normal(x.y), normal(x.z), normal(x.w));
}

// 2 sqrt(2 / pi), and that times 0.044715.
const TANH = vec2<f32>(1.5957691216057308, 0.07135481627260025);

fn activation(x: vec4<f32>) -> vec4<f32> {
    if ACTIVATION == 1u {
        return relu(x);
    }
    if ACTIVATION == 2u {
        return x * normal4(x);
    }
    if ACTIVATION == 3u {
        return x * logistic(x * (TANH.x + TANH.y * x * x));
    }
    if ACTIVATION == 4u {
        return x * logistic(x);
    }
    return x;
}

// The slope of a smooth activation at its input.
fn slope(x: vec4<f32>) -> vec4<f32> {
    if ACTIVATION == 2u {
        return normal4(x) + x * 0.3989422804014327 * exp(-0.5 * x * x);
    }
    var u = x;
    var du = vec4<f32>(1.0);
    if ACTIVATION == 3u {
        u = x * (TANH.x + TANH.y * x * x);
        du = TANH.x + 3.0 * TANH.y * x * x;
    }
    return logistic(u) * (1.0 + x * du * logistic(-u));
}
