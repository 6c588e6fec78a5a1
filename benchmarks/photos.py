"""Photos: whole trainings compared with PyTorch's, the speed of the pipeline, and its memory.

    python3 benchmarks/photos.py train PHOTOS --python PYTHON      accuracy and time, compared with PyTorch
    python3 benchmarks/photos.py pipeline --python PYTHON          images/s with large and many photos
    python3 benchmarks/photos.py memory --python PYTHON            memory with 2,000 and 100,000 files

PYTHON has torch, torchvision and Pillow. Prints Markdown tables.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = Path(__file__).parent / "peers" / "photos_peer.py"
# The sets of the pipeline: photos, their width and height, how many of them `resnet train` is limited to,
# and its epochs.
LARGE = ("12 megapixels", 500, (4000, 3000), 500, 3)
MANY = ("500 pixels", 20_000, (500, 375), 8_000, 2)
# Makes JPEGs: a smooth picture of random colours, with some grain, all different.
MAKER = """
import sys, numpy, pathlib
from PIL import Image
root, count, width, height = pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:])
rng = numpy.random.default_rng(0)
grain = rng.integers(0, 24, (height, width, 3), numpy.uint8)
for i in range(count):
    folder = root / f"class-{i % 10}"
    folder.mkdir(parents=True, exist_ok=True)
    colours = Image.fromarray(rng.integers(0, 230, (12, 16, 3), numpy.uint8))
    picture = numpy.asarray(colours.resize((width, height), Image.BICUBIC).point(lambda x: min(x, 230)))
    Image.fromarray(picture + numpy.roll(grain, i * 7919)).save(folder / f"{i:05}.jpg", quality=90)
"""


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command):
    """Runs a program; returns its output, its seconds and its peak of memory in MB."""
    say("$ " + " ".join(map(str, command[:12])))
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return output, time.perf_counter() - start, usage.ru_maxrss / 1024


def epochs(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def train(args):
    """Both train on the same photos by the same recipe; the one who begins changes."""
    results = {}
    for seed in range(args.seeds):
        for dtype in ("fp32", "bf16"):
            with tempfile.TemporaryDirectory(prefix="photos-") as folder:
                out = Path(folder) / "run"
                ours = [args.bin, "train", args.photos, "--arch", args.arch, "--image-size", args.image_size]
                ours += ["--epochs", args.epochs, "--seed", seed, "--dtype", dtype, "--out", out, "--ui", "log"]
                ours += ["--init", "none"]
                seconds = run([*ours, *(["--cache", args.cache] if args.cache else [])])[1]
                record(results, ("resnet", dtype), epochs(out), seconds)
                output, seconds, _ = run([args.python, PEER, out, "--dtype", dtype])
                rows = [json.loads(line) for line in output.splitlines()]
                record(results, ("PyTorch", dtype), rows, seconds)
    print("| | dtype | accuracy | mean | seconds | median | resnet's |")
    print("|---|---|---|--:|---|--:|--:|")
    for (who, dtype), rows in results.items():
        accuracies, seconds = [row[0] for row in rows], [row[1] for row in rows]
        ratio = statistics.median(seconds) / statistics.median(row[1] for row in results["resnet", dtype])
        print(
            f"| {who} | {dtype} | {', '.join(f'{x:.2f}' for x in accuracies)} | {statistics.mean(accuracies):.2f} "
            f"| {', '.join(f'{x:.0f}' for x in seconds)} | {statistics.median(seconds):.1f} | {ratio:.2f}x |"
        )


def record(results, key, rows, seconds):
    accuracy = rows[-1]["validation_accuracy"]
    results.setdefault(key, []).append((accuracy, seconds))
    rate = statistics.median(row["images_per_second"] for row in rows)
    say(f"{' '.join(key)}: {accuracy:.2f}% in {seconds:.1f} s, {rate:.0f} images/s")


def pipeline(args):
    print("| photos | bench | first epoch | later epochs | of bench | torchvision's loader alone |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, count, size, limit, length in (LARGE, MANY):
        with tempfile.TemporaryDirectory(prefix="photos-", dir=args.folder) as folder:
            photos, out, cache = Path(folder) / "photos", Path(folder) / "run", Path(folder) / "cache"
            run([args.python, "-c", MAKER, photos, count, *size])
            ours = ["--arch", "resnet18", "--dtype", args.dtype]
            bench = [args.bin, "bench", *ours, "--batch", 32, "--mode", "train", "--seconds", 10, "--json"]
            before = json.loads(run(bench)[0])["images_per_second"]
            ours += ["--epochs", length, "--batch-size", 32, "--ui", "log", "--out", out]
            ours += ["--limit-train", limit, "--validation", 100]
            run([args.bin, "train", photos, *ours, "--init", "none", "--cache", args.cache or cache])
            rates = [row["images_per_second"] for row in epochs(out)]
            after = json.loads(run(bench)[0])["images_per_second"]
            loader = json.loads(run([args.python, PEER, out, "--loader-only"])[0])["images_per_second"]
        bare, later = (before + after) / 2, statistics.median(rates[1:])
        print(
            f"| {count:,} of {name} | {before:.1f}, {after:.1f} | {rates[0]:.1f} | {later:.1f} "
            f"| {later / bare:.3f} | {loader:.1f} |",
            flush=True,
        )


def memory(args):
    print("| files | peak of `resnet train`, MB | seconds |")
    print("|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="photos-", dir=args.folder) as folder:
        few = Path(folder) / "few"
        run([args.python, "-c", MAKER, few, 200, 100, 75])
        for count in (2_000, 100_000):
            photos = Path(folder) / str(count)
            for i in range(count):
                name = photos / f"class-{i % 10}" / f"{i:06}.jpg"
                name.parent.mkdir(parents=True, exist_ok=True)
                name.hardlink_to(few / f"class-{i % 10}" / f"{i % 200:05}.jpg")
            ours = [args.bin, "train", photos, "--arch", "resnet8", "--image-size", 32, "--epochs", 1]
            ours += ["--batch-size", 32, "--cache", args.cache or "none", "--ui", "log"]
            _, seconds, peak = run([*ours, "--out", Path(folder) / f"run-{count}"])
            print(f"| {count:,} | {peak:.0f} | {seconds:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bin", type=Path, default="target/release/resnet")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--cache", help="of `resnet train`")
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("train")
    verb.add_argument("photos", type=Path)
    verb.add_argument("--arch", default="resnet18")
    verb.add_argument("--image-size", type=int, default=64)
    verb.add_argument("--epochs", type=int, default=20)
    verb.add_argument("--seeds", type=int, default=3)
    verb.set_defaults(do=train)
    for do in (pipeline, memory):
        verb = verbs.add_parser(do.__name__)
        verb.add_argument("--folder", help="where the photos are made [default: the system's temporary folder]")
        verb.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16")
        verb.set_defaults(do=do)
    args = parser.parse_args()
    args.do(args)


if __name__ == "__main__":
    main()
