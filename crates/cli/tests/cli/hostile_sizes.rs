//! Untrusted files that demand huge resources: memory by the sizes that they state, or time by
//! repeated references. Each gives one error or the right result, quickly and in little memory.
#![cfg(target_os = "linux")]

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use resnet::{
    Arch, Network,
    data::Normalisation,
    model_file::{Model, SaveFormat},
    network::Init,
};
use resnet_formats::onnx;

use crate::common::{Finished, Sandbox};

/// Far longer than any case takes on a busy machine: a process that takes longer hangs.
const HANG: Duration = Duration::from_secs(20);

/// Runs `resnet` with this many MiB of address space. Code, threads and their arenas reserve a good
/// part.
fn bounded(s: &Sandbox, mebibytes: usize, args: &[&str]) -> Finished {
    let resnet = env!("CARGO_BIN_EXE_resnet");
    let script = format!("ulimit -v {}; exec '{resnet}' --threads 2 \"$@\"", mebibytes << 10);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).args(args).current_dir(s.path("."));
    shell.env("RESNET_DATA", s.path("data")).stdin(Stdio::null());
    let mut child = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > HANG {
            child.kill().unwrap();
            panic!("resnet {} hangs", args.join(" "));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Finished::of(args, child.wait_with_output().unwrap())
}

const ROOM: usize = 512;

// Pickles, in protocol 2.

fn text(text: &str) -> Vec<u8> {
    [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

/// The number of bytes that follow the storage's name decides nothing: it lies in the legacy form.
fn storage(key: &str) -> Vec<u8> {
    let kind = global("torch", "FloatStorage");
    [&b"("[..], &text("storage"), &kind, &text(key), &text("cpu"), b"K\x01tQ"].concat()
}

fn tensor(key: &str, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let function = global("torch._utils", "_rebuild_tensor_v2");
    [&function[..], b"(", &storage(key), b"K\x00", shape, strides, b"NNtR"].concat()
}

fn one() -> Vec<u8> {
    tensor("one", b"(K\x01t", b"(K\x01t")
}

/// Values that are stored once, to be recalled by their number.
fn memo(values: &[Vec<u8>]) -> Vec<u8> {
    let store = |(key, code): (u8, &Vec<u8>)| [&code[..], b"q", &[key], b"0"].concat();
    (0..).zip(values).flat_map(store).collect()
}

/// A dict of one entry many times.
fn repeated(key: u8, value: u8, count: usize) -> Vec<u8> {
    [&b"}("[..], &[b'h', key, b'h', value].repeat(count), b"u"].concat()
}

/// A PyTorch file of before 1.6, with one storage of one value.
fn torch(code: &[u8], key: &str) -> Vec<u8> {
    let pickle = |code: &[u8]| [b"\x80\x02", code, b"."].concat();
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let keys = [&b"("[..], &text(key), b"l"].concat();
    let parts = [pickle(magic), pickle(b"M\xe9\x03"), pickle(b"}"), pickle(code), pickle(&keys)];
    [&parts.concat()[..], &1_u64.to_le_bytes(), &1_f32.to_le_bytes()].concat()
}

/// Some 400 kB of pickles each.
fn pickles() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    const MANY: usize = 50_000;
    let (key, none) = (text("k"), b"N".to_vec());
    let spoilt = [repeated(0, 1, MANY), text("z"), b"Ns".to_vec()].concat();
    let dicts = [memo(&[key.clone(), one(), spoilt]), repeated(0, 2, MANY)].concat();
    let class = global("a", "B");
    let object = [
        memo(&[key.clone(), none.clone(), repeated(0, 1, MANY), class.clone(), one()]),
        b"}(".to_vec(),
        b"h\x00h\x03)\x81h\x02b".repeat(MANY / 3),
        b"u".to_vec(),
    ];
    let nested = {
        let names = [text("_parameters"), text("_modules"), text("a"), text("b")];
        let mut code = memo(&[&names[..], &[class, repeated(0, 0, 0), none, one()]].concat());
        for _ in 0..60 {
            let children = b"}(h\x02h\x06h\x03h\x06u";
            code.extend([b"h\x04)\x81}(h\x00h\x05h\x01", &children[..], b"ubq\x06", b"0"].concat());
        }
        [code, b"h\x06".to_vec()].concat()
    };
    let name = "module.".repeat(MANY);
    let prefixes = [&b"}"[..], &text(&(name.clone() + "w")), &one(), b"s"].concat();
    let long = storage(&name);
    let storages = [
        memo(&[long[..long.len() - 1].to_vec()]),
        b"(".to_vec(),
        b"h\x00Q".repeat(MANY),
        b"l".to_vec(),
    ];
    let bytes = [&b"B"[..], &(1_u32 << 18).to_le_bytes(), &[0; 1 << 18]].concat();
    let dtype = [&global("numpy", "dtype")[..], b"(", &text("f8"), b"K\x00K\x01tR"].concat();
    let scalar = global("numpy.core.multiarray", "scalar");
    let number = [&scalar[..], b"(", &dtype, &bytes, b"tR"].concat();
    let model = [&text("model")[..], b"}", &text("w"), &one(), b"ss"].concat();
    let numbers = [memo(&[key, number]), repeated(0, 1, MANY), model].concat();
    // A long way through ones from each value to the next.
    let ones = |first: &[u8]| [b"(", first, &b"h\x00".repeat(MANY), b"t"].concat();
    let wide = tensor("one", &ones(b"J\x00\x00\x10\x00"), &ones(b"K\x00"));
    let dimensions = [&b"K\x01q\x000}"[..], &text("w"), &wide, b"s"].concat();
    vec![
        ("dicts.pth", torch(&dicts, "one"), "memory or work"),
        ("objects.pth", torch(&object.concat(), "one"), "memory or work"),
        ("nested.pth", torch(&nested, "one"), "memory or work"),
        ("prefixes.pth", torch(&prefixes, "one"), "no 'conv1.weight'"),
        ("storages.pth", torch(&storages.concat(), &name), "memory or work"),
        ("numbers.pth", torch(&numbers, "one"), "no 'conv1.weight'"),
        ("dimensions.pth", torch(&dimensions, "one"), "more than 64 dimensions"),
    ]
}

fn safetensors(header: &str, values: usize) -> Vec<u8> {
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; 4 * values]].concat()
}

