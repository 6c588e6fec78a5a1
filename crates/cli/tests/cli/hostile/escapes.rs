//! Terminal escape sequences in every name that a file may contain: they are printed escaped.

use super::{
    Case, Expected, Right, Says, all, case,
    folder::{ESCAPES, SEEN, SPELT, legacy, png, tensors, text},
};

const SPELLS: Expected = Says(SEEN);
const RESUME: &str = "train --resume run";

const CASES: &[Case] = &[
    case("arch", "summary x", SPELLS, |f| {
        f.write("x", tensors(&["a"], &[("arch", ESCAPES), ("format_version", "1")]));
    }),
    case("arch-long", "summary x", Says("...xxx"), |f| {
        f.write("x", tensors(&["a"], &[("arch", &"x".repeat(1 << 20)), ("format_version", "1")]));
    }),
    case("classes-json", "eval run --limit-test 10", Says("metadata 'classes'"), |f| {
        f.metadata("classes", &format!("\"{SPELT}\""));
    }),
    case("tensor", "summary x --arch resnet8", Says("no tensor 'conv1.weight'"), |f| {
        f.write("x", tensors(&[ESCAPES], &[]));
    }),
    case("tensor-dtype", "summary x", SPELLS, |f| {
        let header =
            format!("{{\"{SPELT}\":{{\"dtype\":\"F16\",\"shape\":[0],\"data_offsets\":[0,0]}}}}");
        let length = (header.len() as u64).to_le_bytes();
        f.write("x", [&length[..], header.as_bytes()].concat());
    }),
    case("tensor-twice", "summary x", SPELLS, |f| {
        let entry = "{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
        let header = format!("{{\"{SPELT}\":{entry},\"{SPELT}\":{entry}}}");
        let length = (header.len() as u64).to_le_bytes();
        f.write("x", [&length[..], header.as_bytes()].concat());
    }),
    case("pickle-key", "summary x", SPELLS, |f| {
        f.write("x", legacy(&[b"}", &text(ESCAPES)[..], b"K\x01s"].concat()));
    }),
    case("pickle-call", "summary x", Says("calls "), |f| {
        let call = [b"c", ESCAPES.replace('\n', "").as_bytes(), b"\nx\n)R"].concat();
        f.write("x", legacy(&call));
    }),
    case("onnx-node", "summary x", SPELLS, |f| {
        let field =
            |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
        let node = [field(1, b"x"), field(1, b"w"), field(2, b"y"), field(3, ESCAPES.as_bytes())];
        let node = [node.concat(), field(4, b"Conv")].concat();
        let graph = [field(1, &node), field(11, &field(1, b"x"))].concat();
        f.write("x", [&[8, 8][..], &field(7, &graph)].concat());
    }),
    case("timm", "summary timm", SPELLS, |f| {
        f.write("timm/model.safetensors", tensors(&["a"], &[]));
        f.write("timm/config.json", format!("{{\"num_classes\": \"{SPELT}\"}}"));
    }),
    case("class-eval", "eval run --limit-test 10", Right, |f| f.class(ESCAPES)),
    case("class-json", "eval run --limit-test 10 --json", Right, |f| f.class(ESCAPES)),
    case("class-show", "show run --limit-test 10 --format svg", Right, |f| f.class(ESCAPES)),
    case("class-png", "show run --limit-test 10 --count 2 --json", Right, |f| f.class(ESCAPES)),
    case("class-predict", "predict run x.png --top 10", Right, |f| {
        f.class(ESCAPES);
        f.write("x.png", png());
    }),
    case("class-many", "predict run x.png y.png --top 10", Right, |f| {
        f.class(ESCAPES);
        f.write("x.png", png());
        f.write("y.png", png());
    }),
    case("class-csv", "predict run x.png --top 10 --csv", Right, |f| {
        f.class(ESCAPES);
        f.write("x.png", png());
    }),
    case("class-report", "report run --limit-test 10", Right, |f| f.class(ESCAPES)),
    case("class-convert", "convert run x.onnx", Right, |f| f.class(ESCAPES)),
    case("recipe", RESUME, Right, |f| {
        f.begin_again();
        f.config("name = \"fast\"", &format!("name = \"{SPELT}\""));
    }),
    case("recipe-bar", "train --resume run --ui bar --tensorboard", Right, |f| {
        f.begin_again();
        f.config("name = \"fast\"", &format!("name = \"{SPELT}\""));
    }),
    case("recipe-report", "report run --no-eval", Right, |f| {
        f.config("name = \"fast\"", &format!("name = \"{SPELT}\""));
    }),
    case("data-eval", "eval run", SPELLS, |f| {
        f.config("name = \"synthetic\"", &format!("name = \"{SPELT}\""));
    }),
    case("data-resume", RESUME, SPELLS, |f| {
        f.config("name = \"synthetic\"", &format!("name = \"{SPELT}\""));
    }),
    case("data-report", "report run", Right, |f| {
        f.config("name = \"synthetic\"", &format!("name = \"{SPELT}\""));
    }),
    case("config-arch", RESUME, SPELLS, |f| f.config("\"resnet8\"", &format!("\"{SPELT}\""))),
    case("config-key", RESUME, SPELLS, |f| {
        f.config("seed = 0", &format!("seed = 0\n\"{SPELT}\" = 1"));
    }),
    case("config-line", RESUME, Says("line 2 ("), |f| {
        f.config("seed = 0", &format!("seed = 0 {}", ESCAPES.replace(['\r', '\n'], "")));
    }),
    case("init-from", RESUME, SPELLS, |f| {
        f.begin_again();
        f.config("seed = 0", &format!("seed = 0\ninit_from = \"{SPELT}\""));
    }),
    case("init-from-report", "report run --no-eval", Right, |f| {
        f.config("seed = 0", &format!("seed = 0\ninit_from = \"{SPELT}\""));
    }),
    case("isa", RESUME, Right, |f| f.metadata("isa", ESCAPES)),
    case("metrics", "report run --no-eval", Says("run/metrics.jsonl line 1"), |f| {
        f.write("run/metrics.jsonl", format!("{{\"epoch\": \"{SPELT}\"}}\n"));
    }),
    case("facts", "report run --no-eval", SPELLS, |f| {
        f.facts(|segments| segments[0]["dtype"] = ESCAPES.into());
    }),
    case("facts-machine", "report run --no-eval --json", Right, |f| {
        f.facts(|segments| {
            for key in ["cpu", "isa", "dtype_reason", "version"] {
                segments[0][key] = ESCAPES.into();
            }
        });
    }),
    case("folder", "report \u{1b}]0;x\u{7} --no-eval", Right, |f| {
        std::fs::rename(f.path("run"), f.path("\u{1b}]0;x\u{7}")).unwrap();
    }),
    case("folder-train", "train --resume \u{1b}]0;x\u{7}", Right, |f| {
        std::fs::rename(f.path("run"), f.path("\u{1b}]0;x\u{7}")).unwrap();
    }),
    case("folder-shell", "train synthetic --out a;~b", Says("--resume 'a; b', or"), |f| {
        f.write("a; b/config.toml", "");
    }),
    case("folder-quote", "train synthetic --out it's", Says(r"--resume 'it'\''s', or"), |f| {
        f.write("it's/config.toml", "");
    }),
    case("photo", "predict run photos", Says("2 of 3 images"), |f| {
        f.write(&format!("photos/{ESCAPES}.png"), "no photo");
        f.write(&format!("photos/{ESCAPES}.gif"), "no photo");
        f.write(&format!("photos/a{ESCAPES}.png"), png());
    }),
    case("photo-csv", "predict run photos --csv", Right, |f| {
        f.write(&format!("photos/a{ESCAPES}.png"), png());
    }),
    case("photo-json", "predict run photos --json", Right, |f| {
        f.write(&format!("photos/a{ESCAPES}.png"), png());
    }),
    case("word", "train \u{1b}]0;x\u{7}", Says("invalid value"), |_| ()),
    case("words", "predict \u{1b}]0;x\u{7} --\u{202e}", Says("unexpected argument"), |_| ()),
    case("verb", "\u{1b}]0;x\u{7}", Says("unrecognized subcommand"), |_| ()),
];

#[test]
fn escape_sequences_are_escaped() {
    all(CASES);
}
