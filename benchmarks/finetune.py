"""Fine-tuning on photos: wrong labels, and a frozen backbone. transfer.py compares accuracy and time with PyTorch.

    python3 benchmarks/finetune.py suspects PHOTOS    labels that were changed on purpose
    python3 benchmarks/finetune.py frozen PHOTOS      seconds with a frozen backbone

PHOTOS has a folder for each class. The weights to start from are those of the demo network, a ResNet-20 trained on
CIFAR-10, or of a run (--start). Prints Markdown tables.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from photos import epochs, run

# The network, and the size of the photos.
SIZE = ["--arch", "resnet20", "--image-size", 32]
# The share of labels that are changed, and how many suspects are looked at.
CHANGED, FIRST = 0.05, 100


def classes(photos):
    """The photos of each class, shuffled."""
    folders = sorted(path for path in photos.iterdir() if path.is_dir())
    shuffled = random.Random(0)
    found = {folder.name: sorted(folder.iterdir()) for folder in folders}
    for files in found.values():
        shuffled.shuffle(files)
    return found


def copy(files, folder):
    folder.mkdir(parents=True)
    for file in files:
        shutil.copy(file, folder)


def suspects(args, folder):
    """Moves some photos to the folders of other classes, and looks for them."""
    found, chance = classes(args.photos), random.Random(1)
    everything = [(name, file) for name, files in found.items() for file in files]
    moved = set(chance.sample(range(len(everything)), round(CHANGED * len(everything))))
    photos, wrong = folder / "mislabelled", set()
    shutil.rmtree(photos, ignore_errors=True)
    for index, (name, file) in enumerate(everything):
        label = name if index not in moved else chance.choice([other for other in found if other != name])
        (photos / label).mkdir(parents=True, exist_ok=True)
        copied = photos / label / f"{name}-{file.name}"
        shutil.copy(file, copied)
        if index in moved:
            wrong.add(copied.resolve())
    print(f"{len(wrong)} of {len(everything)} labels are wrong.")
    print("| share for validation | suspects | wrong among the first 100 | wrong among all |")
    print("|--:|--:|--:|--:|")
    for share in args.shares:
        listed = []
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory(dir=folder) as runs:
                out = Path(runs) / "run"
                run([args.bin, "train", photos, *SIZE, "--init", args.start, "--seed", seed,
                     "--validation", share, "--ui", "log", "--out", out])  # fmt: skip
                lines = run([args.bin, "data", "suspects", out, "--json"])[0].splitlines()
            paths = [Path(json.loads(line)["path"]) for line in lines]
            is_wrong = [(photos / path).resolve() in wrong for path in paths]
            listed.append((len(paths), sum(is_wrong[:FIRST]), sum(is_wrong)))
        columns = [", ".join(map(str, column)) for column in zip(*listed)]
        print(f"| {share} | {' | '.join(columns)} |", flush=True)


def frozen(args, folder):
    """A ResNet-18 at 224 pixels of which only the classifier trains; its weights do not matter for the time."""
    start = folder / "resnet18"
    if not start.exists():
        run([args.bin, "train", "synthetic", "--arch", "resnet18", "--image-size", 64, "--epochs", 1,
             "--limit-train", 8, "--limit-test", 4, "--ui", "log", "--out", start])  # fmt: skip
    print("| `--freeze backbone` | seconds of a run | seconds of each epoch |")
    print("|---|--:|---|")
    for augment in ("none", "crop"):
        with tempfile.TemporaryDirectory(dir=folder) as runs:
            out = Path(runs) / "run"
            seconds = run([args.bin, "train", args.photos, "--init", start, "--freeze", "backbone", "--augment",
                           augment, "--epochs", args.epochs, "--ui", "log", "--out", out])[1]  # fmt: skip
            each = ", ".join(f"{row['seconds']:.2f}" for row in epochs(out))
        print(f"| `--augment {augment}` | {seconds:.1f} | {each} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bin", type=Path, default="target/release/resnet")
    parser.add_argument("--folder", type=Path, help="where everything is kept [default: a temporary folder]")
    verbs = parser.add_subparsers(required=True)
    for do in (suspects, frozen):
        verb = verbs.add_parser(do.__name__)
        verb.add_argument("photos", type=Path)
        verb.add_argument("--start", default="demo", help="a model of the architecture")
        verb.add_argument("--seeds", type=int, default=1)
        verb.add_argument("--shares", nargs="+", default=["0.2", "0.5"], help="of photos for validation")
        verb.add_argument("--epochs", type=int, default=5)
        verb.set_defaults(do=do)
    args = parser.parse_args()
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        args.do(args, args.folder)
    else:
        with tempfile.TemporaryDirectory(prefix="finetune-") as folder:
            args.do(args, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
