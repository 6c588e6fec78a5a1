"""Makes the files of this folder: photos in the folders of their classes, two networks, and expected.json, what
PyTorch and torchvision give for them with ten crops, at several scales, and as an ensemble.

    python make_protocols.py        (torch, torchvision, safetensors, Pillow, numpy)

The networks have random weights. They differ in shortcuts, preprocessing and in the order of their classes.
Probabilities are softmax in float64, averaged over the views of a photo, then over the networks.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import InterpolationMode, functional as T

HERE = pathlib.Path(__file__).parent
CLASSES = ["ant", "bee", "cow"]
# Height and width of the photos.
SIZES = {"ant/tall": (70, 41), "ant/wide": (38, 75), "bee/square": (50, 50), "cow/odd": (45, 64)}
SCALES = [24, 32, 45]


class Block(nn.Module):
    """Two 3x3 convolutions, and a projection."""

    def __init__(self, inp, planes, stride, projects):
        super().__init__()
        self.conv1 = nn.Conv2d(inp, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if projects:
            self.shortcut = nn.Sequential(nn.Conv2d(inp, planes, 1, stride, bias=False),
                                          nn.BatchNorm2d(planes))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet8(nn.Module):
    """The paper's CIFAR net of 8 layers, of 4 channels: shortcuts of option B, or C (`everywhere`)."""

    def __init__(self, everywhere):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(Block(4, 4, 1, everywhere))
        self.layer2 = nn.Sequential(Block(4, 8, 2, True))
        self.layer3 = nn.Sequential(Block(8, 16, 2, True))
        self.linear = nn.Linear(16, len(CLASSES))

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class Model:
    def __init__(self, everywhere, classes, image_size, resize, interpolation, mean, std):
        self.net, self.classes = ResNet8(everywhere), classes
        self.arch = "resnet8-c" if everywhere else "resnet8-b"
        self.image_size, self.resize, self.interpolation = image_size, resize, interpolation
        self.mean, self.std = mean, std
        for name, value in self.net.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif "bn" in name and value.dim() == 1 or name.endswith("running_mean"):
                value.add_(0.3 * torch.randn_like(value))
        self.net.eval()

    def spread(self, photos):
        """Scales the head so that the logits of the photos differ by about 2."""
        linear, images = self.net.linear, [self.input(photo) for photo in photos]
        with torch.no_grad():
            linear.bias.zero_()
            logits = self.net(self.batch(images).float())
            factor = 2 / (logits - logits.mean(0)).std()
            linear.bias.copy_(-factor * logits.mean(0))
            linear.weight.mul_(factor)

    def save(self, path):
        values = {"arch": self.arch, "classes": json.dumps(self.classes), "image_size": str(self.image_size),
                  "resize": str(self.resize), "interpolation": json.dumps(self.interpolation),
                  "normalisation": json.dumps({"mean": self.mean, "std": self.std})}
        save_file({k: v.contiguous() for k, v in self.net.state_dict().items()}, path, values)
        self.net.double()

    def batch(self, images):
        return torch.stack([T.normalize(T.to_tensor(i).double(), self.mean, self.std) for i in images])

    def softmax(self, images):
        """Of PIL images of one size, in the order of CLASSES."""
        with torch.no_grad():
            logits = self.net(self.batch(images))
        return logits.softmax(1)[:, [self.classes.index(name) for name in CLASSES]]

    def resized(self, photo, size):
        return T.resize(photo, size, InterpolationMode(self.interpolation))

    def input(self, photo):
        return T.center_crop(self.resized(photo, self.resize), self.image_size)

    def single_view(self, photo):
        return self.softmax([self.input(photo)])[0]

    def ten_crop(self, photo):
        return self.softmax(T.ten_crop(self.resized(photo, self.resize), self.image_size)).mean(0)

    def scales(self, photo):
        views = []
        for scale in SCALES:
            whole = self.resized(photo, scale)
            views += [self.softmax([whole])[0], self.softmax([T.hflip(whole)])[0]]
        return torch.stack(views).mean(0)


def picture(height, width, seed):
    """Waves, squares and grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)
    channels = []
    for _ in range(3):
        a, b, c = random.uniform(3, 15, 3)
        waves = 127 + 70 * np.sin(x / a + y / b) + 40 * ((x // c + y // c) % 2)
        channels.append(waves + random.normal(0, 12, (height, width)))
    return Image.fromarray(np.stack(channels, 2).clip(0, 255).astype(np.uint8))


def main():
    torch.manual_seed(5)
    a = Model(False, ["ant", "bee", "cow"], 32, 37, "bilinear", [0.5, 0.4, 0.3], [0.25, 0.2, 0.3])
    b = Model(True, ["cow", "ant", "bee"], 28, 36, "bicubic", [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    photos = []
    for seed, (name, size) in enumerate(SIZES.items()):
        path = HERE / "photos" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(*size, seed).save(path, quality=85)
        photos.append(Image.open(path).convert("RGB"))
    for name, model in [("a", a), ("b", b)]:
        model.spread(photos)
        model.save(HERE / f"{name}.safetensors")
    expected = {"photos": list(SIZES), "scales": SCALES}
    for view in ["single_view", "ten_crop", "scales"]:
        of = {name: torch.stack([getattr(model, view)(photo) for photo in photos])
              for name, model in [("a", a), ("b", b)]}
        of["ensemble"] = (of["a"] + of["b"]) / 2
        expected[view if view != "scales" else "at_scales"] = {
            name: [[round(p, 7) for p in row] for row in rows.tolist()] for name, rows in of.items()}
    text = json.dumps(expected, indent=1)
    (HERE / "expected.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
