var<workgroup> scratch: array<f32, 256>;

// The sum of the values of a workgroup's threads.
fn workgroup_sum(lid: u32, value: f32) -> f32 {
    workgroupBarrier();
    scratch[lid] = value;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lid < half {
            scratch[lid] += scratch[lid + half];
        }
    }
    workgroupBarrier();
    return scratch[0];
}

