"""Fine-tunes on a run's photos by the run's recipe, from the same weights, in PyTorch.

    python finetune_peer.py RUN START.pt [--workers 2]

RUN is a run folder of `resnet train PHOTOS --init START`, whose recipe is `finetune`: its config.toml is the
recipe, its photos.tsv the split. START.pt is the state dict of START. Prints a line of JSON for each epoch.
"""

from pathlib import Path

import nets
import torch
from photo_run import open_run, parser, train_epochs
from torch import nn

# What the recipe may have besides the settings that this program follows.
SETTINGS = {
    "name", "batch_size", "dtype", "lr", "label_smoothing", "init", "layer_decay", "length", "adamw", "schedule",
    "augment", "transform", "freeze",
}  # fmt: skip


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
    arguments = parser(__doc__)
    arguments.add_argument("start", type=Path)
    args = arguments.parse_args()
    config, train, validation = open_run(args, SETTINGS, transform={"crop"})
    recipe = config["recipe"]
    net, _, _ = nets.build(config["arch"])
    load(net, args.start, len(config["data"]["classes"]))
    net = net.to(memory_format=torch.channels_last)
    blocks = len(net.body) // (4 if config["arch"] == "resnet18-cifar" else 3)
    [frozen] = recipe["freeze"]

    def forward(images):
        return net(images.to(memory_format=torch.channels_last))

    def before_step(progress):
        freeze(net, progress < frozen["until"])

    train_epochs(config, net, forward, optimiser(net, blocks, recipe), train, validation, before_step)


if __name__ == "__main__":
    main()
