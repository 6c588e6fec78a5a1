"""Classifies a photo by ONNX Runtime: what the services of the peers share.

The environment says how: MODEL, THREADS, SIDE, RESIZE (empty: the whole photo is resized to the square), MEAN
and STD.
"""

import io
import os

import numpy
import onnxruntime
from PIL import Image


def numbers(name):
    return numpy.array([float(x) for x in os.environ[name].split(",")], numpy.float32).reshape(3, 1, 1)


class Classifier:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["THREADS"])
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["MODEL"], options, providers=["CPUExecutionProvider"]
        )
        self.input = self.session.get_inputs()[0].name
        self.side, resize = int(os.environ["SIDE"]), os.environ["RESIZE"]
        self.resize = int(resize) if resize else None
        self.scale, self.shift = 1 / (255 * numbers("STD")), numbers("MEAN") / numbers("STD")

    def prepare(self, data):
        """torchvision's `Resize` and `CenterCrop`, bilinear, and `Normalize`: `[1, 3, side, side]`."""
        image, side = Image.open(io.BytesIO(data)).convert("RGB"), self.side
        if self.resize is None:
            image = image.resize((side, side), Image.BILINEAR) if image.size != (side, side) else image
        else:
            width, height = image.size
            short = min(width, height)
            width, height = width * self.resize // short, height * self.resize // short
            image = image.resize((width, height), Image.BILINEAR)
            left, top = round((width - side) / 2), round((height - side) / 2)
            image = image.crop((left, top, left + side, top + side))
        pixels = numpy.asarray(image, numpy.float32).transpose(2, 0, 1)
        return (pixels * self.scale - self.shift)[None]

    def classify(self, data):
        logits = self.session.run(None, {self.input: self.prepare(data)})[0][0]
        powers = numpy.exp(logits - logits.max())
        probabilities = powers / powers.sum()
        top = numpy.argsort(-probabilities)[:5]
        return {"top": [{"index": int(i), "probability": float(probabilities[i])} for i in top]}
