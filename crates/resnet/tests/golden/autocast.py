#!/usr/bin/env python3
"""Prints how far PyTorch's bfloat16 autocast takes the gradients of the golden files beside this script
from those in them: for each network the relative error of every tensor by norm, |g - g64| / |g64|,
averaged over the tensors, in both memory formats.  Needs: torch, torchvision, safetensors."""
import torch, torch.nn.functional as F
from safetensors.torch import load_file

from make_golden import CASES, here

for case, (make, _, _) in CASES.items():
    golden = load_file(here / f"{case}.safetensors")
    init = {k[5:]: v for k, v in golden.items() if k.startswith("init.")}
    errors = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        net = make()
        net.load_state_dict(init)
        net = net.train().to(memory_format=layout)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = net(golden["input"].contiguous(memory_format=layout))
            loss = F.cross_entropy(logits, golden["target"])
        loss.backward()
        each = [((p.grad.double() - golden[f"grad.{k}"]).norm() / golden[f"grad.{k}"].norm()).item()
                for k, p in net.named_parameters()]
        errors[str(layout)[6:]] = sum(each) / len(each)
    print(case, ", ".join(f"{layout} {error:.4f}" for layout, error in errors.items()))
