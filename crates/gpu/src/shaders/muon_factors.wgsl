// Two factors from words.c sums of squares each, behind those: that of the update, for a norm of 1, and words.x for the
// weight. With words.y the weight has that norm first.

fn run(tile: u32, z: u32, lid: u32) {
    for (var which = 0u; which < 2u; which++) {
        var sum = 0.0;
        for (var i = lid; i < words.c; i += 256u) {
            sum += sums[which * words.c + i];
        }
        let norm = sqrt(workgroup_sum(lid, sum)) + 1e-7;
        if lid == 0u {
            var factor = 1.0 / norm;
            if which == 1u {
                factor = select(words.x, words.x * words.y / norm, words.y > 0.0);
            }
            sums[2u * words.c + which] = factor;
        }
    }
}
