//! The paper's own numbers.

use serde::Serialize;

use super::Kind;
use crate::models::{Arch, Shortcut};

/// The data of an error: CIFAR-10's test images.
pub const CIFAR10: &str = "cifar10";
/// The data of an error: ImageNet's validation images, top-1, ten crops.
pub const IMAGENET: &str = "imagenet";

/// An error that the paper (He et al. 2015, arXiv 1512.03385) states.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Published {
    /// The net, as the paper calls it.
    pub net: &'static str,
    /// The data: [`CIFAR10`] or [`IMAGENET`].
    pub data: &'static str,
    /// The error, percent: on CIFAR-10 the best run's, where there are several.
    pub error: f64,
    /// Mean and standard deviation over five runs, percent, where the paper has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<(f64, f64)>,
    /// Where it stands.
    pub source: &'static str,
}

const fn cifar(net: &'static str, error: f64) -> Published {
    Published { net, data: CIFAR10, error, spread: None, source: "table 6" }
}

const fn imagenet(net: &'static str, error: f64, source: &'static str) -> Published {
    Published { net, data: IMAGENET, error, spread: None, source }
}

/// By architecture. For plain nets on CIFAR-10 the paper has curves only (figure 6). Its bottlenecks have their stride in
/// the first 1x1 convolution.
const NETS: [(&str, Published); 15] = [
    ("resnet20", cifar("ResNet-20", 8.75)),
    ("resnet32", cifar("ResNet-32", 7.51)),
    ("resnet44", cifar("ResNet-44", 7.17)),
    ("resnet56", cifar("ResNet-56", 6.97)),
    ("resnet110", Published { spread: Some((6.61, 0.16)), ..cifar("ResNet-110", 6.43) }),
    ("resnet1202", cifar("ResNet-1202", 7.93)),
    ("plain18", imagenet("plain-18", 27.94, "table 2")),
    ("plain34", imagenet("plain-34", 28.54, "table 2")),
    ("resnet18-a", imagenet("ResNet-18 A", 27.88, "table 2")),
    ("resnet34-a", imagenet("ResNet-34 A", 25.03, "table 2")),
    ("resnet34", imagenet("ResNet-34 B", 24.52, "table 3")),
    ("resnet34-c", imagenet("ResNet-34 C", 24.19, "table 3")),
    ("resnet50+stride1x1", imagenet("ResNet-50", 22.85, "table 3")),
    ("resnet101+stride1x1", imagenet("ResNet-101", 21.75, "table 3")),
    ("resnet152+stride1x1", imagenet("ResNet-152", 21.43, "table 3")),
];

/// The error that the paper states for a net; for the options of shortcuts those of ResNet-34, the only ones
/// that it compares.
pub fn published(kind: Kind, net: Arch) -> Option<Published> {
    match (kind, net.shortcut) {
        (Kind::Shortcuts, Shortcut::A) => Some(imagenet("ResNet-34 A", 25.03, "table 3")),
        (Kind::Shortcuts, Shortcut::B) => Some(imagenet("ResNet-34 B", 24.52, "table 3")),
        (Kind::Shortcuts, Shortcut::C) => Some(imagenet("ResNet-34 C", 24.19, "table 3")),
        _ => {
            let name = net.to_string();
            NETS.into_iter().find(|(known, _)| *known == name).map(|(_, published)| published)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_net_is_one_and_deeper_residual_nets_are_better_but_for_the_deepest() {
        for (name, _) in NETS {
            assert_eq!(name.parse::<Arch>().unwrap().to_string(), name);
        }
        let errors: Vec<f64> = NETS.iter().take(5).map(|(_, published)| published.error).collect();
        assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
        let of = |kind, name: &str| published(kind, name.parse().unwrap());
        assert_eq!(of(Kind::Depth, "resnet1202").unwrap().error, 7.93);
        assert_eq!(of(Kind::Degradation, "plain20"), None);
        assert_eq!(of(Kind::Degradation, "resnet18-a").unwrap().error, 27.88);
        for name in ["resnet18", "resnet50"] {
            assert_eq!(of(Kind::Depth, name), None, "the paper has no such net");
        }
        assert_eq!(of(Kind::Shortcuts, "resnet20-c").unwrap().net, "ResNet-34 C");
        assert_eq!(of(Kind::Shortcuts, "resnet34-a").unwrap().error, 25.03);
    }
}
