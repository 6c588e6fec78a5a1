"""What pretrained weights are worth on few photos: `resnet`, PyTorch from the same weights, and from scratch.

    python3 benchmarks/transfer.py PHOTOS --python PYTHON
    python3 benchmarks/transfer.py PHOTOS --list                           the cells, and which are measured
    python3 benchmarks/transfer.py PHOTOS --python PYTHON --only '*/10/*'  some of them

PHOTOS has a folder for each class; two more such folders are made of images of Fashion-MNIST and CIFAR-10. A ResNet-20
in fp32 learns 10, 50 and 200 photos of each class (or all but those to judge by), in 32x32 pixels, and is judged by 40
others after its last epoch. It starts from the demo network (CIFAR-10), from one that this program trains on
Fashion-MNIST first, and at random (`none`), for each of three lengths. No start sees photos made of its own images.
PYTHON has torch, torchvision and Pillow. Data sets that are missing are fetched (RESNET_DATA is their folder).

A cell is PHOTOS/NUMBER/START/WHO/SEED. Its figures are added to FOLDER/cells.jsonl when it is measured: run the same
command again after an interruption. Prints the table of all measured cells in Markdown. Run nothing else meanwhile.
"""

import argparse
import fnmatch
import gzip
import json
import os
import random
import shutil
import statistics
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

from finetune import SIZE, classes, copy
from photos import epochs, run, say

PEER = Path(__file__).parent / "peers" / "finetune_peer.py"
# Photos of a class to train on, and how many epochs training from scratch has; the length with the highest mean
# accuracy counts.
NUMBERS = {10: (30, 60, 120), 50: (15, 30, 60), 200: (10, 20, 40)}
# Photos of a class to judge by.
JUDGED = 40
# What is trained first: the data set, and the model. One that there is not is trained for so many epochs.
STARTS = {"cifar10": "demo", "fashion-mnist": None}
START_EPOCHS = 10
NONE = "none"
# Folders of photos that are made: their names, and the data sets of their images.
MADE = {"clothes": "fashion-mnist", "things": "cifar10"}


class Cell(NamedTuple):
    """One training."""

    photos: str
    number: int
    start: str
    who: str  # `resnet`, `pytorch`, or how many epochs from scratch have
    seed: int

    def __str__(self):
        return "/".join(map(str, self))


def cells(args):
    """In an order in which whole rows of the table come early."""
    for photos in (args.photos.name, *MADE):
        for number, lengths in NUMBERS.items():
            for seed in range(args.seeds):
                for start in args.starts:
                    if MADE.get(photos) != start:
                        yield Cell(photos, number, start, "resnet", seed)
                        yield Cell(photos, number, start, "pytorch", seed)
                for length in lengths:
                    yield Cell(photos, number, NONE, f"{length}-epochs", seed)


class Results:
    """The figures of measured cells by their names, in a file that each is added to at once."""

    def __init__(self, file):
        self.file, self.rows = file, {}
        text = file.read_text() if file.exists() else ""
        # A line that is not complete was interrupted.
        complete, _, rest = text.rpartition("\n")
        if rest:
            file.write_text(complete + "\n" if complete else "")
        for line in complete.splitlines():
            row = json.loads(line)
            self.rows[row["cell"]] = row

    def add(self, name, **figures):
        self.rows[name] = row = {"cell": name, **figures}
        with self.file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        say(f"{name}: {row['accuracy']:.2f}% in {row['seconds']:.1f} s")

    def of(self, cell, seeds):
        """The figures of a cell with each seed, as far as they are known."""
        rows = (self.rows.get(str(cell._replace(seed=seed))) for seed in range(seeds))
        return [row for row in rows if row]


