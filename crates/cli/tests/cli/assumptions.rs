//! What a file does not say: what is assumed is the same in every form of file, and a note names it.

use std::{collections::BTreeMap, fs};

use resnet::{
    Arch, Network,
    model_file::{Model, SaveFormat},
    network::Init,
    onnx::{ExportOptions, model},
};
use resnet_formats::{Data, Tensor, onnx, safetensors};
use serde_json::{Value, json};

use crate::common::Sandbox;

const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos");

/// A narrow network with random weights, disturbed statistics, and a head that decides.
fn network(arch: &str, classes: usize) -> Network {
    let arch: Arch = arch.parse().unwrap();
    let mut net = Network::new(arch.graph_with(3, classes, 1), Init::PyTorch, 3);
    let mut state = net.state_dict();
    for (name, tensor) in &mut state {
        if name.ends_with("running_mean") || name.ends_with("bias") {
            let count = tensor.data.len();
            let values = (0..count).map(|i| (i % 7) as f32 * 0.125 - 0.25).collect();
            *tensor = Tensor::f32(&[count], values);
        }
        if let ("fc.weight", Data::F32(values)) = (name.as_str(), &mut tensor.data) {
            values.iter_mut().for_each(|value| *value *= 200.0);
        }
    }
    net.load_state_dict(&state).unwrap();
    net
}

/// A photo that is wider than high, and a square.
fn photos(s: &Sandbox) -> [&'static str; 2] {
    let mut names = ["wide.png", "square.png"];
    for (name, size) in names.iter_mut().zip([[400u32, 250], [300, 300]]) {
        let [width, height] = size;
        let mut encoder =
            png::Encoder::new(fs::File::create(s.path(*name)).unwrap(), width, height);
        encoder.set_color(png::ColorType::Rgb);
        let byte = |i: u32| {
            let (x, y, channel) = (i / 3 % width, i / 3 / width, i % 3);
            // A band at the edge, which a crop cuts off.
            if x < width / 6 {
                return 255;
            }
            (127.0 + 120.0 * ((x * (2 + channel) + 3 * y) as f32 / 40.0).sin()) as u8
        };
        let pixels: Vec<u8> = (0..3 * width * height).map(byte).collect();
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    }
    names
}

fn save_state_dict(s: &Sandbox, arch: &str, net: Network, name: &str) {
    let model = Model::new(arch.parse().unwrap(), net);
    model.save(&s.path(name), SaveFormat::StateDict).unwrap();
}

/// Probabilities of each photo's classes, and what stderr says.
fn predict(s: &Sandbox, args: &[&str]) -> (Vec<BTreeMap<u64, f64>>, String) {
    let found = s.run(&[&["predict", "--json", "--top", "1000"], args].concat()).success();
    let of = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        let top = record["top"].as_array().unwrap();
        let number = |c: &Value| (c["index"].as_u64().unwrap(), c["probability"].as_f64().unwrap());
        top.iter().map(number).collect()
    };
    (found.stdout.lines().map(of).collect(), found.stderr)
}

/// An ONNX graph has the size of its input, which does not say that photos are squashed to it.
#[test]
fn photos_for_imagenet_are_cropped_in_every_form_of_file() {
    let s = Sandbox::new();
    let [wide, square] = photos(&s);
    let net = network("resnet18", 1000);
    let mut graph = model(&net, &ExportOptions::default()).unwrap();
    graph.metadata.clear();
    let shape = &mut graph.graph.inputs[0].shape;
    for (dimension, extent) in shape.iter_mut().zip([1, 3, 224, 224]) {
        *dimension = onnx::Dimension::Fixed(extent);
    }
    onnx::write(&s.path("net.onnx"), &graph).unwrap();
    save_state_dict(&s, "resnet18", net, "net.pt");

    let (of_graph, said) = predict(&s, &["net.onnx", wide, square]);
    assert!(said.contains("resized to 256 and cropped to 224 (--resize, --crop)"), "{said}");
    let (of_tensors, said) = predict(&s, &["net.pt", wide, square]);
    assert!(said.contains("resized to 256 and cropped to 224 (--resize, --crop)"), "{said}");
    let (asked, _) = predict(&s, &["net.onnx", "--resize", "256", "--crop", "224", wide, square]);
    assert_eq!(of_graph, asked);
    let distance = |other: &[BTreeMap<u64, f64>]| {
        let pairs = of_graph.iter().flatten().zip(other.iter().flatten());
        pairs.map(|(a, b)| (a.1 / b.1).ln().abs()).fold(0.0, f64::max)
    };
    let (squashed, _) = predict(&s, &["net.onnx", "--crop-mode", "squash", wide, square]);
    let [same, other] = [&of_tensors, &squashed].map(|other| distance(other));
    assert!(same < 1e-4 && other > 0.01, "{same}, {other}");
}

