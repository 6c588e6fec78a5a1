"""What the peers share: their arguments, the clock, and answering requests.

With `--serve` a peer builds its network once, prints a line of JSON, and then answers each line of
its input, a number of seconds, with a line of JSON: one measurement. Without, it measures once.
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
    parser.add_argument("--arch", default="resnet18-cifar", help="as `resnet archs` names it")
    parser.add_argument("--mode", choices=("train", "eval"), default="train")
    parser.add_argument("--batch", type=int, default=128, metavar="N")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S")
    parser.add_argument("--serve", action="store_true", help="measure for each line of the input")
    return parser


def run(args, prepare):
    """`prepare(args)` gives the step to time, and facts that go into each line of JSON."""
    # Libraries print what they like to stdout; ours alone goes where the caller listens.
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
    """The most memory that this process has held, in units of 10^6 bytes."""
    with open("/proc/self/status") as status:
        kib = next(line.split()[1] for line in status if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e6
