//! Inference: batch norms folded into convolutions, values in one buffer by lifetime.

use resnet_kernels::conv::Mode;
use resnet_network::graph::{NodeId, Op};

use super::{
    builder::{Lowering, ProgramBuilder},
    fusion::producer,
    layout::places,
};
use crate::{
    error::PlanError,
    program::{Compute, ConvOperand, FusedLayer, Pass, Probe, Program},
};

/// Lowers a graph for inference with running statistics. The values of the nodes `probes` can be read
/// after the forward pass: nothing is fused across them, and their memory is not reused.
///
/// # Errors
/// If the graph does not fit the images, or breaks a rule.
///
/// # Panics
/// If a probe is not between the images and the logits.
pub fn inference(lowering: Lowering<'_>, probes: &[NodeId]) -> Result<Program, PlanError> {
    let mut builder = ProgramBuilder::new(lowering, true, probes)?;
    let (places, values_len) = places(builder.graph, &builder.groups, &builder.sizes, probes);
    builder.add_images();
    for index in 0..builder.groups.len() {
        let group = builder.groups[index].clone();
        let x = builder.input(index).map(|input| places[input].clone());
        let residual = group.residual.and_then(|id| producer(&builder.groups, id));
        let residual = residual.map(|of| places[of].clone());
        let (relu, y) = (group.relu(), places[index].clone());
        let read = || x.clone().expect("only convolutions read the images");
        let compute = match builder.op(index) {
            Op::Conv2d { .. } => {
                let x =
                    x.map_or(ConvOperand::Images, |at| ConvOperand::Value { at, fused_norm: None });
                Compute::Conv { x, norm: group.norm, residual, relu, y }
            }
            Op::BatchNorm2d => {
                let norm = builder.batch_norm(index);
                Compute::BatchNorm {
                    norm,
                    x: read(),
                    saved: None,
                    running: true,
                    residual,
                    activation: group.activation,
                    y,
                }
            }
            Op::Linear => Compute::Linear { linear: builder.linear(index), x: read() },
            _ => Compute::Parameterless {
                op: builder.parameterless(index),
                x: read(),
                residual,
                relu,
                y,
            },
        };
        let bytes = builder.costs().forward(&group, true);
        builder.add_pass(index, Pass::Forward, compute, 1, bytes);
    }
    let layer = |index: usize| -> FusedLayer {
        builder.layer(index, Mode::Inference, Some(places[index].clone()), 0..0)
    };
    let layers = (0..builder.groups.len()).map(layer).collect();
    let probes = probes.iter().map(|&id| {
        let inside = (1..builder.graph.nodes().len() - 1).contains(&id);
        assert!(inside, "a probe is on a node between the images and the logits, not {id}");
        let of = producer(&builder.groups, id).expect("only the images have no group");
        Probe { node: id, place: places[of].clone(), shape: builder.sizes.shapes[id] }
    });
    Ok(Program { probes: probes.collect(), ..builder.program(layers, [values_len, 0, 0]) })
}
