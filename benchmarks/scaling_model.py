#!/usr/bin/env python3
"""Predicts the efficiency of training on many machines, as a stated model of a step. Measures nothing.

    python3 benchmarks/scaling_model.py
    python3 benchmarks/scaling_model.py --images-per-second 152 --measured '1 GbE:fp32:78' --measured '1 GbE:bf16:90'

prints the Markdown tables of docs/cluster.md. Efficiency is the time of a step of one process alone by that of a step
among N, both with the same images a process. The points of --measured are of two processes of one core each that share
a batch of 128 images (benchmarks/distributed.py --namespaces), of a ResNet-18 for CIFAR-10 whose one process of two
threads trains on --images-per-second; their table has what the model says next to them.
"""

import argparse
import math
from dataclasses import dataclass

# Gradients are handed over in buckets of so many bytes (fp32) as they become final; each is reduced in two phases, in
# which each process sends a message to each other one: pieces to the process that adds them, and the sums back.
BUCKET = 4e6
PHASES = 2
# Share of a step's computation during which buckets can be under way. Backward is some two thirds of a step, and
# begins with the last layers, which have the most parameters.
HIDING = 0.6
# Core-seconds that a process takes to send, receive, add and copy a GB that it sends: a reduction of 44.7 MB by two
# processes over TCP took each of them 37 ms.
CORE_SECONDS_A_GB = 0.8
# Core-seconds for a message however small, of the kernel and the library; assumed, of TCP.
MESSAGE = 5e-6
# Of what a link carries: 1,448 bytes in a frame of 1,538 with all headers and the gap (TCP over Ethernet, MTU 1,500).
PAYLOAD = 1448 / 1538


@dataclass(frozen=True)
class Network:
    name: str
    bits: float  # a second, in each direction
    latency: float  # seconds from one process to another; assumed, of TCP through one switch


@dataclass(frozen=True)
class Node:
    """A process, alone on its machine."""

    name: str
    gradient: float  # bytes of all gradients in fp32: 4 times the parameters
    rate: float  # images/s alone
    batch: float  # images of a process in a step
    cores: int


NETWORKS = (
    Network("1 GbE", 1e9, 50e-6),
    Network("10 GbE", 10e9, 30e-6),
    Network("25 GbE", 25e9, 20e-6),
    Network("100 GbE", 100e9, 10e-6),
)
WIRES = {"fp32": 1.0, "bf16": 0.5}
COLUMNS = (("1 GbE", "fp32"), ("1 GbE", "bf16"), ("10 GbE", "fp32"), ("10 GbE", "bf16"), ("25 GbE", "fp32"),
           ("25 GbE", "bf16"), ("100 GbE", "fp32"))  # fmt: skip
SIZES = (2, 8, 64, 1000)
RESNET18, RESNET50 = 4 * 11_173_962, 4 * 25_557_032
# The rates on two cores are those of docs/benchmarks.md; those on 32 cores are assumed.
NODES = (
    Node("ResNet-18 CIFAR, 256 images/s (2 cores, bf16), 128 images", RESNET18, 256, 128, 2),
    Node("ResNet-18 CIFAR, 3,000 images/s (32 cores), 128 images", RESNET18, 3000, 128, 32),
    Node("ResNet-18 CIFAR, 3,000 images/s (32 cores), 512 images", RESNET18, 3000, 512, 32),
    Node("ResNet-50 at 224, 9 images/s (2 cores, fp32), 16 images", RESNET50, 9, 16, 2),
    Node("ResNet-50 at 224, 250 images/s (32 cores), 32 images", RESNET50, 250, 32, 32),
    Node("ResNet-50 at 224, 250 images/s (32 cores), 128 images", RESNET50, 250, 128, 32),
)
# One batch of all processes together, however many there are.
FIXED_BATCH = 1024
FIXED_SIZES = (2, 8, 32, 128)


def efficiency(node, network, wire, processes):
    """The step of one process by the step among so many."""
    compute = node.batch / node.rate
    others = processes - 1
    sent = PHASES * others / processes * node.gradient * WIRES[wire]
    buckets = math.ceil(node.gradient / BUCKET)
    messages = PHASES * others * buckets
    moving = sent / (network.bits / 8 * PAYLOAD) + messages * MESSAGE
    # Nothing is left to compute while the last bucket moves.
    last = moving / buckets + PHASES * network.latency
    exposed = last + max(0.0, moving - moving / buckets - HIDING * compute)
    # A small message of each process to process 0, and its answer: the loss, and whether to stop.
    agreeing = 2 * (others * MESSAGE + network.latency)
    processor = (sent / 1e9 * CORE_SECONDS_A_GB + messages * MESSAGE) / node.cores
    return compute / (compute + exposed + agreeing + processor)


def network_named(name):
    return next(network for network in NETWORKS if network.name == name)


def rows(title, nodes, sizes):
    """A table with a row for each node; `nodes` gives it for a number of processes."""
    print(f"| {title} | " + " | ".join(f"{network} {wire}" for network, wire in COLUMNS) + " |")
    print("|---|" + "--:|" * len(COLUMNS))
    for name, node_of in nodes:
        cells = []
        for network, wire in COLUMNS:
            shares = [efficiency(node_of(size), network_named(network), wire, size) for size in sizes]
            cells.append(" / ".join(f"{100 * share:.0f}" for share in shares))
        print(f"| {name} | {' | '.join(cells)} |")
    print()


def point(text):
    """NETWORK:WIRE:PERCENT."""
    parts = text.split(":")
    names = [network.name for network in NETWORKS]
    if len(parts) != 3 or parts[0] not in names or parts[1] not in WIRES:
        raise argparse.ArgumentTypeError(f"{text}: expected NETWORK:WIRE:PERCENT, such as '1 GbE:fp32:78'")
    return network_named(parts[0]), parts[1], float(parts[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=point, action="append", default=[], metavar="NETWORK:WIRE:PERCENT")
    parser.add_argument("--images-per-second", type=float, metavar="X", help="of one process with two threads")
    args = parser.parse_args()
    if args.measured and not args.images_per_second:
        parser.error("--measured needs --images-per-second")
    sizes = " / ".join(f"{size:,}" for size in SIZES)
    rows(f"percent at {sizes} nodes, images of each", [(node.name, lambda _, node=node: node) for node in NODES], SIZES)
    fixed = [
        (f"ResNet-50 at 224, {rate} images/s", lambda size, rate=rate, cores=cores: Node(
            "", RESNET50, rate, FIXED_BATCH / size, cores))
        for rate, cores in ((9, 2), (250, 32))
    ]  # fmt: skip
    sizes = " / ".join(f"{size:,}" for size in FIXED_SIZES)
    rows(f"percent at {sizes} nodes, {FIXED_BATCH:,} images of all", fixed, FIXED_SIZES)
    if args.measured:
        half = Node("", RESNET18, args.images_per_second / 2, 64, 1)
        print("| network | wire | predicted | measured |")
        print("|---|---|--:|--:|")
        for network, wire, measured in args.measured:
            print(f"| {network.name} | {wire} | {100 * efficiency(half, network, wire, 2):.0f}% | {measured:.0f}% |")


if __name__ == "__main__":
    main()
