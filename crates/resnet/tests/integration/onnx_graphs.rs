//! What an ONNX graph computes decides what it is: written in other ways it is the same network, and
//! computing something else it is another one, or refused by name.

use resnet::{
    Arch, Network,
    network::Init,
    onnx::{ExportOptions, Import, from_model, model},
};
use resnet_formats::{
    Data, NamedTensors, Tensor,
    onnx::{Attribute, Dimension, Graph, Model, Node},
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

fn sorted(mut state: NamedTensors) -> NamedTensors {
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

#[test]
fn options_of_the_architecture_come_from_the_graph() {
    for arch in [
        "resnet8",
        "plain20",
        "resnet18",
        "resnet18-cifar+maxpool",
        "resnet18+nopool",
        "resnet50+stride1x1",
        "plain50-cifar+maxpool+stride1x1",
        "resnet20+eps0.001",
        "resnet50+nopool+stride1x1+eps0.000001",
        "resnet11-sprint+w64-128-192",
        "plain8-sprint+relu",
        "resnet8+gelu",
        "resnet50+gelutanh",
        "preresnet20+silu",
    ] {
        let net = network(arch);
        let read = from_model(&exported(&net, false)).unwrap();
        assert_eq!(read.arch.to_string(), arch);
        assert_eq!(sorted(read.state), sorted(net.state_dict()));
        // Folded, there is no epsilon any more.
        let folded = from_model(&exported(&net, true)).unwrap().arch.to_string();
        assert_eq!(folded, arch.split("+eps").next().unwrap());
    }
}

#[test]
fn gelu_may_be_an_operator() {
    for (approximate, arch) in
        [(None, "+gelu"), (Some("none"), "+gelu"), (Some("tanh"), "+gelutanh")]
    {
        let read = changed("resnet8", false, |g| {
            for node in g.nodes.iter_mut().filter(|node| node.op == "Relu") {
                node.op = "Gelu".to_owned();
                let text = approximate.map(|text: &str| Attribute::Text(text.to_owned()));
                text.into_iter().for_each(|text| set(node, "approximate", text));
            }
        });
        assert_eq!(read.unwrap().arch.to_string(), format!("resnet8{arch}"));
    }
    let some = changed("resnet8", false, |g| node(g, "relu1").op = "Gelu".to_owned());
    assert!(some.unwrap_err().contains("is a ReLU of"));
}

#[test]
fn other_arithmetic_than_an_activation_is_refused() {
    for (name, value) in [("gelu1.half", 0.25), ("gelu1.root", 1.5), ("gelu1.one", 2.0)] {
        let error = changed("resnet8+gelu", false, |g| {
            set(node(g, name), "value_float", Attribute::Float(value));
        });
        assert!(error.is_err(), "{name}");
    }
    let error = changed("resnet8+silu", false, |g| {
        node(g, "silu1").inputs[0] = "conv1".to_owned();
    });
    assert!(error.unwrap_err().contains("it is part of no activation"));
}

#[test]
fn names_do_not_matter() {
    for fold in [false, true] {
        assert_same("resnet18", fold, |g| {
            let rename = |name: &mut String| {
                if name != "input" && name != "logits" && !name.is_empty() {
                    *name = format!(
                        "x{:x}",
                        name.bytes().fold(7u64, |h, b| h * 131 % 1_000_000_007 + u64::from(b))
                    );
                }
            };
            for node in &mut g.nodes {
                node.name.clear();
                node.inputs.iter_mut().chain(&mut node.outputs).for_each(rename);
            }
            g.initializers.iter_mut().for_each(|(name, _)| rename(name));
        });
    }
}

#[test]
fn tensors_may_be_constants_or_other_names_of_others() {
    assert_same("resnet8", true, |g| {
        let tensors = std::mem::take(&mut g.initializers);
        let constants = tensors.into_iter().map(|(name, tensor)| {
            let mut node = simple("Constant", &[], &name);
            set(&mut node, "value", Attribute::Tensor(tensor));
            node
        });
        g.nodes = constants.chain(std::mem::take(&mut g.nodes)).collect();
    });
    assert_same("resnet8", false, |g| {
        g.nodes.insert(0, simple("Identity", &["conv1.weight"], "again"));
        node(g, "conv1").inputs[1] = "again".into();
    });
}

/// As PyTorch's exporter writes it without optimisation: biases of zeros, as long as the weight.
#[test]
fn biases_may_be_computed_from_the_shape_of_a_weight() {
    let zeros = |g: &mut Graph, end: i64, value: f32| {
        let mut shape = simple("Shape", &["conv1.weight"], "shape");
        set(&mut shape, "start", Attribute::Int(0));
        set(&mut shape, "end", Attribute::Int(end));
        let mut one = simple("Constant", &[], "one");
        set(&mut one, "value_ints", Attribute::Ints(vec![1]));
        let mut number = simple("Constant", &[], "number");
        set(&mut number, "value_float", Attribute::Float(value));
        let channels = simple("Expand", &["shape", "one"], "channels");
        let like = simple("CastLike", &["number", "input"], "like");
        let bias = simple("Expand", &["like", "channels"], "bias");
        g.nodes.splice(0..0, [shape, one, number, channels, like, bias]);
        node(g, "conv1").inputs.push("bias".into());
    };
    assert_same("resnet18", false, |g| zeros(g, 1, 0.0));
    let moved = changed("resnet18", false, |g| zeros(g, -3, 0.5)).unwrap().state;
    let usual = changed("resnet18", false, |_| ()).unwrap().state;
    let mean = |state: &NamedTensors| {
        let (_, mean) = state.iter().find(|(name, _)| name == "bn1.running_mean").unwrap();
        mean.as_f32().unwrap().to_vec()
    };
    // A bias moves the mean of the batch norm after it.
    let want: Vec<f32> = mean(&usual).iter().map(|mean| mean - 0.5).collect();
    assert_eq!(mean(&moved), want);
    let refused = changed("resnet18", false, |g| zeros(g, 2, 0.0)).unwrap_err();
    assert!(refused.contains("repeats more than one number"), "{refused}");
}

/// The weight of the head, the other way round.
fn turn_head(g: &mut Graph) {
    let (_, weight) = g.initializers.iter_mut().find(|(name, _)| name == "linear.weight").unwrap();
    let Data::F32(values) = &weight.data else { panic!() };
    let (rows, columns) = (weight.shape[0], weight.shape[1]);
    let turned = (0..columns * rows).map(|i| values[i % rows * columns + i / rows]).collect();
    *weight = Tensor::f32(&[columns, rows], turned);
}

#[test]
fn the_head_may_be_written_in_every_way() {
    assert_same("resnet8", false, |g| {
        turn_head(g);
        set(node(g, "linear"), "transB", Attribute::Int(0));
    });
    for bias_first in [false, true] {
        assert_same("resnet8", false, |g| {
            turn_head(g);
            let gemm = g.nodes.pop().unwrap();
            g.nodes.push(simple("MatMul", &[&gemm.inputs[0], "linear.weight"], "mm"));
            let inputs = if bias_first { ["linear.bias", "mm"] } else { ["mm", "linear.bias"] };
            g.nodes.push(simple("Add", &inputs, "logits"));
        });
    }
    // The weight is transposed in the graph; Flatten is a Reshape to a computed shape.
    assert_same("resnet8", false, |g| {
        let mut gemm = g.nodes.pop().unwrap();
        g.nodes.pop();
        g.nodes.push(simple("Shape", &["avgpool"], "shape"));
        g.nodes.push(simple("Reshape", &["avgpool", "shape"], "flat"));
        turn_head(g);
        g.nodes.push(simple("Transpose", &["linear.weight"], "turned"));
        gemm.inputs = vec!["flat".into(), "turned".into(), "linear.bias".into()];
        g.nodes.push(gemm);
    });
}

#[test]
fn a_pool_may_be_a_mean_or_a_window_of_the_whole_image() {
    assert_same("resnet8", false, |g| {
        let pool = node(g, "avgpool");
        pool.op = "ReduceMean".into();
        set(pool, "axes", Attribute::Ints(vec![-1, -2]));
    });
    let window = |side| {
        move |g: &mut Graph| {
            let pool = node(g, "avgpool");
            pool.op = "AveragePool".into();
            set(pool, "kernel_shape", Attribute::Ints(vec![side; 2]));
            set(pool, "strides", Attribute::Ints(vec![side; 2]));
        }
    };
    assert_same("resnet8", false, window(8));
    let error = changed("resnet8", false, window(4)).unwrap_err();
    assert!(error.contains("averages over 4x4 pixels, which is not the whole"), "{error}");
    // Of larger images it is the whole.
    let read = changed("resnet8", false, |g| {
        window(16)(g);
        g.inputs[0].shape = [1, 3, 64, 64].map(Dimension::Fixed).to_vec();
    });
    assert_eq!(read.unwrap().metadata["image_size"], "64");
}

#[test]
fn normalisation_and_softmax_in_the_graph_are_heard() {
    let scalar = |value: f32| Tensor::f32(&[], vec![value]);
    let read = assert_same("resnet8", false, |g| {
        g.initializers.push(("all".into(), scalar(255.0)));
        g.initializers.push(("mean".into(), Tensor::f32(&[1, 3, 1, 1], vec![0.5, 0.25, 0.125])));
        g.initializers.push(("std".into(), Tensor::f32(&[3, 1, 1], vec![0.25, 0.5, 0.5])));
        let before = [
            simple("Div", &["input", "all"], "a"),
            simple("Sub", &["a", "mean"], "b"),
            simple("Div", &["b", "std"], "c"),
        ];
        g.nodes.splice(0..0, before);
        node(g, "conv1").inputs[0] = "c".into();
        node(g, "linear").outputs[0] = "scores".into();
        let mut softmax = simple("Softmax", &["scores"], "logits");
        set(&mut softmax, "axis", Attribute::Int(1));
        g.nodes.push(softmax);
    });
    assert_eq!(read.metadata["normalisation"], r#"{"mean":[0.5,0.25,0.125],"std":[0.25,0.5,0.5]}"#);
    assert!(read.notes[0].contains("images of 0 to 255 itself"), "{:?}", read.notes);
    assert!(read.notes[1].contains("Softmax after its logits"), "{:?}", read.notes);
    // Pixels in [0, 1], times and plus.
    let read = assert_same("resnet8", false, |g| {
        g.initializers.push(("times".into(), scalar(4.0)));
        g.initializers.push(("plus".into(), scalar(-2.0)));
        let before = [simple("Mul", &["times", "input"], "a"), simple("Add", &["a", "plus"], "b")];
        g.nodes.splice(0..0, before);
        node(g, "conv1").inputs[0] = "b".into();
    });
    assert_eq!(read.metadata["normalisation"], r#"{"mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]}"#);
}

#[test]
fn a_bias_before_a_batch_norm_moves_its_mean() {
    let read = changed("resnet8", false, |g| {
        g.initializers.push(("bias".into(), Tensor::f32(&[2], vec![0.5, -1.0])));
        node(g, "conv1").inputs.push("bias".into());
    });
    let state = read.unwrap().state;
    let (_, mean) = state.iter().find(|(name, _)| name == "bn1.running_mean").unwrap();
    assert_eq!(mean.as_f32().unwrap(), [-0.5, 1.0]);
}

#[test]
fn what_is_no_network_of_the_family_is_refused_by_name() {
    let ints = |values: &[i64]| Attribute::Ints(values.to_vec());
    type Change<'a> = Box<dyn FnOnce(&mut Graph) + 'a>;
    let on = |name: &'static str, attribute: &'static str, value: Attribute| -> Change<'static> {
        Box::new(move |g| set(node(g, name), attribute, value))
    };
    let op = |name: &'static str, op: &'static str| -> Change<'static> {
        Box::new(move |g| node(g, name).op = op.into())
    };
    let cases: Vec<(&str, Change, &str)> = vec![
        (
            "resnet8",
            on("conv1", "dilations", ints(&[2, 2])),
            "'conv1' (Conv) that is not understood: its window is dilated by 2",
        ),
        ("resnet8", on("conv1", "group", Attribute::Int(3)), "is a 3x3 convolution in 3 groups"),
        (
            "resnet8",
            on("conv1", "auto_pad", Attribute::Text("SAME_UPPER".into())),
            "its padding is SAME_UPPER",
        ),
        ("resnet8", on("conv1", "pads", ints(&[1, 1, 0, 0])), "its pads are [1, 1, 0, 0]"),
        ("resnet18", on("maxpool", "ceil_mode", Attribute::Int(1)), "ceil_mode"),
        (
            "resnet18",
            on("maxpool", "kernel_shape", ints(&[2, 2])),
            "'maxpool' is a 2x2 max pool with a stride of 2",
        ),
        ("resnet8", on("layer2.0.conv2", "strides", ints(&[2, 2])), "computes another network"),
        (
            "resnet8",
            op("relu1", "Elu"),
            "'relu1' (Elu) that is not understood: no network of this family has it",
        ),
        ("resnet8", op("layer1.0.relu1", "LeakyRelu"), "'layer1.0.relu1' (LeakyRelu)"),
        ("resnet8", op("conv1", "ConvInteger"), "(ConvInteger)"),
        (
            "resnet8",
            on("bn1", "training_mode", Attribute::Int(1)),
            "export the model with model.eval()",
        ),
        ("resnet8", on("bn1", "epsilon", Attribute::Float(1e-3)), "several epsilons"),
        ("resnet8", on("linear", "alpha", Attribute::Float(0.5)), "transposed or scaled"),
        ("resnet8", on("linear", "transB", Attribute::Int(0)), "its weight is for 10 channels"),
        ("resnet8", Box::new(|g| g.nodes.clear()), "no layer with parameters"),
        ("resnet8", Box::new(|g| g.initializers.clear()), "makes its input 'conv1.weight'"),
        (
            "resnet8",
            Box::new(|g| g.outputs[0].name = "relu1".into()),
            "does not end with its last layer",
        ),
        ("resnet8", Box::new(|g| g.inputs.clear()), "has no input"),
        (
            "resnet8",
            Box::new(|g| {
                let again = g.nodes[0].clone();
                g.nodes.push(again);
            }),
            "the images",
        ),
        (
            "resnet8",
            Box::new(|g| {
                let weight = g.initializers.iter_mut().find(|(name, _)| name == "linear.weight");
                weight.unwrap().1.data = Data::I64(vec![1; 80]);
            }),
            "quantised networks are not read",
        ),
        // Tensors that are used many times would be many tensors.
        (
            "resnet8",
            Box::new(|g| {
                let x =
                    g.nodes.iter().find(|n| n.name == "layer3.0.relu1").unwrap().outputs[0].clone();
                for i in 0..60 {
                    let mut conv = node(g, "layer3.0.conv2").clone();
                    (conv.inputs[0], conv.outputs[0]) = (x.clone(), format!("more{i}"));
                    let at = g.nodes.iter().position(|n| n.name == "layer3.0.conv2").unwrap();
                    g.nodes.insert(at + 1, conv);
                }
            }),
            "used over and over",
        ),
    ];
    for (arch, change, expected) in cases {
        let error = changed(arch, false, change).unwrap_err();
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn a_name_and_a_graph_must_agree() {
    let mut model = exported(&network("resnet18-cifar+maxpool"), true);
    model.metadata.insert("arch".into(), "resnet18-cifar".into());
    model.metadata.insert("format_version".into(), "1".into());
    let error = from_model(&model).unwrap_err().to_string();
    assert!(
        error.contains("'resnet18-cifar', and its graph is that of a resnet18-cifar+maxpool"),
        "{error}"
    );
}

/// A shape says nothing about the size of a file if one of its sides is zero.
#[test]
fn tensors_without_values_are_refused() {
    for shape in [[0, 1 << 60], [1 << 60, 0]] {
        for transposed in [0, 1] {
            let error = changed("resnet8", false, |g| {
                set(node(g, "linear"), "transB", Attribute::Int(transposed));
                let empty = Tensor::f32(&shape, vec![]);
                g.initializers.iter_mut().find(|(name, _)| name == "linear.weight").unwrap().1 =
                    empty;
            });
            assert!(error.unwrap_err().contains("without values"), "{shape:?}");
        }
    }
}

#[test]
fn the_steps_of_slices_have_a_bound() {
    let error = changed("resnet8", false, |g| {
        for (name, values) in [("starts", 0), ("ends", i64::MAX), ("steps", 1 << 40)] {
            let constant = node(g, &format!("layer2.0.shortcut.{name}"));
            set(constant, "value_ints", Attribute::Ints(vec![values; 4]));
        }
        let axes = node(g, "layer2.0.shortcut.axes");
        set(axes, "value_ints", Attribute::Ints(vec![2, 2, 2, 2]));
    });
    assert!(error.unwrap_err().contains("its steps are too large"));
}

/// Nodes are cheap, and so is to name one tensor many times.
#[test]
fn many_nodes_of_one_tensor_take_little_memory() {
    let allocated = |change: &dyn Fn(&mut Graph)| {
        let mut model = exported(&network("resnet8"), false);
        change(&mut model.graph);
        let mut read = None;
        let count = allocation_counter::measure(|| read = Some(from_model(&model)));
        (count.bytes_max, read.unwrap().map_err(|error| error.to_string()))
    };
    let (bytes, read) = allocated(&|g| {
        let mut large = simple("Constant", &[], "large");
        set(&mut large, "value_ints", Attribute::Ints(vec![1; 1 << 16]));
        let copies = (0..1000).map(|i| simple("Identity", &["large"], &format!("copy{i}")));
        g.nodes = [large].into_iter().chain(copies).chain(std::mem::take(&mut g.nodes)).collect();
    });
    assert!(read.is_ok() && bytes < 8 << 20, "{bytes}");
    let (_, read) = allocated(&|g| {
        let turned = |i| simple("Transpose", &["linear.weight"], &format!("turned{i}"));
        g.nodes = (0..1000).map(turned).chain(std::mem::take(&mut g.nodes)).collect();
    });
    assert!(read.unwrap_err().contains("used over and over"));
    let (_, read) = allocated(&|g| {
        turn_head(g);
        let at = g.nodes.iter().position(|node| node.name == "linear").unwrap();
        let x = g.nodes[at].inputs[0].clone();
        g.nodes.truncate(at);
        g.nodes.push(simple("MatMul", &[&x, "linear.weight"], "product"));
        g.nodes.push(simple("Add", &["product", "linear.bias"], "first"));
        g.nodes.push(simple("Add", &["product", "linear.bias"], "logits"));
    });
    assert!(read.unwrap_err().contains("no node before it makes its input 'product'"));
}

#[test]
fn an_input_may_state_any_size() {
    let arch: Arch = "resnet18".parse().unwrap();
    let net = Network::new(arch.graph_with(3, 1000, 1), Init::He, 1);
    let mut model = exported(&net, false);
    for extent in &mut model.graph.inputs[0].shape[2..] {
        *extent = Dimension::Fixed(i64::MAX);
    }
    assert_eq!(from_model(&model).unwrap().metadata["image_size"], i64::MAX.to_string());
}
