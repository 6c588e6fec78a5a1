//! The names that programs give to the tensors of a residual network.

/// A way to name the layers of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// `conv1`, `layer1.0.conv1`: torchvision's, timm's and most others'.
    Torchvision,
    /// `conv1.0`, `conv2_x.0.residual_function.0`: weiaicunzai/pytorch-cifar100.
    Weiaicunzai,
    /// `embedder.embedder`, `encoder.stages.0.layers.0`: Hugging Face transformers.
    Transformers,
    /// `0`, `4.0.conv1`: an `nn.Sequential` of torchvision's children, with this one the first stage.
    Children(usize),
}

impl Naming {
    /// All, each with the names of its first weight and of the first one of its first block.
    pub(super) const ALL: [(Naming, &str, &str); 8] = [
        (Naming::Torchvision, "conv1.weight", "layer1.0.conv1.weight"),
        // Of the family made for speed, whose stages have no blocks.
        (Naming::Torchvision, "conv1.weight", "layer1.conv1.weight"),
        // A deep stem.
        (Naming::Torchvision, "conv1.0.weight", "layer1.0.conv1.weight"),
        (Naming::Weiaicunzai, "conv1.0.weight", "conv2_x.0.residual_function.0.weight"),
        (
            Naming::Transformers,
            "embedder.embedder.convolution.weight",
            "encoder.stages.0.layers.0.layer.0.convolution.weight",
        ),
        (Naming::Children(2), "0.weight", "2.0.conv1.weight"),
        (Naming::Children(3), "0.weight", "3.0.conv1.weight"),
        (Naming::Children(4), "0.weight", "4.0.conv1.weight"),
    ];

    /// torchvision's name of a tensor of stem or stages. None for any other.
    pub(super) fn usual_name(self, name: &str) -> Option<String> {
        match self {
            Naming::Torchvision => {
                let (part, _) = name.split_once('.')?;
                let stage = part.strip_prefix("layer").and_then(number).is_some();
                (stage || matches!(part, "conv1" | "bn1" | "bn")).then(|| name.to_owned())
            }
            Naming::Weiaicunzai => {
                if let Some(rest) = name.strip_prefix("conv1.") {
                    let (index, rest) = rest.split_once('.')?;
                    let layer = match index {
                        "0" => "conv1",
                        "1" => "bn1",
                        _ => return None,
                    };
                    return Some(format!("{layer}.{rest}"));
                }
                let (stage, rest) = name.strip_prefix("conv")?.split_once("_x.")?;
                let stage = number(stage)?.checked_sub(1)?;
                let (block, rest) = rest.split_once('.')?;
                let rest = match rest.strip_prefix("residual_function.") {
                    Some(rest) => {
                        let (index, rest) = rest.split_once('.')?;
                        let index = number(index)?;
                        let layer = ["conv", "bn"].get(index % 3)?;
                        format!("{layer}{}.{rest}", index / 3 + 1)
                    }
                    None => rest.to_owned(),
                };
                Some(format!("layer{stage}.{block}.{rest}"))
            }
            Naming::Transformers => {
                let layer = |part: &str| match part {
                    "convolution" => Some("conv"),
                    "normalization" => Some("bn"),
                    _ => None,
                };
                if let Some(rest) = name.strip_prefix("embedder.embedder.") {
                    let (part, rest) = rest.split_once('.')?;
                    return Some(format!("{}1.{rest}", layer(part)?));
                }
                let (stage, rest) = name.strip_prefix("encoder.stages.")?.split_once(".layers.")?;
                let stage = number(stage)?.checked_add(1)?;
                let (block, rest) = rest.split_once('.')?;
                let rest = if let Some(rest) = rest.strip_prefix("shortcut.") {
                    let (part, rest) = rest.split_once('.')?;
                    format!("downsample.{}.{rest}", usize::from(layer(part)? == "bn"))
                } else {
                    let (index, rest) = rest.strip_prefix("layer.")?.split_once('.')?;
                    let (part, rest) = rest.split_once('.')?;
                    format!("{}{}.{rest}", layer(part)?, number(index)?.checked_add(1)?)
                };
                Some(format!("layer{stage}.{block}.{rest}"))
            }
            Naming::Children(first) => {
                let (part, rest) = name.split_once('.')?;
                let child = number(part)?;
                match child {
                    0 => Some(format!("conv1.{rest}")),
                    1 => Some(format!("bn1.{rest}")),
                    _ => {
                        let stage = child.checked_sub(first)?.checked_add(1)?;
                        // A block has a number; the head, further back, has none.
                        let (block, inner) = rest.split_once('.')?;
                        number(block)?;
                        (inner.contains('.')).then(|| format!("layer{stage}.{rest}"))
                    }
                }
            }
        }
    }
}

fn number(text: &str) -> Option<usize> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_torchvisions() {
        for (naming, theirs, usual) in [
            (Naming::Torchvision, "layer3.0.bn1.bias", "layer3.0.bn1.bias"),
            (Naming::Torchvision, "conv1.3.weight", "conv1.3.weight"),
            (Naming::Weiaicunzai, "conv1.1.running_var", "bn1.running_var"),
            (Naming::Weiaicunzai, "conv5_x.1.residual_function.4.bias", "layer4.1.bn2.bias"),
            (Naming::Weiaicunzai, "conv3_x.0.residual_function.6.weight", "layer2.0.conv3.weight"),
            (Naming::Weiaicunzai, "conv3_x.0.shortcut.0.weight", "layer2.0.shortcut.0.weight"),
            (Naming::Transformers, "embedder.embedder.normalization.bias", "bn1.bias"),
            (
                Naming::Transformers,
                "encoder.stages.3.layers.1.layer.2.convolution.weight",
                "layer4.1.conv3.weight",
            ),
            (
                Naming::Transformers,
                "encoder.stages.1.layers.0.shortcut.normalization.weight",
                "layer2.0.downsample.1.weight",
            ),
            (Naming::Children(4), "0.weight", "conv1.weight"),
            (Naming::Children(4), "7.1.bn2.weight", "layer4.1.bn2.weight"),
        ] {
            assert_eq!(naming.usual_name(theirs).as_deref(), Some(usual), "{theirs}");
        }
        for (naming, theirs) in [
            (Naming::Torchvision, "fc.weight"),
            (Naming::Torchvision, "layer_norm.weight"),
            (Naming::Weiaicunzai, "conv1.2.weight"),
            (Naming::Transformers, "classifier.1.weight"),
            (Naming::Children(4), "9.weight"),
            (Naming::Children(4), "9.1.weight"),
        ] {
            assert_eq!(naming.usual_name(theirs), None, "{theirs}");
        }
    }
}
