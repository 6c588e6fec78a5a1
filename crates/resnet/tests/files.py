"""What PyTorch makes of a file: the judge of files.rs.

    python files.py logits CASE FILE BATCH OUT
    python files.py steps CASE FILE BATCH OUT

FILE holds a network of a case of golden/make_golden.py, and BATCH (safetensors) its `input` and
`target`. OUT gets, as safetensors in float32 of a computation in float64, the `logits` of inference;
or, of a FILE of model and optimizer, the state dict after three further steps.  stdout: JSON, what
else there is to know.
"""

import json
import pathlib
import sys

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent / "golden"))
from make_golden import CASES


def network(case, state):
    """A strict load; files from before PyTorch 0.4.1 count no batches."""
    net = CASES[case][0]()
    zeros = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")}
    if not zeros.keys() & state.keys():
        state = {**zeros, **state}
    net.load_state_dict(state, strict=True)
    return net.double()


def logits(case, checkpoint, batch):
    state = checkpoint.get("state_dict", checkpoint)
    net = network(case, {k.removeprefix("module."): v for k, v in state.items()})
    with torch.no_grad():
        return {"logits": net.eval()(batch["input"].double())}, {}


def steps(case, checkpoint, batch):
    net = network(case, checkpoint["model"]).train()
    if len(checkpoint["optimizer"]["param_groups"]) == 1:
        groups = [{"params": list(net.parameters())}]
    else:  # weights decay, the rest does not
        weights, rest = [], []
        for parameter in net.parameters():
            (weights if parameter.dim() > 1 else rest).append(parameter)
        groups = [{"params": weights}, {"params": rest}]
    sgd = torch.optim.SGD(groups, lr=1.0)  # the file knows better
    sgd.load_state_dict(checkpoint["optimizer"])
    for _ in range(3):
        sgd.zero_grad()
        F.cross_entropy(net(batch["input"].double()), batch["target"]).backward()
        sgd.step()
    return net.state_dict(), {k: v for k, v in checkpoint.items() if k not in ("model", "optimizer")}


if __name__ == "__main__":
    command, case, file, batch, out = sys.argv[1:]
    checkpoint = torch.load(file, weights_only=True, map_location="cpu")
    tensors, rest = {"logits": logits, "steps": steps}[command](case, checkpoint, load_file(batch))
    save_file({k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}, out)
    json.dump(rest, sys.stdout)
