#!/usr/bin/env python3
"""Writes steps.safetensors next to this script: what PyTorch computes in ten steps of fine-tuning, for
parity tests.  Needs: torch, torchvision, safetensors, numpy (CPU is enough).

The network, its weights, the batch and the targets are those of resnet8-gelu-w8.safetensors, whose smooth
activation lets ten steps be compared.  Computed in float64 and stored rounded to float32:
  <case>.<key>   the state dict after ten steps on that batch
  <case>.losses  the loss at each step

and for the loss alone, with logits and targets as listed in LOSSES below, printed as JSON: the loss and its
gradient with class weights.
"""
import json, pathlib
import torch, torch.nn as nn, torch.nn.functional as F
from safetensors.torch import load_file, save_file

from make_golden import GeluNet

here = pathlib.Path(__file__).parent
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
GOLDEN = load_file(here / "resnet8-gelu-w8.safetensors")
X, Y = GOLDEN["input"].double(), GOLDEN["target"]
STEPS = 10
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.25, 4.0, 1.0, 3.0, 0.75, 1.5, 1.0], dtype=torch.float64)


def network():
    net = GeluNet().double()
    state = {k.removeprefix("init."): v for k, v in GOLDEN.items() if k.startswith("init.")}
    net.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in state.items()})
    return net.train()


def depth(name):
    """timm's layer groups of a ResNet, from the head: linear, layer3, layer2, layer1, the stem."""
    module = name.split(".")[0]
    return {"linear": 0, "layer3": 1, "layer2": 2, "layer1": 3}.get(module, 4)


def adamw(net):
    decays = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": decays, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.002, betas=(0.9, 0.99), eps=1e-4)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True)


def by_depth(net):
    groups = [{"params": [p], "lr": 0.01 * 0.65 ** depth(n)} for n, p in net.named_parameters()]
    return torch.optim.SGD(groups, momentum=0.9, weight_decay=5e-4, nesterov=True)


def backbone(net):
    return [m for n, m in net.named_children() if n != "linear"]


def freeze(net, frozen=True):
    for module in backbone(net):
        module.requires_grad_(not frozen)
        module.train(not frozen)


def run(optimizer, clip=None, ema=None, frozen_steps=0, weights=None, smoothing=0.0):
    net = network()
    optimizer = optimizer(net)
    average = {k: v.clone() for k, v in net.state_dict().items()}
    losses = []
    for step in range(STEPS):
        freeze(net, step < frozen_steps)
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(X), Y, weight=weights, label_smoothing=smoothing)
        loss.backward()
        if clip is not None:
            norm = nn.utils.clip_grad_norm_(net.parameters(), clip)
            print(f"norm {norm:.3f}, clipped to {clip}")
        optimizer.step()
        losses.append(loss.item())
        for key, value in net.state_dict().items():
            if value.is_floating_point() and ema is not None:
                average[key] = ema * average[key] + (1 - ema) * value
            else:
                average[key] = value.clone()
    return {**average, "losses": torch.tensor(losses, dtype=torch.float64)}


CASES = {
    "adamw": lambda: run(adamw),
    "clip": lambda: run(sgd, clip=1.35),
    "clip-adamw-smooth": lambda: run(adamw, clip=0.5, smoothing=0.1),
    "depth": lambda: run(by_depth),
    "ema": lambda: run(sgd, ema=0.75),
    "frozen": lambda: run(sgd, frozen_steps=STEPS),
    "unfrozen": lambda: run(adamw, frozen_steps=4),
    "weights": lambda: run(sgd, weights=WEIGHTS, smoothing=0.1),
}

if __name__ == "__main__":
    out = {}
    for case, make in CASES.items():
        for key, value in make().items():
            if value.is_floating_point():
                value = value.float()
            out[f"{case}.{key}"] = value.contiguous()
    save_file(out, here / "steps.safetensors", {"torch": torch.__version__})

    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0], [0.5, -2.0, 4.0]], dtype=torch.float64)
    weights = torch.tensor([0.5, 2.0, 1.25], dtype=torch.float64)
    soft = torch.tensor([[0.25, 0.75, 0.0], [0.2, 0.3, 0.5], [0.0, 0.6, 0.4]], dtype=torch.float64)
    for name, target in (("labels", torch.tensor([2, 0, 1])), ("soft", soft)):
        for smoothing in (0.0, 0.1):
            x = logits.clone().requires_grad_()
            loss = F.cross_entropy(x, target, weight=weights, label_smoothing=smoothing)
            loss.backward()
            print(json.dumps({"targets": name, "smoothing": smoothing, "loss": loss.item(),
                              "gradient": [round(g, 8) for g in x.grad.flatten().tolist()]}))
