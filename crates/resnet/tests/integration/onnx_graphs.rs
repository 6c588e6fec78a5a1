//! What an ONNX graph computes decides what it is: written in other ways it is the same network.

use resnet::{Arch, Network, network::Init, onnx::from_model};
use resnet_formats::{
    NamedTensors, Tensor,
    onnx::{Attribute, Dimension, Graph},
};

use crate::common::onnx_graph::{
    assert_same, changed, exported, network, node, set, simple, sorted, turn_head,
};

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
fn an_input_may_state_any_size() {
    let arch: Arch = "resnet18".parse().unwrap();
    let net = Network::new(arch.graph_with(3, 1000, 1), Init::He, 1);
    let mut model = exported(&net, false);
    for extent in &mut model.graph.inputs[0].shape[2..] {
        *extent = Dimension::Fixed(i64::MAX);
    }
    assert_eq!(from_model(&model).unwrap().metadata["image_size"], i64::MAX.to_string());
}
