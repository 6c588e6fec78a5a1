#!/usr/bin/env python3
"""GFLOP/s of every convolution of several networks and batches: prints the page docs/layers.md.

Runs `resnet bench --profile` and keeps its figures in a file, from which `--from` prints the page again.
Layers of a stage that are of equal kind, size and algorithm share a row.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tools import cpu_name

ROOT = Path(__file__).resolve().parent.parent

CASES = [
    ("resnet18-cifar", "train", "fp32", 32),
    ("resnet18-cifar", "train", "fp32", 128),
    ("resnet18-cifar", "train", "fp32", 512),
    ("resnet18-cifar", "train", "bf16", 32),
    ("resnet18-cifar", "train", "bf16", 128),
    ("resnet18-cifar", "train", "bf16", 512),
    ("resnet20", "train", "fp32", 128),
    ("resnet18", "train", "fp32", 16),
    ("resnet50", "train", "fp32", 16),
    ("resnet18", "eval", "fp32", 1),
    ("resnet50", "eval", "fp32", 1),
    ("resnext50_32x4d", "train", "fp32", 16),
    ("resnext50_32x4d", "eval", "fp32", 1),
]
PASSES = ["forward", "backward-data", "backward-weight"]


HEADER = """\
# GFLOP/s of every layer

<!-- Written by benchmarks/layers.py. -->

`{command}`, on {threads} threads of {cpu} ({isa}). The peak of the machine is {fp32:.0f} GFLOP/s in fp32 and
{bf16:.0f} in bf16.

A figure counts the operations of direct convolution, whichever algorithm runs. Winograd's algorithms do
fewer, so their figures can be above the peak. The forward pass, the gradient of the input (data) and the
gradient of the weights are measured separately. Layers of a stage with the same size and algorithm share a
row.

On a virtual machine, figures move by a tenth and more from one run to the next, as its cores share caches
with each other or with other machines. A peak of half the others means that one core was taken away while
it was measured."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=ROOT / "target/release/resnet", metavar="FILE")
    parser.add_argument("--seconds", type=float, default=3, metavar="S")
    parser.add_argument("--threads", type=int, metavar="N", help="default: the number of cores")
    parser.add_argument("--out", type=Path, default=ROOT / "target/layers.json", metavar="FILE.json")
    parser.add_argument("--from", dest="saved", type=Path, metavar="FILE.json", help="measure nothing")
    args = parser.parse_args()
    if args.saved:
        document = json.loads(args.saved.read_text())
    else:
        document = {"cpu": cpu_name(), "seconds": args.seconds, "profiles": []}
        for case in CASES:
            print("%s, %s, %s, batch %d" % case, file=sys.stderr)
            document["profiles"].append(profile(args, *case))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(document) + "\n")
    print(header(document))
    for case, result in zip(CASES, document["profiles"], strict=True):
        print_table(case, result)


def header(document):
    profiles = document["profiles"]
    peaks = {"fp32": 0.0, "bf16": 0.0}
    for result in profiles:
        peaks[result["dtype"]] = max(peaks[result["dtype"]], result["peaks"]["gflops_per_second"])
    return HEADER.format(
        command=f"python3 benchmarks/layers.py --seconds {document['seconds']:g} > docs/layers.md",
        cpu=document["cpu"],
        isa=profiles[0]["isa"],
        threads=profiles[0]["threads"],
        **peaks,
    )


def profile(args, arch, mode, dtype, batch):
    command = [str(args.bin), "bench", "--arch", arch, "--mode", mode, "--dtype", dtype]
    command += ["--batch", str(batch), "--seconds", str(args.seconds), "--profile", "--json"]
    if args.threads:
        command += ["--threads", str(args.threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def print_table(case, result):
    arch, mode, dtype, batch = case
    layers = {}
    for operation in result["operations"]:
        if operation["flops"] and operation["algorithm"]:
            layer = layers.setdefault(operation["name"].split(" + ")[0], {"passes": {}})
            layer["kind"] = operation["kind"]
            layer["passes"][operation["pass"]] = operation
    rows = {}
    for name, layer in layers.items():
        operations = [layer["passes"].get(p) for p in PASSES]
        key = (layer["kind"], name.split(".")[0], *((o["flops"], o["algorithm"]) for o in operations if o))
        rows.setdefault(key, []).append((name, operations))
    peak = result["peaks"]["gflops_per_second"]
    rate = result["images_per_second"]
    print(f"\n**{arch}**, {mode}, {dtype}, batch {batch}: {rate:.1f} images/s; the machine's peak is {peak:.0f} GFLOP/s\n")
    passes = PASSES if mode == "train" else PASSES[:1]
    heads = {"forward": "forward", "backward-data": "data", "backward-weight": "weight"}
    print("| layers | kind | algorithm | " + " | ".join(heads[p] for p in passes) + " |")
    print("|---|---|---|" + "--:|" * len(passes))
    for (kind, *_), members in rows.items():
        name = members[0][0] + (f" and {len(members) - 1} more" if len(members) > 1 else "")
        algorithm = members[0][1][0]["algorithm"]
        figures = [figure([operations[i] for _, operations in members]) for i in range(len(passes))]
        print(f"| {name} | {kind} | {algorithm} | " + " | ".join(figures) + " |")


def figure(operations):
    if None in operations:
        return "-"
    return f"{sum(o['flops'] for o in operations) / sum(o['ms'] for o in operations) / 1e6:.0f}"


if __name__ == "__main__":
    main()
