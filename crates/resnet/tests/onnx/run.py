"""Checks ONNX files and runs them with ONNX Runtime.

stdin: JSON, a list of {"model": path, "runs": [{"shape": [...], "input": path, "output": path}]}
with raw f32 files. stdout: JSON, for each model what a user finds in it.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime

found = []
for case in json.load(sys.stdin):
    onnx.checker.check_model(case["model"], full_check=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        case["model"], options, providers=["CPUExecutionProvider"]
    )
    (value,), (result,) = session.get_inputs(), session.get_outputs()
    for run in case["runs"]:
        images = np.fromfile(run["input"], dtype=np.float32).reshape(run["shape"])
        session.run(None, {value.name: images})[0].tofile(run["output"])
    meta = session.get_modelmeta()
    found.append(
        {
            "producer": meta.producer_name,
            "metadata": meta.custom_metadata_map,
            "input": [value.name, *value.shape],
            "output": [result.name, *result.shape],
        }
    )
json.dump(found, sys.stdout)
