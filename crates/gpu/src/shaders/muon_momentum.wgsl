// Nesterov's momentum of a weight of words.b values from words.a on: words.x of it. The update is made orthogonal then.

fn run(tile: u32, z: u32, lid: u32) {
    let i = tile * 256u + lid;
    if i < words.b {
        let g = gradients[words.a + i];
        let velocity = words.x * buffer[words.a + i] + g;
        buffer[words.a + i] = velocity;
        update[i] = words.x * velocity + g;
    }
}
