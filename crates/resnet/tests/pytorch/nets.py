"""A narrow ResNet-18 with a 3x3 stem, as people write it, and what PyTorch makes of files.

    nets.py continue FOLDER     stdin: JSON, see `continue_training`
    nets.py timm FOLDER INPUT OUTPUT
    nets.py torchvision FOLDER  writes torchvision's nets in every form
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)


class Block(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for stage in range(4):
            planes, inputs = width << stage, width << max(stage - 1, 0)
            blocks = Block(inputs, planes, 1 if stage == 0 else 2), Block(planes, planes, 1)
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(width << 3, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(x.mean((2, 3)))


def continue_training(folder):
    """stdin: {"input", "target": files of raw f32 and i64, "cases": {name: groups}}.

    Of every case there is `NAME.tar`. Loads it strictly, without running code; writes the logits of
    inference, trains three steps on the one batch, and writes the state dict and the optimizer's.
    """
    job = json.load(sys.stdin)
    x = torch.from_numpy(np.fromfile(job["input"], np.float32).reshape(-1, 3, 32, 32))
    y = torch.from_numpy(np.fromfile(job["target"], np.int64))
    for name, groups in job["cases"].items():
        file = torch.load(folder / f"{name}.tar", weights_only=True)
        net = Net(8)
        net.load_state_dict(file["model"], strict=True)
        weights = [p for p in net.parameters() if p.dim() > 1]
        others = [p for p in net.parameters() if p.dim() == 1]
        parameters = net.parameters() if groups == 1 else [{"params": weights}, {"params": others}]
        sgd = torch.optim.SGD(parameters, lr=1.0, momentum=0.5)
        sgd.load_state_dict(file["optimizer"])
        net.eval()
        with torch.no_grad():
            net(x).numpy().tofile(folder / f"{name}.logits")
        net.train()
        for _ in range(3):
            sgd.zero_grad()
            F.cross_entropy(net(x), y).backward()
            sgd.step()
        done = {"model": net.state_dict(), "optimizer": sgd.state_dict()}
        torch.save(done, folder / f"{name}.theirs.tar")
    strict = Net(8).load_state_dict(torch.load(folder / "plain.pt", weights_only=True), strict=True)
    json.dump({"strict": str(strict)}, sys.stdout)


def timm(folder, images, output):
    """The logits of a folder on 64x64 images, and what timm knows of it."""
    import timm

    net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    x = torch.from_numpy(np.fromfile(images, np.float32).reshape(-1, 3, 64, 64))
    with torch.no_grad():
        net(x).numpy().tofile(output)
    config = timm.data.resolve_data_config({}, model=net)
    keys = ["input_size", "interpolation", "mean", "std", "crop_pct"]
    found = {key: config[key] for key in keys}
    found["labels"] = net.pretrained_cfg.get("label_names")
    json.dump(found, sys.stdout)


def torchvision(folder):
    import torchvision

    cases = []
    for depth in [18, 34, 50, 101, 152]:
        torch.manual_seed(depth)
        net = getattr(torchvision.models, f"resnet{depth}")()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.num_batches_tracked += 7
        x = torch.randn(2, 3, 96, 96)
        # Momentum in the optimizer; the weights move a little.
        sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
        net.eval()
        F.cross_entropy(net(x), torch.tensor([1, 2])).backward()
        sgd.step()
        with torch.no_grad():
            logits = net(x)
        name = f"resnet{depth}"
        all = {"epoch": 5, "arch": name, "state_dict": net.state_dict(), "best_acc1": 0.5,
               "optimizer": sgd.state_dict()}
        parallel = {"state_dict": nn.DataParallel(net).state_dict()}
        old = {"_use_new_zipfile_serialization": False}
        torch.save(net.state_dict(), folder / f"{name}.pth")
        torch.save(net.state_dict(), folder / f"{name}.legacy.pth", **old)
        torch.save(net, folder / f"{name}.module.pt")
        torch.save(net, folder / f"{name}.module.legacy.pt", **old)
        torch.save(all, folder / f"{name}.tar")
        torch.save(parallel, folder / f"{name}.parallel.tar")
        x.numpy().tofile(folder / f"{name}.input")
        logits.numpy().tofile(folder / f"{name}.logits")
        cases.append(name)
    json.dump(cases, sys.stdout)


def main():
    verb, folder, *rest = sys.argv[1:]
    folder = pathlib.Path(folder)
    verbs = {"continue": continue_training, "timm": timm, "torchvision": torchvision}
    verbs[verb](folder, *rest)


if __name__ == "__main__":
    main()
