//! What batch norm adds to a variance.

use std::hash::{Hash, Hasher};

/// The `eps` of `torch.nn.BatchNorm2d`: it is added to a variance before its root is taken. 1e-5 by
/// default, as in PyTorch.
#[derive(Clone, Copy, Debug)]
pub struct Epsilon(f64);

impl Epsilon {
    /// A number from 1e-30 to below 1, or none.
    pub fn new(value: f64) -> Option<Epsilon> {
        let fits = (1e-30..1.0).contains(&value);
        fits.then_some(Epsilon(value))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl Default for Epsilon {
    fn default() -> Self {
        Epsilon(1e-5)
    }
}

// No number that it can hold is NaN.
impl Eq for Epsilon {}

impl PartialEq for Epsilon {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Hash for Epsilon {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
