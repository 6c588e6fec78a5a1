"""Follows a run of `resnet train PHOTOS` in PyTorch: its photos, its learning rates and its epochs."""

import argparse
import json
import time
import tomllib
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import default_loader


def parser(description):
    """The arguments of every program that follows a run."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("run", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    return parser


class Photos(Dataset):
    """The photos of a part of the run, with torchvision's transforms."""

    def __init__(self, run, config, part):
        rows = [line.split("\t")[:3] for line in (run / "photos.tsv").read_text().splitlines()]
        data, self.root = config["data"], Path(config["data"]["name"])
        self.photos = [(path, int(label)) for kind, label, path in rows if kind == part]
        size = data["image_size"]
        crop = config["recipe"]["transform"].get("crop", {"random_resized": {}})["random_resized"]
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


def open_run(args, settings, transform):
    """The run's configuration, and loaders of its photos to train on and for validation. `settings` and `transform`
    are what the program follows of the recipe."""
    config = tomllib.loads((args.run / "config.toml").read_text())
    recipe = config["recipe"]
    if unknown := (set(recipe) - settings) | (set(recipe["transform"]) - transform):
        raise SystemExit(f"this program does not follow the recipe's {', '.join(unknown)}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(config["seed"])
    loading = {"batch_size": recipe["batch_size"], "num_workers": args.workers,
               "persistent_workers": args.workers > 0}  # fmt: skip
    train = DataLoader(Photos(args.run, config, "train"), shuffle=True, **loading)
    validation = DataLoader(Photos(args.run, config, "validation"), **loading)
    return config, train, validation


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


def train_epochs(config, net, forward, optimiser, train, validation, before_step=lambda progress: None):
    """Trains by the recipe. Prints a line of JSON for each epoch."""
    recipe, step, steps = config["recipe"], 0, config["total_steps"]
    while step < steps:
        net.train()
        start, count = time.perf_counter(), 0
        for images, labels in train:
            before_step(step / steps)
            for group in optimiser.param_groups:
                group["lr"] = group["factor"] * rate(recipe, step / steps)
            optimiser.zero_grad()
            loss = F.cross_entropy(forward(images), labels, label_smoothing=recipe["label_smoothing"])
            loss.backward()
            optimiser.step()
            loss.item()
            step, count = step + 1, count + len(labels)
        seconds = time.perf_counter() - start
        net.eval()
        with torch.inference_mode():
            right = sum((forward(x).argmax(1) == y).sum().item() for x, y in validation)
        accuracy = 100 * right / len(validation.dataset)
        record = {"seconds": seconds, "images_per_second": count / seconds, "validation_accuracy": accuracy}
        print(json.dumps(record), flush=True)
