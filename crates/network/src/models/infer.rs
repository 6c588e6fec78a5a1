//! Infers the architecture of a state dict from its names and shapes.

use std::collections::{BTreeMap, BTreeSet};

use resnet_formats::{NamedTensors, Tensor};

use super::{
    Arch, Block, Family, Shortcut, Stem,
    arch::{STAGES, USUAL_WIDTH},
    sprint,
};

/// An architecture inferred from names and shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InferredArch {
    /// The architecture.
    pub arch: Arch,
    /// An ambiguous alternative: another architecture with the same names and shapes. Option-A shortcuts have no
    /// parameters: the paper's CIFAR nets may be plain, and plain ImageNet nets may have such shortcuts.
    pub alternative: Option<Arch>,
}

/// Infers the architecture of a state dict. The stem's kernel and the number of stages give the
/// family, the number and kind of blocks give the depth, and projections show shortcuts. Widths,
/// classes, and the names of head and shortcuts do not matter.
///
/// ```
/// use resnet_network::{Arch, Network, models::infer_arch, network::Init};
/// let arch: Arch = "resnet18-cifar".parse().unwrap();
/// let net = Network::new(arch.graph_with(3, 10, 8), Init::PyTorch, 0);
/// assert_eq!(infer_arch(&net.state_dict()).unwrap().arch, arch);
/// ```
///
/// # Errors
/// A description of the tensors, if no architecture of the family has them.
pub fn infer_arch(tensors: &NamedTensors) -> Result<InferredArch, String> {
    let shape = |name: &str| {
        let tensor: Option<&(String, Tensor)> = tensors.iter().find(|(n, _)| n == name);
        tensor.map(|(_, tensor)| tensor.shape.as_slice())
    };
    let square = |name: &str| match shape(name) {
        Some(&[out, _, rows, columns]) if rows == columns => Ok(Some((out, rows))),
        Some(shape) => Err(format!(
            "its '{name}' has shape {shape:?}, which is not that of a square convolution"
        )),
        None => Ok(None),
    };
    let deep = square(DEEP_STEM[2])?.filter(|_| DEEP_STEM.iter().all(|name| shape(name).is_some()));
    let (stem, (width, kernel)) = match (square("conv1.weight")?, deep) {
        (Some(single), _) => (Stem::Single, single),
        (None, Some(deep)) => (Stem::Deep, deep),
        _ => return Err("it has no 'conv1.weight', the first layer of every ResNet".into()),
    };
    if shape(SPRINT_FIRST).is_some() {
        return sprint_of(tensors, &square);
    }
    let stages = stages(tensors)?;
    let block = if shape("layer1.0.conv3.weight").is_some() {
        Block::Bottleneck
    } else if shape("layer1.0.conv2.weight").is_some() {
        Block::Basic
    } else {
        return Err(
            "it has no 'layer1.0.conv2.weight': its blocks are neither basic nor bottleneck".into(),
        );
    };
    let projections = tensors.iter().filter_map(|(name, _)| Some((place(name)?, shortcut(name)?)));
    let projections: BTreeSet<((usize, usize), &str)> =
        projections.map(|((stage, block, _), rest)| ((stage, block), rest)).collect();
    let projects = !projections.is_empty();
    let found = || {
        let stages: Vec<String> = stages.iter().map(ToString::to_string).collect();
        let kind = if block == Block::Basic { "basic" } else { "bottleneck" };
        let stem = if stem == Stem::Deep { "deep".into() } else { format!("{kernel}x{kernel}") };
        format!(
            "its {stem} stem and stages of {} {kind} blocks{} match no architecture of the family",
            stages.join(", "),
            if projects { " with projections" } else { "" }
        )
    };
    let mut arch = match (stem, kernel, &stages[..]) {
        (Stem::Single, 3, &[n, second, third]) if [second, third] == [n; 2] => {
            // 50 and 152 are 6n+2 too, but name ImageNet nets.
            let named = format!("resnet{}", n.saturating_mul(6).saturating_add(2)).parse::<Arch>();
            let is_paper = |arch: &Arch| arch.family == Family::Paper && block == Block::Basic;
            named.ok().filter(is_paper).ok_or_else(found)?
        }
        (Stem::Single, 3 | 7, blocks) | (Stem::Deep, 3, blocks) => {
            let is_cifar = stem == Stem::Single && kernel == 3;
            let family = if is_cifar { Family::Cifar } else { Family::ImageNet };
            let known = STAGES.iter().find(|known| known.1 == *blocks && known.2 == block);
            Arch::new(family, known.ok_or_else(found)?.0, projects)
        }
        _ => return Err(found()),
    };
    arch.stem = stem;
    arch.preactivation = shape("bn1.weight").is_none() && shape("bn.weight").is_some();
    arch.shortcut = match () {
        // Its first layer is a pool.
        () if projections.iter().any(|(_, rest)| *rest == "2.weight") => Shortcut::D,
        () if !projects => arch.shortcut,
        // Nothing changes in the first block, unless it is a bottleneck.
        () if matches!(arch.family, Family::Paper | Family::ImageNet)
            && block == Block::Basic
            && projections.contains(&((1, 0), "0.weight")) =>
        {
            Shortcut::C
        }
        () => Shortcut::B,
    };
    if block == Block::Bottleneck {
        let Some(&[inner, group, ..]) = shape("layer1.0.conv2.weight") else { return Err(found()) };
        arch.groups = inner.checked_div(group).unwrap_or(1).max(1);
        let width_of_group = || {
            let (all, groups) = (inner.checked_mul(USUAL_WIDTH)?, width.checked_mul(arch.groups)?);
            all.checked_div(groups)
        };
        arch.group_width = width_of_group().unwrap_or(0);
        if arch.inner_width(width) != inner || group.checked_mul(arch.groups) != Some(inner) {
            return Err(format!("{}: they are {inner} wide, in {} groups", found(), arch.groups));
        }
    }
    // What does not go together has no name.
    if arch.to_string().parse() != Ok(arch) {
        return Err(found());
    }
    let alternative = match arch.family {
        Family::Paper if arch.shortcut == Shortcut::A && !arch.preactivation => {
            Some(Arch { residual: false, ..arch })
        }
        Family::ImageNet if !arch.residual && block == Block::Basic => {
            Some(Arch { residual: true, shortcut: Shortcut::A, ..arch })
        }
        _ => None,
    };
    Ok(InferredArch { arch, alternative })
}

