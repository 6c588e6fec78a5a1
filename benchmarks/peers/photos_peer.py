"""Trains on a run's photos by the run's recipe, in PyTorch with torchvision's loader.

    python photos_peer.py RUN [--dtype bf16] [--workers 2] [--loader-only]

RUN is a run folder of `resnet train PHOTOS`: its config.toml is the recipe, its photos.tsv the split.
Prints a line of JSON for each epoch: its seconds, images/s and validation accuracy. With
--loader-only the loader runs alone.
"""

import argparse
import json
import time
import tomllib
from pathlib import Path

import nets
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import default_loader

# What the recipe may have besides the settings that this program follows.
SETTINGS = {
    "name", "batch_size", "dtype", "lr", "label_smoothing", "init", "identity", "head_scale",
    "batch_norm_momentum", "length", "sgd", "schedule", "augment", "transform",
}  # fmt: skip


class Photos(Dataset):
    """The photos of a part of the run, with torchvision's transforms."""

    def __init__(self, run, config, part):
        rows = [line.split("\t")[:3] for line in (run / "photos.tsv").read_text().splitlines()]
        data, self.root = config["data"], Path(config["data"]["name"])
        self.photos = [(path, int(label)) for kind, label, path in rows if kind == part]
        size = data["image_size"]
        if part == "train":
            crop = [transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip()]
        else:
            crop = [transforms.Resize(data["photos"]["resize"]), transforms.CenterCrop(size)]
        normalise = transforms.Normalize(**data["normalisation"])
        self.transform = transforms.Compose([*crop, transforms.ToTensor(), normalise])

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        path, label = self.photos[index]
        return self.transform(default_loader(self.root / path)), label


def initialise(net, recipe):
    """PyTorch's initial values of its layers, then identity filters and the head's scale."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.reset_parameters()
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = recipe.get("batch_norm_momentum", 0.1)
    if recipe.get("identity"):
        for module in net.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                nn.init.dirac_(module.weight[: module.in_channels])
    with torch.no_grad():
        for value in net.fc.parameters():
            value *= recipe.get("head_scale", 1.0)


def optimiser(net, recipe):
    sgd, groups = recipe["sgd"], recipe["sgd"].get("groups", {})
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    members = {
        "norm_scale": [norm.weight for norm in norms],
        "norm_bias": [norm.bias for norm in norms],
        "head": list(net.fc.parameters()),
    }
    taken = {id(value) for values in members.values() for value in values}
    members["weights"] = [value for value in net.parameters() if id(value) not in taken]
    if not sgd.get("decay_norm_and_bias"):
        raise SystemExit("this program follows recipes with decay_norm_and_bias only")
    parts = []
    for name, values in members.items():
        factors = groups.get(name, {})
        decay = sgd["weight_decay"] * factors.get("weight_decay", 1.0)
        parts.append({"params": values, "factor": factors.get("lr", 1.0), "weight_decay": decay})
    return torch.optim.SGD(parts, lr=recipe["lr"], momentum=sgd["momentum"], nesterov=sgd["nesterov"])


def rate(recipe, progress):
    """The rate of the `one_cycle` schedule at a fraction of the run."""
    schedule = recipe["schedule"]
    if schedule["kind"] != "one_cycle":
        raise SystemExit("this program follows the one_cycle schedule only")
    peak, start, end = (schedule.get(name, usual) for name, usual in
                        (("peak", 0.0), ("start", 0.2), ("end", 0.0)))  # fmt: skip
    if progress < peak:
        return recipe["lr"] * (start + (1 - start) * progress / peak)
    return recipe["lr"] * (1 + (end - 1) * (progress - peak) / (1 - peak))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--loader-only", action="store_true")
    args = parser.parse_args()
    config = tomllib.loads((args.run / "config.toml").read_text())
    recipe = config["recipe"]
    if unknown := set(recipe) - SETTINGS | set(recipe["transform"]):
        raise SystemExit(f"this program does not follow the recipe's {', '.join(unknown)}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(config["seed"])
    loading = {"batch_size": recipe["batch_size"], "num_workers": args.workers,
               "persistent_workers": args.workers > 0}  # fmt: skip
    train = DataLoader(Photos(args.run, config, "train"), shuffle=True, **loading)
    validation = DataLoader(Photos(args.run, config, "validation"), **loading)
    if args.loader_only:
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in train)
        print(json.dumps({"images_per_second": count / (time.perf_counter() - start)}))
        return
    net, _, _ = nets.build(config["arch"])
    net.fc = nn.Linear(net.fc.in_features, len(config["data"]["classes"]))
    initialise(net, recipe)
    net = net.to(memory_format=torch.channels_last)
    sgd = optimiser(net, recipe)
    step, steps = 0, config["total_steps"]

    def forward(images):
        images = images.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            return net(images).float()

    while step < steps:
        net.train()
        start, count = time.perf_counter(), 0
        for images, labels in train:
            for group in sgd.param_groups:
                group["lr"] = group["factor"] * rate(recipe, step / steps)
            sgd.zero_grad()
            loss = F.cross_entropy(forward(images), labels, label_smoothing=recipe["label_smoothing"])
            loss.backward()
            sgd.step()
            loss.item()
            step, count = step + 1, count + len(labels)
        seconds = time.perf_counter() - start
        net.eval()
        with torch.inference_mode():
            right = sum((forward(x).argmax(1) == y).sum().item() for x, y in validation)
        accuracy = 100 * right / len(validation.dataset)
        record = {"seconds": seconds, "images_per_second": count / seconds, "validation_accuracy": accuracy}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
