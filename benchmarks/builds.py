"""Two builds of the program against each other: `python3 benchmarks/builds.py OLD NEW`.

In each round the old build, the new one, and the old one again are measured in turn, so that the last
column shows how far a build differs from itself on this machine. Prints a Markdown table of medians of
the rounds' ratios of speed, with their quartiles; above 1 is faster. Leave the machine alone meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys

TRAIN = ["--arch", "resnet18-cifar", "--mode", "train"]
CASES = {
    "train fp32 32": [*TRAIN, "--dtype", "fp32", "--batch", "32"],
    "train fp32 128": [*TRAIN, "--dtype", "fp32", "--batch", "128"],
    "train bf16 32": [*TRAIN, "--dtype", "bf16", "--batch", "32"],
    "train bf16 128": [*TRAIN, "--dtype", "bf16", "--batch", "128"],
    "train bf16 224": ["--arch", "resnet18", "--mode", "train", "--dtype", "bf16", "--batch", "16"],
    "inference fp32 1": ["--arch", "resnet18", "--mode", "eval", "--batch", "1"],
    "inference bf16 1": ["--arch", "resnet18-cifar", "--mode", "eval", "--dtype", "bf16", "--batch", "1"],
    "inference bf16 128": ["--arch", "resnet18-cifar", "--mode", "eval", "--dtype", "bf16", "--batch", "128"],
}


def milliseconds(program, options, seconds):
    command = [program, "bench", *options, "--seconds", str(seconds), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["ms_per_step"]


def figures(ratios):
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--work", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    print("| work | old ms | new ms | new / old, speed | old / old |", "|---|--:|--:|--:|--:|", sep="\n")
    for name in options.work:
        case = CASES[name]
        rounds = []
        for number in range(options.rounds):
            programs = [options.old, options.new, options.old]
            rounds.append([milliseconds(program, case, options.seconds) for program in programs])
            print(f"{name}: round {number + 1} of {options.rounds}", file=sys.stderr)
        # What comes between two of the old build is held against the mean of both.
        new = [(first + last) / 2 / between for first, between, last in rounds]
        same = [first / last for first, _, last in rounds]
        old_ms = statistics.median(first for first, _, _ in rounds)
        new_ms = statistics.median(between for _, between, _ in rounds)
        print(f"| {name} | {old_ms:.1f} | {new_ms:.1f} | {figures(new)} | {figures(same)} |", flush=True)


if __name__ == "__main__":
    main()
