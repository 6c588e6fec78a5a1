"""The Python side of cli/pytorch.rs.

    python pytorch.py FOLDER LIBRARY NAME

Makes six photos, and a network of torchvision or timm in every form of file. Weights are random,
statistics disturbed, and the head such that the most probable class of a photo has 0.3 to 0.9.

stdout: JSON, the photos' names, and per file the logits of the network in PyTorch, on what Pillow
and torchvision's transforms (for timm's folder: timm's own) make of the photos.
"""

import copy
import json
import pathlib
import sys
import warnings

import numpy as np
import timm
import torch
import torchvision
from PIL import Image, ImageOps
from safetensors.torch import save_file
from torch import nn
from torchvision import transforms

# Name, size, mode, EXIF orientation, options of JPEG.
PHOTOS = [
    ("wide.png", (640, 360), "RGB", None, {}),
    ("tall.png", (301, 487), "RGB", None, {}),
    ("grey.png", (400, 300), "L", None, {}),
    ("turned.jpg", (500, 333), "RGB", 6, {"quality": 90}),
    ("tall.jpg", (333, 517), "RGB", None, {"quality": 75, "subsampling": 2}),
    ("small.jpg", (180, 130), "RGB", None, {"quality": 95, "subsampling": 0, "progressive": True}),
]
IMAGENET = transforms.Compose([
    transforms.Resize(256),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
])


def draw(folder):
    """Discs on waves, with some noise."""
    for seed, (name, (width, height), mode, orientation, options) in enumerate(PHOTOS):
        random = np.random.default_rng(seed)
        y, x = np.mgrid[0:height, 0:width] / max(width, height)
        waves = [
            127 + 110 * np.sin(random.uniform(3, 25) * x + random.uniform(3, 25) * y + random.uniform(0, 6))
            for _ in range(3)
        ]
        image = np.stack(waves, 2)
        for _ in range(6):
            (cx, cy), radius = random.uniform(0.1, 0.7, 2), random.uniform(0.05, 0.2)
            image[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] = random.integers(0, 255, 3)
        image += random.normal(0, 3 + 6 * seed, image.shape)
        image = Image.fromarray(image.clip(0, 255).astype(np.uint8)).convert(mode)
        if orientation:
            options = {**options, "exif": Image.Exif()}
            options["exif"][0x0112] = orientation
        image.save(folder / name, **options)


def batch(folder, transform):
    photos = [ImageOps.exif_transpose(Image.open(folder / p[0])).convert("RGB") for p in PHOTOS]
    return torch.stack([transform(photo) for photo in photos])


def disturb(net):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.num_batches_tracked += 5
    for name, module in net.named_modules():
        last = "bn3" if hasattr(net.layer1[0], "bn3") else "bn2"
        if "layer" in name and name.endswith(last):  # so that shortcuts are not drowned
            module.weight.data *= 0.3
    return net.eval()


def decide(net, images):
    """Gives it a head whose logits of the photos are drawn, and scaled such that they are decided, but not too much."""
    features = []
    hook = net.fc.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    with torch.no_grad():
        net(images)
        hook.remove()
        mean = features[0].mean(0).double()
        top = torch.zeros(1)
        while top.min() < 0.3 or scale * (logits.amax(1) - logits.amin(1)).max() > 60:
            logits = torch.randn(len(images), net.fc.out_features, dtype=torch.float64)
            logits -= logits.mean(0)
            low, high = 0.0, 20.0
            for _ in range(30):
                scale = (low + high) / 2
                top = torch.softmax(scale * logits, 1).amax(1)
                low, high = (low, scale) if top.max() > 0.88 else (scale, high)
        weight = scale * (torch.linalg.pinv(features[0].double() - mean, rtol=1e-5) @ logits).T
        net.fc.weight.copy_(weight)
        net.fc.bias.copy_(-weight @ mean)
    return net


def as_f16(net):
    rounded = copy.deepcopy(net)
    for tensor in [*rounded.parameters(), *rounded.buffers()]:
        if tensor.is_floating_point():
            tensor.data = tensor.data.half().float()
    return rounded


def save(folder, net):
    """Saves the network in every form, and gives each file's name and the network that is in it."""
    state = net.state_dict()
    torch.save(state, folder / "state_dict.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(net, folder / "module.pth")
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_file(half, folder / "float16.safetensors")
    torch.onnx.export(net, (torch.randn(1, 3, 224, 224),), folder / "net.onnx", verbose=False)
    assert (folder / "net.onnx.data").exists()
    lightning = {
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.5.5",
        "state_dict": {
            **{f"model.{k}": v for k, v in state.items()},
            "criterion.weight": torch.rand(1000),
            "val_accuracy.tp": torch.zeros(1000, dtype=torch.long),
        },
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [torch.optim.AdamW(net.parameters()).state_dict()],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 1e-3, "num_classes": 1000},
    }
    torch.save(lightning, folder / "lightning.ckpt")
    names = ["state_dict.pth", "legacy.pth", "module.pth", "net.onnx", "lightning.ckpt"]
    return [*((name, net) for name in names), ("float16.safetensors", as_f16(net))]


def make(folder, library, name):
    torch.manual_seed(sum(map(ord, library + name)))
    draw(folder)
    create = {"torchvision": torchvision.models.get_model, "timm": timm.create_model}[library]
    images = batch(folder, IMAGENET)
    net = decide(disturb(create(name)), images)
    cases = [(file, net, images) for file, net in save(folder, net)]
    if library == "timm":
        timm.models.save_for_hf(net, folder / "timm", safe_serialization=True)
        own = timm.data.create_transform(**timm.data.resolve_data_config(net.pretrained_cfg))
        cases.append(("timm", net, batch(folder, own)))
    with torch.no_grad():
        logits = {file: net(images).tolist() for file, net, images in cases}
    return {"photos": [p[0] for p in PHOTOS], "logits": logits}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    folder, library, name = sys.argv[1:]
    answer = sys.stdout
    sys.stdout = sys.stderr  # the exporter prints
    made = make(pathlib.Path(folder), library, name)
    json.dump(made, answer)
