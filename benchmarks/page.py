#!/usr/bin/env python3
"""Writes docs/benchmarks.md and its chart, docs/speed.svg, from files that compare.py saved.

Measures nothing. A case that is in several files is taken from the last one that has it. The text is
that of page.md. Needs `cargo`, which draws the chart.
"""

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from string import Template

from cases import CASES
from results import Results, markdown, table
from tools import Failure

ROOT = Path(__file__).resolve().parent.parent
# Of compare.py; a command names what differs.
DEFAULTS = {"cases": "*", "rounds": 5, "seconds": 5.0, "data": "synthetic"}
SECTIONS = {
    "Training": ("train",),
    "Inference": ("eval",),
    "Memory": ("memory",),
    "One thread and AVX2": ("threads", "avx2"),
    "`resnet train` compared with its step": ("verb",),
}
CHART = ("train-resnet18-cifar-bf16-128", "train-resnet18-cifar-fp32-128")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md", metavar="FILE.md")
    args = parser.parse_args()
    files = [Results.load(path) for path in args.files]
    about = common(files)
    rows = {}
    for results in files:
        for case in CASES:
            if found := table([case], results):
                rows[case.name] = found
    bars, ratio = chart(rows)
    drawing = {
        "headline": "Training ResNet-18 on CIFAR-10, images per second",
        "detail": f"Batch 128, {about['threads']} threads of {processor(about)}. Longer is faster.",
        "bars": bars,
    }
    alt = "Images per second in training: " + ", ".join(f"{b['label']} {b['figure']}" for b in bars)
    text = Template((Path(__file__).parent / "page.md").read_text()).substitute(
        alt=alt,
        ratio=f"{ratio:.1f}",
        tables=tables(rows),
        facts="\n".join(facts(files, about)),
        commands="\n".join(commands(files, args.files)),
    )
    svg = draw(drawing)
    args.page.write_text(text)
    args.page.with_name("speed.svg").write_text(svg)
    print(f"{ratio:.1f} times as fast as PyTorch in bf16\n{alt}")


def common(files):
    """What all files must agree on: the machine, the threads, the build and the versions."""
    about = {"versions": {}}
    for results in files:
        machine = results.about["machine"]
        same = {name: machine[name] for name in ("cpu", "cores", "system")}
        same["threads"] = results.about["settings"]["threads"]
        same["bin_sha256"] = results.about["bin_sha256"]
        for known, new in ((about, same), (about["versions"], results.about["versions"])):
            for name, value in new.items():
                if known.setdefault(name, value) != value:
                    raise Failure(f"{results.path}: its {name} is {value}, another file's {known[name]}")
        about.update({name: machine[name] for name in ("isa", "peaks") if name in machine})
    return about


def tables(rows):
    sections = []
    for title, kinds in SECTIONS.items():
        found = [row for name in rows for row in rows[name] if name.split("-")[0] in kinds]
        if found:
            sections.append(f"## {title}\n\n{markdown(CASES, found, targets=False)}")
    return "\n\n".join(sections)


def processor(about):
    return f"{about['cpu']} ({about['isa']})" if "isa" in about else about["cpu"]


def facts(files, about):
    system = ", ".join(about["system"].split("-with-"))
    yield f"- {processor(about)}, {about['cores']} cores, {about['threads']} threads; {system}"
    if "peaks" in about:
        fp32, bf16 = (about["peaks"][dtype] for dtype in ("fp32", "bf16"))
        yield f"- measured peak {fp32:.0f} GFLOP/s in fp32, {bf16:.0f} in bf16"
    yield "- " + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    dates = sorted({results.about["started"][:10] for results in files})
    yield f"- measured on {' and '.join(dates)}"


def commands(files, names):
    """What makes these files and this page again."""
    for results, name in zip(files, names):
        settings = results.about["settings"]
        options = {key: settings[key] for key, value in DEFAULTS.items() if settings[key] != value}
        options |= {"threads": settings["threads"], "out": f"target/{Path(name).name}"}
        words = [word for key, value in options.items() for word in (f"--{key}", shown(value))]
        yield f"python3 benchmarks/compare.py --python PYTHON {' '.join(words)}"
    yield f"python3 benchmarks/page.py {' '.join(f'target/{Path(name).name}' for name in names)}"


def shown(value):
    return f"{value:g}" if isinstance(value, float) else shlex.quote(str(value))


def chart(rows):
    """The bars, the longest first, and how many times as fast as PyTorch we are in bf16."""
    if missing := [name for name in CHART if name not in rows]:
        raise Failure(f"no file has {', '.join(missing)}, which the chart shows")
    bars, ratios = {}, []
    for name in CHART:
        dtype = name.split("-")[-2]
        for row in rows[name]:
            if row["ratio"] is None:
                raise Failure(f"{name}: {row['against']} was not measured")
            bars[f"resnet {dtype}"] = row["ours"]
            # Without the layout.
            bars[f"{row['against'].split(',')[0]} {dtype}"] = row["theirs"]
            if dtype == "bf16":
                ratios.append(row["ratio"])
    ranked = sorted(bars.items(), key=lambda bar: -bar[1])
    bars = [
        {"label": label, "value": value, "figure": f"{value:.0f}", "ours": label.startswith("resnet")}
        for label, value in ranked
    ]
    return bars, min(ratios)


def draw(drawing):
    command = ["cargo", "run", "--quiet", "--package", "resnet-pictures", "--example", "bars"]
    options = {"input": json.dumps(drawing), "stdout": subprocess.PIPE, "text": True}
    return subprocess.run(command, cwd=ROOT, check=True, **options).stdout


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(f"error: {error}")
