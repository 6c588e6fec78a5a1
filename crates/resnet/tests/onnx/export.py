"""Exports torchvision's resnet18 and resnet50 with torch, and resnet18 with other activations, into the folder that is given.

Weights and statistics are disturbed. The batch and its logits (raw f32) are written next to the ONNX files.
stdout: JSON, a list of {"arch", "model", "input", "logits"}. torch's newer exporter needs onnxscript.
"""

import contextlib
import json
import sys
import warnings
from pathlib import Path

import torch
import torchvision

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
torch.manual_seed(1)
found = []
ACTIVATIONS = {
    "": torch.nn.ReLU,
    "+gelu": torch.nn.GELU,
    "+gelutanh": lambda: torch.nn.GELU("tanh"),
    "+silu": torch.nn.SiLU,
}


def replace(module, activation):
    for name, child in module.named_children():
        if isinstance(child, torch.nn.ReLU):
            setattr(module, name, activation())
        else:
            replace(child, activation)


for arch in ("resnet18", "resnet50", "resnet18+gelu", "resnet18+gelutanh", "resnet18+silu"):
    name, _, activation = arch.partition("+")
    model = torchvision.models.get_model(name, num_classes=10)
    replace(model, ACTIVATIONS[activation and "+" + activation])
    for name, tensor in model.state_dict().items():
        if "bn" in name or "downsample.1" in name:
            if name.endswith(("weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("bias", "running_mean")):
                tensor.uniform_(-0.2, 0.2)
    # Equal tensors are stored once.
    model.layer1[0].bn1.bias.data.zero_()
    model.layer1[0].bn2.bias.data.zero_()
    model.eval()
    batch = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = model(batch)
    paths = {key: str(folder / f"{arch}.{key}") for key in ("input", "logits")}
    batch.numpy().tofile(paths["input"])
    logits.numpy().tofile(paths["logits"])
    forms = {
        "folded": dict(dynamo=False),
        "plain": dict(
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        ),
        "dynamo": dict(dynamo=True, external_data=False),
        "old": dict(dynamo=False, opset_version=17),
        "dynamo-old": dict(dynamo=True, external_data=False, opset_version=18),
    }
    for form, options in forms.items():
        path = str(folder / f"{arch}-{form}.onnx")
        with contextlib.redirect_stdout(sys.stderr):
            torch.onnx.export(model, (batch,), path, **options)
        found.append({"arch": arch, "model": path, **paths})
json.dump(found, sys.stdout)
