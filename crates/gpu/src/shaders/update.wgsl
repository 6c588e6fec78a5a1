// An optimiser's update. The table has twelve words for each range of parameters: start, end, then what the rule
// needs. A parameter outside of all ranges is frozen.

fn factor(range: u32, index: u32) -> f32 {
    return bitcast<f32>(table[range * 12u + 2u + index]);
}

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    // The last range that starts at or before it.
    var low = 0u;
    var high = words.a;
    while low + 1u < high {
        let middle = (low + high) / 2u;
        if table[middle * 12u] <= i {
            low = middle;
        } else {
            high = middle;
        }
    }
    if i < table[low * 12u] || i >= table[low * 12u + 1u] {
        return;
    }
    let w = parameters[i];
    let lr = factor(low, 0u);
    if ADAMW == 0u {
        let g = gradients[i] + factor(low, 1u) * w;
        let velocity = factor(low, 2u) * first[i] + g;
        first[i] = velocity;
        let step = select(velocity, g + factor(low, 2u) * velocity, factor(low, 3u) == 1.0);
        parameters[i] = w - lr * step;
    } else {
        let g = gradients[i];
        let average = first[i] + factor(low, 2u) * (g - first[i]);
        let square = factor(low, 3u) * second[i] + factor(low, 4u) * g * g;
        first[i] = average;
        second[i] = square;
        let root = sqrt(square) * factor(low, 5u) + factor(low, 6u);
        parameters[i] = factor(low, 1u) * w - lr * average / root;
    }
}
