#!/usr/bin/env python3
"""Measures training on a GPU, ours and PyTorch's: images per second.

    python3 benchmarks/gpu.py --bin RESNET                      ours alone, on the first GPU
    python3 benchmarks/gpu.py --bin RESNET --python PYTHON      compared with PyTorch on CUDA, eager and compiled
    python3 benchmarks/gpu.py --bin RESNET --device gpu:0 --quick       one small case: a renderer in software

RESNET was built with `--features gpu`. PYTHON has torch and torchvision. In each round every contestant is measured
once, one after the other, and the next round begins with another one. Prints a Markdown table of medians, and every
figure as JSON to the file of --json.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

PEER = Path(__file__).parent / "peers" / "torch_gpu_peer.py"
# Architecture, batch, dtype.
CASES = [
    ("resnet18-cifar", 128, "bf16"),
    ("resnet18-cifar", 512, "bf16"),
    ("resnet18-cifar", 128, "fp32"),
    ("resnet50", 128, "bf16"),
]
QUICK = [("resnet20", 32, "fp32")]


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", required=True)
    parser.add_argument("--python", help="PyTorch's interpreter")
    parser.add_argument("--device", default="gpu")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--quick", action="store_true", help="one small case, one round")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def contestants(args, case):
    """Names and commands."""
    arch, batch, dtype = case
    options = ["--arch", arch, "--batch", str(batch), "--dtype", dtype, "--seconds", str(args.seconds)]
    ours = [args.bin, "bench", "--device", args.device, "--json", *options]
    yield "resnet", ours
    if args.python:
        theirs = [args.python, str(PEER), *options]
        yield "PyTorch, eager", theirs
        yield "PyTorch, compiled", [*theirs, "--compile"]


def measure(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def main():
    args = arguments()
    rounds = 1 if args.quick else args.rounds
    figures = {}
    for case in QUICK if args.quick else CASES:
        all_ = list(contestants(args, case))
        for index in range(rounds):
            for name, command in all_[index % len(all_) :] + all_[: index % len(all_)]:
                found = measure(command)
                figures.setdefault(case, {}).setdefault(name, []).append(found)
                print(f"{case} {name}: {found['images_per_second']:.0f} images/s", file=sys.stderr)
    print("| network | batch | dtype | program | images/s | relative to resnet |")
    print("|---|--:|---|---|--:|--:|")
    for (arch, batch, dtype), by_name in figures.items():
        rates = {
            name: statistics.median(one["images_per_second"] for one in found)
            for name, found in by_name.items()
        }
        for name, rate in rates.items():
            print(f"| {arch} | {batch} | {dtype} | {name} | {rate:.0f} | {rate / rates['resnet']:.2f} |")
    if args.json:
        rows = [{"case": case, "figures": by_name} for case, by_name in figures.items()]
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
