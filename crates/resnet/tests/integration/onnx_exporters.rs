//! What other exporters leave in a graph and in its metadata.

use resnet::onnx::{Import, from_model};
use resnet_formats::{
    Data, Tensor,
    onnx::{Attribute, Graph},
};

use crate::common::onnx_graph::{assert_same, changed, exported, network, node, set, simple};

fn integers(graph: &mut Graph, name: &str, shape: &[usize], values: &[i64]) {
    let tensor = Tensor { shape: shape.to_vec(), data: Data::I64(values.to_vec()) };
    graph.initializers.push((name.to_owned(), tensor));
}

#[test]
fn metadata_of_other_programs_is_not_this_ones() {
    let read = |entries: &[(&str, &str)]| {
        let mut model = exported(&network("resnet8"), false);
        model.metadata = entries.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        from_model(&model).map_err(|error| error.to_string())
    };
    for name in ["resnet18", "ResNet-8", "\"resnet8\""] {
        let Import { metadata, notes, .. } = read(&[("arch", name)]).unwrap();
        assert_eq!((&*metadata["arch"], notes), ("resnet8", vec![]));
        assert!(read(&[("arch", name), ("format_version", "1")]).is_err());
    }
    let Import { metadata, notes, .. } =
        read(&[("classes", "cat,dog"), ("resize", "x"), ("recipe", "a1"), ("author", "y")])
            .unwrap();
    let keys: Vec<&str> = metadata.keys().map(String::as_str).collect();
    assert_eq!(keys, ["arch", "author"]);
    assert_eq!(
        notes,
        ["left out of its metadata, which another program wrote: 'classes', 'resize'"]
    );
}

/// `F.avg_pool2d(x, 8)`, by PyTorch 1.
#[test]
fn a_pad_by_nothing_is_left_out() {
    let pool = |g: &mut Graph| {
        let pool = node(g, "avgpool");
        pool.op = "AveragePool".into();
        set(pool, "kernel_shape", Attribute::Ints(vec![8; 2]));
        set(pool, "strides", Attribute::Ints(vec![8; 2]));
        let x = std::mem::replace(&mut pool.inputs[0], "padded".into());
        let at = g.nodes.iter().position(|node| node.name == "avgpool").unwrap();
        g.nodes.insert(at, simple("Pad", &[&x, "pads"], "padded"));
        at
    };
    let read = |pads: [i64; 8]| {
        changed("resnet8", false, |g| {
            pool(g);
            integers(g, "pads", &[8], &pads);
        })
    };
    assert_eq!(read([0; 8]).unwrap().arch.to_string(), "resnet8");
    assert!(read([0, 0, 0, 1, 0, 0, 0, 0]).unwrap_err().contains("it pads more than channels"));
    assert!(read([0, 1, 0, 0, 0, 1, 0, 0]).is_err());
    // In opset 10 and before it is an attribute.
    let old = |pads: Vec<i64>| {
        changed("resnet8", false, |g| {
            let at = pool(g);
            g.nodes[at].inputs.pop();
            set(&mut g.nodes[at], "pads", Attribute::Ints(pads));
        })
    };
    assert_eq!(old(vec![0; 8]).unwrap().arch.to_string(), "resnet8");
    assert!(old(vec![0, 0, 0, 1, 0, 0, 0, 0]).is_err());
    assert!(old(vec![]).is_err());
}

