"""Trains on a run's photos by the run's recipe, in PyTorch with torchvision's loader.

    python photos_peer.py RUN [--dtype bf16] [--workers 2] [--loader-only]

RUN is a run folder of `resnet train PHOTOS`: its config.toml is the recipe, its photos.tsv the split.
Prints a line of JSON for each epoch: its seconds, images/s and validation accuracy. With
--loader-only the loader runs alone.
"""

import json
import time

import nets
import torch
from photo_run import open_run, parser, train_epochs
from torch import nn

# What the recipe may have besides the settings that this program follows.
SETTINGS = {
    "name", "batch_size", "dtype", "lr", "label_smoothing", "init", "identity", "head_scale",
    "batch_norm_momentum", "length", "sgd", "schedule", "augment", "transform",
}  # fmt: skip


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


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    arguments.add_argument("--loader-only", action="store_true")
    args = arguments.parse_args()
    config, train, validation = open_run(args, SETTINGS, transform=set())
    if args.loader_only:
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in train)
        print(json.dumps({"images_per_second": count / (time.perf_counter() - start)}))
        return
    net, _, _ = nets.build(config["arch"])
    net.fc = nn.Linear(net.fc.in_features, len(config["data"]["classes"]))
    initialise(net, config["recipe"])
    net = net.to(memory_format=torch.channels_last)

    def forward(images):
        images = images.to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            return net(images).float()

    train_epochs(config, net, forward, optimiser(net, config["recipe"]), train, validation)


if __name__ == "__main__":
    main()
