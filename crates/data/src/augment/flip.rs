//! Which images are mirrored.

use std::fmt;

use resnet_network::random::{Purpose, Random};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which images are mirrored. A recipe's file writes `false`, `true` or `"alternating"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flip {
    /// None (`false`).
    Never,
    /// Each with probability 0.5, drawn again in each epoch (`true`,
    /// `torchvision.transforms.RandomHorizontalFlip()`).
    Random,
    /// Each with probability 0.5 in the first epoch, then in every other epoch (`"alternating"`):
    /// two epochs show each image once mirrored and once not (Jordan 2024,
    /// arXiv 2404.00498).
    Alternating,
}

const ALTERNATING: &str = "alternating";

/// Whether alternating flips mirror an image, by its index, in an epoch.
pub(super) fn alternates(seed: u64, epoch: u64, image: u64) -> bool {
    let first = Random::new(seed, Purpose::Flip, &[image]).below(2);
    (first ^ epoch) & 1 == 1
}

impl Serialize for Flip {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Flip::Never => s.serialize_bool(false),
            Flip::Random => s.serialize_bool(true),
            Flip::Alternating => s.serialize_str(ALTERNATING),
        }
    }
}

impl<'de> Deserialize<'de> for Flip {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(FlipVisitor)
    }
}

struct FlipVisitor;

impl de::Visitor<'_> for FlipVisitor {
    type Value = Flip;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "true, false or \"{ALTERNATING}\"")
    }

    fn visit_bool<E: de::Error>(self, flip: bool) -> Result<Flip, E> {
        Ok(if flip { Flip::Random } else { Flip::Never })
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Flip, E> {
        if name == ALTERNATING {
            Ok(Flip::Alternating)
        } else {
            Err(E::invalid_value(de::Unexpected::Str(name), &self))
        }
    }
}
