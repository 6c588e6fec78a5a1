"""Makes cases.json: what torchvision's transforms give on PIL images, for src/transform/tests.

    python make_transforms.py [SEED]        (torch, torchvision, Pillow)

Each line is a case: [name, [image, width, height], parameters..., digest], and the digest is the first
16 digits of the SHA-256 of the pixels [height][width][3]. The parameters are those that torchvision's
transforms would draw. With a seed, the random ones are others than those of the file.
"""

import hashlib
import json
import pathlib
import random
import sys

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, RandAugment, Resize
from torchvision.transforms import TrivialAugmentWide, autoaugment, functional as F, v2

HERE = pathlib.Path(__file__).parent
SIZES = [(33, 21), (21, 33), (24, 24), (1, 1), (1, 9), (9, 1), (2, 2), (3, 3), (40, 3)]
FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
ENLARGED = ["nearest", "bilinear"]
SAMPLINGS = ["nearest", "bilinear"]
FILLS = [[0, 0, 0], [124, 116, 104]]


def image(kind, width, height):
    """Bytes of a linear congruential generator; of few values, or one, for the other kinds."""
    state, out = width * 1000 + height, bytearray()
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    pixels = np.frombuffer(bytes(out), np.uint8).reshape(height, width, 3)
    pixels = {"noise": pixels, "dark": pixels // 8 + 20, "flat": pixels * 0 + 77}[kind]
    return Image.fromarray(pixels)


def digest(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:16]


def uniform(draw, low, high):
    """A random number of 64ths: readers of JSON may round others."""
    return round(draw.uniform(low, high) * 64) / 64


def crops(add, draw):
    def resized(width, height, part, size, name, mirrored):
        top, left, h, w = part
        found = F.resized_crop(
            image("noise", width, height), top, left, h, w, size, InterpolationMode(name)
        )
        found = F.vflip(found) if mirrored[0] else found
        found = F.hflip(found) if mirrored[1] else found
        add("crop", ("noise", width, height), part, size, name, mirrored, found)

    for width, height in [*SIZES, (61, 43), (5, 200), (300, 4)]:
        for name in FILTERS if width == 61 else ENLARGED:
            h, w = draw.randint(1, height), draw.randint(1, width)
            part = [draw.randint(0, height - h), draw.randint(0, width - w), h, w]
            for size in [[16, 16], [7, 19]]:
                resized(width, height, part, size, name, [draw.randint(0, 1), draw.randint(0, 1)])
    for name in FILTERS:  # columns first, and both directions
        resized(30, 180, [3, 5, 170, 20], [12, 16], name, [1, 1])
        resized(30, 180, [3, 5, 170, 20], [12, 16], name, [0, 0])

    for width, height in SIZES + [(61, 43)]:
        for resize, size in [(20, [16, 16]), (16, [16, 24]), (None, [12, 13]), (7, [16, 5])]:
            found = image("noise", width, height)
            found = Resize(resize)(found) if resize else found
            found = CenterCrop(size)(found)
            add("center", ("noise", width, height), resize, size, found)

    for width, height in [(33, 21), (5, 40), (16, 16)]:
        for padding, size in [(0, [16, 16]), (4, [16, 30])]:
            found = image("noise", width, height)
            transform = v2.RandomCrop(size, padding, pad_if_needed=True)
            chosen = transform.make_params([found])
            pad = chosen["padding"]
            first = [chosen["top"] - pad[1], chosen["left"] - pad[0]]
            mirrored = [draw.randint(0, 1), draw.randint(0, 1)]
            found = transform.transform(found, chosen)
            found = F.vflip(found) if mirrored[0] else found
            found = F.hflip(found) if mirrored[1] else found
            add("place", ("noise", width, height), first, size, mirrored, found)


def maps(add, draw):
    for size in SIZES:
        for angle in [draw.choice([0.0, 180.0]), draw.choice([90.0, 270.0]), uniform(draw, -360, 360)]:
            for name in SAMPLINGS:
                fill = draw.choice(FILLS)
                found = F.rotate(image("noise", *size), angle, InterpolationMode(name), fill=fill)
                add("rotate", ("noise", *size), angle, name, fill, found)
        for _ in range(3):
            shift = [draw.randint(-9, 9), draw.randint(-9, 9)]
            shear = [uniform(draw, -40, 40), uniform(draw, -40, 40)]
            angle, scale = uniform(draw, -180, 180), uniform(draw, 0.3, 3)
            name, fill = draw.choice(SAMPLINGS), draw.choice(FILLS)
            found = F.affine(
                image("noise", *size), angle, shift, scale, shear, InterpolationMode(name), fill
            )
            add("affine", ("noise", *size), angle, shift, scale, shear, name, fill, found)
        for name in SAMPLINGS:  # Pillow has a function of its own for scales and shifts
            scale = uniform(draw, 0.3, 3)
            found = F.affine(
                image("noise", *size), 0.0, [3, -2], scale, [0.0, 0.0], InterpolationMode(name)
            )
            add("affine", ("noise", *size), 0.0, [3, -2], scale, [0.0, 0.0], name, FILLS[0], found)


def colours(add, draw):
    adjust = {
        "brightness": F.adjust_brightness,
        "contrast": F.adjust_contrast,
        "saturation": F.adjust_saturation,
        "sharpness": F.adjust_sharpness,
    }
    for name, function in adjust.items():
        for kind, width, height in [("noise", 33, 21), ("dark", 24, 24), ("noise", 1, 1),
                                    ("noise", 2, 9), ("flat", 3, 3)]:  # fmt: skip
            for factor in [0.0, 0.5, 1.0, 1.4, 2.0, uniform(draw, 0, 3)]:
                add(name, (kind, width, height), factor, function(image(kind, width, height), factor))
    for kind, width, height in [("noise", 90, 90), ("dark", 24, 24), ("noise", 1, 1), ("flat", 3, 3)]:
        for factor in [0.0, 0.5, -0.5, 0.1, -0.2, uniform(draw, -0.5, 0.5)]:
            found = F.adjust_hue(image(kind, width, height), factor)
            add("hue", (kind, width, height), factor, found)
    for _ in range(4):  # ColorJitter in each order
        order = draw.sample(range(4), 4)
        factors = [uniform(draw, 0.6, 1.4) for _ in range(3)] + [uniform(draw, -0.1, 0.1)]
        found = image("noise", 33, 21)
        functions = [F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue]
        for index in order:
            found = functions[index](found, factors[index])
        add("jitter", ("noise", 33, 21), order, factors, found)


def pca_noise(add, draw):
    """fb.resnet.torch's Lighting: alpha times the eigenvalues along the eigenvectors, of pixels from 0 to 1."""
    values = np.array([0.2175, 0.0188, 0.0045])
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    for kind, width, height in [("noise", 33, 21), ("dark", 24, 24), ("flat", 3, 3)]:
        for std in [0.1, 0.5, 3.0]:
            normal = [draw.gauss(0, 1) for _ in range(3)]
            added = (vectors * (std * np.array(normal)) * values).sum(1)
            pixels = np.asarray(image(kind, width, height)).astype(float) + 255 * added
            add("pca_noise", (kind, width, height), std, normal, np.rint(pixels).clip(0, 255).astype(np.uint8))


def random_crops(add, draw):
    """The shorter side is resized, then a part is cropped."""
    for width, height in [(33, 21), (21, 33), (40, 40)]:
        for _ in range(3):
            shorter = draw.randint(20, 31)
            found = Resize(shorter)(image("noise", width, height))
            top, left = draw.randint(0, found.height - 16), draw.randint(0, found.width - 18)
            size = [16, 18]
            add("random_crop", ("noise", width, height), shorter, [top, left], size,
                F.crop(found, top, left, *size))


def policies(add, draw):
    for kind, width, height in [("noise", 33, 21), ("dark", 24, 24)]:
        spaces = {
            "rand_augment": RandAugment()._augmentation_space(31, (height, width)),
            "trivial_augment_wide": TrivialAugmentWide()._augmentation_space(31),
        }
        for policy, space in spaces.items():
            for index, (op, (magnitudes, signed)) in enumerate(space.items()):
                for bin in [0, 30, draw.randint(1, 29)]:
                    if magnitudes.ndim == 0 and bin:
                        continue
                    for negative in range(1 + signed):
                        name, fill = draw.choice(SAMPLINGS), draw.choice(FILLS)
                        magnitude = float(magnitudes[bin]) if magnitudes.ndim else 0.0
                        found = autoaugment._apply_op(
                            image(kind, width, height),
                            op,
                            -magnitude if negative else magnitude,
                            InterpolationMode(name),
                            fill,
                        )
                        chosen = [index, bin, negative]
                        add(policy, (kind, width, height), chosen, name, fill, found)


def erasures(add, draw):
    for width, height in [(33, 21), (24, 24), (9, 2)]:
        h, w = draw.randint(1, height - 1), draw.randint(1, width - 1)
        part = [draw.randint(0, height - h), draw.randint(0, width - w), h, w]
        mean = torch.tensor(FILLS[1], dtype=torch.uint8)[:, None, None]
        found = F.erase(F.pil_to_tensor(image("noise", width, height)), *part, mean)
        add("erase", ("noise", width, height), part, FILLS[1], found.permute(1, 2, 0).numpy())


def mixtures(add, draw):
    """Of batches of images of this width, whose heights make them differ."""
    for n in [1, 2, 5]:
        labels = [draw.randint(0, 3) for _ in range(n)]
        whole = np.asarray(image("noise", 8, 6 * n)).reshape(n, 6, 8, 3)
        batch = torch.tensor(whole).permute(0, 3, 1, 2).float()
        for share in [0.0, 1.0, uniform(draw, 0, 1)]:
            mixup = v2.MixUp(num_classes=4)
            targets = mixup._mixup_label(torch.tensor(labels), lam=share)
            params = {"lam": share, "labels": None, "batch_size": n}
            found = mixup.transform(batch, params)
            found = (found + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
            add("mixup", ("noise", 8, 6 * n), share, labels, targets.tolist(), found.numpy())
        cutmix = v2.CutMix(num_classes=4)
        params = cutmix.make_params([batch]) | {"labels": None, "batch_size": n}
        targets = cutmix._mixup_label(torch.tensor(labels), lam=params["lam_adjusted"])
        found = cutmix.transform(batch, params).to(torch.uint8).permute(0, 2, 3, 1)
        x1, y1, x2, y2 = params["box"]
        part, share = [y1, x1, y2 - y1, x2 - x1], params["lam_adjusted"]
        add("cutmix", ("noise", 8, 6 * n), part, share, labels, targets.tolist(), found.numpy())


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    torch.manual_seed(seed)
    draw, lines = random.Random(seed), []

    def add(*case):
        *case, found = case
        lines.append(json.dumps([*case, digest(found)], separators=(",", ":")))

    for cases in [crops, maps, colours, policies, erasures, mixtures, pca_noise, random_crops]:
        cases(add, draw)
    (HERE / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
