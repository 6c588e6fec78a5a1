"""Whether training and inference in bfloat16 hold on uneven networks, with PyTorch's CPU autocast as peer.

scripts/check-bf16 runs it.

Gradients of 128 training images of CIFAR-10, in training mode, are compared with those that PyTorch
computes in float64: |g - g64| / |g64| of each tensor (median and worst) and the cosine over all. None may
be further off than autocast's by more than a tenth. Of the first 2,000 test images as many must be
classified rightly as in fp32, to within five; also by nets that are softly pruned: half of all 3x3 kernels
are multiplied by 1e-4, and the rest trained on for a while. situations.py says what else is changed;
`direct` is bf16 without Winograd's algorithm, for comparison. Ends with 1 where something does not hold.

The ResNet-20 is one by others, of the tests; the ResNet-56 is trained here, once. Others are taken from
run folders and files of any form that `resnet` reads; their images are normalised with --mean and --std."""
import argparse
import fnmatch
import hashlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "golden"))
from make_golden import PaperCifarNet
from situations import GRADIENTS, SMALL, pruned

BATCH, TESTED = 128, 2000
# Times autocast's figure, and on top of that, are allowed; images more or less than in fp32.
TENTH, SLACK, IMAGES = 1.1, 0.005, 5
EPOCHS = 2
# What pruned nets train on.
TUNED = 10_000
# Of these nets, whole or softly pruned, images that are classified rightly are counted.
ACCURACY = {f"{how}-{arch}": (arch, how == "pruned")
            for how in ("whole", "pruned") for arch in ("resnet20", "resnet56")}
OURS = {"bf16": ("bf16", "fastest"), "direct": ("bf16", "direct")}

here = pathlib.Path(__file__).resolve().parent
project = here.parents[3]
PRETRAINED = here.parent / "pretrained/resnet20-12fca82f.th"
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
home = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", project / "target")).resolve() / "bf16"


def cargo(*args, **options):
    return subprocess.run(["cargo", *args], cwd=project, check=True, **options)


def resnet(*args, **options):
    return cargo("run", "--quiet", "--package", "resnet-cli", "--", *map(str, args), **options)


class Cifar10:
    """Images in [0, 1], [n, 3, 32, 32], and labels."""

    def __init__(self):
        info = ["data", "info", "cifar10", "--json"]
        about = json.loads(resnet(*info, stdout=subprocess.PIPE).stdout)
        if not about["present"]:
            resnet("data", "fetch", "cifar10")
        self.folder = pathlib.Path(about["folder"])
        self.normalisation = about["normalisation"]["mean"], about["normalisation"]["std"]

    def first(self, file, count):
        with open(self.folder / file, "rb") as stream:
            records = torch.frombuffer(bytearray(stream.read(3073 * count)), dtype=torch.uint8)
        records = records.view(count, 3073)
        return records[:, 1:].reshape(count, 3, 32, 32) / 255, records[:, 0].long()


def train(arch, folder):
    """The run folder of a net that is trained here, unless it is there."""
    run = folder / arch
    settings = ["--arch", arch, "--epochs", EPOCHS, "--dtype", "fp32", "--out", run]
    start = ["--resume", run] if run.exists() else ["cifar10", *settings]
    resnet("train", *start, stdout=sys.stderr)
    return run