#[test]
fn an_unstated_resize_is_noted() {
    let s = Sandbox::new();
    let [wide, _] = photos(&s);
    save_state_dict(&s, "resnet18", network("resnet18", 5), "net.pt");
    let note = "does not state its preprocessing: photos are resized to 224x224 without a crop";
    let (whole, said) = predict(&s, &["net.pt", wide]);
    assert!(said.contains(note), "{said}");
    let (cropped, said) = predict(&s, &["net.pt", wide, "--resize", "256", "--crop", "224"]);
    assert!(!said.contains(note), "{said}");
    assert_ne!(whole, cropped);
    // `eval` says so too, and which class is the first folder.
    for class in ["e", "a", "b", "d", "c"] {
        fs::create_dir_all(s.path("pets").join(class)).unwrap();
        fs::copy(s.path(wide), s.path("pets").join(class).join(wide)).unwrap();
    }
    let out = s.run(&["eval", "net.pt", "pets"]).success();
    let first = "net.pt has no class names: its classes are taken to be those of pets in their order, class 0 a";
    assert!(out.stderr.contains(note) && out.stderr.contains(first), "{out:#?}");
    let out = s.run(&["eval", "net.pt", "pets", "--resize", "256", "--crop", "224"]).success();
    assert!(!out.stderr.contains(note), "{out:#?}");
    fs::write(s.path("names.txt"), "a\nb\nc\nd\ne\n").unwrap();
    let out = s.run(&["eval", "net.pt", "pets", "--class-names", "names.txt"]).success();
    assert!(!out.stderr.contains("class names"), "{out:#?}");
    // A normalisation does not state a resize.
    let given = ["--mean", ".5,.5,.5", "--std", ".25,.25,.25"];
    let (_, said) = predict(&s, &[&["net.pt", wide], &given[..]].concat());
    assert!(said.contains(note), "{said}");
}

/// The folders of ImageNet are called by ids of WordNet, the classes by words.
#[test]
fn folders_of_imagenet_are_known_by_their_ids() {
    let s = Sandbox::new();
    let [wide, _] = photos(&s);
    save_state_dict(&s, "resnet18", network("resnet18", 1000), "net.pt");
    for class in ["n01443537", "n02099601"] {
        fs::create_dir_all(s.path("val").join(class)).unwrap();
        fs::copy(s.path(wide), s.path("val").join(class).join(wide)).unwrap();
    }
    let found = &s.json(&["eval", "net.pt", "val", "--json"])[0];
    let classes = found["per_class"].as_array().unwrap();
    let with_images = classes.iter().filter(|class| class["images"] != 0);
    let names: Vec<&str> = with_images.map(|class| class["class"].as_str().unwrap()).collect();
    assert_eq!(names, ["goldfish", "golden retriever"]);
    fs::rename(s.path("val/n02099601"), s.path("val/dog")).unwrap();
    let unknown = "has photos of dog, n01443537, which the model does not know";
    let parts = [unknown, ", or name the model's classes with --class-names FILE"];
    s.run(&["eval", "net.pt", "val"]).fails_behind_notes(1, &parts);
}

