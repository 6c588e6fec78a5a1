//! Colours of images `[height][width][3]`, as Pillow's `ImageEnhance` and `ImageOps` change them.

use crate::photo::luma;

/// A new value for each byte.
type Table = [u8; 256];

/// Pillow's `Image.blend`: a line from one value through another, cut off to an integer.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let (from, to) = (f32::from(from), f32::from(to));
    (from + factor * (to - from)) as u8 // `as` clips
}

fn look_up(image: &mut [u8], table: &Table) {
    for value in image {
        *value = table[usize::from(*value)];
    }
}

/// The same with a table for each channel.
fn look_up_channels(image: &mut [u8], tables: &[Table; 3]) {
    for pixel in image.as_chunks_mut::<3>().0 {
        for (value, table) in pixel.iter_mut().zip(tables) {
            *value = table[usize::from(*value)];
        }
    }
}

fn table(value: impl Fn(u8) -> u8) -> Table {
    std::array::from_fn(|byte| value(byte as u8))
}

/// From black (0) through the image (1).
pub(super) fn brightness(image: &mut [u8], factor: f32) {
    look_up(image, &table(|value| blend(0, value, factor)));
}

/// Adds a number of levels to each channel, and rounds, ties to even.
pub(super) fn add(image: &mut [u8], levels: [f64; 3]) {
    // `as` clips.
    let tables = levels.map(|by| table(|value| (f64::from(value) + by).round_ties_even() as u8));
    look_up_channels(image, &tables);
}

/// From the mean grey (0) through the image (1).
pub(super) fn contrast(image: &mut [u8], factor: f32) {
    let pixels = image.as_chunks::<3>().0;
    let sum: u64 = pixels.iter().map(|&pixel| u64::from(luma(pixel))).sum();
    let mean = (sum as f64 / pixels.len() as f64 + 0.5) as u8;
    look_up(image, &table(|value| blend(mean, value, factor)));
}

/// From grey (0) through the image (1).
pub(super) fn saturation(image: &mut [u8], factor: f32) {
    for pixel in image.as_chunks_mut::<3>().0 {
        let grey = luma(*pixel);
        *pixel = pixel.map(|value| blend(grey, value, factor));
    }
}

/// Turns the colour circle; a whole turn is 255.
pub(super) fn hue(image: &mut [u8], shift: u8) {
    let hues: [Hue; 256] = std::array::from_fn(|hue| Hue::new((hue as u8).wrapping_add(shift)));
    let saturations: [f32; 256] = std::array::from_fn(|byte| (byte as f64 / 255.0) as f32);
    for pixel in image.as_chunks_mut::<3>().0 {
        let [hue, saturation, value] = hsv(*pixel);
        if saturation == 0 {
            *pixel = [value; 3];
        } else {
            *pixel = hues[usize::from(hue)].rgb(saturations[usize::from(saturation)], value);
        }
    }
}

/// Pillow's `convert("HSV")`.
fn hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let [red, green, blue] = [r, g, b].map(|value| f32::from(most - value) / range);
    let hue = if r == most {
        blue - green
    } else if g == most {
        (2.0 + f64::from(red) - f64::from(blue)) as f32
    } else {
        (4.0 + f64::from(green) - f64::from(red)) as f32
    };
    let hue = f64::from(hue) / 6.0 + 1.0;
    let hue = (if hue < 1.0 { hue } else { hue - 1.0 }) as f32;
    let byte = |value: f32| (f64::from(value) * 255.0) as u8;
    [byte(hue), byte(saturation), most]
}

/// A place on the colour circle.
struct Hue {
    sixth: u8,
    /// From the start of its sixth, as a share of it.
    rest: f32,
}

impl Hue {
    fn new(hue: u8) -> Hue {
        let sixths = f64::from(hue) * 6.0 / 255.0;
        let sixth = sixths as u8;
        Hue { sixth: sixth % 6, rest: (sixths - f64::from(sixth)) as f32 }
    }

    /// Pillow's `convert("RGB")` of HSV.
    fn rgb(&self, saturation: f32, value: u8) -> [u8; 3] {
        let byte = |share: f64| (f64::from(value) * (1.0 - share) + 0.5) as u8;
        let p = byte(saturation.into());
        let q = byte((saturation * self.rest).into());
        let t = byte(f64::from(saturation) * (1.0 - f64::from(self.rest)));
        match self.sixth {
            0 => [value, t, p],
            1 => [q, value, p],
            2 => [p, value, t],
            3 => [p, q, value],
            4 => [t, p, value],
            _ => [value, p, q],
        }
    }
}

/// From a smoothed image (0) through the image (1). The outermost pixels stay, and images with fewer
/// than three rows or columns. `copy` is scratch.
pub(super) fn sharpness(
    image: &mut [u8],
    [height, width]: [usize; 2],
    factor: f32,
    copy: &mut Vec<u8>,
) {
    if height < 3 || width < 3 {
        return;
    }
    copy.clear();
    copy.extend_from_slice(image);
    let len = 3 * width;
    for y in 1..height - 1 {
        let [above, line, below] = [y - 1, y, y + 1].map(|y| &copy[y * len..][..len]);
        for (i, value) in image[y * len..][..len].iter_mut().enumerate().take(len - 3).skip(3) {
            let three =
                |line: &[u8]| u16::from(line[i - 3]) + u16::from(line[i]) + u16::from(line[i + 3]);
            let sum = three(above) + three(line) + three(below) + 4 * u16::from(line[i]);
            // A thirteenth, rounded: there are no ties.
            let smooth = ((2 * sum + 13) / 26) as u8;
            *value = blend(smooth, line[i], factor);
        }
    }
}

/// Keeps the upper bits of each byte.
pub(super) fn posterize(image: &mut [u8], bits: u32) {
    let mask = !(0xFF_u32 >> bits) as u8;
    image.iter_mut().for_each(|value| *value &= mask);
}

/// Inverts the values from a threshold on.
pub(super) fn solarize(image: &mut [u8], threshold: f32) {
    let inverted = |value| if f32::from(value) < threshold { value } else { 255 - value };
    look_up(image, &table(inverted));
}

/// How many pixels have each value, for each channel.
fn histograms(image: &[u8]) -> [[usize; 256]; 3] {
    let mut counts = [[0; 256]; 3];
    for pixel in image.as_chunks::<3>().0 {
        for (counts, &value) in counts.iter_mut().zip(pixel) {
            counts[usize::from(value)] += 1;
        }
    }
    counts
}

/// Stretches each channel to all of 0 to 255.
pub(super) fn autocontrast(image: &mut [u8]) {
    let tables = histograms(image).map(|counts| {
        let low = counts.iter().position(|&n| n > 0).unwrap_or(0);
        let high = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
        if high <= low {
            return table(|value| value);
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        table(|value| (f64::from(value) * scale + offset) as u8)
    });
    look_up_channels(image, &tables);
}

/// Makes all values of each channel about equally frequent.
pub(super) fn equalize(image: &mut [u8]) {
    let tables = histograms(image).map(|counts| {
        let last = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
        let step = counts[..last].iter().sum::<usize>() / 255;
        if step == 0 {
            return table(|value| value);
        }
        let mut sum = step / 2;
        counts.map(|count| {
            let value = (sum / step).min(255) as u8;
            sum += count;
            value
        })
    });
    look_up_channels(image, &tables);
}
