// A batch of bytes [n][OUT][OUT][CHANNELS] from kept images [SIDE][SIDE][CHANNELS]: shifted, mirrored and cut out, then
// with TAPS resized. A crop is 6 words: the image, its first row and column, whether it is mirrored, and the first row and
// column of its cutout.

const CROP = 6u;
const HALF = 1u << 21u;

fn reflected(at: i32) -> i32 {
    let period = max(2 * i32(SIDE) - 2, 1);
    let place = (at % period + period) % period;
    return min(place, period - place);
}

fn augmented(crop: u32, y: u32, x: u32, c: u32) -> u32 {
    // Before the cutout, a difference wraps to a large number.
    if y - crops[crop + 4u] < CUTOUT && x - crops[crop + 5u] < CUTOUT {
        return (COLOUR >> (8u * c)) & 255u;
    }
    var row = bitcast<i32>(crops[crop + 1u]) + i32(y);
    var column = bitcast<i32>(crops[crop + 2u]) + i32(select(x, SIDE - 1u - x, crops[crop + 3u] == 1u));
    if REFLECTS == 1u {
        row = reflected(row);
        column = reflected(column);
    }
    if min(row, column) < 0 || max(row, column) >= i32(SIDE) {
        return 0u;
    }
    let at = ((crops[crop] * SIDE + u32(row)) * SIDE + u32(column)) * CHANNELS + c;
    return (kept[at / 4u] >> (at % 4u * 8u)) & 255u;
}

fn rounded(sum: u32) -> u32 {
    return u32(clamp(bitcast<i32>(sum) >> 22u, 0, 255));
}

// Along the row, then along the column, with bytes in between. Taps of weight 0 may lie outside.
fn resized(crop: u32, y: u32, x: u32, c: u32) -> u32 {
    let row = y * (1u + TAPS);
    let column = x * (1u + TAPS);
    var sum = HALF;
    for (var i = 0u; i < TAPS; i++) {
        var along = HALF;
        for (var j = 0u; j < TAPS; j++) {
            along += table[column + 1u + j] * augmented(crop, table[row] + i, table[column] + j, c);
        }
        sum += table[row + 1u + i] * rounded(along);
    }
    return rounded(sum);
}

fn value(at: u32) -> u32 {
    let pixel = at / CHANNELS;
    let crop = pixel / (OUT * OUT) * CROP;
    let y = pixel / OUT % OUT;
    if TAPS == 0u {
        return augmented(crop, y, pixel % OUT, at % CHANNELS);
    }
    return resized(crop, y, pixel % OUT, at % CHANNELS);
}

fn run(tile: u32, z: u32, lid: u32) {
    let word = tile * 256u + lid;
    let end = words.n * OUT * OUT * CHANNELS;
    if word * 4u >= end {
        return;
    }
    var four = 0u;
    for (var k = 0u; k < min(4u, end - word * 4u); k++) {
        four |= value(word * 4u + k) << (8u * k);
    }
    bytes[word] = four;
}