#[test]
fn grey_photos_have_the_first_number_of_imagenet() {
    let s = Sandbox::new();
    let [wide, _] = photos(&s);
    let arch: Arch = "resnet18".parse().unwrap();
    let net = Network::new(arch.graph_with(1, 2, 1), Init::PyTorch, 3);
    save_state_dict(&s, "resnet18", net, "grey.pt");
    let (usual, said) = predict(&s, &["grey.pt", wide]);
    assert!(said.contains("using the values of ImageNet"), "{said}");
    let given = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"];
    let (same, said) = predict(&s, &[&["grey.pt", wide], &given[..]].concat());
    assert!(usual == same && !said.contains("ImageNet"), "{said}");
    for class in ["a", "b"] {
        fs::create_dir_all(s.path("pets").join(class)).unwrap();
        fs::copy(s.path(wide), s.path("pets").join(class).join(wide)).unwrap();
    }
    let [usual, same] = [&[][..], &given].map(|given| {
        let found = s.json(&[&["eval", "grey.pt", "pets", "--json"][..], given].concat());
        found[0]["loss"].clone()
    });
    assert_eq!(usual, same);
}

/// Of values that every type can hold, every type gives the same answer.
#[test]
fn types_of_numbers_do_not_matter() {
    let s = Sandbox::new();
    fs::copy(format!("{PHOTOS}/rgb.png"), s.path("a.png")).unwrap();
    let state = network("resnet18-cifar", 10).state_dict();
    // The upper half of a float's bits is a bfloat16.
    let rounded = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
    for (name, dtype) in [("f32", "F32"), ("bf16", "BF16"), ("f64", "F64")] {
        let (mut header, mut bytes) = (serde_json::Map::new(), Vec::new());
        for (tensor_name, Tensor { shape, data }) in &state {
            let start = bytes.len();
            let (dtype, shape) = match data {
                Data::F32(values) => {
                    for value in values.iter().map(|&x| rounded(x)) {
                        match dtype {
                            "F32" => bytes.extend(value.to_le_bytes()),
                            "BF16" => bytes.extend(&value.to_le_bytes()[2..]),
                            _ => bytes.extend(f64::from(value).to_le_bytes()),
                        }
                    }
                    (dtype, shape.clone())
                }
                // Counts as a vector of one byte each: PyTorch takes them too.
                Data::I64(counts) => {
                    bytes.extend(counts.iter().map(|&n| n as u8));
                    ("U8", vec![1])
                }
            };
            let place = [start, bytes.len()];
            let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": place});
            header.insert(tensor_name.clone(), entry);
        }
        let header = Value::from(header).to_string();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes].concat();
        fs::write(s.path(format!("{name}.safetensors")), file).unwrap();
    }
    let (single, _) = predict(&s, &["f32.safetensors", "a.png"]);
    assert_eq!(single[0].len(), 10);
    for other in ["bf16.safetensors", "f64.safetensors"] {
        assert_eq!(predict(&s, &[other, "a.png"]).0, single, "{other}");
    }
}

/// Networks are trained in their own width.
#[test]
fn initial_weights_of_another_width_are_named() {
    let s = Sandbox::new();
    save_state_dict(&s, "resnet18-cifar", network("resnet18-cifar", 10), "narrow.pt");
    let mut state = network("resnet18-cifar", 10).state_dict();
    state.retain(|(name, _)| !name.starts_with("linear"));
    safetensors::write(&s.path("headless.safetensors"), &state, &Default::default()).unwrap();
    for file in ["narrow.pt", "headless.safetensors"] {
        let out = s.run(&["train", "synthetic", "--init", file, "--out", "run"]);
        let parts = [file, "its layers have another width", "does not have 64 channels"];
        out.fails_behind_notes(1, &parts);
        assert!(!s.path("run").exists());
    }
}

/// A link as OUT stays a link, and what it leads to gets the bytes.
#[cfg(unix)]
#[test]
fn converted_files_are_written_behind_links() {
    let s = Sandbox::new();
    save_state_dict(&s, "resnet18-cifar", network("resnet18-cifar", 10), "a.pt");
    fs::create_dir(s.path("models")).unwrap();
    fs::write(s.path("models/m.onnx"), "old").unwrap();
    std::os::unix::fs::symlink("models/m.onnx", s.path("link.onnx")).unwrap();
    for out in ["link.onnx", "plain.onnx"] {
        s.run(&["convert", "a.pt", out]).success();
    }
    assert!(s.path("link.onnx").is_symlink());
    let [behind, plain] =
        ["models/m.onnx", "plain.onnx"].map(|name| fs::read(s.path(name)).unwrap());
    assert_eq!(behind, plain);
    assert_eq!(fs::read_dir(s.path("models")).unwrap().count(), 1);
}