fn headers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let entry = |name: &str, shape: &str, from: usize, to: usize| {
        format!(r#""{name}":{{"dtype":"F32","shape":[{shape}],"data_offsets":[{from},{to}]}}"#)
    };
    let file =
        |entries: &[String], values| safetensors(&format!("{{{}}}", entries.join(",")), values);
    let many: Vec<_> = (0..5000).map(|i| entry(&format!("t{i}"), "0", 0, 0)).collect();
    let mut stages: Vec<_> =
        (0..5000).map(|i| entry(&format!("layer1.{i}.conv2.weight"), "0", 0, 0)).collect();
    stages.push(entry("conv1.weight", "0,3,3,3", 0, 0));
    let named = |arch: &str| {
        [
            format!(r#""__metadata__":{{"arch":"{arch}","format_version":"1"}}"#),
            entry("conv1.weight", "1,3,3,3", 0, 108),
            entry("linear.weight", "1,4", 108, 124),
        ]
    };
    let dimensions = vec!["1"; 200_000].join(",");
    vec![
        ("many.safetensors", file(&many, 0), "no 'conv1.weight'"),
        ("stages.safetensors", file(&stages, 0), "stages of 5000 basic blocks"),
        ("deep.safetensors", file(&named("resnet9998"), 31), "missing: bn1.weight"),
        ("deeper.safetensors", file(&named("resnet999999998"), 31), "unknown architecture"),
        ("dimensions.safetensors", file(&[entry("w", &dimensions, 0, 4)], 1), "memory or work"),
    ]
}

/// A model file with this image size.
fn model(s: &Sandbox, arch: &str, side: usize) {
    let arch: Arch = arch.parse().unwrap();
    let network = Network::new(arch.graph_with(3, 4, 4), Init::PyTorch, 0);
    let mut model = Model::new(arch, network);
    model.image_size = side;
    model.normalisation = Some(Normalisation::cifar10());
    model.save(&s.path(format!("{side}.safetensors")), SaveFormat::Safetensors).unwrap();
}

fn photo(s: &Sandbox, name: &str) {
    let mut encoder = png::Encoder::new(fs::File::create(s.path(name)).unwrap(), 3, 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[7; 18]).unwrap();
}

#[test]
fn files_that_ask_for_much_work_are_read_soon_or_refused() {
    let s = Sandbox::new();
    for (name, bytes, expected) in pickles().into_iter().chain(headers()) {
        fs::write(s.path(name), bytes).unwrap();
        bounded(&s, ROOM, &["summary", name]).fails(1, &[name, expected]);
    }
}

#[test]
fn onnx_files_that_share_a_tensor_are_refused() {
    let s = Sandbox::new();
    let weight = resnet_formats::Tensor::f32(&[256, 256, 1, 1], vec![0.0; 1 << 16]);
    let node = |i: usize| onnx::Node {
        name: format!("/m{i}.conv1/Conv"),
        op: "Conv".into(),
        inputs: vec![if i == 0 { "x".into() } else { format!("y{}", i - 1) }, "w".into()],
        outputs: vec![format!("y{i}")],
        attributes: vec![],
    };
    let graph = onnx::Graph {
        nodes: (0..5000).map(node).collect(),
        initializers: vec![("w".into(), weight)],
        inputs: vec![onnx::Value { name: "x".into(), doc: String::new(), shape: vec![] }],
        outputs: vec![onnx::Value { name: "y4999".into(), doc: String::new(), shape: vec![] }],
        ..Default::default()
    };
    let model = onnx::Model { graph, ..Default::default() };
    onnx::write(&s.path("shared.onnx"), &model).unwrap();
    let args = ["summary", "shared.onnx"];
    bounded(&s, ROOM, &args).fails(1, &["the same tensors are used over and over"]);
}

#[test]
fn a_huge_image_size_in_a_file_needs_confirmation() {
    let s = Sandbox::new();
    photo(&s, "a.png");
    photo(&s, "b.png");
    for side in [32, 512, 2048, 4096, 8192, 16_384, 16_385] {
        model(&s, "resnet8", side);
    }
    let predict = |mebibytes, side: &str, more: &[&str]| {
        let file = format!("{side}.safetensors");
        let args = [&["predict", &file, "a.png", "--json"][..], more].concat();
        bounded(&s, mebibytes, &args)
    };
    predict(ROOM, "512", &[]).success();
    for (side, error) in [
        ("2048", "2048.safetensors is 2048x2048, and one image needs"),
        ("4096", "confirm with --image-size 4096"),
        ("8192", "8192x8192 is too large"),
        ("16384", "16384x16384 is too large"),
        ("16385", "metadata 'image_size' is 16385, not 1 to 16384"),
    ] {
        predict(ROOM, side, &[]).fails(1, &[error]);
    }
    // A size that the user gives is limited only by the memory.
    predict(2 * ROOM, "32", &["--image-size", "4096"]).fails(1, &["needs", "are available"]);
    let small = predict(ROOM, "32", &[]).success().stdout;
    assert_eq!(predict(ROOM, "8192", &["--image-size", "32"]).success().stdout, small);
    // Another photo does not change the result.
    let both = predict(ROOM, "32", &["b.png"]).success().stdout;
    assert_eq!(both.lines().next(), small.lines().next());
}

/// A colour profile of 200 kB that inflates to 200 MB.
#[test]
fn a_huge_colour_profile_is_not_inflated() {
    let s = Sandbox::new();
    model(&s, "resnet8", 32);
    let mut info = png::Info::with_size(1, 1);
    info.color_type = png::ColorType::Rgb;
    for (name, bytes) in [("small.png", 1 << 20), ("bomb.png", 200 << 20)] {
        info.icc_profile = Some(vec![0; bytes].into());
        let file = fs::File::create(s.path(name)).unwrap();
        let encoder = png::Encoder::with_info(file, info.clone()).unwrap();
        encoder.write_header().unwrap().write_image_data(&[7; 3]).unwrap();
    }
    assert!(fs::metadata(s.path("bomb.png")).unwrap().len() < 1 << 20);
    let predict = |name| bounded(&s, ROOM / 2, &["predict", "32.safetensors", name, "--json"]);
    predict("small.png").success();
    let found = predict("bomb.png");
    assert!(found.code == Some(0) || found.stderr.contains("bomb.png is "), "{found:?}");
}

#[test]
fn huge_sizes_on_the_command_line_are_rejected() {
    let s = Sandbox::new();
    let much = ["of memory, and", "are available", "smaller batch (--batch-size)"];
    let train = ["train", "synthetic", "--limit-train", "4096", "--out", "run"];
    let train = |more: &[&'static str]| [&train[..], more].concat();
    for args in [
        train(&["--batch-size", "65536", "--arch", "resnet50-cifar"]),
        vec!["bench", "--arch", "resnet50", "--batch-size", "65536"],
        vec!["bench", "--arch", "resnet50", "--batch-size", "65536", "--mode", "eval"],
    ] {
        bounded(&s, 2 * ROOM, &args).fails_behind_notes(1, &much);
    }
    assert!(!s.path("run").exists());
    let plan = |more: &[&'static str]| [&["summary", "--plan"][..], more].concat();
    for args in [
        plan(&["resnet50", "--batch-size", "65536", "--image-size", "512"]),
        plan(&["resnet152", "--classes", "1000000"]),
    ] {
        let plan = bounded(&s, 2 * ROOM, &args).success().stdout;
        assert!(plan.contains("GiB"), "{plan}");
    }
    let args = plan(&["resnet20", "--batch-size", "65536", "--image-size", "4096"]);
    bounded(&s, 2 * ROOM, &args).fails(1, &["of memory"]);
}

/// The `config.toml` of an untrusted run folder.
#[test]
fn absurd_runs_are_not_resumed() {
    let s = Sandbox::new();
    let args = ["--limit-train", "64", "--limit-test", "10", "--epochs", "1", "--out", "run"];
    let args = [&["train", "synthetic", "--arch", "resnet8", "--batch-size", "64"][..], &args];
    s.run(&args.concat()).success();
    let config = fs::read_to_string(s.path("run/config.toml")).unwrap();
    let most = i64::MAX.to_string();
    for (key, value, expected) in [
        ("image_size", "1000000000", "image"),
        ("image_size", &*most, "image"),
        ("train_images", &*most, "images"),
        ("limit_train", "999999999", "images"),
        ("batch_size", &*most, "the batch size"),
        ("pad", &*most, "the crop's padding"),
        ("arch", "\"resnet9998\"", "are available"),
    ] {
        let changed: Vec<String> = config
            .lines()
            .map(|line| match line.split_once(" = ") {
                Some((found, _)) if found == key => format!("{key} = {value}"),
                _ => line.to_owned(),
            })
            .collect();
        assert_ne!(changed.join("\n"), config.trim_end(), "{key} is in config.toml");
        fs::write(s.path("run/config.toml"), changed.join("\n")).unwrap();
        let found = bounded(&s, 3 * ROOM, &["train", "--resume", "run"]);
        found.fails_behind_notes(1, &[expected]);
    }
}
