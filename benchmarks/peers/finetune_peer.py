"""Fine-tunes on a run's photos by the run's recipe, from the same weights, in PyTorch.

    python finetune_peer.py RUN START.pt [--workers 2]

RUN is a run folder of `resnet train PHOTOS --init START`, whose recipe is `finetune`: its config.toml is the
recipe, its photos.tsv the split. START.pt is the state dict of START. Prints a line of JSON for each epoch.
"""

import argparse
import json
import time
import tomllib
from pathlib import Path

import nets
import torch
from photos_peer import rate
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import default_loader

# What the recipe may have besides the settings that this program follows.
SETTINGS = {
    "name", "batch_size", "dtype", "lr", "label_smoothing", "init", "layer_decay", "length", "adamw", "schedule",
    "augment", "transform", "freeze",
}  # fmt: skip


class Photos(Dataset):
    """The photos of a part of the run, with torchvision's transforms."""

    def __init__(self, run, config, part):
        rows = [line.split("\t")[:3] for line in (run / "photos.tsv").read_text().splitlines()]
        data, self.root = config["data"], Path(config["data"]["name"])
        self.photos = [(path, int(label)) for kind, label, path in rows if kind == part]
        size, crop = data["image_size"], config["recipe"]["transform"]["crop"]["random_resized"]
        if part == "train":
            steps = [transforms.RandomResizedCrop(size, **crop), transforms.RandomHorizontalFlip()]
        else:
            steps = [transforms.Resize(data["photos"]["resize"]), transforms.CenterCrop(size)]
        normalise = transforms.Normalize(**data["normalisation"])
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), normalise])

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, index):
        path, label = self.photos[index]
        return self.transform(default_loader(self.root / path)), label


def load(net, file, classes):
    """Loads a state dict in the order of its layers, and makes a new head."""
    ours, theirs = net.state_dict(), torch.load(file).values()
    if [value.shape for value in ours.values()] != [value.shape for value in theirs]:
        raise SystemExit(f"{file} is of another network")
    net.load_state_dict(dict(zip(ours, theirs)))
    net.head = nn.Linear(net.head.in_features, classes)


def layers(net, blocks):
    """The modules of each group and how far it is from the head, which is the last."""
    stages = len(net.body) // blocks
    body = [(list(net.body[i * blocks : (i + 1) * blocks]), stages - i) for i in range(stages)]
    return [([net.stem], stages + 1), *body, ([net.head], 0)]


def optimiser(net, blocks, recipe):
    adamw, parts = recipe["adamw"], []
    for modules, distance in layers(net, blocks):
        values = [value for module in modules for value in module.parameters()]
        for is_plain in (False, True):  # Biases and batch norms have one dimension.
            decay = 0.0 if is_plain and not adamw["decay_norm_and_bias"] else adamw["weight_decay"]
            chosen = [value for value in values if (value.ndim == 1) == is_plain]
            factor = recipe.get("layer_decay", 1.0) ** distance
            parts.append({"params": chosen, "factor": factor, "weight_decay": decay})
    return torch.optim.AdamW(parts, lr=recipe["lr"], betas=tuple(adamw["betas"]), eps=adamw["eps"])


def freeze(net, is_frozen):
    """Whether everything but the head is frozen, with its batch norms in evaluation."""
    net.train()
    for module in (net.stem, net.body):
        module.train(not is_frozen)
        module.requires_grad_(not is_frozen)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("start", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    config = tomllib.loads((args.run / "config.toml").read_text())
    recipe = config["recipe"]
    if unknown := set(recipe) - SETTINGS | set(recipe["transform"]) - {"crop"}:
        raise SystemExit(f"this program does not follow the recipe's {', '.join(unknown)}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(config["seed"])
    loading = {"batch_size": recipe["batch_size"], "num_workers": args.workers,
               "persistent_workers": args.workers > 0}  # fmt: skip
    train = DataLoader(Photos(args.run, config, "train"), shuffle=True, **loading)
    validation = DataLoader(Photos(args.run, config, "validation"), **loading)
    net, _, _ = nets.build(config["arch"])
    load(net, args.start, len(config["data"]["classes"]))
    net = net.to(memory_format=torch.channels_last)
    blocks = len(net.body) // (4 if config["arch"] == "resnet18-cifar" else 3)
    adamw = optimiser(net, blocks, recipe)
    step, steps = 0, config["total_steps"]
    [frozen] = recipe["freeze"]
    while step < steps:
        net.train()
        start, count = time.perf_counter(), 0
        for images, labels in train:
            freeze(net, step / steps < frozen["until"])
            for group in adamw.param_groups:
                group["lr"] = group["factor"] * rate(recipe, step / steps)
            adamw.zero_grad()
            logits = net(images.to(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits, labels, label_smoothing=recipe["label_smoothing"])
            loss.backward()
            adamw.step()
            loss.item()
            step, count = step + 1, count + len(labels)
        seconds = time.perf_counter() - start
        net.eval()
        with torch.inference_mode():
            right = sum((net(x).argmax(1) == y).sum().item() for x, y in validation)
        accuracy = 100 * right / len(validation.dataset)
        record = {"seconds": seconds, "images_per_second": count / seconds, "validation_accuracy": accuracy}
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