class Net:
    """A trained net of the paper's family, and a place for files of it."""

    def __init__(self, arch, model, folder, scratch, normalisation):
        self.arch, self.folder, self.scratch = arch, folder, scratch
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in normalisation)
        self.file = scratch / f"{arch}.safetensors"
        resnet("convert", "--quiet", model, self.file, "--arch", arch, stdout=sys.stderr)
        self.state = load_file(self.file)

    def normalised(self, images):
        return (images - self.mean) / self.std

    def soft(self, images, labels):
        """The state dict after soft pruning, which is kept in the folder: the net, and further training."""
        digest = hashlib.sha256(self.file.read_bytes()).hexdigest()[:8]
        file = self.folder / f"{self.arch}-{digest}-pruned.safetensors"
        if not file.exists():
            state, small = dict(self.state), pruned(self.state)
            names = [name for name, _ in self.module(state).named_parameters()]
            learns = {f"learns.{name}": torch.ones_like(state[name]) for name in names}
            for name, where in small.items():
                state[name] = torch.where(where, SMALL * state[name], state[name])
                learns[f"learns.{name}"] *= ~where
            tuned = self.ours("trained", "fp32", "fastest", state, self.normalised(images), labels, **learns)
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tuned, file)
        return load_file(file)

    def changed(self, change, images, labels):
        """State dict, normalised images and labels, after a change."""
        state = {key: tensor.clone() for key, tensor in self.state.items()}
        x, y = self.normalised(images), labels.clone()
        change(state, x, y)
        return state, x, y

    def module(self, state):
        module = PaperCifarNet((int(self.arch.removeprefix("resnet")) - 2) // 6)
        module.load_state_dict(state)
        return module

    def ours(self, what, dtype, algorithms, state, x, y, **more):
        """What the library computes."""
        network, batch, out = (self.scratch / f"{name}.safetensors" for name in ("net", "batch", "out"))
        save_file(state, network)
        save_file({"input": x, "target": y, **more}, batch)
        files = map(str, (network, batch, out))
        example = ["--package", "resnet", "--example", "compute"]
        cargo("run", "--quiet", *example, "--", what, dtype, algorithms, self.arch, *files)
        return load_file(out)

    def gradients(self, state, x, y, dtype=torch.float32, autocast=False):
        """What PyTorch computes, in a dtype or under autocast."""
        module = self.module(state).train().to(dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(module(x.to(dtype)), y)
        loss.backward()
        return {name: parameter.grad for name, parameter in module.named_parameters()}

    def logits(self, state, x):
        """What PyTorch computes under autocast."""
        module = self.module(state).eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return torch.cat([module(part) for part in x.split(BATCH)]).float()


def off(got, want):
    """How far gradients are from those in float64."""
    errors = []
    along = square = square64 = 0.0
    for name, g64 in want.items():
        g = got[name]
        assert g.shape == g64.shape and g.isfinite().all(), name
        errors.append(((g - g64).norm() / g64.norm()).item())
        along += (g * g64).sum().item()
        square += g.square().sum().item()
        square64 += g64.square().sum().item()
    cosine = along / (square * square64) ** 0.5
    return {"median": statistics.median(errors), "worst": max(errors), "cosine": cosine}


def near(ours, peer):
    allowed = lambda error: TENTH * error + SLACK
    distances = [(ours[key], peer[key]) for key in ("median", "worst")]
    distances.append((1 - ours["cosine"], 1 - peer["cosine"]))
    return all(error <= allowed(theirs) for error, theirs in distances)


def compare_gradients(net, change, images, labels):
    parts = [net.changed(change, *part) for part in zip(images.split(BATCH), labels.split(BATCH))]

    def gradients(compute):
        """Those of all batches, one long vector for each tensor."""
        found = [compute(*part) for part in parts]
        return {name: torch.cat([each[name].double().flatten() for each in found]) for name in found[0]}

    g64 = gradients(lambda *part: net.gradients(*part, dtype=torch.float64))
    ours = {way: gradients(lambda *part: net.ours("gradients", *OURS[way], *part)) for way in OURS}
    ours["autocast"] = gradients(lambda *part: net.gradients(*part, autocast=True))
    figures = {way: off(got, g64) for way, got in ours.items()}
    return figures, near(figures["bf16"], figures["autocast"])


def compare_accuracy(net, state, images, y):
    x = net.normalised(images)
    right = lambda logits: (logits.argmax(1) == y).sum().item()
    ways = {"fp32": ("fp32", "fastest"), **OURS}
    figures = {way: right(net.ours("logits", *of, state, x, y)["logits"]) for way, of in ways.items()}
    figures["autocast"] = right(net.logits(state, x))
    return figures, abs(figures["bf16"] - figures["fp32"]) <= IMAGES


class Table:
    """Markdown, row by row."""

    def __init__(self, first, columns, cell):
        self.columns, self.cell = columns, cell
        print(f"\n| {first} | {' | '.join(columns)} | holds |")
        print("|---|" + "--:|" * len(columns) + "---|", flush=True)

    def row(self, name, figures, holds):
        cells = " | ".join(self.cell(figures[column]) for column in self.columns)
        print(f"| {name} | {cells} | {'yes' if holds else '**no**'} |", flush=True)


def arguments():
    parser = argparse.ArgumentParser(
        prog="check-bf16", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    path = lambda text: pathlib.Path(text).resolve()
    floats = lambda text: [float(word) for word in text.split(",")]
    parser.add_argument("--folder", type=path, default=home, help="of what is trained here")
    parser.add_argument("--resnet20", type=path, metavar="MODEL", help="another ResNet-20")
    parser.add_argument("--resnet56", type=path, metavar="MODEL", help="another ResNet-56")
    parser.add_argument("--mean", type=floats, metavar="R,G,B", help="as of `resnet eval`")
    parser.add_argument("--std", type=floats, metavar="R,G,B")
    parser.add_argument("--batches", type=int, default=1, metavar="N",
                        help="of which gradients are taken together, against chance")
    parser.add_argument("--isa", metavar="SET", help="instruction set, as RESNET_ISA")
    parser.add_argument("--only", action="append", metavar="NAME", help="situations; may be a pattern")
    parser.add_argument("--json", type=path, metavar="FILE", help="also writes all figures there")
    options = parser.parse_args()
    every = [*GRADIENTS, *ACCURACY]
    for pattern in options.only or []:
        if not fnmatch.filter(every, pattern):
            parser.error(f"no situation is called {pattern}; there are: {', '.join(every)}")
    options.names = [n for n in every if any(fnmatch.fnmatch(n, p) for p in options.only or ["*"])]
    return options


def main():
    options = arguments()
    if options.isa:
        os.environ["RESNET_ISA"] = options.isa
    torch.set_num_threads(os.cpu_count())  # make_golden.py takes one
    cargo("build", "--quiet", "--package", "resnet", "--example", "compute")
    cifar = Cifar10()
    results, nets = {}, {}

    def net(arch):
        if arch not in nets:
            model, normalisation = getattr(options, arch), cifar.normalisation
            if model:
                normalisation = options.mean or normalisation[0], options.std or normalisation[1]
            elif arch == "resnet20":
                model, normalisation = PRETRAINED, IMAGENET
            else:
                model = train(arch, options.folder)
            nets[arch] = Net(arch, model, options.folder, pathlib.Path(scratch), normalisation)
        return nets[arch]

    def row(table, name, figures, holds):
        results[name] = {**figures, "holds": holds}
        table.row(name, figures, holds)

    with tempfile.TemporaryDirectory() as scratch:
        gradients = [name for name in options.names if name in GRADIENTS]
        if gradients:
            batch = cifar.first("data_batch_1.bin", BATCH * options.batches)
            cell = lambda f: f"{f['median']:.3f} / {f['worst']:.3f} / {f['cosine']:.4f}"
            table = Table("median / worst / cosine", [*OURS, "autocast"], cell)
            for name in gradients:
                row(table, name, *compare_gradients(net("resnet20"), GRADIENTS[name], *batch))
        accuracy = [name for name in options.names if name in ACCURACY]
        if accuracy:
            batch, tuned = cifar.first("test_batch.bin", TESTED), cifar.first("data_batch_2.bin", TUNED)
            for name in accuracy:  # what trains says so, above the table
                net(ACCURACY[name][0])
            table = Table(f"right of {TESTED:,}", ["fp32", *OURS, "autocast"], str)
            for name in accuracy:
                arch, soft = ACCURACY[name]
                state = net(arch).soft(*tuned) if soft else net(arch).state
                row(table, name, *compare_accuracy(net(arch), state, *batch))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    failed = [name for name, found in results.items() if not found["holds"]]
    print(f"\n{len(results)} situations, {len(failed)} do not hold" + "".join(f"\n- {n}" for n in failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
