//! Graphs of ONNX that are changed before they are read.

use resnet::{
    Arch, Network,
    network::Init,
    onnx::{ExportOptions, Import, from_model, model},
};
use resnet_formats::{
    Data, NamedTensors, Tensor,
    onnx::{Attribute, Graph, Model, Node},
};

pub(crate) fn network(arch: &str) -> Network {
    let arch: Arch = arch.parse().unwrap();
    Network::new(arch.graph_with(3, 10, 2), Init::He, 1)
}

pub(crate) fn exported(net: &Network, fold: bool) -> Model {
    model(net, &ExportOptions { fold, ..Default::default() }).unwrap()
}

/// What is read of a network's graph after a change.
pub(crate) fn changed(
    arch: &str,
    fold: bool,
    change: impl FnOnce(&mut Graph),
) -> Result<Import, String> {
    let mut model = exported(&network(arch), fold);
    change(&mut model.graph);
    from_model(&model).map_err(|error| error.to_string())
}

pub(crate) fn node<'a>(graph: &'a mut Graph, name: &str) -> &'a mut Node {
    graph.nodes.iter_mut().find(|node| node.name == name).unwrap()
}

pub(crate) fn set(node: &mut Node, name: &str, value: Attribute) {
    node.attributes.retain(|(found, _)| found != name);
    node.attributes.push((name.to_owned(), value));
}

pub(crate) fn simple(op: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        name: String::new(),
        op: op.to_owned(),
        inputs: inputs.iter().map(|&name| name.to_owned()).collect(),
        outputs: vec![output.to_owned()],
        attributes: vec![],
    }
}

pub(crate) fn sorted(mut state: NamedTensors) -> NamedTensors {
    state.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
    state.sort_by(|a, b| a.0.cmp(&b.0));
    state
}

/// Written otherwise, it is the same network.
pub(crate) fn assert_same(arch: &str, fold: bool, change: impl FnOnce(&mut Graph)) -> Import {
    let usual = changed(arch, fold, |_| ()).unwrap();
    let read = changed(arch, fold, change).unwrap();
    assert_eq!(read.arch.to_string(), arch);
    assert_eq!(sorted(read.state.clone()), sorted(usual.state));
    read
}

/// The weight of the head, the other way round.
pub(crate) fn turn_head(g: &mut Graph) {
    let (_, weight) = g.initializers.iter_mut().find(|(name, _)| name == "linear.weight").unwrap();
    let Data::F32(values) = &weight.data else { panic!() };
    let (rows, columns) = (weight.shape[0], weight.shape[1]);
    let turned = (0..columns * rows).map(|i| values[i % rows * columns + i / rows]).collect();
    *weight = Tensor::f32(&[columns, rows], turned);
}
