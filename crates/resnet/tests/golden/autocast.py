#!/usr/bin/env python3
"""Writes autocast.json next to this script: how far PyTorch's own bfloat16 autocast takes the gradients of
the golden networks, the bar for ours.  Needs: torch, torchvision, safetensors.

For each network,
  golden   |g - g64| / |g64| of the gradients in its file, the mean over tensors (also printed for
           channels_last, which is not stored)
  tensors  for each tensor, over BATCHES batches of noise that are taken together as one long vector:
           error, |g - g32| / |g32|, and scale, <g, g32> / |g32|^2: 1 where g is g32 plus noise
On one batch alone, chance decides a small tensor's error: in bfloat16 many units fall to the other side
of their ReLU's edge."""
import json
import torch, torch.nn.functional as F
from safetensors.torch import load_file

from make_golden import CASES, here

BATCHES = 16


def gradients(make, state, x, y, autocast, layout=torch.contiguous_format):
    net = make()
    net.load_state_dict(state)
    net = net.train().to(memory_format=layout)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        loss = F.cross_entropy(net(x.contiguous(memory_format=layout)), y)
    loss.backward()
    return {k: p.grad.double() for k, p in net.named_parameters()}


def mean_error(got, golden):
    errors = [((g - golden[f"grad.{k}"]).norm() / golden[f"grad.{k}"].norm()).item() for k, g in got.items()]
    return sum(errors) / len(errors)


def tensors(make, state, shape, classes):
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(BATCHES):
        x = torch.randn(shape, generator=generator)
        y = torch.randint(0, classes, (shape[0],), generator=generator)
        pairs.append([gradients(make, state, x, y, autocast) for autocast in (True, False)])
    found = {}
    for k in pairs[0][0]:
        got, want = (torch.cat([pair[i][k].flatten() for pair in pairs]) for i in (0, 1))
        found[k] = {"error": ((got - want).norm() / want.norm()).item(),
                    "scale": (got @ want / (want @ want)).item()}
    return found


figures = {}
for case, (make, shape, classes) in CASES.items():
    golden = load_file(here / f"{case}.safetensors")
    init = {k[5:]: v for k, v in golden.items() if k.startswith("init.")}
    mean, last = (
        mean_error(gradients(make, init, golden["input"], golden["target"], True, layout), golden)
        for layout in (torch.contiguous_format, torch.channels_last))
    each = tensors(make, init, shape, classes)
    print(f"{case}: golden {mean:.4f}, channels_last {last:.4f}; tensors' " + ", ".join(
        "%s %.3f to %.3f" % (key, *(end(t[key] for t in each.values()) for end in (min, max)))
        for key in ("error", "scale")), flush=True)
    figures[case] = {"golden": round(mean, 4),
                     "tensors": {k: {key: round(v, 4) for key, v in t.items()} for k, t in each.items()}}

lines = json.dumps(figures, indent=1).replace('{\n    "error"', '{"error"')
lines = lines.replace(',\n    "scale"', ', "scale"').replace("\n   }", "}")
(here / "autocast.json").write_text(lines + "\n")
