"""Draws test accuracy against minutes of training from the metrics.jsonl of runs.

    python3 benchmarks/curves.py docs/runs/*.jsonl > curves.svg

A file is called after its run: `fast-seed0.jsonl`. Runs of the same name and different seeds have one colour, and one
label. Lines of another program need `test_accuracy` in percent, and `seconds` of an epoch or `train_seconds` since the start.
"""

import json
import math
import subprocess
import sys
from pathlib import Path


def points(path):
    """The end of each epoch: minutes of training so far, test accuracy in percent."""
    total = 0.0
    for line in path.read_text().splitlines():
        epoch = json.loads(line)
        total = epoch["train_seconds"] if "train_seconds" in epoch else total + epoch["seconds"]
        yield [total / 60, epoch["test_accuracy"]]


def main(paths):
    names, curves = [], []
    for path in map(Path, paths):
        name = path.stem.rpartition("-seed")[0] or path.stem
        first = name not in names
        if first:
            names.append(name)
        label = name if first else ""
        curves.append({"label": label, "points": list(points(path)), "colour": names.index(name), "stroke": "bold" if first else "thin"})
    last = max(curve["points"][-1][0] for curve in curves)
    chart = {
        "headline": "CIFAR-10: test accuracy by time of training",
        "detail": "two cores of an AMD EPYC, sprint on a Zen 5, fast on a Zen 4; evaluations are not counted",
        "x": {"label": "minutes", "range": [0, 10 * math.ceil(last / 10)]},
        "y": {"label": "test accuracy %", "range": [50, 95]},
        "curves": curves,
    }
    command = ["cargo", "run", "-q", "-p", "resnet-pictures", "--example", "curves"]
    subprocess.run(command, input=json.dumps(chart), text=True, check=True)


main(sys.argv[1:])