def measure(cell, args, results):
    photos, number = split(cell, args)
    run_cell = cell._replace(who="resnet") if cell.who == "pytorch" else cell
    out = args.folder / "runs" / str(run_cell).replace("/", "-")
    if cell.who == "pytorch":
        # It follows the run's recipe, on the same photos.
        if not ((out / "config.toml").exists() and (out / "photos.tsv").exists()):
            measure(run_cell, args, results)
        start = state_dict(cell.start, args, results)
        output, seconds, _ = run([args.python, PEER, out, start, "--threads", args.threads])
        rows = [json.loads(line) for line in output.splitlines()]
    else:
        shutil.rmtree(out, ignore_errors=True)
        if cell.start == NONE:
            how = ["--init", NONE, "--epochs", cell.who.removesuffix("-epochs")]
        else:
            how = ["--init", weights(cell.start, args, results)]
        seconds = train(args, [photos, *SIZE, "--seed", cell.seed, *how], out)
        rows = epochs(out)
        if cell.start == NONE:
            shutil.rmtree(out)
    accuracy = rows[-1]["validation_accuracy"]
    results.add(str(cell), accuracy=accuracy, seconds=seconds, photos=number, version=args.version)


def train(args, what, out):
    """Seconds of the whole program."""
    command = [args.bin, "train", *what, "--dtype", "fp32", "--threads", args.threads, "--ui", "log", "--out", out]
    return run(command)[1]


def weights(start, args, results):
    """The model that training starts from. One that there is not is trained."""
    if args.starts[start]:
        return args.starts[start]
    out, name = args.folder / "starts" / start, f"start/{start}"
    if name not in results.rows or not out.exists():
        shutil.rmtree(out, ignore_errors=True)
        seconds = train(args, [start, *SIZE[:2], "--epochs", START_EPOCHS], out)
        results.add(name, accuracy=epochs(out)[-1]["test_accuracy"], seconds=seconds, version=args.version)
    return out


def state_dict(start, args, results):
    """The same weights for PyTorch."""
    file = args.folder / "starts" / f"{start}.pt"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        run([args.bin, "convert", weights(start, args, results), file])
    return file


def split(cell, args):
    """The folder of photos with those to train on and those to judge by, and how many of a class to train on."""
    found = classes(args.photos if cell.photos == args.photos.name else made(cell.photos, args))
    number = min(cell.number, min(map(len, found.values())) - JUDGED)
    if number < 1:
        sys.exit(f"{cell.photos} needs more than {JUDGED} photos of each class")
    folder = args.folder / "photos" / f"{cell.photos}-{number}"
    if not folder.exists():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        for name, files in found.items():
            copy(files[:JUDGED], begun / "val" / name)
            copy(files[JUDGED:][:number], begun / "train" / name)
        begun.rename(folder)
    return folder, number


def made(photos, args):
    """A folder of photos made of a data set's images."""
    folder = args.folder / "photos" / photos
    if not folder.exists():
        begun, data = folder.with_name(f"{photos}.begun"), MADE[photos]
        shutil.rmtree(begun, ignore_errors=True)
        run([args.bin, "data", "fetch", data])
        source = Path(json.loads(run([args.bin, "data", "info", data, "--json"])[0])["folder"])
        images = {"fashion-mnist": fashion_mnist, "cifar10": cifar10}[data](source)
        random.Random(2).shuffle(images)
        most, counts = JUDGED + max(NUMBERS), {}
        for label, channels, pixels in images:
            counts[label] = number = counts.get(label, 0) + 1
            if number <= most:
                file = begun / str(label) / f"{number:03}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png(channels, pixels))
        begun.rename(folder)
    return folder


def fashion_mnist(folder):
    """The training images with their labels and channels."""

    def content(name):
        packed = folder / f"{name}.gz"
        return gzip.decompress(packed.read_bytes()) if packed.exists() else (folder / name).read_bytes()

    pixels, labels = content("train-images-idx3-ubyte")[16:], content("train-labels-idx1-ubyte")[8:]
    return [(label, 1, pixels[784 * i : 784 * (i + 1)]) for i, label in enumerate(labels)]


def cifar10(folder):
    """The images of the first training file with their labels and channels."""
    data = (folder / "data_batch_1.bin").read_bytes()
    records = (data[at : at + 3073] for at in range(0, len(data), 3073))
    return [(record[0], 3, interleaved(record[1:])) for record in records]


def interleaved(planes):
    size = len(planes) // 3
    pixels = bytearray(len(planes))
    for channel in range(3):
        pixels[channel::3] = planes[channel * size : (channel + 1) * size]
    return bytes(pixels)


