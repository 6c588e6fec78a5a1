"""The Python side of torchvision.rs.

    python torchvision_files.py make FOLDER ARCH    saves a network in every format, a batch and its logits
    python torchvision_files.py compare FOLDER      whether ours.pt, ours.tar and ours.safetensors
                                                    are bit-identical to theirs

Weights are random; batch norms are disturbed, each branch's last one small, so that what is added
does not drown what it is added to.  stdout: JSON, the files to read.
"""

import json
import pathlib
import sys

import torch
import torchvision
from safetensors.torch import load_file
from torch import nn


def disturbed(arch):
    net = torchvision.models.get_model(arch)
    for name, norm in net.named_modules():
        if isinstance(norm, nn.BatchNorm2d):
            last = "bn3" if hasattr(net.layer1[0], "bn3") else "bn2"
            size = 0.3 if name.endswith(last) else 1.0
            nn.init.uniform_(norm.weight, 0.5 * size, 1.5 * size)
            nn.init.uniform_(norm.bias, -0.2, 0.2)
            norm.running_mean.uniform_(-0.2, 0.2)
            norm.running_var.uniform_(0.5, 1.5)
            norm.num_batches_tracked += 5
    return net.eval()


def make(folder, arch):
    torch.manual_seed(1)
    net = disturbed(arch)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    for parameter in net.parameters():
        parameter.grad = 1e-3 * torch.randn_like(parameter)
    sgd.step()
    sgd.zero_grad(set_to_none=True)
    state = net.state_dict()
    torch.save(state, folder / "state_dict.pt")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(net, folder / "model.pt")
    # As PyTorch's ImageNet example does.
    checkpoint = {
        "epoch": 7,
        "arch": arch,
        "state_dict": nn.DataParallel(net).state_dict(),
        "best_acc1": torch.tensor(12.5),
        "optimizer": sgd.state_dict(),
    }
    torch.save(checkpoint, folder / "checkpoint.tar")
    batch = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        logits = net(batch)
    batch.numpy().tofile(folder / "input")
    logits.numpy().tofile(folder / "logits")
    return ["state_dict.pt", "legacy.pt", "model.pt", "checkpoint.tar"]


def compare(folder):
    load = lambda name: torch.load(folder / name, weights_only=True)
    equal = lambda a, b: a.dtype == b.dtype and torch.equal(a, b)
    theirs, theirs_all, ours_all = load("state_dict.pt"), load("checkpoint.tar"), load("ours.tar")
    for ours in load("ours.pt"), load_file(folder / "ours.safetensors"), ours_all["model"]:
        assert ours.keys() == theirs.keys()
        assert all(equal(ours[k], theirs[k]) for k in theirs)
    ours, theirs = ours_all["optimizer"], theirs_all["optimizer"]
    assert ours["state"].keys() == theirs["state"].keys()
    for i, state in theirs["state"].items():
        assert equal(ours["state"][i]["momentum_buffer"], state["momentum_buffer"])
    for group, other in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert all(group[k] == v for k, v in other.items())
    return [ours_all["arch"], ours_all["epoch"]]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", folder, arch]:
            said = make(pathlib.Path(folder), arch)
        case ["compare", folder]:
            said = compare(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)
    json.dump(said, sys.stdout)
