use super::*;
use crate::protobuf::Message;
use crate::{Data, Tensor};

fn message() -> Message {
    Message::default()
}

fn sample() -> Model {
    let name = |name: &str| name.to_owned();
    let names = |names: &[&str]| names.iter().map(|n| name(n)).collect();
    let value = |n: &str, shape| Value { name: name(n), doc: name("ü"), shape };
    let batch = || Dimension::Dynamic(name("batch"));
    let conv = Node {
        name: name("conv1"),
        op: name("Conv"),
        inputs: names(&["input", "conv1.weight", ""]),
        outputs: names(&["logits"]),
        attributes: vec![
            (name("pads"), Attribute::Ints(vec![0, -1, i64::MAX])),
            (name("group"), Attribute::Int(1)),
            (name("epsilon"), Attribute::Float(1e-5)),
        ],
    };
    Model {
        producer: name("someone"),
        producer_version: name("1"),
        metadata: [(name("classes"), name("[\"a\",\"ü\"]")), (name("b"), name(""))].into(),
        graph: Graph {
            name: name("net"),
            nodes: vec![conv],
            initializers: vec![
                (name("conv1.weight"), Tensor::f32(&[1, 3, 1, 1], vec![1.0, -0.5, 1e-40])),
                (name("count"), Tensor::scalar_i64(-(1 << 40))),
                (name("empty"), Tensor::f32(&[0, 7], vec![])),
            ],
            inputs: vec![value("input", vec![batch(), Dimension::Fixed(3)])],
            outputs: vec![value("logits", vec![batch()])],
        },
    }
}

fn bytes_of(model: &Model) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    write(&path, model).unwrap();
    assert_eq!(read(&path).unwrap(), *model);
    std::fs::read(path).unwrap()
}

/// A model whose graph has this field.
fn in_graph(number: u64, field: &Message) -> Vec<u8> {
    message().message(7, &message().message(number, field)).0
}

fn tensor_of(field: &Message) -> Result<Tensor, String> {
    let model = from_bytes(&in_graph(5, field)).map_err(|error| error.to_string())?;
    Ok(model.graph.initializers[0].1.clone())
}

fn tensor(dims: &[i64], dtype: i64) -> Message {
    message().each(dims, |m, &extent| m.int(1, extent)).int(2, dtype).text(8, "t")
}

/// A field of bytes.
fn packed(fields: Message, number: u64, bytes: &[u8]) -> Message {
    let mut fields = fields.length(number, bytes.len());
    fields.0.extend(bytes);
    fields
}

#[test]
fn what_is_written_is_read() {
    assert_eq!(from_bytes(&bytes_of(&sample())).unwrap(), sample());
    assert_eq!(from_bytes(&bytes_of(&Model::default())).unwrap(), Model::default());
}

#[test]
fn values_may_be_written_in_every_way() {
    let floats = [1.5f32, -2.0].map(f32::to_le_bytes).concat();
    let expected = Ok(Tensor::f32(&[2], vec![1.5, -2.0]));
    let float = || tensor(&[2], 1);
    assert_eq!(tensor_of(&packed(float(), 9, &floats)), expected);
    assert_eq!(tensor_of(&packed(float(), 4, &floats)), expected);
    assert_eq!(tensor_of(&float().float(4, 1.5).float(4, -2.0)), expected);
    let extents = packed(message(), 1, &[2]).int(2, 1).text(8, "t");
    assert_eq!(tensor_of(&packed(extents, 9, &floats)), expected);

    let expected = Ok(Tensor { shape: vec![2], data: Data::I64(vec![300, 1]) });
    assert_eq!(tensor_of(&packed(tensor(&[2], 7), 7, &[0xac, 0x02, 0x01])), expected);
    assert_eq!(tensor_of(&tensor(&[2], 7).int(7, 300).int(7, 1)), expected);
}

#[test]
fn every_type_is_read() {
    let raw = |dims: &[i64], dtype, bytes: &[u8]| tensor_of(&packed(tensor(dims, dtype), 9, bytes));
    let floats = Ok(Tensor::f32(&[2], vec![1.5, -2.0]));
    assert_eq!(raw(&[2], 10, &[0x00, 0x3e, 0x00, 0xc0]), floats);
    assert_eq!(raw(&[2], 16, &[0xc0, 0x3f, 0x00, 0xc0]), floats);
    assert_eq!(raw(&[2], 11, &[1.5f64, -2.0].map(f64::to_le_bytes).concat()), floats);
    // A half is the bits of an integer, where it is not raw.
    assert_eq!(tensor_of(&tensor(&[2], 10).int(5, 0x3e00).int(5, 0xc000)), floats);
    let doubles = [1.5f64, -2.0].map(f64::to_le_bytes).concat();
    assert_eq!(tensor_of(&packed(tensor(&[2], 11), 10, &doubles)), floats);

    let integers =
        |values: &[i64]| Ok(Tensor { shape: vec![values.len()], data: Data::I64(values.to_vec()) });
    assert_eq!(raw(&[2], 2, &[1, 255]), integers(&[1, 255]));
    assert_eq!(raw(&[2], 3, &[1, 255]), integers(&[1, -1]));
    assert_eq!(raw(&[1], 5, &[0xff, 0xff]), integers(&[-1]));
    assert_eq!(raw(&[1], 6, &[0xfe, 0xff, 0xff, 0xff]), integers(&[-2]));
    assert_eq!(raw(&[2], 9, &[0, 1]), integers(&[0, 1]));
    assert_eq!(tensor_of(&tensor(&[2], 6).int(5, 7).int(5, -7)), integers(&[7, -7]));
}

