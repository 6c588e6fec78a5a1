//! The colour map of heat maps.

/// Stops of a sequential colour map, similar to matplotlib's inferno: the lightness increases evenly,
/// from nearly black over violet and orange to pale yellow. It works for the colour-blind and in
/// grey.
const STOPS: [[f32; 3]; 6] = [
    [10.0, 6.0, 30.0],
    [74.0, 18.0, 105.0],
    [150.0, 40.0, 100.0],
    [220.0, 82.0, 58.0],
    [250.0, 160.0, 30.0],
    [252.0, 250.0, 170.0],
];

/// The colour of a value in [0, 1].
pub(crate) fn colour_map(value: f32) -> [u8; 3] {
    let at = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (at as usize).min(STOPS.len() - 2);
    let part = at - below as f32;
    std::array::from_fn(|i| {
        let [low, high] = [STOPS[below][i], STOPS[below + 1][i]];
        (low + (high - low) * part).round() as u8
    })
}

/// Luminance of a colour, 0 to 255 (Rec. 709).
pub(crate) fn luminance(rgb: [u8; 3]) -> f32 {
    let [r, g, b] = rgb.map(f32::from);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn larger_values_are_lighter() {
        let scale: Vec<f32> = (0..=100).map(|i| luminance(colour_map(i as f32 / 100.0))).collect();
        assert!(scale.windows(2).all(|pair| pair[0] < pair[1]), "{scale:?}");
        assert_eq!(colour_map(f32::NAN.max(0.0)), colour_map(0.0));
        assert_eq!((colour_map(-1.0), colour_map(2.0)), ([10, 6, 30], [252, 250, 170]));
    }
}
