"""The networks in PyTorch, by the names of `resnet archs`."""

import torch
from torch import nn
from torch.nn import functional as F


def build(arch):
    """Returns the network, the shape of its input images, and its number of classes."""
    if arch == "resnet18-cifar":
        return CifarResNet([64, 128, 256, 512], blocks=2, projection=True), (3, 32, 32), 10
    depth = arch.removeprefix("resnet")
    depth = int(depth) if depth.isdecimal() else 0
    if depth % 6 == 2 and depth not in (50, 152):
        net = CifarResNet([16, 32, 64], blocks=(depth - 2) // 6, projection=False)
        return net, (3, 32, 32), 10
    from torchvision import models

    return getattr(models, arch)(), (3, 224, 224), 1000


def conv_bn(inputs, outputs, size, stride):
    conv = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class PadShortcut(nn.Module):
    """The paper's parameter-free shortcut (option A): every other pixel, channels padded with zeros."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x):
        return F.pad(x[..., ::2, ::2], (0, 0, 0, 0, self.before, self.after))


class Residual(nn.Module):
    def __init__(self, inputs, outputs, stride, projection):
        super().__init__()
        self.first = conv_bn(inputs, outputs, 3, stride)
        self.second = conv_bn(outputs, outputs, 3, 1)
        if stride == 1:
            self.shortcut = nn.Identity()
        elif projection:
            self.shortcut = conv_bn(inputs, outputs, 1, stride)
        else:
            self.shortcut = PadShortcut(inputs, outputs)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.shortcut(x))


class CifarResNet(nn.Module):
    """A 3x3 stem, then one stage per width; each stage after the first halves the resolution."""

    def __init__(self, widths, blocks, projection):
        super().__init__()
        self.stem = conv_bn(3, widths[0], 3, 1)
        body, inputs = [], widths[0]
        for stage, width in enumerate(widths):
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                body.append(Residual(inputs, width, stride, projection))
                inputs = width
        self.body = nn.Sequential(*body)
        self.head = nn.Linear(inputs, 10)

    def forward(self, x):
        features = self.body(F.relu(self.stem(x)))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(features, 1), 1))
