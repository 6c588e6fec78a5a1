"""The PyTorch side of torch.rs.

    python torch_files.py make FOLDER        odd files, and what is in them as JSON
    python torch_files.py compare OURS THEIRS    whether two files mean the same to PyTorch
"""

import argparse
import json
import os
import pathlib
import pickle
import sys

import torch
from torch import nn


class Net(nn.Module):
    """Every kind of member, at two depths."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.layers = nn.Sequential(nn.BatchNorm2d(4), nn.Identity(), nn.Linear(4, 2))
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("dropped", torch.arange(5.0), persistent=False)
        self.register_parameter("absent", None)


class Shell:
    def __reduce__(self):
        return os.system, ("echo owned",)


class Subclass(torch.Tensor):
    pass


def flat(state):
    """Names, shapes and values, as the file's reader should give them."""
    return {
        name: {"shape": list(t.shape),
               "values": [repr(v) for v in t.detach().double().flatten().tolist()]}
        for name, t in state.items()
    }


def make(folder):
    torch.manual_seed(1)
    base = torch.randn(5, 6)
    net = Net()
    state = net.state_dict()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    adam = torch.optim.Adam(net.parameters(), weight_decay=0.1)
    params = [nn.Parameter(p.detach().clone()) for p in net.parameters()]
    adamw = torch.optim.AdamW(params, betas=(0.9, 0.99))
    sum(p.sum() for p in params).backward()
    adamw.step()
    views = {
        "whole": base,
        "transposed": base.t(),
        "strided": base[1::2, ::3],
        "expanded": base[:1].expand(4, 6),
        "row": base[3],
        "scalar": base[2, 2],
        "empty": base[:0],
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "parameter": nn.Parameter(base),
        "subclass": torch.ones(2).as_subclass(Subclass),
    }
    kinds = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8, torch.int8,
             torch.int16, torch.int32, torch.int64, torch.bool]
    types = {str(kind): (base * 10).abs().to(kind) for kind in kinds}
    types["extreme"] = torch.tensor([65504.0, 6e-8, float("inf")], dtype=torch.float16)
    unsigned = {"a": torch.ones(2), "b": torch.tensor([0, 65535], dtype=torch.uint16)}
    complex = {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.complex64)}
    files = {
        "views": (views, views),
        "types": (types, types),
        "module": (net, state),
        "parallel": (nn.DataParallel(net), {f"module.{k}": v for k, v in state.items()}),
        "module_in_dict": ({"net": net, "acc": 91.5, "epoch": 3}, state),
        "state_in_dict": ({"state_dict": nn.DataParallel(net).state_dict(),
                           "args": argparse.Namespace(lr=0.1), "best": torch.tensor(0.25),
                           "optimizer": adam.state_dict()},
                          {f"module.{k}": v for k, v in state.items()}),
        "sgd": ({"model": state, "optimizer": sgd.state_dict()}, state),
        "adamw": ({"model": state, "optimizer": adamw.state_dict()}, state),
        "parameters": (dict(net.named_parameters()), dict(net.named_parameters())),
        "shell": ({"a": torch.ones(1), "b": Shell()}, None),
        "unsigned": (unsigned, unsigned),
        "complex": (complex, None),
        "two": ({"generator": state, "discriminator": state}, None),
    }
    protocols = [(2, True, ""), (4, True, ".4"), (5, True, ".5"), (2, False, ".legacy")]
    for name, (obj, expected) in files.items():
        for protocol, new, suffix in protocols:
            path = folder / f"{name}{suffix}.pt"
            torch.save(obj, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
            if expected is not None:
                path.with_suffix(".json").write_text(json.dumps(flat(expected)))
    (folder / "plain.pickle").write_bytes(pickle.dumps({"a": 1}))
    torch.jit.script(nn.Linear(2, 2)).save(folder / "script.jit")


def compare(ours, theirs):
    plain = torch.load(ours, weights_only=True)
    mapped = torch.load(ours, weights_only=True, mmap=True)
    expected = torch.load(theirs, weights_only=True)
    equal = lambda a, b: (list(a) == list(b)
                          and all(a[k].dtype == b[k].dtype and torch.equal(a[k], b[k]) for k in a))
    nested = lambda d: d.get("model", d)
    assert equal(nested(plain), nested(expected)), "the models differ"
    assert equal(nested(mapped), nested(expected)), "the models differ when they are mapped"
    if "optimizer" not in expected:
        return

    def step(checkpoint):
        """The parameters after two further steps."""
        buffers = ("running_mean", "running_var", "num_batches_tracked")
        model = checkpoint["model"].items()
        params = [nn.Parameter(t.clone()) for k, t in model if not k.endswith(buffers)]
        sgd = torch.optim.SGD(params, lr=1.0)
        sgd.load_state_dict(checkpoint["optimizer"])
        for _ in range(2):
            for i, p in enumerate(params):
                p.grad = p.detach().cos() * (i + 1)
            sgd.step()
        return sgd, params

    (a, params), (b, others) = step(plain), step(expected)
    assert all(torch.equal(p, q) for p, q in zip(params, others, strict=True)), "steps differ"
    known = {k for g in b.param_groups for k in g} - {"params"}
    for g, h in zip(a.param_groups, b.param_groups, strict=True):
        assert all(g[k] == h[k] for k in known), "the groups differ"


if __name__ == "__main__":
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["make", folder]:
            make(pathlib.Path(folder))
        case ["compare", ours, theirs]:
            compare(ours, theirs)
        case _:
            sys.exit(__doc__)
