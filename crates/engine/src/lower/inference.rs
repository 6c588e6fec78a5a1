//! Inference: batch norms folded into convolutions, values in one arena by lifetime.

use resnet_kernels::conv::Mode;
use resnet_network::graph::{NodeId, Op};

use super::{
    groups::producer,
    layout::places,
    list::{List, Lowering},
};
use crate::{
    error::PlanError,
    program::{Compute, Input, Pass, Program, Unit},
};

/// Lowers a graph for inference with running statistics. What `probe` computes can be read after
/// the forward pass: nothing is fused across it, and its memory is not reused.
///
/// # Errors
/// If the graph does not fit the images, or breaks a rule.
///
/// # Panics
/// If the probe is not between the images and the logits.
pub fn inference(lowering: Lowering<'_>, probe: Option<NodeId>) -> Result<Program, PlanError> {
    let mut list = List::new(lowering, true, probe)?;
    let (places, values_len) = places(list.graph, &list.groups, &list.sizes, probe);
    list.add_images();
    for index in 0..list.groups.len() {
        let group = list.groups[index].clone();
        let x = list.input(index).map(|input| places[input].clone());
        let residual = group.residual.and_then(|id| producer(&list.groups, id));
        let residual = residual.map(|of| places[of].clone());
        let (relu, y) = (group.relu, places[index].clone());
        let read = || x.clone().expect("only convolutions read the images");
        let compute = match list.op(index) {
            Op::Conv2d { .. } => {
                let x = x.map_or(Input::Images, |at| Input::Value { at, through: None });
                Compute::Conv { x, norm: group.norm, residual, relu, y }
            }
            Op::BatchNorm2d => {
                let norm = list.batch_norm(index);
                Compute::BatchNorm { norm, x: read(), saved: None, residual, relu, y }
            }
            Op::Linear => Compute::Linear { linear: list.linear(index), x: read() },
            _ => Compute::Plain { plain: list.plain(index), x: read(), residual, relu, y },
        };
        let bytes = list.costs().forward(&group, true);
        list.add_pass(index, Pass::Forward, compute, 1, bytes);
    }
    let unit = |index: usize| -> Unit {
        list.unit(index, Mode::Inference, Some(places[index].clone()), 0..0)
    };
    let units = (0..list.groups.len()).map(unit).collect();
    let probe = probe.map(|id| {
        let inside = (1..list.graph.nodes().len() - 1).contains(&id);
        assert!(inside, "a probe is on a node between the images and the logits, not {id}");
        let of = producer(&list.groups, id).expect("only the images have no group");
        (places[of].clone(), list.sizes.shapes[id])
    });
    Ok(Program { probe, ..list.program(units, [values_len, 0, 0]) })
}
