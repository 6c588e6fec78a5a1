//! Pipes, sockets, devices and folders instead of files: they never block and are not read
//! endlessly.

use super::{
    Case, Right, Says, all, case,
    folder::{png, tensors},
};

const RESUME: &str = "train --resume run --quiet";
const REPORT: &str = "report run --no-eval";
const EVAL: &str = "eval run --limit-test 10";
const NOT_REGULAR: &str = "not a regular file";

const CASES: &[Case] = &[
    case("config-report", REPORT, Says("it has no config.toml"), |f| f.pipe("run/config.toml")),
    case("config-resume", RESUME, Says("there is no config.toml"), |f| f.pipe("run/config.toml")),
    case("config-eval", EVAL, Says("config.toml: cannot be read: it is not a regular"), |f| {
        f.pipe("run/config.toml");
    }),
    case("config-show", "show run", Says(NOT_REGULAR), |f| f.pipe("run/config.toml")),
    case("config-zero", "summary run", Says(NOT_REGULAR), |f| {
        f.link("run/config.toml", "/dev/zero");
    }),
    case("metrics-report", REPORT, Says("run/metrics.jsonl: it is not a regular file"), |f| {
        f.pipe("run/metrics.jsonl");
    }),
    case("metrics-zero", REPORT, Says("run/metrics.jsonl: it is not a regular file"), |f| {
        f.link("run/metrics.jsonl", "/dev/zero");
    }),
    case("metrics-folder", REPORT, Says(NOT_REGULAR), |f| f.dir("run/metrics.jsonl")),
    case("metrics-resume", RESUME, Right, |f| f.pipe("run/metrics.jsonl")),
    case("facts-report", REPORT, Says("run/run.json cannot be read: it is not"), |f| {
        f.pipe("run/run.json");
    }),
    case("facts-resume", "train --resume run", Right, |f| f.pipe("run/run.json")),
    case("facts-socket", REPORT, Says(NOT_REGULAR), |f| f.socket("run/run.json")),
    case("last-resume", RESUME, Says("run/last.safetensors is not a regular file"), |f| {
        f.pipe("run/last.safetensors");
    }),
    case("last-by-name", "train --resume run/last.safetensors", Says("is not a run"), |f| {
        f.pipe("run/last.safetensors");
    }),
    case("last-eval", EVAL, Says("without last.safetensors"), |f| f.pipe("run/last.safetensors")),
    case("last-zero", "summary run/last.safetensors", Says(NOT_REGULAR), |f| {
        f.link("run/last.safetensors", "/dev/zero");
    }),
    case("last-folder", "predict run/last.safetensors x.png", Says("is a folder without"), |f| {
        f.dir("run/last.safetensors");
    }),
    case("best-resume", RESUME, Right, |f| f.pipe("run/best.safetensors")),
    case("log-resume", RESUME, Says("run/log.txt: it is not a regular file"), |f| {
        f.pipe("run/log.txt");
    }),
    case("log-socket", RESUME, Says("run/log.txt: it is not a regular file"), |f| {
        f.socket("run/log.txt");
    }),
    case("log-folder", RESUME, Says("run/log.txt: it is not a regular file"), |f| {
        f.dir("run/log.txt");
    }),
    case("lock-resume", RESUME, Says("run/.lock: it is not a regular file"), |f| {
        f.pipe("run/.lock");
    }),
    case("lock-socket", RESUME, Says("run/.lock: it is not a regular file"), |f| {
        f.socket("run/.lock");
    }),
    case("lock-report", REPORT, Right, |f| f.pipe("run/.lock")),
    case("lock-new", "train synthetic --out new", Says("new/.lock: it is not a regular"), |f| {
        f.dir("new");
        f.pipe("new/.lock");
    }),
    case("unfinished-pipe", RESUME, Right, |f| f.pipe("run/.unfinished-x")),
    case("photo", "predict run x.png", Says("x.png cannot be read: it is not a regular"), |f| {
        f.pipe("x.png");
    }),
    case("photo-pattern", "predict run *.png", Says("a.png cannot be read: it is not"), |f| {
        f.pipe("a.png");
    }),
    case("photo-zero", "predict run x.png", Says(NOT_REGULAR), |f| f.link("x.png", "/dev/zero")),
    case("photo-stdin", "predict run x.png", Says(NOT_REGULAR), |f| f.link("x.png", "/dev/stdin")),
    case("photos", "predict run photos", Says("3 of 4 images"), |f| {
        f.write("photos/a.png", png());
        f.pipe("photos/b.png");
        f.socket("photos/c.png");
        f.link("photos/d.png", "/dev/zero");
    }),
    case("photos-circle", "predict run photos", Says("2 of 3 images"), |f| {
        f.write("photos/a.png", png());
        f.link("photos/b", ".");
        f.link("photos/c", "..");
    }),
    case("photos-circle-only", "predict run photos", Says("a link to one of its parent"), |f| {
        f.link("photos/in/b", "../in");
    }),
    case("photos-elsewhere", "predict run photos", Right, |f| {
        f.write("others/a.png", png());
        f.link("photos/b", "../others");
    }),
    case("photos-deep", "predict run photos", Says("64 deep"), |f| {
        f.dir(&format!("photos/{}", ["a"; 100].join("/")));
    }),
    // Two links from each of 30 folders to the next: 2^30 paths to the last.
    case("photos-ways", "predict run 0", Right, |f| {
        for i in 0..30 {
            f.dir(&format!("{i}"));
            f.link(&format!("{i}/a"), &format!("../{}", i + 1));
            f.link(&format!("{i}/b"), &format!("../{}", i + 1));
        }
        f.write("30/x.png", png());
    }),
    case("model", "summary x.onnx", Says("x.onnx is not a regular file"), |f| f.pipe("x.onnx")),
    case("model-convert", "convert x.pt y.onnx", Says(NOT_REGULAR), |f| f.pipe("x.pt")),
    case("model-init", "train synthetic --init x.pt", Says(NOT_REGULAR), |f| f.pipe("x.pt")),
    case("timm-config", "summary timm", Says("config.json is not a regular file"), |f| {
        f.write("timm/model.safetensors", tensors(&["a"], &[]));
        f.pipe("timm/config.json");
    }),
    case("data", "eval demo cifar10", Says("data_batch_1.bin: it is not a regular file"), |f| {
        f.pipe("data/cifar-10-batches-bin/data_batch_1.bin");
    }),
    case("data-test", "data verify cifar10", Says("6 of the 6 files"), |f| {
        f.pipe("data/cifar-10-batches-bin/test_batch.bin");
    }),
    case("data-zero", "eval demo cifar10", Says(NOT_REGULAR), |f| {
        f.link("data/cifar-10-batches-bin/data_batch_1.bin", "/dev/zero");
    }),
    case(
        "data-part",
        "data fetch cifar10 --quiet",
        Says("archive.part: it is a symbolic link"),
        |f| {
            f.link("data/cifar-10-batches-bin/.fetch/archive.part", "../../../../outside/victim");
        },
    ),
    case("data-lock", "data fetch cifar10 --quiet", Says("lock: it is not a regular file"), |f| {
        f.pipe("data/cifar-10-batches-bin/.fetch/lock");
    }),
];

#[test]
fn pipes() {
    all(CASES);
}
