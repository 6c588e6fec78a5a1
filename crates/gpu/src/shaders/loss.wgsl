// Softmax cross entropy and its gradient, a workgroup for an image: torch.nn.CrossEntropyLoss with label smoothing
// words.x and class weights. With SOFT targets are probabilities. Gradients are times words.y.

var<workgroup> places: array<u32, 256>;

// The first place of the largest value, which is in scratch[0] then.
fn largest(lid: u32, value: f32, place: u32) -> u32 {
    workgroupBarrier();
    scratch[lid] = value;
    places[lid] = place;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lid < half {
            let other = scratch[lid + half];
            let at = places[lid + half];
            if other > scratch[lid] || (other == scratch[lid] && at < places[lid]) {
                scratch[lid] = other;
                places[lid] = at;
            }
        }
    }
    workgroupBarrier();
    return places[0];
}

fn target_of(image: u32, class_: u32) -> f32 {
    if SOFT == 1u {
        return bitcast<f32>(targets[image * CLASSES + class_]);
    }
    return select(0.0, 1.0, class_ == targets[image]);
}

const LOWEST = -3.4028234e38;

fn run(image: u32, z: u32, lid: u32) {
    let row = image * CLASSES;
    var top = LOWEST;
    var place = CLASSES;
    var likely = LOWEST;
    var likely_place = CLASSES;
    for (var c = lid; c < CLASSES; c += 256u) {
        let value = logits[row + c];
        if value > top || place == CLASSES {
            top = value;
            place = c;
        }
        let share = target_of(image, c);
        if share > likely || likely_place == CLASSES {
            likely = share;
            likely_place = c;
        }
    }
    let predicted = largest(lid, top, place);
    let maximum = scratch[0];
    let label = largest(lid, likely, likely_place);
    var total = 0.0;
    for (var c = lid; c < CLASSES; c += 256u) {
        total += exp(logits[row + c] - maximum);
    }
    let log_total = log(workgroup_sum(lid, total));
    var loss = 0.0;
    var weight = 0.0;
    for (var c = lid; c < CLASSES; c += 256u) {
        let share = words.x / f32(CLASSES) + (1.0 - words.x) * target_of(image, c);
        loss -= class_weights[c] * share * (logits[row + c] - maximum - log_total);
        weight += class_weights[c] * share;
    }
    loss = workgroup_sum(lid, loss);
    weight = workgroup_sum(lid, weight);
    for (var c = lid; c < CLASSES; c += 256u) {
        let share = words.x / f32(CLASSES) + (1.0 - words.x) * target_of(image, c);
        let probability = exp(logits[row + c] - maximum - log_total);
        d_logits[row + c] = (weight * probability - class_weights[c] * share) * words.y;
    }
    if lid == 0u {
        results[2u * image] = loss;
        results[2u * image + 1u] = select(0.0, 1.0, predicted == label);
    }
}
