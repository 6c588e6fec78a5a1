//! Links in run folders and output folders: nothing is read endlessly or written elsewhere.

use super::{Case, Right, Says, all, case};

const RESUME: &str = "train --resume run --quiet";
const NEW: &str = "train synthetic --limit-train 64 --limit-test 10 --out new";
const FETCH: &str = "data fetch cifar10 --quiet";
const SHOW: &str = "show run --limit-test 10 --count 2 --format svg";

const CIFAR10: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

const CASES: &[Case] = &[
    case("log-link", RESUME, Says("run/log.txt: it is a symbolic link"), |f| {
        f.link_out("run/log.txt");
    }),
    case("log-dangling", RESUME, Says("run/log.txt: it is a symbolic link"), |f| {
        f.link("run/log.txt", "../../outside/new");
    }),
    case("log-hard", RESUME, Right, |f| f.hard("run/log.txt")),
    case("log-device", RESUME, Says("run/log.txt: it is a symbolic link"), |f| {
        f.link("run/log.txt", "/dev/full");
    }),
    case("log-of-a-new-run", NEW, Says("it is a symbolic link"), |f| {
        f.dir("new");
        f.link_out("new/log.txt");
    }),
    case("snapshot", RESUME, Right, |f| f.snapshot()),
    case("new-run-dangling", NEW, Says("new: it is a link that leads nowhere"), |f| {
        f.link("new", "../outside/new");
    }),
    case("lock-link", RESUME, Says("run/.lock: it is a symbolic link"), |f| {
        f.link_out("run/.lock");
    }),
    case("lock-dangling", RESUME, Says("run/.lock: it is a symbolic link"), |f| {
        f.link("run/.lock", "../../outside/new");
    }),
    case("lock-hard", RESUME, Right, |f| f.hard("run/.lock")),
    case("lock-of-a-new-run", NEW, Says("new/.lock: it is a symb"), |f| {
        f.dir("new");
        f.link_out("new/.lock");
    }),
    case("facts-link", RESUME, Right, |f| f.link_out("run/run.json")),
    case("facts-hard", RESUME, Right, |f| f.hard("run/run.json")),
    case("metrics-link", RESUME, Right, |f| f.link_out("run/metrics.jsonl")),
    case("metrics-hard", RESUME, Right, |f| f.hard("run/metrics.jsonl")),
    case("best-link", RESUME, Right, |f| f.link_out("run/best.safetensors")),
    case("last-dangling", RESUME, Right, |f| {
        f.begin_again();
        f.link("run/last.safetensors", "../../outside/new");
    }),
    case("last-loop", RESUME, Right, |f| {
        f.begin_again();
        f.link("run/last.safetensors", "last.safetensors");
    }),
    case("last-of-others", RESUME, Says("last.safetensors has an unknown format"), |f| {
        f.link_out("run/last.safetensors");
    }),
    case("state-dict-link", RESUME, Right, |f| {
        f.config("total_steps = 2\n", "total_steps = 2\nsave_torch = true\n");
        f.link_out("run/resnet8_synthetic_state_dict.pt");
        f.link("run/resnet8_synthetic_all.tar", "../../outside/new");
    }),
    case("config-dangling", RESUME, Says("there is no config.toml"), |f| {
        f.link("run/config.toml", "nowhere");
    }),
    case("config-of-others", RESUME, Says("run/config.toml: line 1 (mine)"), |f| {
        f.link_out("run/config.toml");
    }),
    case("config-of-a-new-run", NEW, Says("already has a run"), |f| {
        f.dir("new");
        f.link("new/config.toml", "../../outside/new");
    }),
    case("events-link", "train --resume run --tensorboard --quiet", Right, |f| {
        f.link("run/tensorboard", "../../outside");
    }),
    case("events-dangling", "train --resume run --tensorboard --quiet", Right, |f| {
        f.link("run/tensorboard", "../../outside/new");
    }),
    case("events-file", "train --resume run --tensorboard --quiet", Right, |f| {
        f.hard("run/tensorboard");
    }),
    case("unfinished-link", RESUME, Right, |f| f.link("run/.unfinished-x", "../../outside")),
    case("unfinished-hard", RESUME, Right, |f| f.hard("run/.unfinished-x")),
    case("unfinished-folder", RESUME, Says("cannot clean run"), |f| f.dir("run/.unfinished-x")),
    case("run-loop", RESUME, Says("run is not a run"), |f| f.link("run", "run")),
    case("report-link", "report run --no-eval", Right, |f| f.link_out("run/report.html")),
    case("report-hard", "report run --no-eval", Right, |f| f.hard("run/report.html")),
    case("report-folder", "report run --no-eval", Says("cannot write run/report.html"), |f| {
        f.dir("run/report.html/x");
    }),
    case(
        "pictures-link",
        SHOW,
        Says("run/pictures (--out): it is a link or a file, not a folder"),
        |f| {
            f.link("run/pictures", "../../outside");
        },
    ),
    case(
        "pictures-dangling",
        SHOW,
        Says("run/pictures (--out): it is a link or a file, not a folder"),
        |f| {
            f.link("run/pictures", "../../outside/new");
        },
    ),
    case("pictures-file", SHOW, Right, |f| {
        f.dir("run/pictures");
        f.link("run/pictures/confusion.svg", "../../../outside/victim");
        f.hard("run/pictures/filters.svg");
    }),
    case("logits-link", "eval run --limit-test 10 --logits x.npy", Right, |f| {
        f.link("x.npy", "results.npy");
    }),
    case("fetch-link", FETCH, Says(".fetch: it is a link or a file, not a folder"), |f| {
        f.write("../outside/staging/thesis", "mine");
        f.write("../outside/archive.part", "mine");
        f.link("data/cifar-10-batches-bin/.fetch", "../../../outside");
    }),
    case("fetch-dangling", FETCH, Says(".fetch: it is a link or a file, not a folder"), |f| {
        f.link("data/cifar-10-batches-bin/.fetch", "../../../outside/new");
    }),
    case("fetch-staging-link", FETCH, Says("staging: it is a link or a file, not a folder"), |f| {
        f.link("data/cifar-10-batches-bin/.fetch/staging", "../../../../outside");
    }),
    case("data-elsewhere", RESUME, Says("cifar10 is not in ../outside/new, the"), |f| {
        f.of_cifar10("../outside/new", &CIFAR10);
    }),
    case("data-elsewhere-report", "report run", Right, |f| {
        f.of_cifar10("../outside/new", &CIFAR10)
    }),
    case("data-of-others", RESUME, Says("its classes are not those"), |f| {
        f.of_cifar10("data", &["cat"]);
    }),
    case("data-of-others-asked", "train --resume run --data-dir data", Says("its classes"), |f| {
        f.of_cifar10("data", &["cat"]);
    }),
    case(
        "fetch-by-eval",
        "eval demo --quiet",
        Says(".fetch: it is a link or a file, not a folder"),
        |f| {
            f.link("data/cifar-10-batches-bin/.fetch", "../../../outside");
        },
    ),
    case(
        "logits-folder",
        "eval run --limit-test 10 --logits x.npy",
        Says("x.npy: is a directory"),
        |f| {
            f.dir("x.npy");
        },
    ),
    case("convert-link", "convert run x.pt", Right, |f| f.link("x.pt", "results.pt")),
    case("convert-loop", "convert run x.pt", Says("x.pt: "), |f| f.link("x.pt", "x.pt")),
    case("report-out", "report run --no-eval --out x", Right, |f| f.link("x", "/dev/null")),
];

#[test]
fn links() {
    all(CASES);
}
