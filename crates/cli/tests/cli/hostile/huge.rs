//! Huge sizes and depths.

use super::{
    Case, Right, Says, all, case,
    folder::{legacy, png, tensors},
};

const RESUME: &str = "train --resume run --quiet";
const REPORT: &str = "report run --no-eval";
const TERABYTE: u64 = 1 << 40;
/// Maximum length of a model file.
const HOLE: u64 = 4 << 30;

/// JSON or TOML with 100,000 nested lists.
fn deep(start: &str) -> String {
    start.to_owned() + &"[".repeat(100_000)
}

/// A safetensors file with this header.
fn header(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

const CASES: &[Case] = &[
    case("sparse-safetensors", "summary x", Says("longer than 4096 MiB"), |f| {
        f.sparse("x", &header("{}"), TERABYTE);
    }),
    case("sparse-zip", "summary x", Says("longer than 4096 MiB"), |f| {
        f.sparse("x", b"PK\x03\x04", TERABYTE);
    }),
    case("sparse-pickle", "summary x", Says("longer than 4096 MiB"), |f| {
        f.sparse("x", b"\x80\x02", TERABYTE);
    }),
    case("sparse-onnx", "summary x", Says("longer than 4096 MiB"), |f| {
        f.sparse("x", &[8, 8], TERABYTE);
    }),
    case("hole-safetensors", "summary x", Says("x cannot be read: it is a sparse file"), |f| {
        let values = (HOLE >> 2) - 64;
        let header = header(&format!(
            "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{values}],\"data_offsets\":[0,{}]}}}}",
            values * 4
        ));
        f.sparse("x", &header, header.len() as u64 + values * 4);
    }),
    case("hole-zip", "summary x", Says("it is a sparse file"), |f| {
        f.sparse("x", b"PK\x03\x04", HOLE);
    }),
    case("hole-pickle", "summary x", Says("it is a sparse file"), |f| {
        f.sparse("x", b"\x80\x02", HOLE);
    }),
    case("hole-onnx", "summary x", Says("it is a sparse file"), |f| {
        f.sparse("x", &[8, 8], HOLE);
    }),
    case("hole-resume", RESUME, Says("it is a sparse file"), |f| {
        f.free("run/best.safetensors");
        f.sparse("run/last.safetensors", &header("{}"), HOLE);
    }),
    case("sparse-photo", "predict run x.png", Says("larger than the limit of 128 MiB"), |f| {
        f.sparse("x.png", &png(), TERABYTE);
    }),
    case("sparse-config", RESUME, Says("longer than 2 MiB"), |f| {
        f.sparse("run/config.toml", b"", TERABYTE);
    }),
    case("sparse-metrics", REPORT, Says("longer than 24 MiB"), |f| {
        f.sparse("run/metrics.jsonl", b"", TERABYTE);
    }),
    case("sparse-facts", REPORT, Says("longer than 16 MiB"), |f| {
        f.sparse("run/run.json", b"", TERABYTE);
    }),
    case("sparse-data", "eval demo cifar10", Says("expected 30730000 bytes, got 1099511"), |f| {
        f.sparse("data/cifar-10-batches-bin/data_batch_1.bin", b"", TERABYTE);
    }),
    case("sparse-verify", "data verify cifar10", Says("6 of the 6 files of cifar10"), |f| {
        f.sparse("data/cifar-10-batches-bin/data_batch_1.bin", b"", TERABYTE);
    }),
    // The terabyte is not hashed: the next error appears in time.
    case(
        "sparse-fetch",
        "data fetch cifar10 --quiet",
        Says(".fetch: it is a link or a file, not a folder"),
        |f| {
            f.sparse("data/cifar-10-batches-bin/data_batch_1.bin", b"", TERABYTE);
            f.link("data/cifar-10-batches-bin/.fetch", "../../../outside");
        },
    ),
    case("sparse-timm", "summary timm", Says("longer than 16 MiB"), |f| {
        f.write("timm/model.safetensors", tensors(&["a"], &[]));
        f.sparse("timm/config.json", b"", TERABYTE);
    }),
    case("header-length", "summary x", Says("header of more than 100 MB"), |f| {
        f.write("x", [&u64::MAX.to_le_bytes()[..], b"{}"].concat());
    }),
    case("header-deep", "summary x", Says("damaged header"), |f| {
        f.write("x", header(&deep("{\"a\":")));
    }),
    case("header-shape", "summary x", Says("impossible shape"), |f| {
        f.write("x", header("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]}}"));
    }),
    case("header-offset", "summary x", Says("does not fit its shape"), |f| {
        f.write("x", header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,18446744073709551615]}}"));
    }),
    case("pickle-deep", "summary x", Says("x "), |f| {
        f.write("x", legacy(&[&b"]".repeat(1_000_000)[..], &b"a".repeat(999_999)].concat()));
    }),
    case("pickle-text", "summary x", Says("x "), |f| {
        f.write("x", legacy(&[b"\x8d", &(1u64 << 60).to_le_bytes()[..]].concat()));
    }),
    case("pickle-number", "summary x", Says("x "), |f| {
        f.write("x", legacy(&[b"\x8b", &0x7fff_ffff_u32.to_le_bytes()[..]].concat()));
    }),
    case("onnx-length", "summary x", Says("ends within a field"), |f| {
        f.write("x", [8, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    }),
    case("onnx-deep", "summary x", Says("x "), |f| {
        let mut bytes = vec![0x3a, 0];
        for _ in 0..2000 {
            let length = bytes.len();
            let start = [0x3a, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8 & 0x7f];
            bytes.splice(..0, start);
        }
        f.write("x", [&[8, 8][..], &bytes].concat());
    }),
    case("class-count", "eval run", Says("far more memory"), |f| {
        f.metadata("classes", &serde_json::to_string(&vec!["x"; 1_000_000]).unwrap());
    }),
    case("class-long", "show run --limit-test 10 --format svg", Right, |f| {
        f.class(&"x".repeat(1 << 20));
    }),
    case("class-long-eval", "eval run --limit-test 10", Right, |f| f.class(&"x".repeat(1 << 20))),
    case("photo-names", "predict run deep --top 1", Right, |f| {
        let folder = format!("deep/{}", vec!["\u{1b}".repeat(250); 12].join("/"));
        (0..100).for_each(|i| f.write(&format!("{folder}/{i}.png"), png()));
    }),
    case("class-long-report", "report run --limit-test 10", Right, |f| {
        f.class(&"x".repeat(1 << 20));
    }),
    case("class-long-predict", "predict run x.png y.png --top 10", Right, |f| {
        f.class(&"x".repeat(1 << 20));
        f.write("x.png", png());
        f.write("y.png", png());
    }),
    case("class-deep", "eval run", Says("metadata 'classes'"), |f| {
        f.metadata("classes", &deep(""));
    }),
    case("image-size", "eval run", Says("metadata 'image_size' is 18446744073709551615"), |f| {
        f.metadata("image_size", "18446744073709551615");
    }),
    case("progress", RESUME, Says("metadata 'progress'"), |f| {
        f.metadata("progress", &deep(""));
    }),
    case("config-deep", RESUME, Says("run/config.toml: "), |f| {
        f.write("run/config.toml", deep("arch = "));
    }),
    case("config-tables", RESUME, Says("run/config.toml: "), |f| {
        f.write("run/config.toml", format!("[{}]", ["a"; 10_000].join(".")));
    }),
    case("config-classes", REPORT, Right, |f| {
        let names = (0..100_000).map(|i| format!("\"{i}\"")).collect::<Vec<_>>().join(",");
        f.config("classes = [", &format!("classes = [{names},"));
    }),
    case("config-images", RESUME, Says("it has 64 training images"), |f| {
        f.begin_again();
        f.config("train_images = 64", "train_images = 9223372036854775807");
    }),
    case("config-steps", REPORT, Right, |f| {
        f.config("total_steps = 2", "total_steps = 9223372036854775807");
    }),
    case("config-batch", RESUME, Says("run"), |f| {
        f.config("batch_size = 64", "batch_size = 9223372036854775807");
    }),
    case("config-side", RESUME, Says("images are 32x32x3"), |f| {
        f.begin_again();
        f.config("image_size = 32", "image_size = 4294967296");
    }),
    case("config-depth", REPORT, Says("unknown architecture"), |f| {
        f.config("\"resnet8\"", "\"resnet6000000000000000002\"");
    }),
    case("metrics-deep", REPORT, Says("run/metrics.jsonl line 1 is damaged"), |f| {
        f.write("run/metrics.jsonl", deep(""));
    }),
    case("metrics-many", REPORT, Says("epoch 7 comes after epoch 7"), |f| {
        let line = std::fs::read_to_string(f.path("run/metrics.jsonl")).unwrap();
        f.write("run/metrics.jsonl", line.replace("\"epoch\":1,", "\"epoch\":7,").repeat(10_000));
    }),
    case("metrics-far", REPORT, Right, |f| {
        let line = std::fs::read_to_string(f.path("run/metrics.jsonl")).unwrap();
        let far = line.replace("\"epoch\":1,", "\"epoch\":18446744073709551615,");
        f.write("run/metrics.jsonl", line + &far);
    }),
    case("facts-many", REPORT, Right, |f| {
        f.facts(|segments| *segments = vec![segments[0].clone(); 10_000].into());
    }),
];

#[test]
fn huge_sizes_and_depths() {
    all(CASES);
}
