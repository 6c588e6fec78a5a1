"""Measures training steps in PyTorch on a CUDA GPU: prints images/s, and torch and device, as JSON."""

import argparse
import json
import time

import nets
import torch
from torch.nn import functional as F


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    parser.add_argument("--seconds", type=float, default=5)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    net, shape, classes = nets.build(args.arch)
    net = net.to("cuda", memory_format=torch.channels_last).train()
    images = torch.randn(args.batch, *shape, device="cuda").contiguous(memory_format=torch.channels_last)
    labels = torch.randint(classes, (args.batch,), device="cuda")
    # The learning rate is so small that training on random labels does not diverge.
    sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    forward = torch.compile(net) if args.compile else net

    def step():
        sgd.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=args.dtype == "bf16"):
            logits = forward(images)
        F.cross_entropy(logits.float(), labels).backward()
        sgd.step()

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < args.seconds:
        for _ in range(10):
            step()
        torch.cuda.synchronize()
        steps += 10
    rate = steps * args.batch / (time.perf_counter() - start)
    facts = {"torch": torch.__version__, "device": torch.cuda.get_device_name()}
    print(json.dumps({"images_per_second": rate, **facts}))


if __name__ == "__main__":
    main()
