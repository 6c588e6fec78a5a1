#!/usr/bin/env python3
"""Compares `resnet serve` with FastAPI (uvicorn) and LitServe, both with ONNX Runtime, all in fp32.

    python3 benchmarks/serve.py --python PYTHON          all of it, in some 15 minutes
    python3 benchmarks/serve.py --python PYTHON --rounds 1 --seconds 1

PYTHON has fastapi, uvicorn[standard], litserve, onnxruntime, numpy and Pillow; `wrk` sends the requests
(Debian's package of that name). In each round every service is started, warmed up and measured at each number
of connections, and the next round begins with another one. All processes, wrk too, share the cores of --cores.
A peer is tried in several settings; those that are best nowhere are left out after the first round. Prints a
Markdown table of medians, and keeps every figure in target/serve-TIME.json.
"""

import argparse
import base64
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from photos import MAKER

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).parent / "peers"
CLOSE = 0.95  # of the best setting: others below are left out


@dataclass
class Net:
    name: str
    model: Path
    photo: Path
    side: int
    resize: int | None
    mean: str
    std: str
    words: list = field(default_factory=list)  # of `resnet serve`


@dataclass
class Contestant:
    """A service in one setting."""

    tool: str
    setting: str
    command: list
    environment: dict
    in_json: bool = False  # it takes photos in base64 only


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(*command):
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


def nets(args, folder):
    """The networks and photos: the demo with a photo of CIFAR-10, ResNet-18 with random weights and a JPEG."""
    demo, large, run18 = folder / "demo.onnx", folder / "resnet18.onnx", folder / "run18"
    run(args.bin, "convert", "demo", demo)
    few = ["--epochs", 1, "--lr", 1e-5, "--limit-train", 4, "--limit-test", 2, "--batch-size", 2, "--quiet"]
    run(args.bin, "train", "synthetic", "--arch", "resnet18", *few, "--out", run18)
    run(args.bin, "convert", run18, large)
    run(args.python, "-c", MAKER, folder / "photos", 1, 500, 375)
    jpeg = next((folder / "photos").rglob("*.jpg"))
    cifar = ("0.4914,0.4822,0.4465", "0.2023,0.1994,0.2010")
    imagenet = ("0.485,0.456,0.406", "0.229,0.224,0.225")
    crop = ["--resize", "256", "--crop", "224", "--mean", imagenet[0], "--std", imagenet[1]]
    norm = ["--mean", cifar[0], "--std", cifar[1]]
    return [
        Net("demo, 32x32 PNG", demo, ROOT / "docs/photos/cat.png", 32, None, *cifar, norm),
        Net("resnet18, 500x375 JPEG", large, jpeg, 224, 256, *imagenet, crop),
    ]


def contestants(args, net, port):
    threads = len(args.cores)
    environment = {
        "MODEL": net.model, "SIDE": net.side, "RESIZE": net.resize or "", "MEAN": net.mean, "STD": net.std,
    }  # fmt: skip
    ours = [args.bin, "serve", net.model, "--port", port, "--threads", threads, "--quiet", *net.words]
    yield Contestant("resnet", "", ours, {})
    uvicorn = [args.python, "-m", "uvicorn", "fastapi_peer:app", "--app-dir", PEERS, "--port", port]
    uvicorn += ["--no-access-log", "--log-level", "warning"]
    settings = [(1, threads)] if threads == 1 else [(1, threads), (threads, 1)]
    for workers, each in settings:
        for pool in (0, 1):
            name = f"{workers} x {each} threads" + (", pool" if pool else "")
            more = environment | {"THREADS": each, "POOL": pool}
            yield Contestant("FastAPI", name, [*uvicorn, "--workers", workers], more)
    if not args.no_litserve:
        for workers, each in settings:
            command = [args.python, PEERS / "litserve_peer.py", port, workers]
            name = f"{workers} x {each} threads"
            yield Contestant("LitServe", name, command, environment | {"THREADS": each}, in_json=True)


@contextlib.contextmanager
def service(contestant, port):
    """Runs a service until the end of the block, with all the processes that it starts."""
    environment = os.environ | {name: str(value) for name, value in contestant.environment.items()}
    process = subprocess.Popen(
        list(map(str, contestant.command)), env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                break
            if process.poll() is not None:
                sys.exit(f"{contestant.tool} ({contestant.setting}) does not start")
            time.sleep(0.1)
        else:
            sys.exit(f"{contestant.tool} ({contestant.setting}) is not ready after a minute")
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Its workers outlive it for a moment.
        while is_taken(port):
            time.sleep(0.1)


def is_taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def body(contestant, net, folder):
    """What is sent: the file, and its type."""
    if not contestant.in_json:
        return net.photo, "image/jpeg"
    file = folder / f"{net.photo.name}.json"
    file.write_text(json.dumps({"image": base64.b64encode(net.photo.read_bytes()).decode()}))
    return file, "application/json"


def best_class(port, file, kind):
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/predict", file.read_bytes(), {"Content-Type": kind}
    )
    with urllib.request.urlopen(request) as answer:
        top = json.load(answer)["predictions"][0]["top"][0]
    return top["index"], top["probability"]


