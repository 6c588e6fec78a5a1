"""Trains in one process or several with PyTorch's DistributedDataParallel on gloo, and times steps.

    python ddp_peer.py --threads 2                                one process, without DistributedDataParallel
    torchrun --nproc-per-node 2 ddp_peer.py --threads 1 --hook bf16

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say who takes part, as torchrun sets them; GLOO_SOCKET_IFNAME names the
network interface. The batch is that of all processes together, of random images in memory. Process 0 prints a line
of JSON: images/s of all together, the median of a step in ms, and the CPU seconds of all processes in these steps.
"""

import argparse
import json
import os
import statistics
import time

import nets
import torch
import torch.distributed as dist
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel


def share(batch, rank, size):
    """The images of this process."""
    return batch * (rank + 1) // size - batch * rank // size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="resnet18-cifar", help="architecture, by its name in `resnet archs`")
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="of all processes together")
    parser.add_argument("--hook", choices=("none", "bf16"), default="none", help="how gradients are compressed")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each process")
    parser.add_argument("--warm-up", type=int, default=3, metavar="N", help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=15, metavar="N", help="steps that are timed")
    layouts = ("contiguous_format", "channels_last")
    parser.add_argument("--layout", choices=layouts, default="channels_last", help="memory format")
    args = parser.parse_args()
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)  # the same initial weights everywhere
    layout = getattr(torch, args.layout)
    net, shape, classes = nets.build(args.arch)
    net = net.to(memory_format=layout).train()
    if size > 1:
        dist.init_process_group("gloo")
        net = DistributedDataParallel(net)
        if args.hook == "bf16":
            net.register_comm_hook(None, bf16_compress_hook)
    count = share(args.batch, rank, size)
    images = torch.randn(count, *shape).contiguous(memory_format=layout)
    labels = torch.randint(classes, (count,))
    # The learning rate is so small that training on random labels does not diverge.
    sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)

    def step():
        sgd.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        sgd.step()
        return loss.item()

    for _ in range(args.warm_up):
        step()
    if size > 1:
        dist.barrier()
    times, start, processor = [], time.perf_counter(), time.process_time()
    for _ in range(args.steps):
        begun = time.perf_counter()
        step()
        times.append(time.perf_counter() - begun)
    seconds = time.perf_counter() - start
    # With the threads of gloo.
    processor = torch.tensor(time.process_time() - processor, dtype=torch.float64)
    if size > 1:
        dist.all_reduce(processor)
    if rank == 0:
        record = {
            "torch": torch.__version__,
            "isa": torch.backends.cpu.get_cpu_capability(),
            "layout": args.layout,
            "processes": size,
            "threads": torch.get_num_threads(),
            "hook": args.hook,
            "images_per_second": args.batch * args.steps / seconds,
            "ms_per_step": 1e3 * statistics.median(times),
            "cpu_seconds": processor.item(),
            "steps": args.steps,
        }
        print(json.dumps(record), flush=True)
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