/// The first convolution of a stage of the family made for speed, which has no blocks.
const SPRINT_FIRST: &str = "layer1.conv1.weight";

/// Output channels and side of a square convolution.
type Square = (usize, usize);

/// A network made for speed. Shortcuts have no parameters.
fn sprint_of(
    tensors: &NamedTensors,
    square: &dyn Fn(&str) -> Result<Option<Square>, String>,
) -> Result<InferredArch, String> {
    let of = |stage: usize, conv: usize| square(&format!("layer{stage}.conv{conv}.weight"));
    let mut stages = [0; 3];
    for (index, width) in stages.iter_mut().enumerate() {
        *width = of(index + 1, 1)?.map_or(0, |conv| conv.0);
    }
    let stem = square("conv1.weight")?.map_or(0, |conv| conv.0);
    let convs = [1, 2, 3].map(|stage| {
        let prefix = format!("layer{stage}.conv");
        let is_conv = |name: &str| name.starts_with(&prefix) && name.ends_with(".weight");
        tensors.iter().filter(|(name, _)| is_conv(name)).count()
    });
    let usual = Arch::new(Family::Sprint, 8, true);
    let arch = sprint::with_widths(usual, stem, stages, convs).ok_or_else(|| {
        format!(
            "its stem of {stem} channels and stages of {convs:?} convolutions with {stages:?} channels match \
             no architecture of the family"
        )
    })?;
    Ok(InferredArch { arch, alternative: Some(Arch { residual: false, ..arch }) })
}

/// The convolutions of a deep stem.
pub(super) const DEEP_STEM: [&str; 3] = ["conv1.0.weight", "conv1.3.weight", "conv1.6.weight"];

/// The number of blocks of each stage.
fn stages(tensors: &NamedTensors) -> Result<Vec<usize>, String> {
    let mut found = BTreeMap::<usize, BTreeSet<usize>>::new();
    for (name, _) in tensors {
        if let Some((stage, block, _)) = place(name) {
            found.entry(stage).or_default().insert(block);
        }
    }
    if found.is_empty() {
        return Err("it has no stages: no names like 'layer1.0.conv1.weight'".into());
    }
    let mut stages = Vec::new();
    for (index, (stage, blocks)) in found.into_iter().enumerate() {
        if stage != index + 1 || !blocks.iter().copied().eq(0..blocks.len()) {
            return Err(format!("it lacks blocks in or before its stage 'layer{stage}'"));
        }
        stages.push(blocks.len());
    }
    Ok(stages)
}

