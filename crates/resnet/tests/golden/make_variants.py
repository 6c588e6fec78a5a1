#!/usr/bin/env python3
"""Writes golden files as `make_golden.py` does, of the variants: groups, wide bottlenecks, deep stems with
pooled shortcuts, shortcuts of options B and C, pre-activation, the family made for speed, and other
activations. Needs timm too."""
import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models.resnet as tv
from timm.models import resnet as timm_resnet

from make_golden import BasicBlock, GeluNet, golden


def narrowed(net, f=16):
    """The same network with a sixteenth of the channels, and 12 classes."""
    for name, child in list(net.named_children()):
        if isinstance(child, nn.Conv2d):
            i = child.in_channels if child.in_channels == 3 else child.in_channels // f
            setattr(net, name, nn.Conv2d(i, child.out_channels // f, child.kernel_size, child.stride,
                                         child.padding, groups=child.groups, bias=False))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(net, name, nn.BatchNorm2d(child.num_features // f))
        elif isinstance(child, nn.Linear):
            setattr(net, name, nn.Linear(child.in_features // f, child.out_features))
        else:
            narrowed(child, f)
    return net


def bottlenecks(**options):
    return narrowed(tv.ResNet(tv.Bottleneck, [2, 2, 2, 2], num_classes=12, **options))


def resnet26d():
    return narrowed(timm_resnet.ResNet(timm_resnet.Bottleneck, (2, 2, 2, 2), num_classes=12, stem_width=32,
                                       stem_type="deep", avg_down=True))


class Projected(nn.Module):
    """The paper's CIFAR net of 6n+2 layers, half as wide, with projections: option B where shapes change, C
    everywhere."""

    def __init__(self, n, everywhere):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        inp = 8
        for i, planes in enumerate((8, 16, 32)):
            blocks = []
            for j in range(n):
                stride = 2 if i > 0 and j == 0 else 1
                block = BasicBlock(inp, planes, 1)
                block.conv1 = nn.Conv2d(inp, planes, 3, stride, 1, bias=False)
                if everywhere or inp != planes:
                    block.shortcut = nn.Sequential(nn.Conv2d(inp, planes, 1, stride, bias=False),
                                                   nn.BatchNorm2d(planes))
                blocks.append(block)
                inp = planes
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class PreactBlock(nn.Module):
    """He et al. 2016; a shortcut that changes the shape starts behind the first activation."""

    def __init__(self, inp, convs, stride):
        super().__init__()
        out, self.count = convs[-1][0], len(convs)
        self.changes = stride > 1 or inp != out
        if self.changes:
            self.shortcut = nn.Sequential(nn.Conv2d(inp, out, 1, stride, bias=False))
        for i, (channels, kernel, step) in enumerate(convs, 1):
            setattr(self, f"bn{i}", nn.BatchNorm2d(inp))
            setattr(self, f"conv{i}", nn.Conv2d(inp, channels, kernel, step, kernel // 2, bias=False))
            inp = channels

    def forward(self, x):
        y = F.relu(self.bn1(x))
        shortcut = self.shortcut(y) if self.changes else x
        for i in range(1, self.count + 1):
            if i > 1:
                y = F.relu(getattr(self, f"bn{i}")(y))
            y = getattr(self, f"conv{i}")(y)
        return y + shortcut


class Preact(nn.Module):
    """A 3x3 stem for images of 32x32, four stages; basic blocks, or bottlenecks."""

    def __init__(self, width, blocks, bottleneck):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        inp = width
        for i, n in enumerate(blocks):
            planes, stage = width * 2**i, []
            for j in range(n):
                stride = 2 if i > 0 and j == 0 else 1
                convs = ([(planes, 1, 1), (planes, 3, stride), (4 * planes, 1, 1)] if bottleneck
                         else [(planes, 3, stride), (planes, 3, 1)])
                stage.append(PreactBlock(inp, convs, stride))
                inp = convs[-1][0]
            setattr(self, f"layer{i + 1}", nn.Sequential(*stage))
        self.bn = nn.BatchNorm2d(inp)
        self.linear = nn.Linear(inp, 12)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(F.relu(self.bn(x)).mean((2, 3)))


class Stage(nn.Module):
    """A convolution and a max pool; a shortcut over the convolutions that follow."""

    def __init__(self, inp, out, convs, residual):
        super().__init__()
        self.convs, self.residual = convs, residual
        for i in range(1, convs + 1):
            setattr(self, f"conv{i}", nn.Conv2d(inp, out, 3, 1, 1, bias=False))
            setattr(self, f"bn{i}", nn.BatchNorm2d(out))
            setattr(self, f"relu{i}", nn.ReLU())
            inp = out
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        first = x = self.relu1(self.bn1(self.pool(self.conv1(x))))
        for i in range(2, self.convs + 1):
            x = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))
            if i == self.convs and self.residual:
                x = x + first
            x = getattr(self, f"relu{i}")(x)
        return x


class Sprint(nn.Module):
    """The family made for speed: a stem without batch norm, three stages, a global max pool."""

    def __init__(self, stem=32, widths=(64, 256, 256), convs=2, residual=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, 1, 1, bias=False)
        self.relu1 = nn.ReLU()
        inp = stem
        for i, width in enumerate(widths, 1):
            setattr(self, f"layer{i}", Stage(inp, width, convs, residual))
            inp = width
        self.maxpool = nn.AdaptiveMaxPool2d(1)
        self.linear = nn.Linear(inp, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.relu1(self.conv1(x)))))
        return self.linear(torch.flatten(self.maxpool(x), 1))


def activated(net, activation):
    """The same network with another activation in place of each ReLU."""
    for name, child in list(net.named_children()):
        if isinstance(child, nn.ReLU):
            setattr(net, name, activation())
        else:
            activated(child, activation)
    return net


CASES = {
    "resnext26_4x32d-w4": (lambda: bottlenecks(groups=4, width_per_group=32), (12, 3, 72, 56), 12),
    "wide_resnet26_2-w4": (lambda: bottlenecks(width_per_group=128), (8, 3, 64, 64), 12),
    "resnet26d-w4": (resnet26d, (8, 3, 72, 56), 12),
    "resnet14-b-w8": (lambda: Projected(2, False), (8, 3, 32, 32), 10),
    "resnet14-c-w8": (lambda: Projected(2, True), (12, 3, 32, 32), 10),
    "preresnet18-cifar-w4": (lambda: Preact(4, (2, 2, 2, 2), False), (8, 3, 32, 32), 12),
    "preresnet26-cifar-w4": (lambda: Preact(4, (2, 2, 2, 2), True), (8, 3, 32, 32), 12),
    "resnet11-sprint-w4": (lambda: Sprint(4, (8, 32, 32), 3), (8, 3, 32, 32), 10),
    "resnet8-gelu-w8": (GeluNet, (8, 3, 32, 32), 10),
    "resnet8-sprint-silu-w4": (lambda: activated(Sprint(4, (8, 32, 32)), nn.SiLU), (8, 3, 32, 32), 10),
    "plain8-sprint-w4": (lambda: Sprint(4, (8, 32, 32), 2, False), (8, 3, 36, 28), 10),
}

if __name__ == "__main__":
    for case in sys.argv[1:] or CASES:
        make, shape, classes = CASES[case]
        golden(case, make, shape, classes)
