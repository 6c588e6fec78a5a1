"""Shared by the peers: arguments, timing, and a request loop.

With `--serve`, a peer builds its network once and prints a line of JSON. It then reads lines from
stdin, each a number of seconds, and answers each with one measurement as a line of JSON. Without
`--serve` it measures once.
"""

import argparse
import json
import os
import statistics
import sys
import time

WARM_UP = 2


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--arch", default="resnet18-cifar", help="architecture, by its name in `resnet archs`")
    parser.add_argument("--mode", choices=("train", "eval"), default="train")
    parser.add_argument("--batch", type=int, default=128, metavar="N")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S")
    parser.add_argument("--serve", action="store_true", help="measure once per line of stdin")
    return parser


def run(args, prepare):
    """`prepare(args)` returns the step to time, and fields to add to each line of JSON."""
    # Libraries may print to stdout: redirect that to stderr, and keep stdout for the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    imported = peak_memory_mb()
    step, facts = prepare(args)
    facts["memory_of_imports_mb"] = imported
    if not args.serve:
        print(json.dumps(facts | measure(step, args.batch, args.seconds)), file=answers)
        return
    print(json.dumps(facts), file=answers)
    for line in sys.stdin:
        print(json.dumps(facts | measure(step, args.batch, float(line))), file=answers)


def measure(step, batch, seconds):
    for _ in range(WARM_UP):
        step()
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    median = statistics.median(times)
    return {
        "ms_per_step": 1e3 * median,
        "images_per_second": batch / median,
        "peak_memory_mb": peak_memory_mb(),
        "steps": len(times),
    }


def peak_memory_mb():
    """Peak resident memory of this process, in 10^6 bytes."""
    with open("/proc/self/status") as status:
        kib = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e6