/// `layer2.0.conv1.weight` as (2, 0, `conv1.weight`).
fn place(name: &str) -> Option<(usize, usize, &str)> {
    let mut parts = name.strip_prefix("layer")?.splitn(3, '.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?))
}

/// The rest of a name after a projection shortcut's.
fn shortcut(name: &str) -> Option<&str> {
    let (_, _, rest) = place(name)?;
    SHORTCUTS.iter().find_map(|shortcut| rest.strip_prefix(shortcut)?.strip_prefix('.'))
}

const SHORTCUTS: [&str; 2] = ["shortcut", "downsample"];
const HEADS: [&str; 2] = ["linear", "fc"];

/// Renames head (`fc` or `linear`) and shortcuts (`downsample` or `shortcut`) to the family's
/// names, unless the state dict already has a tensor of that name.
pub fn canonical_names(tensors: &mut NamedTensors, family: Family) {
    let taken: BTreeSet<String> = tensors.iter().map(|(name, _)| name.clone()).collect();
    for (name, _) in tensors.iter_mut() {
        let head = HEADS.iter().find_map(|head| name.strip_prefix(head)?.strip_prefix('.'));
        let new = if let Some(parameter) = head {
            format!("{}.{parameter}", family.head())
        } else if let (Some((stage, block, _)), Some(rest)) = (place(name), shortcut(name)) {
            format!("layer{stage}.{block}.{}.{rest}", family.shortcut())
        } else {
            continue;
        };
        if !taken.contains(&new) {
            *name = new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Network, network::Init};

    fn state(arch: Arch) -> NamedTensors {
        let width = if arch.groups > 1 { 16 } else { 2 };
        Network::new(arch.graph_with(3, 5, width), Init::PyTorch, 0).state_dict()
    }

    fn arch(name: &str) -> Arch {
        name.parse().unwrap()
    }

    #[test]
    fn every_architecture_is_inferred() {
        for arch in Arch::all().chain(
            ["resnet8", "plain26", "resnet14-sprint+w48-128-2048", "resnet9-sprint"].map(arch),
        ) {
            if arch.depth > 152 {
                continue; // It would take a minute.
            }
            let expected = match arch.family {
                Family::Sprint => InferredArch {
                    arch: Arch { residual: true, ..arch },
                    alternative: Some(Arch { residual: false, ..arch }),
                },
                Family::Paper if arch.shortcut == Shortcut::A && !arch.preactivation => {
                    InferredArch {
                        arch: Arch { residual: true, ..arch },
                        alternative: Some(Arch { residual: false, ..arch }),
                    }
                }
                Family::ImageNet
                    if arch.block() == Block::Basic
                        && (!arch.residual || arch.shortcut == Shortcut::A) =>
                {
                    let usual = Arch::new(Family::ImageNet, arch.depth, false);
                    let residual = Arch { residual: true, shortcut: Shortcut::A, ..usual };
                    InferredArch { arch: usual, alternative: Some(residual) }
                }
                _ => InferredArch { arch, alternative: None },
            };
            assert_eq!(infer_arch(&state(arch)), Ok(expected), "{arch}");
        }
    }

    #[test]
    fn other_tensors_are_described() {
        let refusal = |change: &dyn Fn(&mut NamedTensors), of: &str| {
            let mut tensors = state(arch(of));
            change(&mut tensors);
            infer_arch(&tensors).unwrap_err()
        };
        let without = |start: &'static str| {
            move |tensors: &mut NamedTensors| tensors.retain(|(name, _)| !name.starts_with(start))
        };
        for (of, start, expected) in [
            ("resnet20", "conv1", "no 'conv1.weight'"),
            ("resnet20", "layer", "no stages"),
            ("resnet20", "layer1", "in or before its stage 'layer2'"),
            ("resnet18", "layer4.0", "in or before its stage 'layer4'"),
            ("resnet20", "layer3.2", "3x3 stem and stages of 3, 3, 2 basic blocks match"),
            ("resnet50", "layer3.5", "7x7 stem and stages of 3, 4, 5, 3 bottleneck blocks with"),
            ("resnet18", "layer4", "stages of 2, 2, 2 basic blocks with projections"),
        ] {
            let text = refusal(&without(start), of);
            assert!(text.contains(expected), "{text}");
        }
        // Eight blocks per stage are 50 layers, and resnet50 names another net.
        let blocks = |tensors: &mut NamedTensors| {
            for (stage, block) in [(1, 7), (2, 7), (3, 7), (1, 6), (2, 6), (3, 6)] {
                let name = format!("layer{stage}.{block}.conv1.weight");
                tensors.push((name, Tensor::f32(&[0], vec![])));
            }
        };
        assert!(refusal(&blocks, "resnet38").contains("stages of 8, 8, 8 basic blocks match"));
        let stem = |tensors: &mut NamedTensors| tensors[0].1.shape = vec![2, 3, 5, 5];
        assert!(refusal(&stem, "resnet18").contains("its 5x5 stem"));
        let wide = |tensors: &mut NamedTensors| {
            for (name, tensor) in tensors.iter_mut() {
                if name == "layer1.0.conv2.weight" {
                    tensor.shape = vec![3, 3, 3, 3];
                }
            }
        };
        assert!(refusal(&wide, "resnet50").contains("match no architecture"));
    }

    #[test]
    fn names_become_the_familys() {
        let net = state(arch("resnet18-cifar"));
        let mut other = net.clone();
        for (name, _) in &mut other {
            *name = name.replace("linear", "fc").replace("shortcut", "downsample");
        }
        assert_eq!(infer_arch(&other).unwrap().arch, arch("resnet18-cifar"));
        canonical_names(&mut other, Family::Cifar);
        assert_eq!(other, net);
        canonical_names(&mut other, Family::ImageNet);
        assert!(other.iter().any(|(name, _)| name == "layer4.0.downsample.1.running_var"));
        assert_eq!(other.last().unwrap().0, "fc.bias");
        // Two heads stay two.
        let mut twice = net.clone();
        twice.push(("fc.weight".into(), Tensor::f32(&[0], vec![])));
        canonical_names(&mut twice, Family::Cifar);
        assert_eq!(twice[..net.len()], net);
        assert_eq!(twice[net.len()].0, "fc.weight");
    }
}