def wrk(port, file, kind, connections, seconds):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    command += ["-s", Path(__file__).parent / "post.lua", f"http://127.0.0.1:{port}/v1/predict"]
    environment = os.environ | {"BODY": str(file), "KIND": kind}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=True)
    record = json.loads(done.stdout.rstrip().rpartition("\n")[2])
    if record["failed"]:
        sys.exit(f"{record['failed']} of {record['requests']} requests failed")
    return record


def measure(args, net, folder, records):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    left, expected = list(contestants(args, net, port)), None
    for number in range(args.rounds):
        turn = number % len(left)
        for one in left[turn:] + left[:turn]:
            file, kind = body(one, net, folder)
            with service(one, port):
                found = best_class(port, file, kind)
                expected = expected or found
                if found[0] != expected[0] or abs(found[1] - expected[1]) > 1e-3:
                    sys.exit(f"{one.tool} answers {found}, another {expected}")
                wrk(port, file, kind, 8, min(2, args.seconds))
                for connections in args.connections:
                    record = wrk(port, file, kind, connections, args.seconds)
                    where = {"net": net.name, "tool": one.tool, "setting": one.setting, "round": number + 1}
                    records.append(where | {"connections": connections} | record)
                    say(f"{net.name}, {connections} connections: {one.tool} {one.setting} "
                        f"{record['requests_per_second']:.0f} requests/s, p50 {record['p50_ms']:.2f}, "
                        f"p99 {record['p99_ms']:.2f} ms")  # fmt: skip
        good = {(row["tool"], row["setting"]) for row in chosen(args, net, records, CLOSE)}
        left = [one for one in left if (one.tool, one.setting) in good]


def chosen(args, net, records, share=1.0):
    """Medians of the settings that reach this share of their tool's best, by number of connections."""
    for connections in args.connections:
        groups = {}
        for r in records:
            if r["net"] == net.name and r["connections"] == connections:
                groups.setdefault((r["tool"], r["setting"]), []).append(r)
        rows = [
            {"net": net.name, "connections": connections, "tool": tool, "setting": setting}
            | {name: statistics.median(r[name] for r in group) for name in ("requests_per_second", "p50_ms", "p99_ms")}
            for (tool, setting), group in groups.items()
        ]
        for row in rows:
            rivals = [other["requests_per_second"] for other in rows if other["tool"] == row["tool"]]
            if row["requests_per_second"] >= share * max(rivals):
                yield row


def table(args, all_nets, records):
    print("| net and photo | connections | service | requests/s | p50, ms | p99, ms | resnet's requests/s | p99 |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for net in all_nets:
        rows = list(chosen(args, net, records))
        for row in rows:
            ours = next(r for r in rows if r["tool"] == "resnet" and r["connections"] == row["connections"])
            ratios = "| |"
            if row is not ours:
                faster = ours["requests_per_second"] / row["requests_per_second"]
                ratios = f"| {faster:.2f}x | {ours['p99_ms'] / row['p99_ms']:.2f}x |"
            name = row["tool"] + (f" ({row['setting']})" if row["setting"] else "")
            print(f"| {net.name} | {row['connections']} | {name} | {row['requests_per_second']:,.0f} "
                  f"| {row['p50_ms']:.2f} | {row['p99_ms']:.2f} {ratios}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release/resnet")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers' packages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of a measurement [default: 8]")
    listed = lambda text: [int(part) for part in text.split(",")]
    parser.add_argument("--connections", type=listed, default=[1, 8, 64], help="default: 1,8,64")
    parser.add_argument("--cores", type=listed, default=sorted(os.sched_getaffinity(0))[:2], help="default: two")
    parser.add_argument("--nets", default="", metavar="TEXT", help="only those with this in their name")
    parser.add_argument("--no-litserve", action="store_true")
    parser.add_argument("--out", type=Path, help="every figure, default: target/serve-TIME.json")
    args = parser.parse_args()
    args.bin = args.bin.resolve()
    os.sched_setaffinity(0, args.cores)
    out = args.out or ROOT / f"target/serve-{datetime.now():%Y%m%d-%H%M%S}.json"
    records = []
    with tempfile.TemporaryDirectory(prefix="serve-") as folder:
        measured = [net for net in nets(args, Path(folder)) if args.nets in net.name]
        for net in measured:
            measure(args, net, Path(folder), records)
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(records, indent=1))
    table(args, measured, records)


if __name__ == "__main__":
    main()
