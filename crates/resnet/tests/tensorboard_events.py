"""What TensorBoard makes of a folder of event files: the judge of tensorboard.rs.

    python tensorboard_events.py FOLDER

stdout: JSON, the points of each scalar as [step, value], the text of the configuration, and the
settings of the run.
"""

import json
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in tags["scalars"]}
[config] = events.Tensors("config")
data = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
settings = {
    name: value.string_value or value.number_value
    for name, value in HParamsPluginData.FromString(data).session_start_info.hparams.items()
}
text = config.tensor_proto.string_val[0].decode()
json.dump({"scalars": scalars, "config": text, "settings": settings}, sys.stdout)
