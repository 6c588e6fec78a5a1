//! ONNX graphs that compute something else than a network of the family, or too much, are refused by name.

use resnet::onnx::from_model;
use resnet_formats::{
    Data, Tensor,
    onnx::{Attribute, Graph},
};

use crate::common::onnx_graph::{changed, exported, network, node, set, simple, turn_head};

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
