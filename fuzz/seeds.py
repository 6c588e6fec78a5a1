"""Writes the smallest network, a resnet8 of width 1, in every format that a fuzz target reads.

    python seeds.py CORPUS
"""

import io
import json
import pathlib
import pickle
import struct
import sys
import types

CLASSES = 2


def layers():
    """Names and shapes of the layers: (name, input, weight's shape, stride)."""
    yield "conv1", "input", [1, 3, 3, 3], 1
    width = 1
    for stage in range(1, 4):
        planes = 2 ** (stage - 1)
        block, stride = f"layer{stage}.0", 1 if stage == 1 else 2
        yield f"{block}.conv1", None, [planes, width, 3, 3], stride
        yield f"{block}.conv2", None, [planes, planes, 3, 3], 1
        width = planes


def tensors():
    """Names and shapes of the state dict."""
    for name, _, shape, _ in layers():
        yield f"{name}.weight", shape
        norm = name.replace("conv", "bn")
        for part in ["weight", "bias", "running_mean", "running_var"]:
            yield f"{norm}.{part}", shape[:1]
    yield "linear.weight", [CLASSES, 4]
    yield "linear.bias", [CLASSES]


def count(shape):
    product = 1
    for extent in shape:
        product *= extent
    return product


def safetensors(metadata):
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, shape in tensors():
        start, end = end, end + 4 * count(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (end // 4)


# PyTorch: every tensor is a view of one value.


class Storage:
    """What a persistent id stands for."""


def torch_class(path):
    """A class that pickles under PyTorch's name."""
    module, name = path.rsplit(".", 1)
    package = sys.modules.setdefault(module, types.ModuleType(module))
    if not hasattr(package, name):
        made = type(name, (), {"__module__": module, "__qualname__": name})
        setattr(package, name, made)
    return getattr(package, name)


class View:
    def __init__(self, shape):
        self.shape = shape

    def __reduce__(self):
        rebuild = torch_class("torch._utils._rebuild_tensor_v2")
        strides = (0,) * len(self.shape)
        return rebuild, (Storage(), 0, tuple(self.shape), strides, False, {})


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        # Key 3 of the target has one value.
        storage = torch_class("torch.FloatStorage")
        return ("storage", storage, "3", "cpu", 1) if isinstance(value, Storage) else None


def pickled(value):
    out = io.BytesIO()
    Pickler(out, 2).dump(value)
    return out.getvalue()


def module(path, parameters=(), buffers=(), children=(), **attributes):
    made = torch_class(path)()
    made.__dict__.update(
        training=False,
        _parameters={name: View(shape) for name, shape in parameters},
        _buffers={name: View(shape) for name, shape in buffers},
        _modules=dict(children),
        **attributes,
    )
    return made


def whole():
    """A whole module."""
    nn = "torch.nn.modules"
    net, blocks = {}, {}
    for name, _, shape, stride in layers():
        channels = shape[:1]
        conv = module(f"{nn}.conv.Conv2d", [("weight", shape)], kernel_size=(3, 3),
                      stride=(stride, stride), padding=(1, 1), dilation=(1, 1), groups=1,
                      padding_mode="zeros")
        norm = module(f"{nn}.batchnorm.BatchNorm2d", [("weight", channels), ("bias", channels)],
                      [("running_mean", channels), ("running_var", channels)], eps=1e-5)
        block, _, own = name.rpartition(".")
        place = blocks.setdefault(block, {}) if block else net
        place[own], place[own.replace("conv", "bn")] = conv, norm
    for block, children in blocks.items():
        children["shortcut"] = module("net.LambdaLayer")
        inner = module("net.BasicBlock", children=children)
        net[block[:-2]] = module(f"{nn}.container.Sequential", children={"0": inner})
    net["pool"] = module(f"{nn}.pooling.AdaptiveAvgPool2d", output_size=(1, 1))
    net["linear"] = module(f"{nn}.linear.Linear", [("weight", [CLASSES, 4]), ("bias", [CLASSES])])
    return module("net.ResNet", children=net, classes=["cat", "dog"])


def torch_files():
    state = {name: View(shape) for name, shape in tensors()}
    momentum = {i: {"momentum_buffer": View(shape)} for i, (_, shape) in enumerate(tensors())}
    yield "state", state
    yield "module", whole()
    yield "checkpoint", {
        "net": state,
        "model_ema": {f"module.{name}": view for name, view in state.items()},
        "epoch": 3,
        "hyper_parameters": {"classes": ["cat", "dog"]},
        "optimizer": {"state": momentum, "param_groups": [{"lr": 0.1, "params": list(momentum)}]},
    }


def legacy(value):
    """The object, the keys of its storages, and the storages."""
    return pickled(value) + pickled(["3"]) + struct.pack("<qf", 1, 0.5)


# ONNX: messages of Protocol Buffers.


def varint(value):
    out = bytearray()
    value &= 2**64 - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(number, value) for number, value in fields)


def attribute(name, value):
    if isinstance(value, list):
        return message((1, name), (8, b"".join(map(varint, value))), (20, 7))
    number, kind = (2, 1) if isinstance(value, float) else (3, 2)
    return message((1, name), (number, value), (20, kind))


def onnx(raw):
    """`raw`: whether tensors are bytes; otherwise the file itself is their external data."""
    nodes = []

    def add(op, inputs, output, **attributes):
        named = [(5, attribute(name, value)) for name, value in attributes.items()]
        texts = [(1, name) for name in inputs] + [(2, output), (3, output), (4, op)]
        nodes.append(message(*texts, *named))
        return output

    def conv(name, x, shape, stride):
        y = add("Conv", [x, f"{name}.weight"], name, kernel_shape=[3, 3], strides=[stride] * 2,
                pads=[1] * 4)
        norm = name.replace("conv", "bn")
        parts = ["weight", "bias", "running_mean", "running_var"]
        inputs = [y] + [f"{norm}.{part}" for part in parts]
        return add("BatchNormalization", inputs, norm, epsilon=1e-5)

    def constant(name, values):
        return add("Constant", [], name, value_ints=values)

    network = list(layers())
    x = add("Relu", [conv(*network[0])], "relu")
    for first, second in zip(network[1::2], network[2::2]):
        block, shape, stride = first[0][:-6], first[2], first[3]
        y = add("Relu", [conv(first[0], x, shape, stride)], f"{block}.relu1")
        y = conv(second[0], y, *second[2:])
        if stride > 1:
            slices = [("starts", [0, 0]), ("ends", [2**63 - 1] * 2), ("axes", [2, 3]),
                      ("steps", [2, 2])]
            inputs = [constant(f"{block}.{name}", values) for name, values in slices]
            x = add("Slice", [x, *inputs], f"{block}.slice")
            zeros = shape[0] - shape[1]
            before = zeros // 2
            pads = constant(f"{block}.pads", [0, before, 0, 0, 0, zeros - before, 0, 0])
            x = add("Pad", [x, pads], f"{block}.pad")
        x = add("Relu", [add("Add", [y, x], f"{block}.add")], f"{block}.relu2")
    x = add("Flatten", [add("GlobalAveragePool", [x], "pool")], "flat", axis=1)
    add("Gemm", [x, "linear.weight", "linear.bias"], "logits", transB=1)

    def initializer(name, shape):
        fields = [(1, extent) for extent in shape] + [(2, 1), (8, name)]
        if raw:
            return message(*fields, (9, struct.pack("<f", 0.5) * count(shape)))
        place = [("location", "model.onnx"), ("offset", "0"), ("length", str(4 * count(shape)))]
        return message(*fields, *[(13, message((1, key), (2, value))) for key, value in place],
                       (14, 1))

    def value(name, shape):
        extents = [(1, message((1, n) if isinstance(n, int) else (2, n))) for n in shape]
        tensor = message((1, 1), (2, message(*extents)))
        return message((1, name), (2, message((1, tensor))))

    graph = message(
        *[(1, node) for node in nodes],
        (2, "network"),
        *[(5, initializer(name, shape)) for name, shape in tensors()],
        (11, value("input", ["n", 3, 32, 32])),
        (12, value("logits", ["n", CLASSES])),
    )
    return message((1, 8), (2, "seeds"), (7, graph), (14, message((1, "arch"), (2, "resnet8"))))


# CIFAR-10.


def cifar(width):
    """A batch as Python 2 wrote it."""
    rows = bytes(range(2)) * width
    number = lambda n: b"M" + struct.pack("<H", n)
    return (
        b"\x80\x02}(U\x06labels](K\x03K\x09eU\x04datacnumpy.core.multiarray\n_reconstruct\n"
        b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02" + number(width) + b"\x86cnumpy\ndtype\n"
        b"U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", len(rows)) + rows + b"tbu."
    )


