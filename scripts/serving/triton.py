"""Asks the service through Triton's client, and compares with `resnet predict`.

    python triton.py PROGRAM PORT PHOTOS

PHOTOS are of the network's size, so that their pixels are its input."""
import json
import pathlib
import subprocess
import sys

import numpy
import tritonclient.http as triton
from PIL import Image

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]  # of the demo


def infer(client, values, datatype, binary, version=""):
    tensor = triton.InferInput("input", values.shape, datatype)
    tensor.set_data_from_numpy(values, binary_data=binary)
    output = triton.InferRequestedOutput("logits", binary_data=binary)
    return client.infer("demo", [tensor], outputs=[output], model_version=version).as_numpy("logits")


def main():
    program, port, folder = sys.argv[1:]
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("demo")
    assert client.is_model_ready("demo", "1") and not client.is_model_ready("demo", "2")
    metadata = client.get_model_metadata("demo")
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 32, 32]}], metadata
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]

    files = sorted(pathlib.Path(folder).glob("*.png"))
    pixels = numpy.stack([numpy.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1) for file in files])
    column = lambda values: numpy.array(values, numpy.float64).reshape(1, 3, 1, 1)
    values = ((pixels / 255 - column(MEAN)) / column(STD)).astype(numpy.float32)
    ways = {(datatype, binary): infer(client, data, datatype, binary)
            for datatype, data in (("UINT8", pixels), ("FP32", values)) for binary in (True, False)}
    for datatype in ("UINT8", "FP32"):
        one, other = ways[datatype, True], ways[datatype, False]
        assert one.dtype == numpy.float32 and one.tobytes() == other.tobytes(), "bytes and JSON differ"
    again = infer(client, values, "FP32", True, "1")
    assert again.tobytes() == ways["FP32", True].tobytes()
    # The last bits of a normalised value depend on the order of its operations.
    apart = numpy.abs(ways["UINT8", True] - ways["FP32", True]).max()
    assert apart < 1e-4, apart

    command = [program, "predict", "demo", *map(str, files), "--json", "--top", "10", "--quiet"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    logits = ways["UINT8", True].astype(numpy.float64)
    powers = numpy.exp(logits - logits.max(1, keepdims=True))
    probabilities = powers / powers.sum(1, keepdims=True)
    worst = 0.0
    for row, line in zip(probabilities, map(json.loads, lines), strict=True):
        for top in line["top"]:
            worst = max(worst, abs(row[top["index"]] - top["probability"]) / top["probability"])
    assert worst < 1e-5, worst

    wrong = triton.InferInput("input", [1, 3, 8, 8], "FP32")
    wrong.set_data_from_numpy(numpy.zeros((1, 3, 8, 8), numpy.float32))
    try:
        client.infer("demo", [wrong])
        raise AssertionError("a wrong shape is taken")
    except triton.InferenceServerException as error:
        assert "[images, 3, 32, 32]" in str(error), error
    print(f"{len(files)} photos, UINT8 and FP32, bytes and JSON: probabilities within {worst:.0e} of predict's, "
          f"FP32 within {apart:.0e} of UINT8")


if __name__ == "__main__":
    main()
