#!/usr/bin/env python3
"""Measures training in two processes of one thread, compared with one process of two threads, ours and PyTorch's.

    python3 benchmarks/distributed.py --python PYTHON                     through shared memory (gloo: loopback)
    python3 benchmarks/distributed.py --python PYTHON --namespaces        through a link of 1 Gb/s, as root
    python3 benchmarks/distributed.py --rounds 1 --steps 10               without PyTorch

The CIFAR ResNet-18 in fp32 with 128 images a step of all processes together. PYTHON has torch; Open MPI or MPICH
launches the processes (Debian: openmpi-bin, mpich). In each round every contestant is measured once, one after the
other, and the next round begins with another one. With --namespaces the two processes are in two Linux network
namespaces, with host names of their own, joined by a veth pair whose two directions `tc` caps. Prints a Markdown table
of medians; an efficiency is images/s by those of the same program's one process in the same round. Every figure is kept
in target/distributed-TIME.json.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEER = Path(__file__).parent / "peers" / "ddp_peer.py"
sys.path.append(str(ROOT / "scripts"))
from cluster.launch import LAUNCHERS, Failed, between_namespaces, command, missing
from cluster.namespaces import ADDRESSES, Pair
from tools import DATASET_IMAGES, Failure, environment

ARCH, BATCH = "resnet18-cifar", 128


@dataclass(frozen=True)
class Contestant:
    tool: str  # resnet or PyTorch
    launcher: str | None  # None: one process
    wire: str = "fp32"
    shards: int = 1

    @property
    def processes(self):
        return 2 if self.launcher else 1

    @property
    def name(self):
        if not self.launcher:
            return self.tool + (f", {self.shards} shards" if self.shards > 1 else "")
        return f"{self.tool}, {self.launcher}"


def contestants(args):
    """For each program its one process comes first: the others are compared with it."""
    yield Contestant("resnet", None)
    # What small shards cost without any communication.
    yield Contestant("resnet", None, shards=2)
    for launcher in args.launchers:
        for wire in ("fp32", "bf16"):
            yield Contestant("resnet", launcher, wire, shards=2)
    if args.python:
        yield Contestant("PyTorch", None)
        for wire in ("fp32", "bf16"):
            yield Contestant("PyTorch", "gloo", wire)


def say(text):
    print(text, file=sys.stderr, flush=True)


def started(words, env, output):
    return subprocess.Popen(list(map(str, words)), env=env, stdout=output, start_new_session=True)


def finish(processes):
    """Waits for all processes; returns the CPU seconds of them and of what they waited for."""
    seconds = 0.0
    try:
        for process in processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds += usage.ru_utime + usage.ru_stime
            if process.returncode != 0:
                raise Failure(f"{' '.join(process.args)} ended with {process.returncode}")
    finally:
        for process in processes:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return seconds


def ours(args, one, pair, folder):
    """An epoch of `resnet train`; the CPU seconds are those of the whole program."""
    out = folder / "run"
    words = [args.bin, "train", args.data, "--arch", ARCH, "--recipe", "walkthrough", "--epochs", 1]
    words += ["--batch-size", BATCH, "--limit-train", BATCH * args.steps, "--limit-test", BATCH]
    words += ["--dtype", "fp32", "--shards", one.shards, "--threads", 2 // one.processes]
    words += ["--ui", "log", "--quiet", "--json", "--out", out]
    words += ["--data-dir", args.data_dir] if args.data_dir else []
    env = environment({})
    if one.launcher:
        words = [*command(one.launcher, 2, pair), *words, "--wire", one.wire]
        env = (between_namespaces(one.launcher, pair) if pair else {}) | env
    processor = finish([started(words, env, subprocess.DEVNULL)])
    epoch = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    rate = epoch["images_per_second"]
    return {"images_per_second": rate, "ms_per_step": 1e3 * BATCH / rate, "seconds": epoch["seconds"],
            "cpu_seconds": processor, "images": BATCH * args.steps}  # fmt: skip


def theirs(args, one, pair, folder):
    """Steps of PyTorch, whose processes are started here."""
    words = [args.python, PEER, "--arch", ARCH, "--batch", BATCH, "--threads", 2 // one.processes]
    words += ["--steps", args.peer_steps, "--layout", args.layout, "--hook", {"fp32": "none"}.get(one.wire, one.wire)]
    env, output = environment({}), folder / "peer.json"
    if one.processes == 2:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env |= {"WORLD_SIZE": "2", "MASTER_PORT": str(port), "MASTER_ADDR": ADDRESSES[0] if pair else "127.0.0.1",
                "GLOO_SOCKET_IFNAME": pair.device if pair else "lo"}  # fmt: skip
    with output.open("w") as file:
        finish([
            started(pair.within(rank, words) if pair and one.processes == 2 else words, env | {"RANK": str(rank)}, file)
            for rank in range(one.processes)
        ])  # fmt: skip
    return json.loads(output.read_text()) | {"images": BATCH * args.peer_steps}


def measure(args, pair, records, keep):
    all_of_them = list(contestants(args))
    for number in range(args.rounds):
        turn = number % len(all_of_them)
        for one in all_of_them[turn:] + all_of_them[:turn]:
            with tempfile.TemporaryDirectory(prefix="distributed-") as folder:
                record = (ours if one.tool == "resnet" else theirs)(args, one, pair, Path(folder))
            where = {"name": one.name, "tool": one.tool, "wire": one.wire, "processes": one.processes,
                     "link": args.rate if pair else None, "round": number}  # fmt: skip
            records.append(where | record)
            keep()
            say(f"{one.name} {one.wire}: {record['images_per_second']:.1f} images/s, "
                f"{record['cpu_seconds']:.1f} CPU s")  # fmt: skip


def efficiencies(records, rows, alone):
    """Of a contestant in each round, by its program's one process in that round."""
    rates = {row["round"]: row["images_per_second"] for row in records if row["name"] == alone}
    return [row["images_per_second"] / rates[row["round"]] for row in rows]