# Folders.

TIMM = {
    "architecture": "resnet18.a1_in1k",
    "num_classes": 2,
    "num_features": 512,
    "label_names": ["cat", "dog"],
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "border",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "num_classes": 2,
        "first_conv": "conv1",
        "classifier": "fc",
    },
}
TRANSFORMERS = {
    "model_type": "resnet",
    "architectures": ["ResNetForImageClassification"],
    "depths": [2, 2, 2, 2],
    "layer_type": "basic",
    "hidden_act": "relu",
    "downsample_in_first_stage": False,
    "downsample_in_bottleneck": False,
    "id2label": {"0": "cat", "1": "dog"},
}
PREPROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "crop_pct": 0.875,
    "do_resize": True,
    "do_center_crop": True,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
}


def main(corpus):
    def write(target, name, content):
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{name}").write_bytes(content)

    own = {"arch": "resnet8", "format_version": "1", "classes": '["cat","dog"]',
           "image_size": "32", "resize": "36", "interpolation": '"bicubic"',
           "normalisation": '{"mean":[0.5,0.5,0.5],"std":[0.5,0.5,0.5]}'}
    write("safetensors", "plain", safetensors(None))
    write("safetensors", "own", safetensors(own))
    for name, value in torch_files():
        write("torch_zip", name, pickled(value))
        write("torch_legacy", name, legacy(value))
    write("onnx", "raw", onnx(raw=True))
    write("onnx", "external", onnx(raw=False))
    for width in [3, 3072]:
        write("cifar", str(width), cifar(width))
    write("folder", "timm", json.dumps(TIMM).encode())
    parts = [json.dumps(part).encode() for part in [TRANSFORMERS, PREPROCESSOR]]
    write("folder", "transformers", b"\0".join(parts))


main(pathlib.Path(sys.argv[1]))
