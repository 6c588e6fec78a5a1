"""timm_folder.py FOLDER INPUT OUTPUT: a folder's logits on 64x64 images, and what timm knows of it."""

import json
import sys

import numpy as np
import timm
import torch

folder, images, output = sys.argv[1:]
torch.set_num_threads(1)
net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
x = torch.from_numpy(np.fromfile(images, np.float32).reshape(-1, 3, 64, 64))
with torch.no_grad():
    net(x).numpy().tofile(output)
config = timm.data.resolve_data_config({}, model=net)
keys = ["input_size", "interpolation", "mean", "std", "crop_pct"]
json.dump({key: config[key] for key in keys}, sys.stdout)