def png(channels, pixels):
    """A square picture, grey or RGB."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    side = round((len(pixels) / channels) ** 0.5)
    header = struct.pack(">IIBBBBB", side, side, 8, 0 if channels == 1 else 2, 0, 0, 0)
    row = side * channels
    rows = b"".join(b"\0" + pixels[at : at + row] for at in range(0, len(pixels), row))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def mean(rows):
    return statistics.mean(row["accuracy"] for row in rows)


def median(rows):
    return statistics.median(row["seconds"] for row in rows)


def accuracies(rows, more=""):
    each = ", ".join(f"{row['accuracy']:.2f}" for row in rows)
    return f"**{mean(rows):.2f}** ({each}{more})" if rows else ""


def table(args, results):
    """Markdown: a row for each number of photos and start."""
    print("| photos | a class | start | `resnet` | PyTorch | points | from scratch | seconds | PyTorch's | |")
    print("|---|--:|---|---|---|--:|---|--:|--:|--:|")
    rows = dict.fromkeys(cell[:3] for cell in cells(args) if cell.start != NONE)
    for photos, number, start in rows:
        ours, theirs = (results.of(Cell(photos, number, start, who, 0), args.seeds) for who in ("resnet", "pytorch"))
        if not ours:
            continue
        lengths = {length: results.of(Cell(photos, number, NONE, f"{length}-epochs", 0), args.seeds)
                   for length in NUMBERS[number]}  # fmt: skip
        lengths = {length: found for length, found in lengths.items() if found}
        scratch = ""
        if lengths:
            best = max(lengths, key=lambda length: mean(lengths[length]))
            tried = ", ".join(f"**{length}**" if length == best else str(length) for length in lengths)
            scratch = accuracies(lengths[best], f"; {tried} epochs")
        points, seconds, their_seconds, ratio = "", median(ours), "", ""
        if theirs:
            points, their_seconds = f"{mean(ours) - mean(theirs):+.2f}", f"{median(theirs):.1f}"
            ratio = f"{median(theirs) / seconds:.1f}x"
        columns = [photos, ours[0]["photos"], start, accuracies(ours), accuracies(theirs), points, scratch]
        columns += [f"{seconds:.1f}", their_seconds, ratio]
        print(f"| {' | '.join(map(str, columns))} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("--bin", type=Path, default=Path("target/release/resnet"))
    parser.add_argument("--python", help="an interpreter with torch [default: no PyTorch]")
    parser.add_argument("--folder", type=Path, default=Path("target/transfer"), help="where everything is kept")
    parser.add_argument("--only", default="*", metavar="CELL,...", help="cells, with * for anything")
    parser.add_argument("--list", action="store_true", help="list the cells, and measure nothing")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both programs")
    parser.add_argument("--start", action="append", default=[], metavar="NAME=MODEL",
                        help="other weights of a resnet20, or those of cifar10 or fashion-mnist")  # fmt: skip
    args = parser.parse_args()
    args.bin, args.photos, args.folder = (path.resolve() for path in (args.bin, args.photos, args.folder))
    args.starts = STARTS | dict(start.split("=", 1) for start in args.start)
    if args.photos.name in MADE:
        parser.error(f"a folder of photos cannot have the name of one that is made: {args.photos.name}")
    (args.folder / "runs").mkdir(parents=True, exist_ok=True)
    (args.folder / "photos").mkdir(exist_ok=True)
    results = Results(args.folder / "cells.jsonl")
    only = args.only.split(",")
    chosen = [cell for cell in cells(args) if any(fnmatch.fnmatchcase(str(cell), pattern) for pattern in only)]
    if not chosen:
        parser.error(f"--only {args.only}: no cell has such a name (--list)")
    if args.list:
        for cell in chosen:
            print(f"{'measured' if str(cell) in results.rows else '':<10}{cell}")
        return
    args.version = run([args.bin, "--version"])[0].strip()
    for number, cell in enumerate(chosen):
        if str(cell) not in results.rows and (args.python or cell.who != "pytorch"):
            say(f"cell {number + 1} of {len(chosen)}: {cell}")
            measure(cell, args, results)
    if len(versions := {row["version"] for row in results.rows.values()}) > 1:
        say(f"the cells are of different builds: {', '.join(sorted(versions))}")
    table(args, results)


if __name__ == "__main__":
    sys.exit(main())