/// Makes the pads of a shortcut of option A as PyTorch's exporter does from those of `F.pad`: zeros for
/// dimensions that are not named, in pairs, the other way round.
fn compute_pads(g: &mut Graph, shortcut: &str, pads: &[i64]) {
    let pad = g.nodes.iter().position(|n| n.op == "Pad" && n.name.starts_with(shortcut)).unwrap();
    let name = |what: &str| format!("{shortcut}.{what}");
    let node_of = |op: &str, inputs: &[&str], output: &str| {
        let inputs: Vec<String> = inputs.iter().map(|input| name(input)).collect();
        simple(op, &inputs.iter().map(String::as_str).collect::<Vec<_>>(), &name(output))
    };
    let mut zeros = node_of("ConstantOfShape", &["missing"], "zeros");
    let zero = Tensor { shape: vec![1], data: Data::I64(vec![0]) };
    set(&mut zeros, "value", Attribute::Tensor(zero));
    let mut all = node_of("Concat", &["stated", "zeros"], "all");
    set(&mut all, "axis", Attribute::Int(0));
    let pairs = node_of("Reshape", &["all", "two"], "pairs");
    let back = node_of("Slice", &["pairs", "minus", "least", "first", "minus"], "back");
    let mut turned = node_of("Transpose", &["back"], "turned");
    set(&mut turned, "perm", Attribute::Ints(vec![1, 0]));
    let flat = node_of("Reshape", &["turned", "minus"], "flat");
    let mut cast = node_of("Cast", &["flat"], "cast");
    set(&mut cast, "to", Attribute::Int(7));
    g.nodes[pad].inputs[1] = name("cast");
    g.nodes.splice(pad..pad, [zeros, all, pairs, back, turned, flat, cast]);
    let lists: [(&str, &[i64]); 6] = [
        ("missing", &[8 - pads.len() as i64]),
        ("stated", pads),
        ("two", &[-1, 2]),
        ("minus", &[-1]),
        ("least", &[-i64::MAX]),
        ("first", &[0]),
    ];
    for (list, values) in lists {
        integers(g, &name(list), &[values.len()], values);
    }
}

#[test]
fn pads_of_option_a_may_be_computed() {
    // Widths are 2, 4 and 8.
    for pads in [&[0, 0, 0, 0, 1, 1][..], &[0, 0, 0, 0, 1, 1, 0, 0]] {
        assert_same("resnet8", false, |g| {
            compute_pads(g, "layer2.0.shortcut", pads);
            compute_pads(g, "layer3.0.shortcut", &[0, 0, 0, 0, 2, 2]);
        });
    }
    for (pads, why) in [
        (&[0, 0, 0, 0, 2, 0][..], "not as many zero channels"),
        (&[1, 1, 0, 0, 1, 1], "pads more than channels"),
    ] {
        let error = changed("resnet8", false, |g| compute_pads(g, "layer2.0.shortcut", pads));
        let error = error.unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

/// Before opset 10 a slice has attributes.
#[test]
fn a_slice_is_never_overlooked() {
    let error = changed("resnet8", false, |g| {
        let relu = node(g, "relu1");
        let x = std::mem::replace(&mut relu.inputs[0], "cut".into());
        let at = g.nodes.iter().position(|node| node.name == "relu1").unwrap();
        let mut slice = simple("Slice", &[&x], "cut");
        for (name, value) in [("starts", 1), ("ends", i64::MAX), ("axes", 2)] {
            set(&mut slice, name, Attribute::Ints(vec![value]));
        }
        g.nodes.insert(at, slice);
    });
    assert!(error.unwrap_err().contains("it cuts a part out"));
}

#[test]
fn probabilities_are_those_of_one_softmax() {
    let ended = |ops: &[&str]| {
        changed("resnet8", false, |g| {
            node(g, "linear").outputs[0] = "x0".into();
            for (i, op) in ops.iter().enumerate() {
                let output =
                    if i + 1 == ops.len() { "logits".into() } else { format!("x{}", i + 1) };
                g.nodes.push(simple(op, &[&format!("x{i}")], &output));
            }
        })
    };
    for ops in [&["Softmax"][..], &["LogSoftmax", "Softmax"], &["Identity", "Softmax", "Identity"]]
    {
        let notes = ended(ops).unwrap().notes;
        assert!(notes[0].contains("the Softmax after its logits"), "{notes:?}");
    }
    for ops in [
        &["Softmax", "Softmax"][..],
        &["Softmax", "LogSoftmax"],
        &["Softmax", "Identity", "Softmax"],
        &["LogSoftmax", "Softmax", "Softmax"],
    ] {
        let error = ended(ops).unwrap_err();
        assert!(error.contains("after the Softmax before it"), "{error}");
        assert!(error.contains("'logits'"), "{error}");
    }
    assert!(ended(&["Softmax", "Relu"]).is_err());
}
