//! Short decimals.

/// Converts 0.9 to 0.9, not to 0.8999999761581421.
pub(crate) fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a number's text is a number")
}
