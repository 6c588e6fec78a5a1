//! Rates by depth.

use crate::graph::{Graph, Op};

/// How far each node is from the head, in groups of layers: the head is 0, the last stage (`layer4`) 1,
/// and the stem most. What comes between the last stage and the head belongs to the head.
///
/// These are timm's groups of a ResNet (`group_matcher(coarse=True)`).
pub(super) fn groups_from_head(graph: &Graph) -> Vec<i32> {
    let stages: Vec<Option<i32>> = graph.nodes().iter().map(|node| stage(&node.name)).collect();
    let last = stages.iter().flatten().max().copied().unwrap_or(0);
    let mut is_in_stem = true;
    let groups = graph.nodes().iter().zip(stages).map(|(node, stage)| {
        is_in_stem &= stage.is_none() && node.op != Op::Linear;
        match stage {
            Some(stage) => last - stage + 1,
            None if is_in_stem => last + 1,
            None => 0,
        }
    });
    groups.collect()
}

/// The number of the stage that a node is in.
fn stage(node: &str) -> Option<i32> {
    let module = node.split('.').next()?;
    module.strip_prefix("layer")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    #[test]
    fn the_stem_is_farthest() {
        let resnet18 =
            [("conv1", 5), ("bn1", 5), ("layer1.0.conv1", 4), ("layer4.1.bn2", 1), ("fc", 0)];
        let resnet8 = [("conv1", 4), ("layer1.0.bn1", 3), ("layer3.0.conv2", 1), ("linear", 0)];
        let preresnet18 = [("conv1", 5), ("layer4.0.conv1", 1), ("bn", 0), ("linear", 0)];
        for (arch, expected) in [
            ("resnet18", &resnet18[..]),
            ("resnet8", &resnet8),
            ("preresnet18-cifar", &preresnet18),
        ] {
            let graph = arch.parse::<Arch>().unwrap().graph(10);
            let groups = groups_from_head(&graph);
            for &(name, expected) in expected {
                let found = graph.nodes().iter().position(|node| node.name == name);
                let node = found.unwrap_or_else(|| panic!("{arch} has no {name}"));
                assert_eq!(groups[node], expected, "{arch} {name}");
            }
        }
    }
}