/// A tensor `t` of two floats whose values lie in another file.
fn elsewhere(entries: &[(&str, &str)]) -> Vec<u8> {
    let fields = tensor(&[2], 1)
        .int(14, 1)
        .each(entries, |m, (key, value)| m.message(13, &message().text(1, key).text(2, value)));
    in_graph(5, &fields)
}

#[test]
fn values_may_lie_in_a_file_of_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.onnx");
    let read_with = |entries: &[(&str, &str)]| {
        std::fs::write(&path, elsewhere(entries)).unwrap();
        let model = read(&path).map_err(|error| error.kind.to_string())?;
        Ok::<_, String>(model.graph.initializers[0].1.clone())
    };
    std::fs::write(dir.path().join("m.onnx.data"), [7u8, 0, 0, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0])
        .unwrap();
    let place = |offset: &'static str| [("location", "m.onnx.data"), ("offset", offset)];
    assert_eq!(read_with(&place("4")), Ok(Tensor::f32(&[2], vec![1.5, -2.0])));
    let with_length = [&place("4")[..], &[("length", "8"), ("checksum", "x")]].concat();
    assert_eq!(read_with(&with_length), Ok(Tensor::f32(&[2], vec![1.5, -2.0])));
    std::fs::create_dir(dir.path().join("below")).unwrap();
    let outside = dir.path().join("m.onnx.data");
    for (entries, expected) in [
        (&place("8")[..], "'m.onnx.data', which is too short"),
        (&place("-1"), "whose offset is no number"),
        (&[("location", "absent")], "'absent': "),
        (&[("location", "below")], "'below': it is not a regular file"),
        (&[("location", "../m.onnx.data")], "which is none of its own folder"),
        (&[("location", outside.to_str().unwrap())], "which is none of its own folder"),
        (&[("location", "..")], "which is none of its own folder"),
        (&[("offset", "0")], "which it does not name"),
        (&[("location", "m.onnx.data"), ("length", "4")], "whose number of values does not fit"),
    ] {
        let error = read_with(entries).unwrap_err();
        let text = error.contains(expected);
        assert!(text, "{error}, expected {expected}");
        assert!(error.contains("'t'"), "{error}");
    }
}

#[test]
fn attributes_of_every_type_are_read() {
    let attribute = |fields: Message| {
        let node = message().text(4, "x").message(5, &fields);
        let model = from_bytes(&in_graph(1, &node)).unwrap();
        model.graph.nodes[0].attributes[0].1.clone()
    };
    let named = || message().text(1, "a");
    assert_eq!(attribute(named().text(4, "SAME").int(20, 3)), Attribute::Text("SAME".into()));
    let floats = named().float(7, 0.5).float(7, 2.0).int(20, 6);
    assert_eq!(attribute(floats), Attribute::Floats(vec![0.5, 2.0]));
    // A tensor in an attribute needs no name.
    let value = message().int(1, 1).int(2, 7).int(7, 3);
    let expected = Tensor { shape: vec![1], data: Data::I64(vec![3]) };
    assert_eq!(attribute(named().message(5, &value).int(20, 4)), Attribute::Tensor(expected));
}

