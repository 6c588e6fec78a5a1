"""Benchmarks training steps or inference in PyTorch."""

import nets
import serve
import torch
from torch.nn import functional as F


def prepare(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    layout = getattr(torch, args.layout)
    net, shape, classes = nets.build(args.arch)
    net = net.to(memory_format=layout).train(args.mode == "train")
    images = torch.randn(args.batch, *shape).contiguous(memory_format=layout)
    labels = torch.randint(classes, (args.batch,))
    # The learning rate is so small that training on random labels does not diverge.
    sgd = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4)
    if args.compile:
        net = torch.compile(net)

    def forward():
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16"):
            return net(images)

    def train():
        sgd.zero_grad()
        loss = F.cross_entropy(forward().float(), labels)
        loss.backward()
        sgd.step()
        return loss.item()

    def infer():
        with torch.inference_mode():
            return forward()

    step = train if args.mode == "train" else infer
    if args.compile:
        step()
    facts = {
        "torch": torch.__version__,
        "isa": torch.backends.cpu.get_cpu_capability(),
        "layout": args.layout,
        "threads": torch.get_num_threads(),
    }
    return step, facts


if __name__ == "__main__":
    parser = serve.arguments(__doc__)
    parser.add_argument(
        "--layout",
        choices=("contiguous_format", "channels_last"),
        default="channels_last",
        help="memory format of images and weights",
    )
    parser.add_argument("--compile", action="store_true", help="use torch.compile")
    serve.run(parser.parse_args(), prepare)