def table(args, records):
    print("| | processes x threads | wire | images/s | ms a step | CPU s for 1,000 images | efficiency |")
    print("|---|---|---|--:|--:|--:|--:|")
    for one in contestants(args):
        rows = [row for row in records if row["name"] == one.name and row["wire"] == one.wire]
        median = {name: statistics.median(row[name] for row in rows) for name in ("images_per_second", "ms_per_step")}
        processor = statistics.median(1e3 * row["cpu_seconds"] / row["images"] for row in rows)
        share = statistics.median(efficiencies(records, rows, one.tool))
        wire = one.wire if one.launcher else ""
        print(f"| {one.name} | {one.processes} x {2 // one.processes} | {wire} | {median['images_per_second']:.1f} "
              f"| {median['ms_per_step']:.0f} | {processor:.2f} | {100 * share:.0f}% |")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release/resnet")
    parser.add_argument("--python", help="interpreter that has torch [default: no PyTorch]")
    parser.add_argument("--launchers", default="openmpi", help="openmpi (default), mpich, or both with a comma")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="of an epoch of ours [default: 40]")
    parser.add_argument("--peer-steps", type=int, default=15, help="of PyTorch's [default: 15]")
    parser.add_argument("--layout", choices=("contiguous_format", "channels_last"), default="channels_last")
    parser.add_argument("--data", choices=DATASET_IMAGES, default="synthetic")
    parser.add_argument("--data-dir", type=Path, help="where data sets are kept")
    parser.add_argument("--namespaces", action="store_true", help="two namespaces with a link between them; needs root")
    parser.add_argument("--rate", default="1gbit", help="of the link, in each direction [default: 1gbit]")
    parser.add_argument("--out", type=Path, help="every figure [default: target/distributed-TIME.json]")
    args = parser.parse_args()
    args.bin, args.launchers = args.bin.resolve(), args.launchers.split(",")
    if unknown := set(args.launchers) - set(LAUNCHERS):
        parser.error(f"--launchers {unknown.pop()}: expected one or more of {','.join(LAUNCHERS)}")
    if absent := missing(args.launchers):
        parser.error(f"no mpirun.{absent[0]} here (Debian: openmpi-bin, mpich)")
    if BATCH * args.steps > DATASET_IMAGES[args.data]:
        parser.error(f"--steps: {args.data} has images for {DATASET_IMAGES[args.data] // BATCH} steps")
    # So that a link is removed whatever ends the program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    out = args.out or ROOT / f"target/distributed-{datetime.now():%Y%m%d-%H%M%S}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    records = []
    with contextlib.ExitStack() as stack:
        pair = None
        if args.namespaces:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="distributed-"))
            pair = stack.enter_context(Pair(Path(folder), args.rate))
        measure(args, pair, records, lambda: out.write_text(json.dumps(records, indent=1)))
    table(args, records)


if __name__ == "__main__":
    try:
        main()
    except (Failed, Failure) as fault:
        sys.exit(str(fault))
