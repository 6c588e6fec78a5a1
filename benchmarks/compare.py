#!/usr/bin/env python3
"""Compares `resnet` with PyTorch and ONNX Runtime on this machine.

In each round every contestant of a case is measured once, one after the other; the next round
begins with another one. The table on stdout is of medians over the rounds; page.py makes a page
for readers of what was saved.
"""

import argparse
import fnmatch
import hashlib
import os
import shutil
import signal
import sys
from datetime import datetime
from pathlib import Path

from cases import CASES
from progress import Progress, guess, say
from results import Results, markdown, table
from tools import DATASET_IMAGES, Failure, machine, open_tool, versions

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = {
    "cases": "*",
    "rounds": 5,
    "seconds": 5.0,
    "threads": os.cpu_count(),
    "bin": str(ROOT / "target/release/resnet"),
    "python": sys.executable,
    "data": "synthetic",
    "data_dir": None,
}


def main():
    args = arguments()
    cases = selected(args.cases or DEFAULTS["cases"])
    if args.list:
        for case in cases:
            targets = ", ".join(f"{c.name} {c.target:g}x" for c in case.contestants[1:])
            print(f"{case.name:32}{case.title}: {targets}")
        return 0
    if args.resume:
        results = Results.load(args.resume)
        cases = selected(results.about["settings"]["cases"])
        if file_hash(results.about["settings"]["bin"]) != results.about["bin_sha256"]:
            raise Failure("the program was built again since: begin another run, without --resume")
        say(f"{args.resume}: {len(results.measurements)} measurements are done")
    else:
        results = begin(args, cases)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    progress = Progress()
    try:
        for case in cases:
            run_case(case, cases, results, progress)
        status = 0
    except KeyboardInterrupt:
        say(f"interrupted: --resume {results.path} goes on from here")
        status = 130
    rows = table(cases, results)
    results.save(rows)
    print(markdown(cases, rows))
    print(f"\n{caption(results)}")
    return status


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the cases and their targets")
    parser.add_argument("--cases", metavar="NAMES", help="names or patterns, joined by commas")
    parser.add_argument("--rounds", type=positive(int), metavar="N", help="default: 5")
    parser.add_argument(
        "--seconds", type=positive(float), metavar="S", help="time of a measurement, default: 5"
    )
    parser.add_argument(
        "--threads", type=positive(int), metavar="N", help="default: the number of cores"
    )
    parser.add_argument("--bin", metavar="FILE", help="default: target/release/resnet")
    parser.add_argument(
        "--python", metavar="FILE", help="interpreter that has torch, default: this one"
    )
    parser.add_argument(
        "--data", choices=DATASET_IMAGES, help="what `resnet train` is timed on, default: synthetic"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="where its data sets are kept")
    parser.add_argument(
        "--out", metavar="FILE", help="every raw figure, default: target/compare-TIME.json"
    )
    parser.add_argument(
        "--resume", metavar="FILE", help="continue an unfinished run as it was set up"
    )
    args = parser.parse_args()
    if args.resume and (args.out or any(getattr(args, name) is not None for name in DEFAULTS)):
        parser.error("a run that is continued keeps its own settings: --resume FILE stands alone")
    return args


def positive(kind):
    def parse(text):
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value

    parse.__name__ = f"positive {kind.__name__}"
    return parse


def selected(patterns):
    patterns = [pattern.strip() for pattern in patterns.split(",")]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(case.name, pattern) for case in CASES):
            raise Failure(f"--cases: nothing is called {pattern}; --list prints what there is")
    return [c for c in CASES if any(fnmatch.fnmatchcase(c.name, p) for p in patterns)]


def begin(args, cases):
    settings = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in DEFAULTS.items()
    }
    for name in ("bin", "python"):
        found = shutil.which(settings[name])
        if found is None:
            hint = "; `cargo build --release` makes it" if name == "bin" else ""
            raise Failure(f"--{name} {settings[name]}: no such program{hint}")
        # Not resolved: an interpreter finds its virtual environment by the link's own place.
        settings[name] = os.path.abspath(found)
    now = datetime.now()
    path = Path(args.out or ROOT / f"target/compare-{now:%Y%m%d-%H%M%S}.json")
    if path.exists():
        raise Failure(f"{path} exists: continue it with --resume, or choose another --out")
    tools = {v.tool for case in cases for c in case.contestants for v in c.variants}
    about = {
        "started": now.isoformat(timespec="seconds"),
        "settings": settings,
        "machine": machine(settings),
        "versions": versions(settings["python"], tools),
        "bin_sha256": file_hash(settings["bin"]),
    }
    say(f"figures are kept in {path}")
    results = Results(path, about)
    results.save()
    return results


def pending(cases, results):
    """What is still to be measured, in order; it depends on what has been, so look again."""
    for case in cases:
        for round in range(1, results.about["settings"]["rounds"] + 1):
            turn = (round - 1) % len(case.contestants)
            for contestant in case.contestants[turn:] + case.contestants[:turn]:
                for variant in results.running(case, contestant, round):
                    if round not in results.rounds(case, contestant, variant):
                        yield case, round, contestant, variant


def run_case(case, cases, results, progress):
    settings = results.about["settings"]
    tools = {}
    try:
        for _, round, contestant, variant in pending([case], results):
            key = (contestant.name, variant.name)
            name = " ".join(filter(None, key))
            if key not in tools:
                tools[key] = open_tool(case, variant, settings)
            progress.begin()
            measurement = {
                "case": case.name,
                "contestant": contestant.name,
                "variant": variant.name,
                "round": round,
            }
            try:
                record = tools[key].measure(settings["seconds"] * case.stretch)
                measurement["record"] = record
                figure = f"{record[case.unit.field]:.{case.unit.decimals}f} {case.unit.name}"
            except Failure as error:
                measurement["error"] = str(error)
                figure = f"n/a ({gist(error)})"
            results.add(measurement)
            progress.end(guess(case, round, variant, settings["seconds"]))
            ahead = {(c.name, v.name) for _, _, c, v in pending([case], results)}
            for idle in tools.keys() - ahead:
                tools.pop(idle).close()
            rest = (guess(c, r, v, settings["seconds"]) for c, r, _, v in pending(cases, results))
            say(f"{case.name} round {round}: {name} {figure}; {progress.left(sum(rest))}")
    finally:
        for tool in tools.values():
            tool.close()


def gist(error):
    """One line of an error: its first where a program says `error:`, a traceback's last."""
    lines = str(error).splitlines()
    return next((line for line in lines if line.startswith("error")), lines[-1])


def caption(results):
    about = results.about
    settings = about["settings"]
    rounds = {}
    for m in results.measurements:
        rounds.setdefault((m["case"], m["contestant"]), set()).add(m["round"])
    # Of a run that was interrupted, the fewest that a figure of the table is of.
    fewest = min(map(len, rounds.values()), default=0)
    of = "" if fewest >= settings["rounds"] else f"{fewest} or more of "
    facts = [
        about["machine"]["cpu"],
        f"threads: {settings['threads']}",
        f"medians over rounds: {of}{settings['rounds']}, of {settings['seconds']:g} s a measurement",
        *(f"{name} {version}" for name, version in about["versions"].items()),
        f"begun {about['started']}",
    ]
    return "; ".join(facts)


def file_hash(path):
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from error


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(f"error: {error}")