#[test]
fn malformed_tensors_have_their_own_errors() {
    let four = |dims: &[i64], dtype| packed(tensor(dims, dtype), 9, &[0; 4]);
    let cases = [
        (four(&[2], 1), "'t' whose number of values does not fit"),
        (four(&[1], 7), "'t' whose number of values does not fit"),
        (packed(tensor(&[2], 1), 4, &[0; 7]), "'t' whose number of values does not fit"),
        (packed(tensor(&[1], 7), 7, &[0x80]), "ends within a field"),
        (four(&[-1], 1), "'t' of an impossible shape"),
        (four(&[1 << 40, 1 << 40], 1), "'t' of an impossible shape"),
        (four(&[1; 9], 1), "'t' of an impossible shape"),
        (four(&[1 << 40, 0], 1), "'t' whose number of values does not fit"),
        (four(&[1], 14), "'t' of type COMPLEX64"),
        (four(&[2], 99), "'t' of type number 99"),
        (tensor(&[1], 1).int(14, 1), "'t' in another file"),
        (
            tensor(&[1], 1).message(13, &message().text(1, "location").text(2, "/etc/passwd")),
            "'t' in another file",
        ),
        (message().int(2, 1), "tensor without a name"),
        (tensor(&[1], 1).int(9, 4), "field of the wrong type"),
    ];
    for (field, expected) in cases {
        let error = tensor_of(&field).unwrap_err();
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
}

#[test]
fn malformed_models_have_their_own_errors() {
    let graph = message().text(2, "g");
    let one = packed(tensor(&[1], 1), 9, &[0; 4]);
    let entry = message().text(1, "k");
    let twice =
        |m: Message, number, field: &Message| m.message(number, field).message(number, field);
    let cases = [
        (vec![], "has no graph"),
        (b"PK\x03\x04 and so on".to_vec(), "or not an ONNX file"),
        (twice(message(), 7, &graph).0, "no graph, or several"),
        (message().message(7, &twice(message(), 5, &one)).0, "two entries named 't'"),
        (twice(message().message(7, &graph), 14, &entry).0, "two entries named 'k'"),
        (in_graph(1, &message().text(3, "n")), "node without an operator"),
        (in_graph(11, &message()), "value without a name"),
        (in_graph(1, &packed(message(), 4, &[0xff])), "not UTF-8"),
        (message().int(7, 1).0, "field of the wrong type"),
    ];
    for (bytes, expected) in cases {
        let error = from_bytes(&bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
    let nodes = (0..1 << 17).fold(message(), |m, _| m.length(1, 0));
    let error = from_bytes(&message().message(7, &nodes).0).unwrap_err().to_string();
    assert!(error.contains("more than 65536 nodes"), "{error}");
}

#[test]
fn truncated_anywhere_is_an_error() {
    let bytes = bytes_of(&sample());
    for length in 0..bytes.len() {
        assert!(from_bytes(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

#[test]
fn nested_graphs_are_skipped() {
    // A graph in an attribute of a node in a graph, and so on.
    let mut graph = message();
    for _ in 0..10_000 {
        let attribute = message().text(1, "body").message(6, &graph).int(20, 5);
        graph = message().message(1, &message().text(4, "If").message(5, &attribute));
    }
    let model = from_bytes(&message().message(7, &graph).0).unwrap();
    assert_eq!(model.graph.nodes[0].attributes, [("body".to_owned(), Attribute::Other)]);
}

#[test]
fn what_is_allocated_is_bounded_by_the_file() {
    let many =
        |number, field: &Message| (0..50_000).fold(message(), |m, _| m.message(number, field));
    let graph = |fields: &Message| message().message(7, fields).0;
    let node = message().text(4, "x");
    let attribute = |fields: Message| message().text(4, "x").message(5, &fields);
    let ints = || message().text(1, "x").int(20, 7);
    let value = message().text(1, "x");
    let shape = message().message(2, &many(1, &message()));
    let of_shape = value.clone().message(2, &message().message(1, &shape));
    let tensors = (0..50_000).fold(message(), |m, i| {
        m.message(5, &message().int(1, 0).int(2, 1).text(8, &format!("{i}")))
    });
    let metadata = (0..50_000).fold(message().message(7, &message()), |m, i| {
        m.message(14, &message().text(1, &format!("{i}")))
    });
    let files = [
        ("nodes", graph(&many(1, &node))),
        ("inputs", in_graph(1, &(0..50_000).fold(node.clone(), |m, _| m.text(1, "")))),
        ("attributes", in_graph(1, &(0..50_000).fold(node, |m, _| m.message(5, &value)))),
        ("integers", in_graph(1, &attribute(packed(ints(), 8, &[0; 50_000])))),
        ("values", graph(&many(11, &value))),
        ("dimensions", in_graph(11, &of_shape)),
        ("tensors", graph(&tensors)),
        ("extents", in_graph(5, &packed(tensor(&[], 1), 1, &[0; 50_000]))),
        ("values of tensors", in_graph(5, &packed(tensor(&[50_000], 7), 7, &[0; 50_000]))),
        ("metadata", metadata.0),
        ("floats", in_graph(5, &packed(tensor(&[10_000], 1), 4, &[0; 40_000]))),
    ];
    for (what, bytes) in files {
        let mut read = false;
        let allocated = allocation_counter::measure(|| read = from_bytes(&bytes).is_ok());
        let (most, length) = (allocated.bytes_max, bytes.len() as u64);
        println!("{what}: {:.1} times {length}", most as f64 / length as f64);
        assert!(read || what == "extents", "{what}");
        assert!(most <= 32 * length, "{what}: {most} bytes for {length}");
    }
}

#[test]
fn files_that_are_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(read(dir.path()).unwrap_err().kind, FormatErrorKind::NotAFile));
    let error = read(&dir.path().join("absent.onnx")).unwrap_err();
    assert!(matches!(error.kind, FormatErrorKind::Read(_)), "{error}");
}
